#include <array>
#include <string>
#include <string_view>

#include "base/fail.hpp"
#include "image/file_bytes.hpp"
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
    {"\x89PNG\r\n\x1A\n", 0, "PNG"},
    {"\xFF\xD8\xFF", 0, "JPEG"},
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

}  // namespace

// Limits have nothing to bound here: every sample of these formats takes room in the file.
Result<Tensor> read_image(const std::filesystem::path& path, const Limits&) {
  RUSHLIGHT_TRY_ASSIGN(const image::FileBytes file, image::map_file(path));
  if (image::is_pnm(file.bytes)) return image::read_pnm(file);
  const std::string_view text = as_text(file.bytes);
  for (const OtherFormat& format : kOtherFormats) {
    if (text.size() < format.offset || !text.substr(format.offset).starts_with(format.magic)) continue;
    return image::damaged(file, ErrorCode::unsupported, "IMAGE-FORMAT",
                          std::string(format.name) + " pictures are not built into this version, only PGM and PPM",
                          "convert it, for example: convert picture picture.ppm");
  }
  return image::damaged(file, ErrorCode::not_a_checkpoint, "IMAGE-FORMAT", "no picture: expected PGM or PPM");
}

}  // namespace rushlight
