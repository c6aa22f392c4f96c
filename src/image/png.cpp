#include "image/png.hpp"

#if RUSHLIGHT_USE_PNG
#include <png.h>
#endif

#include <algorithm>
#include <array>
#include <csetjmp>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/fail.hpp"
#include "base/quote.hpp"
#include "image/geometry.hpp"
#include "image/orientation.hpp"
#include "image/png_chunks.hpp"

namespace rushlight::image {

bool is_png(ByteSpan bytes) noexcept {
  return as_text(bytes).starts_with("\x89PNG\r\n\x1A\n");
}

#if RUSHLIGHT_USE_PNG
namespace {

// libpng leaves by longjmp, which runs no destructors. So what it is called with has none: this struct and the
// functions that take it. Tensors and vectors live in read_png(), which libpng never leaves.
struct Decoding {
  const std::byte* data = nullptr;
  std::size_t size = 0;
  std::size_t position = 0;
  png_structp png = nullptr;
  png_infop info = nullptr;

  std::uint32_t width = 0;
  std::uint32_t height = 0;
  PngColour colour = PngColour::grey;
  unsigned depth = 0;
  bool interlaced = false;
  std::array<std::uint8_t, 768> palette{};  // black where the file has none, as in PIL

  std::size_t row_bytes = 0;
  std::uint8_t* rows = nullptr;  // one, or all of them when interlaced
  std::uint8_t* planes = nullptr;
  std::array<char, 128> message{};
  std::size_t failed_at = 0;
};

void on_error(png_structp png, png_const_charp message) {
  auto& decoding = *static_cast<Decoding*>(png_get_error_ptr(png));
  const std::size_t length = std::min(std::strlen(message), decoding.message.size() - 1);
  std::copy_n(message, length, decoding.message.begin());
  decoding.message[length] = '\0';
  decoding.failed_at = decoding.position;
  png_longjmp(png, 1);
}

void on_warning(png_structp, png_const_charp) {}

void read_bytes(png_structp png, png_bytep out, png_size_t size) {
  auto& decoding = *static_cast<Decoding*>(png_get_io_ptr(png));
  if (size > decoding.size - decoding.position) png_error(png, "the data end early");
  std::memcpy(out, decoding.data + decoding.position, size);
  decoding.position += size;
}

// The samples that PIL's convert() keeps, from one row as the file has it: no alpha, the high byte of two.
void take_row(const Decoding& decoding, const std::uint8_t* row, std::uint32_t y) {
  const std::size_t width = decoding.width;
  const std::size_t plane = width * decoding.height;
  std::uint8_t* const out = decoding.planes + std::size_t{y} * width;
  const std::size_t sample_bytes = decoding.depth == 16 ? 2 : 1;
  const std::size_t pixel_bytes = samples_of(decoding.colour) * sample_bytes;
  switch (decoding.colour) {
    case PngColour::grey:
      if (decoding.depth == 16) {  // PIL reads it as "I;16", whose conversion cuts off
        for (std::size_t x = 0; x < width; ++x) out[x] = row[2 * x] == 0 ? row[2 * x + 1] : 255;
      } else {
        const unsigned step = 255U / ((1U << decoding.depth) - 1);
        for (std::size_t x = 0; x < width; ++x) out[x] = static_cast<std::uint8_t>(row[x] * step);
      }
      break;
    case PngColour::grey_alpha:
      for (std::size_t x = 0; x < width; ++x) out[x] = row[x * pixel_bytes];
      break;
    case PngColour::palette:
      for (std::size_t x = 0; x < width; ++x) {
        for (std::size_t c = 0; c < 3; ++c) out[c * plane + x] = decoding.palette[3 * std::size_t{row[x]} + c];
      }
      break;
    case PngColour::rgb:
    case PngColour::rgb_alpha:
      for (std::size_t c = 0; c < 3; ++c) {
        for (std::size_t x = 0; x < width; ++x) out[c * plane + x] = row[x * pixel_bytes + c * sample_bytes];
      }
      break;
  }
}

void decode_rows(Decoding& decoding) {
  png_structp const png = decoding.png;
  png_set_read_fn(png, &decoding, read_bytes);
  png_set_user_limits(png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);             // ours have been met
  png_set_crc_action(png, PNG_CRC_QUIET_USE, PNG_CRC_QUIET_USE);          // they have been compared
  png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);  // what is no pixel, unread
  png_read_info(png, decoding.info);
  png_set_packing(png);  // samples of less than a byte in one each
  const int passes = png_set_interlace_handling(png);
  png_read_update_info(png, decoding.info);
  if (png_get_rowbytes(png, decoding.info) != decoding.row_bytes) png_error(png, "rows of another size");
  for (int pass = 0; pass < passes; ++pass) {
    for (std::uint32_t y = 0; y < decoding.height; ++y) {
      std::uint8_t* const row = decoding.rows + (decoding.interlaced ? y * decoding.row_bytes : 0);
      png_read_row(png, row, nullptr);
      if (pass == passes - 1) take_row(decoding, row, y);
    }
  }
  png_read_end(png, nullptr);
}

// The frame that libpng jumps back to. Nothing in it is changed after setjmp().
bool decode(Decoding& decoding) {
  if (setjmp(png_jmpbuf(decoding.png)) != 0) return false;
  decode_rows(decoding);
  return true;
}

}  // namespace

Result<Tensor> read_png(const FileBytes& file, const ReadImageOptions& options) {
  RUSHLIGHT_TRY_ASSIGN(const PngFrame frame, read_png_frame(file, options.limits));
  const auto no_memory = [&] {
    return with_file(
        Error::of(ErrorCode::out_of_memory,
                  {.category = Category::io, .code = "IMAGE-MEMORY", .message = "no memory to decode the picture"}),
        file.source->name());
  };

  const std::int64_t channels = frame.colour == PngColour::grey || frame.colour == PngColour::grey_alpha ? 1 : 3;
  RUSHLIGHT_TRY_ASSIGN(Tensor pixels, Tensor::zeros(DType::u8, {channels, frame.height, frame.width}));
  RUSHLIGHT_TRY_ASSIGN(const std::span<std::byte> bytes, pixels.mutable_bytes());

  Decoding decoding;
  decoding.data = file.bytes.data();
  decoding.size = file.bytes.size();
  decoding.width = frame.width;
  decoding.height = frame.height;
  decoding.colour = frame.colour;
  decoding.depth = frame.depth;
  decoding.interlaced = frame.interlaced;
  std::transform(frame.palette.begin(), frame.palette.end(), decoding.palette.begin(),
                 [](std::byte value) { return std::to_integer<std::uint8_t>(value); });
  decoding.row_bytes = std::size_t{frame.width} * samples_of(frame.colour) * (frame.depth == 16 ? 2 : 1);
  std::vector<std::uint8_t> rows(decoding.row_bytes * (frame.interlaced ? frame.height : 1));
  decoding.rows = rows.data();
  decoding.planes = reinterpret_cast<std::uint8_t*>(bytes.data());

  decoding.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &decoding, on_error, on_warning);
  if (decoding.png == nullptr) return no_memory();
  decoding.info = png_create_info_struct(decoding.png);
  const bool done = decoding.info != nullptr && decode(decoding);
  const bool had_memory = decoding.info != nullptr;
  png_destroy_read_struct(&decoding.png, &decoding.info, nullptr);
  if (!had_memory) return no_memory();
  if (!done) {
    Error error = damaged(file, ErrorCode::corrupt, "IMAGE-DATA",
                          "the picture cannot be decoded: " + escaped(decoding.message.data()));
    error.finding.offset = decoding.failed_at;
    return error;
  }
  if (!options.upright) return pixels;
  return upright(std::move(pixels), orientation_of(frame.metadata));
}

#else

Result<Tensor> read_png(const FileBytes& file, const ReadImageOptions&) {
  return damaged(file, ErrorCode::unsupported, "IMAGE-FORMAT", "PNG pictures are not built into this version",
                 "build it with libpng (Debian: libpng-dev), or convert the picture: convert picture.png picture.ppm");
}

#endif

}  // namespace rushlight::image
