#include "image/geometry.hpp"

#include <algorithm>
#include <utility>

#include "base/fail.hpp"

namespace rushlight::image {

std::optional<Geometry> geometry(std::span<const std::int64_t> shape) noexcept {
  switch (shape.size()) {
    case 2:
      return Geometry{1, 1, shape[0], shape[1]};
    case 3:
      if (shape[0] == 1 || shape[0] == 3) return Geometry{1, shape[0], shape[1], shape[2]};
      return Geometry{shape[0], 1, shape[1], shape[2]};
    case 4:
      return Geometry{shape[0], shape[1], shape[2], shape[3]};
    default:
      return std::nullopt;
  }
}

std::string shape_text(std::span<const std::int64_t> shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i > 0 ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

Error bad_argument(std::string message) {
  return Error::of({.category = Category::argument, .code = "IMAGE-INPUT", .message = std::move(message)});
}

Status check_size(const FileBytes& file, std::uint64_t width, std::uint64_t height, std::uint64_t offset,
                  const Limits& limits) {
  // Both below 2^32.
  if (width * height <= limits.image_pixels) return {};
  Error error = damaged(file, ErrorCode::limit_exceeded, "LIMIT-IMAGE-PIXELS",
                        "the picture has " + std::to_string(width) + " x " + std::to_string(height) +
                            " pixels, limits.image_pixels allows " + std::to_string(limits.image_pixels));
  error.finding.offset = offset;
  return error;
}

Result<Tensor> grey_pixels(const Tensor& pixels) {
  const std::optional<Geometry> from = geometry(pixels.shape());
  if (!from || from->channels != 3) return pixels;
  RUSHLIGHT_TRY_ASSIGN(const Tensor dense, pixels.contiguous());
  RUSHLIGHT_TRY_ASSIGN(const std::span<const std::uint8_t> values, dense.values<std::uint8_t>());
  RUSHLIGHT_TRY_ASSIGN(Tensor grey, Tensor::zeros(DType::u8, {from->items, 1, from->height, from->width}));
  RUSHLIGHT_TRY_ASSIGN(const std::span<std::byte> bytes, grey.mutable_bytes());
  const std::size_t plane = from->plane();
  std::byte* out = bytes.data();
  for (std::size_t item = 0; item < static_cast<std::size_t>(from->items); ++item) {
    const std::uint8_t* const red = values.data() + item * 3 * plane;
    for (std::size_t i = 0; i < plane; ++i) {
      *out++ = static_cast<std::byte>(luma(red[i], red[plane + i], red[2 * plane + i]));
    }
  }
  return grey;
}

Result<Tensor> with_channels(Tensor pixels, std::int64_t channels) {
  const std::int64_t has = pixels.shape()[0];
  if (channels == 0 || channels == has) return pixels;
  const Shape shape = {channels, pixels.shape()[1], pixels.shape()[2]};
  if (channels == 1) {
    RUSHLIGHT_TRY_ASSIGN(const Tensor grey, grey_pixels(pixels));
    return Tensor::view(grey.storage(), DType::u8, shape, contiguous_strides(shape), 0);
  }
  RUSHLIGHT_TRY_ASSIGN(const std::span<const std::uint8_t> from, std::as_const(pixels).values<std::uint8_t>());
  RUSHLIGHT_TRY_ASSIGN(Tensor result, Tensor::zeros(DType::u8, shape));
  RUSHLIGHT_TRY_ASSIGN(const std::span<std::byte> bytes, result.mutable_bytes());
  for (std::size_t c = 0; c < 3; ++c) {
    std::copy_n(reinterpret_cast<const std::byte*>(from.data()), from.size(), bytes.data() + c * from.size());
  }
  return result;
}

}  // namespace rushlight::image
