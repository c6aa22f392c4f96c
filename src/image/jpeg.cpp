#include "image/jpeg.hpp"

#if RUSHLIGHT_USE_JPEG
#include <cstdio>  // for jpeglib.h, which names FILE

#include <jpeglib.h>

#include <jerror.h>  // after jpeglib.h, which tells it what is built
#endif

#include <array>
#include <csetjmp>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/fail.hpp"
#include "base/quote.hpp"
#include "image/geometry.hpp"
#include "image/orientation.hpp"

namespace rushlight::image {

bool is_jpeg(ByteSpan bytes) noexcept {
  return as_text(bytes).starts_with("\xFF\xD8\xFF");
}

#if RUSHLIGHT_USE_JPEG
namespace {

// No encoder that is known to us makes more than a few dozen; each costs a walk over the whole picture, however few
// bytes it has.
constexpr int kMostScans = 200;
constexpr std::string_view kExif("Exif\0\0", 6);
constexpr std::string_view kXmp("http://ns.adobe.com/xap/1.0/\0", 29);

enum class Problem : std::uint8_t { none, ends_early, too_many_scans, by_libjpeg };

// libjpeg leaves by longjmp, which runs no destructors. So what it is called with has none: this struct and the
// functions that take it. Tensors and vectors live in read_jpeg(), which libjpeg never leaves.
struct Decoding {
  jpeg_decompress_struct jpeg{};
  jpeg_error_mgr errors{};
  jpeg_source_mgr source{};
  jpeg_progress_mgr progress{};
  std::jmp_buf start{};
  ByteSpan file{};

  std::uint8_t* row = nullptr;
  std::uint8_t* planes = nullptr;
  Problem problem = Problem::none;
  int code = 0;  // libjpeg's, of its message
  std::array<char, JMSG_LENGTH_MAX> message{};
  std::size_t failed_at = 0;
};
static_assert(std::is_trivially_destructible_v<Decoding>);

Decoding& decoding_of(j_common_ptr jpeg) noexcept {
  return *static_cast<Decoding*>(jpeg->client_data);
}

[[noreturn]] void give_up(Decoding& decoding, Problem problem) {
  decoding.problem = problem;
  const auto* const begin = reinterpret_cast<const JOCTET*>(decoding.file.data());
  if (decoding.source.next_input_byte != nullptr) {
    decoding.failed_at = static_cast<std::size_t>(decoding.source.next_input_byte - begin);
  }
  std::longjmp(decoding.start, 1);
}

[[noreturn]] void on_error(j_common_ptr jpeg) {
  Decoding& decoding = decoding_of(jpeg);
  decoding.code = jpeg->err->msg_code;
  jpeg->err->format_message(jpeg, decoding.message.data());
  give_up(decoding, Problem::by_libjpeg);
}

// Warnings after which libjpeg makes pixels up. The others (bytes between two segments, odd version numbers) hurt no
// pixel, and honest files have them.
bool is_damage(int code) noexcept {
  return code == JWRN_ARITH_BAD_CODE || code == JWRN_HIT_MARKER || code == JWRN_HUFF_BAD_CODE ||
         code == JWRN_JPEG_EOF || code == JWRN_MUST_RESYNC;
}
void on_message(j_common_ptr jpeg, int level) {
  if (level < 0 && is_damage(jpeg->err->msg_code)) on_error(jpeg);
}
void on_output(j_common_ptr) {}

void on_progress(j_common_ptr jpeg) {
  Decoding& decoding = decoding_of(jpeg);
  if (decoding.jpeg.input_scan_number > kMostScans) give_up(decoding, Problem::too_many_scans);
}

void init_source(j_decompress_ptr) {}
void term_source(j_decompress_ptr) {}
// All bytes are there from the start, so whoever asks for more has come to the end of the file.
[[noreturn]] void end_of_file(Decoding& decoding) {
  decoding.problem = Problem::ends_early;
  decoding.failed_at = decoding.file.size();
  std::longjmp(decoding.start, 1);
}
boolean fill_input_buffer(j_decompress_ptr jpeg) {
  end_of_file(decoding_of(reinterpret_cast<j_common_ptr>(jpeg)));
}
void skip_input_data(j_decompress_ptr jpeg, long count) {
  if (count <= 0) return;
  jpeg_source_mgr& source = *jpeg->src;
  if (static_cast<unsigned long>(count) > source.bytes_in_buffer) {
    end_of_file(decoding_of(reinterpret_cast<j_common_ptr>(jpeg)));
  }
  source.next_input_byte += count;
  source.bytes_in_buffer -= static_cast<std::size_t>(count);
}

void read_header(Decoding& decoding) {
  jpeg_decompress_struct& jpeg = decoding.jpeg;
  jpeg_create_decompress(&jpeg);
  jpeg.client_data = &decoding;
  jpeg.progress = &decoding.progress;
  decoding.progress.progress_monitor = on_progress;
  decoding.source.init_source = init_source;
  decoding.source.fill_input_buffer = fill_input_buffer;
  decoding.source.skip_input_data = skip_input_data;
  decoding.source.resync_to_restart = jpeg_resync_to_restart;
  decoding.source.term_source = term_source;
  decoding.source.next_input_byte = reinterpret_cast<const JOCTET*>(decoding.file.data());
  decoding.source.bytes_in_buffer = decoding.file.size();
  jpeg.src = &decoding.source;
  jpeg_save_markers(&jpeg, JPEG_APP0 + 1, 0xFFFF);
  (void)jpeg_read_header(&jpeg, TRUE);
}

// PIL's CMYK to RGB, of samples that are stored inverted, as Adobe's programs do and PIL takes all of them to be.
std::uint8_t without_black(std::uint8_t stored, std::uint8_t stored_black) noexcept {
  const unsigned white = stored_black;  // 255 - black
  const unsigned product = (255U - stored) * white + 128;
  return static_cast<std::uint8_t>(white - ((product + (product >> 8)) >> 8));
}

void take_row(const Decoding& decoding, std::size_t y) {
  const std::size_t width = decoding.jpeg.output_width;
  const std::size_t plane = width * decoding.jpeg.output_height;
  std::uint8_t* const out = decoding.planes + y * width;
  const std::uint8_t* const row = decoding.row;
  const auto samples = static_cast<std::size_t>(decoding.jpeg.output_components);
  for (std::size_t c = 0; c < (samples == 1 ? 1 : 3); ++c) {
    for (std::size_t x = 0; x < width; ++x) {
      const std::uint8_t sample = row[x * samples + c];
      out[c * plane + x] = samples == 4 ? without_black(sample, row[x * samples + 3]) : sample;
    }
  }
}

void decode_rows(Decoding& decoding) {
  jpeg_decompress_struct& jpeg = decoding.jpeg;
  (void)jpeg_start_decompress(&jpeg);
  while (jpeg.output_scanline < jpeg.output_height) {
    JSAMPROW row = decoding.row;
    const std::size_t y = jpeg.output_scanline;
    (void)jpeg_read_scanlines(&jpeg, &row, 1);
    take_row(decoding, y);
  }
  (void)jpeg_finish_decompress(&jpeg);
}

// The frame that libjpeg jumps back to. Nothing in it is changed after setjmp().
bool completes(Decoding& decoding, void (*step)(Decoding&)) {
  if (setjmp(decoding.start) != 0) return false;
  step(decoding);
  return true;
}

// Releases what libjpeg holds.
class Cleanup {
 public:
  explicit Cleanup(Decoding& decoding) noexcept : decoding_(decoding) {}
  Cleanup(const Cleanup&) = delete;
  Cleanup& operator=(const Cleanup&) = delete;
  ~Cleanup() { jpeg_destroy_decompress(&decoding_.jpeg); }

 private:
  Decoding& decoding_;
};

Error error_of(const FileBytes& file, const Decoding& decoding) {
  const auto error = [&](ErrorCode error_code, const char* code, std::string message) {
    Error result = damaged(file, error_code, code, std::move(message));
    result.finding.offset = decoding.failed_at;
    return result;
  };
  switch (decoding.problem) {
    case Problem::ends_early:
      return error(ErrorCode::truncated, "IMAGE-TRUNCATED", "the picture ends early: no end marker");
    case Problem::too_many_scans:
      return error(ErrorCode::limit_exceeded, "LIMIT-IMAGE-SCANS",
                   "the picture has more than " + std::to_string(kMostScans) + " scans");
    default:
      break;
  }
  switch (decoding.code) {
    case JERR_OUT_OF_MEMORY:
      return with_file(
          Error::of(ErrorCode::out_of_memory,
                    {.category = Category::io, .code = "IMAGE-MEMORY", .message = "no memory to decode the picture"}),
          file.source->name());
    case JERR_BAD_PRECISION:
    case JERR_IMAGE_TOO_BIG:
    case JERR_SOF_UNSUPPORTED:
    case JERR_ARITH_NOTIMPL:
    case JERR_CONVERSION_NOTIMPL:
      return error(ErrorCode::unsupported, "IMAGE-FORMAT",
                   "JPEG pictures of this kind are not built: " + escaped(decoding.message.data()));
    default:
      return error(ErrorCode::corrupt, "IMAGE-DATA",
                   "the picture cannot be decoded: " + escaped(decoding.message.data()));
  }
}

// From the APP1 segments: those of EXIF joined, as PIL does, and the last of XMP.
int orientation_in(const jpeg_decompress_struct& jpeg) {
  std::string exif;
  Metadata metadata;
  for (jpeg_saved_marker_ptr marker = jpeg.marker_list; marker != nullptr; marker = marker->next) {
    const std::string_view data(reinterpret_cast<const char*>(marker->data), marker->data_length);
    if (data.starts_with(kExif)) {
      exif += data.substr(kExif.size());
    } else if (data.starts_with(kXmp)) {
      metadata.xmp = data.substr(kXmp.size());
    }
  }
  metadata.exif = as_byte_span(exif);
  return orientation_of(metadata);
}

// Coded blocks need a bit each at least (but for arithmetic coding), so that no header can claim memory that the file
// does not justify.
Status check_blocks(const FileBytes& file, const jpeg_decompress_struct& jpeg) {
  if (jpeg.arith_code != 0) return {};
  std::uint64_t blocks = 0;
  for (int i = 0; i < jpeg.num_components; ++i) {
    blocks += std::uint64_t{jpeg.comp_info[i].width_in_blocks} * jpeg.comp_info[i].height_in_blocks;
  }
  if (blocks / 8 <= file.bytes.size()) return {};
  Error error = damaged(file, ErrorCode::truncated, "IMAGE-TRUNCATED",
                        "the picture ends early: " + std::to_string(jpeg.image_width) + " x " +
                            std::to_string(jpeg.image_height) + " pixels cannot come from " +
                            std::to_string(file.bytes.size()) + " bytes");
  error.finding.offset = file.bytes.size();
  return error;
}

}  // namespace

Result<Tensor> read_jpeg(const FileBytes& file, const ReadImageOptions& options) {
  Decoding decoding;
  decoding.file = file.bytes;
  jpeg_decompress_struct& jpeg = decoding.jpeg;
  jpeg.err = jpeg_std_error(&decoding.errors);
  jpeg.client_data = &decoding;
  decoding.errors.error_exit = on_error;
  decoding.errors.emit_message = on_message;
  decoding.errors.output_message = on_output;
  const Cleanup cleanup(decoding);
  if (!completes(decoding, read_header)) return error_of(file, decoding);

  const auto position =
      static_cast<std::uint64_t>(decoding.source.next_input_byte - reinterpret_cast<const JOCTET*>(file.bytes.data()));
  RUSHLIGHT_TRY(check_size(file, jpeg.image_width, jpeg.image_height, position, options.limits));
  RUSHLIGHT_TRY(check_blocks(file, jpeg));
  switch (jpeg.num_components) {
    case 1:
      jpeg.out_color_space = JCS_GRAYSCALE;
      break;
    case 3:
      jpeg.out_color_space = JCS_RGB;
      break;
    case 4:
      jpeg.out_color_space = JCS_CMYK;
      break;
    default:
      return damaged(
          file, ErrorCode::unsupported, "IMAGE-FORMAT",
          "JPEG pictures of " + std::to_string(jpeg.num_components) + " components are not built, only of 1, 3 and 4");
  }
  const std::int64_t channels = jpeg.num_components == 1 ? 1 : 3;
  RUSHLIGHT_TRY_ASSIGN(Tensor pixels, Tensor::zeros(DType::u8, {channels, jpeg.image_height, jpeg.image_width}));
  RUSHLIGHT_TRY_ASSIGN(const std::span<std::byte> bytes, pixels.mutable_bytes());
  std::vector<std::uint8_t> row(std::size_t{jpeg.image_width} * static_cast<std::size_t>(jpeg.num_components));
  decoding.row = row.data();
  decoding.planes = reinterpret_cast<std::uint8_t*>(bytes.data());
  const int orientation = options.upright ? orientation_in(jpeg) : kUpright;  // before libjpeg lets go of the segments
  if (!completes(decoding, decode_rows)) return error_of(file, decoding);
  return upright(std::move(pixels), orientation);
}

#else

Result<Tensor> read_jpeg(const FileBytes& file, const ReadImageOptions&) {
  return damaged(file, ErrorCode::unsupported, "IMAGE-FORMAT", "JPEG pictures are not built into this version",
                 "build it with libjpeg-turbo (Debian: libjpeg62-turbo-dev), or convert the picture: convert "
                 "picture.jpg picture.ppm");
}

#endif

}  // namespace rushlight::image
