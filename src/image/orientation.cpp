#include "image/orientation.hpp"

#include <cstddef>
#include <cstdint>
#include <utility>

#include "base/fail.hpp"

namespace rushlight::image {
namespace {

constexpr std::uint16_t kOrientationTag = 0x0112;
enum TiffType : std::uint16_t { kShort = 3, kLong = 4, kSignedShort = 8, kSignedLong = 9 };

// Integers of a TIFF structure, in the byte order its header states.
class TiffReader {
 public:
  TiffReader(ByteSpan bytes, bool big_endian) noexcept : bytes_(bytes), big_endian_(big_endian) {}

  template <std::unsigned_integral T>
  [[nodiscard]] std::optional<T> at(std::size_t offset) const noexcept {
    if (offset > bytes_.size() || bytes_.size() - offset < sizeof(T)) return std::nullopt;
    const T value = load_le<T>(bytes_.data() + offset);
    return big_endian_ ? byte_swapped(value) : value;
  }

 private:
  ByteSpan bytes_;
  bool big_endian_;
};

// Of the first directory; where the tag stands twice, the last one counts, as in PIL.
std::optional<int> exif_orientation(ByteSpan exif) noexcept {
  constexpr std::string_view kPrefix("Exif\0\0", 6);
  while (as_text(exif).starts_with(kPrefix)) exif = exif.subspan(kPrefix.size());
  const std::string_view text = as_text(exif);
  const bool big_endian = text.starts_with(std::string_view("MM\0*", 4));
  if (!big_endian && !text.starts_with(std::string_view("II*\0", 4))) return std::nullopt;

  const TiffReader tiff(exif, big_endian);
  const std::optional<std::uint32_t> directory = tiff.at<std::uint32_t>(4);
  if (!directory) return std::nullopt;
  const std::optional<std::uint16_t> entries = tiff.at<std::uint16_t>(*directory);
  if (!entries) return std::nullopt;
  std::optional<int> orientation;
  for (std::size_t i = 0; i < *entries; ++i) {
    const std::size_t entry = std::size_t{*directory} + 2 + 12 * i;
    const std::optional<std::uint32_t> value = tiff.at<std::uint32_t>(entry + 8);
    if (!value) break;
    const std::uint16_t type = *tiff.at<std::uint16_t>(entry + 2);
    const std::uint32_t count = *tiff.at<std::uint32_t>(entry + 4);
    if (*tiff.at<std::uint16_t>(entry) != kOrientationTag) continue;
    if ((type == kShort || type == kSignedShort) && (count == 1 || count == 2)) {
      orientation = *tiff.at<std::uint16_t>(entry + 8);
    } else if ((type == kLong || type == kSignedLong) && count == 1) {
      orientation = *value < 9 ? static_cast<int>(*value) : 0;
    }
  }
  return orientation;
}

// tiff:Orientation="6" or <tiff:Orientation>6</tiff:Orientation>, the first of them.
std::optional<int> xmp_orientation(std::string_view xmp) noexcept {
  constexpr std::string_view kName = "tiff:Orientation";
  for (std::size_t at = xmp.find(kName); at != std::string_view::npos; at = xmp.find(kName, at + 1)) {
    std::string_view rest = xmp.substr(at + kName.size());
    if (rest.starts_with("=\"")) {
      rest.remove_prefix(2);
    } else if (rest.starts_with('>')) {
      rest.remove_prefix(1);
    } else {
      continue;
    }
    if (!rest.empty() && rest[0] >= '0' && rest[0] <= '9') return rest[0] - '0';
  }
  return std::nullopt;
}

}  // namespace

int orientation_of(const Metadata& metadata) noexcept {
  if (const std::optional<int> found = exif_orientation(metadata.exif)) return *found;
  return xmp_orientation(metadata.xmp).value_or(kUpright);
}

Result<Tensor> upright(Tensor pixels, int orientation) {
  if (orientation < 2 || orientation > 8) return pixels;
  const std::int64_t channels = pixels.shape()[0];
  const std::int64_t height = pixels.shape()[1];
  const std::int64_t width = pixels.shape()[2];
  const bool sideways = orientation >= 5;
  const std::int64_t rows = sideways ? width : height;
  const std::int64_t columns = sideways ? height : width;

  // Where the first pixel comes from, and how far it is from one row, and one column, to the next.
  const std::int64_t last_row = (height - 1) * width;
  const std::int64_t last_column = width - 1;
  struct Walk {
    std::int64_t first, row, column;
  };
  const Walk walk = [&]() -> Walk {
    switch (orientation) {
      case 2:  // mirrored
        return {last_column, width, -1};
      case 3:  // upside down
        return {last_row + last_column, -width, -1};
      case 4:
        return {last_row, -width, 1};
      case 5:
        return {0, 1, width};
      case 6:  // its top is at the right: turned clockwise
        return {last_row, 1, -width};
      case 7:
        return {last_row + last_column, -1, -width};
      default:  // its top is at the left: turned the other way
        return {last_column, -1, width};
    }
  }();

  RUSHLIGHT_TRY_ASSIGN(const std::span<const std::uint8_t> from, std::as_const(pixels).values<std::uint8_t>());
  RUSHLIGHT_TRY_ASSIGN(Tensor turned, Tensor::zeros(DType::u8, {channels, rows, columns}));
  RUSHLIGHT_TRY_ASSIGN(const std::span<std::byte> bytes, turned.mutable_bytes());
  std::byte* to = bytes.data();
  for (std::int64_t channel = 0; channel < channels; ++channel) {
    const std::int64_t plane = channel * height * width + walk.first;
    for (std::int64_t row = 0; row < rows; ++row) {
      for (std::int64_t column = 0; column < columns; ++column) {
        *to++ = static_cast<std::byte>(from[static_cast<std::size_t>(plane + row * walk.row + column * walk.column)]);
      }
    }
  }
  return turned;
}

}  // namespace rushlight::image
