#include <array>
#include <string>
#include <string_view>
#include <utility>

#include "base/fail.hpp"
#include "image/file_bytes.hpp"
#include "image/geometry.hpp"
#include "image/jpeg.hpp"
#include "image/png.hpp"
#include "image/pnm.hpp"
#include "rushlight/image.hpp"

namespace rushlight {
namespace {

struct OtherFormat {
  std::string_view magic;
  std::size_t offset;
  std::string_view name;
};
constexpr OtherFormat kOtherFormats[] = {
    {"GIF87a", 0, "GIF"},
    {"GIF89a", 0, "GIF"},
    {"WEBP", 8, "WebP"},
    {"BM", 0, "BMP"},
    {std::string_view("II*\0", 4), 0, "TIFF"},
    {std::string_view("MM\0*", 4), 0, "TIFF"},
    {"ftypavif", 4, "AVIF"},
    {"ftypheic", 4, "HEIC"},
    {"P1", 0, "PBM"},
    {"P4", 0, "PBM"},
    {"P7", 0, "PAM"},
    {"PF", 0, "PFM"},
    {"Pf", 0, "PFM"},
};

Result<Tensor> read_any(const image::FileBytes& file, const ReadImageOptions& options) {
  if (image::is_png(file.bytes)) return image::read_png(file, options);
  if (image::is_jpeg(file.bytes)) return image::read_jpeg(file, options);
  if (image::is_pnm(file.bytes)) return image::read_pnm(file, options.limits);
  const std::string_view text = as_text(file.bytes);
  for (const OtherFormat& format : kOtherFormats) {
    if (text.size() < format.offset || !text.substr(format.offset).starts_with(format.magic)) continue;
    return image::damaged(file, ErrorCode::unsupported, "IMAGE-FORMAT",
                          std::string(format.name) + " pictures are not built, only PNG, JPEG, PGM and PPM",
                          "convert it, for example: convert picture picture.png");
  }
  return image::damaged(file, ErrorCode::not_a_checkpoint, "IMAGE-FORMAT",
                        "no picture: expected PNG, JPEG, PGM or PPM");
}

Result<Tensor> read(const image::FileBytes& file, const ReadImageOptions& options) {
  if (options.channels != 0 && options.channels != 1 && options.channels != 3) {
    return image::bad_argument("channels: expected 0, 1 or 3, found " + std::to_string(options.channels));
  }
  RUSHLIGHT_TRY_ASSIGN(Tensor pixels, read_any(file, options));
  return image::with_channels(std::move(pixels), options.channels);
}

}  // namespace

Result<Tensor> read_image(const std::filesystem::path& path, const ReadImageOptions& options) {
  RUSHLIGHT_TRY_ASSIGN(const image::FileBytes file, image::map_file(path));
  return read(file, options);
}

Result<Tensor> decode_image(std::span<const std::byte> file, const ReadImageOptions& options) {
  RUSHLIGHT_TRY_ASSIGN(const image::FileBytes bytes, image::bytes_of(Source::from_memory(file)));
  return read(bytes, options);
}

}  // namespace rushlight
