// Resize, CenterCrop, ToTensor, Normalize: torchvision/transforms/v2/functional/_geometry.py, for pictures of PIL.
#include <algorithm>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/fail.hpp"
#include "image/geometry.hpp"
#include "image/resample.hpp"
#include "rushlight/image.hpp"

namespace rushlight {
namespace {

using image::bad_argument;
using image::Geometry;
using image::ResampledSide;
using image::Stretch;

constexpr std::int64_t kMostSize = std::numeric_limits<std::int32_t>::max();

std::string size_text(std::int64_t height, std::int64_t width) {
  return std::to_string(height) + " x " + std::to_string(width);
}

// Height and width after Resize. The longer side becomes int(size * long / short), in Python's arithmetic.
Result<IntPair> resized(const Geometry& from, ResizeTo to) {
  if (to.height == 0 && to.width == 0) return IntPair(from.height, from.width);
  if (to.height < 1 || to.width < 0 || to.height > kMostSize || to.width > kMostSize) {
    return bad_argument("resize: expected sizes of 1 to " + std::to_string(kMostSize) + ", found " +
                        size_text(to.height, to.width));
  }
  if (to.width != 0) return IntPair(to.height, to.width);
  const std::int64_t shorter = std::min(from.height, from.width);
  const std::int64_t longer = std::max(from.height, from.width);
  const double size = static_cast<double>(to.height) * static_cast<double>(longer) / static_cast<double>(shorter);
  if (size > static_cast<double>(kMostSize)) {
    return bad_argument("resize: a picture of " + size_text(from.height, from.width) + " pixels has no size with " +
                        std::to_string(to.height) + " at its shorter side");
  }
  const auto other = static_cast<std::int64_t>(size);
  return from.width <= from.height ? IntPair(other, to.height) : IntPair(to.height, other);
}

// One side of CenterCrop: which part of the picture it takes, and how many zeros stand before that.
struct Crop {
  Stretch taken;
  std::int64_t before = 0;
  std::int64_t size = 0;
};
Crop crop(std::int64_t size, std::int64_t wanted) {
  if (wanted == 0) return {{0, size}, 0, size};
  if (wanted > size) return {{0, size}, (wanted - size) / 2, wanted};
  const std::int64_t rest = size - wanted;
  // Python's round() of half of it: to the even neighbour.
  const std::int64_t begin = rest / 2 + (rest % 2 == 1 && rest / 2 % 2 == 1 ? 1 : 0);
  return {{begin, wanted}, 0, wanted};
}

Status check_pixels(std::int64_t height, std::int64_t width, const char* what, const Limits& limits) {
  // Both below 2^31.
  if (static_cast<std::uint64_t>(height * width) <= limits.image_pixels) return {};
  return Error::of({.category = Category::limit,
                    .code = "LIMIT-IMAGE-PIXELS",
                    .message = std::string(what) + " has " + size_text(height, width) +
                               " pixels, limits.image_pixels allows " + std::to_string(limits.image_pixels)});
}

Result<Geometry> geometry_of(const Tensor& pixels) {
  const std::optional<Geometry> from = image::geometry(pixels.shape());
  if (!from) {
    return bad_argument("pixels: expected [N, C, H, W], or less, found " + image::shape_text(pixels.shape()));
  }
  return *from;
}

// Which of its two passes PIL makes first, as observed in Pillow 13.0: down the columns where that takes away more than
// twice what the rows lose. Pillow up to 12 went along the rows first, but for extreme pictures. What lies between is
// rounded to 8 bits, so bilinear results differ by 1, bicubic ones by more where they are cut off.
bool goes_down_first(const Geometry& from, IntPair to) noexcept {
  return from.height > to.h && from.height - to.h > 2 * (from.width - to.w);
}

bool changes_pixels(const ImageTransform& transform) noexcept {
  return transform.resize != ResizeTo{} || transform.center_crop != IntPair{};
}

}  // namespace

ImageTransform ImageTransform::imagenet() {
  ImageTransform transform;
  transform.resize = 256;
  transform.center_crop = 224;
  transform.preprocessing = {.scale = 255, .mean = {0.485, 0.456, 0.406}, .std = {0.229, 0.224, 0.225}};
  return transform;
}

Result<Tensor> resize_and_crop(const Tensor& pixels, const ImageTransform& transform, const Limits& limits) {
  RUSHLIGHT_TRY_ASSIGN(const Geometry from, geometry_of(pixels));
  if (pixels.dtype() != DType::u8) {
    return bad_argument("pixels: only uint8 ones are resized and cropped, found " +
                        std::string(to_string(pixels.dtype())));
  }
  if (pixels.numel() == 0 || from.height > kMostSize || from.width > kMostSize) {
    return bad_argument("pixels: there is nothing to resize or crop in " + image::shape_text(pixels.shape()));
  }
  const IntPair wanted = transform.center_crop;
  if (wanted.h < 0 || wanted.w < 0 || wanted.h > kMostSize || wanted.w > kMostSize) {
    return bad_argument("crop: expected sizes of 1 to " + std::to_string(kMostSize) + ", found " +
                        size_text(wanted.h, wanted.w));
  }
  RUSHLIGHT_TRY_ASSIGN(const IntPair size, resized(from, transform.resize));
  RUSHLIGHT_TRY(check_pixels(size.h, size.w, "the resized picture", limits));
  const Crop rows = crop(size.h, wanted.h);
  const Crop columns = crop(size.w, wanted.w);
  RUSHLIGHT_TRY(check_pixels(rows.size, columns.size, "the cropped picture", limits));

  // Only what the crop takes is computed, from only those pixels that it needs.
  const ResampledSide across =
      image::resample_side(from.width, size.w, columns.taken, transform.interpolation, transform.resampling);
  const ResampledSide down =
      image::resample_side(from.height, size.h, rows.taken, transform.interpolation, transform.resampling);
  const bool is_down_first = transform.resampling == Resampling::pil && goes_down_first(from, size);
  // What stands between the two passes.
  const Stretch source_rows = is_down_first ? rows.taken : down.source();
  const Stretch source_columns = is_down_first ? across.source() : columns.taken;
  RUSHLIGHT_TRY(check_pixels(source_rows.size, source_columns.size, "the picture between the two passes", limits));

  RUSHLIGHT_TRY_ASSIGN(const Tensor dense, pixels.contiguous());
  RUSHLIGHT_TRY_ASSIGN(const std::span<const std::uint8_t> source, dense.values<std::uint8_t>());
  RUSHLIGHT_TRY_ASSIGN(Tensor result, Tensor::zeros(DType::u8, {from.items, from.channels, rows.size, columns.size}));
  RUSHLIGHT_TRY_ASSIGN(const std::span<std::byte> bytes, result.mutable_bytes());
  const auto pitch = static_cast<std::size_t>(columns.size);
  const std::size_t plane = static_cast<std::size_t>(rows.size) * pitch;
  const std::size_t corner = static_cast<std::size_t>(rows.before) * pitch + static_cast<std::size_t>(columns.before);
  const auto source_pitch = static_cast<std::size_t>(from.width);
  const auto between_height = static_cast<std::size_t>(source_rows.size);
  const auto between_width = static_cast<std::size_t>(source_columns.size);
  std::vector<std::uint8_t> between(between_height * between_width);
  for (std::size_t i = 0; i < static_cast<std::size_t>(from.items * from.channels); ++i) {
    const image::ConstRows in = {source.data() + i * from.plane(), source_pitch};
    const image::Rows out = {reinterpret_cast<std::uint8_t*>(bytes.data()) + i * plane + corner, pitch};
    const image::Rows middle = {between.data(), between_width};
    const image::ConstRows read_middle = {between.data(), between_width};
    if (is_down_first) {
      const image::ConstRows columns_used = {in.data + source_columns.begin, in.pitch};
      image::resample_columns(columns_used, 0, between_width, down, middle);
      image::resample_rows(read_middle, source_columns.begin, between_height, across, out);
    } else {
      const image::ConstRows rows_used = {in.data + source_rows.begin * from.width, in.pitch};
      image::resample_rows(rows_used, 0, between_height, across, middle);
      image::resample_columns(read_middle, source_rows.begin, between_width, down, out);
    }
  }
  return result;
}

Result<Tensor> transform_image(const Tensor& pixels, const ImageTransform& transform, const Limits& limits) {
  if (!changes_pixels(transform)) return to_input(pixels, transform.preprocessing, transform.channels);
  if (transform.channels != 1 || pixels.dtype() != DType::u8) {
    RUSHLIGHT_TRY_ASSIGN(const Tensor changed, resize_and_crop(pixels, transform, limits));
    return to_input(changed, transform.preprocessing, transform.channels);
  }
  // Grey first, as convert("L") before the transforms has it: the rounding differs.
  RUSHLIGHT_TRY_ASSIGN(const Tensor grey, image::grey_pixels(pixels));
  RUSHLIGHT_TRY_ASSIGN(const Tensor changed, resize_and_crop(grey, transform, limits));
  return to_input(changed, transform.preprocessing, transform.channels);
}

Result<Tensor> transform_images(std::span<const Tensor> pictures, const ImageTransform& transform,
                                const Limits& limits) {
  Tensor batch;
  std::span<float> out;
  std::size_t item = 0;
  Shape first;
  for (std::size_t i = 0; i < pictures.size(); ++i) {
    RUSHLIGHT_TRY_ASSIGN(const Tensor input, transform_image(pictures[i], transform, limits));
    const Shape shape(input.shape().begin(), input.shape().end());
    if (shape.size() != 4 || shape[0] != 1) {
      return bad_argument("pictures: expected one in each tensor, found " + image::shape_text(pictures[i].shape()) +
                          " at " + std::to_string(i));
    }
    if (i == 0) {
      first = shape;
      Shape all = shape;
      all[0] = static_cast<std::int64_t>(pictures.size());
      RUSHLIGHT_TRY_ASSIGN(batch, Tensor::zeros(DType::f32, all));
      RUSHLIGHT_TRY_ASSIGN(const std::span<std::byte> bytes, batch.mutable_bytes());
      out = {reinterpret_cast<float*>(bytes.data()), bytes.size() / sizeof(float)};
      item = out.size() / pictures.size();
    } else if (shape != first) {
      return Error::of(ErrorCode::mismatch,
                       {.category = Category::argument,
                        .code = "IMAGE-SIZES",
                        .message = "pictures of one batch: expected " + image::shape_text(first) +
                                   " as of the first, found " + image::shape_text(shape) + " at " + std::to_string(i),
                        .hint = "resize to an exact size, or crop"});
    }
    RUSHLIGHT_TRY_ASSIGN(const std::span<const float> values, input.values<float>());
    std::copy(values.begin(), values.end(), out.begin() + static_cast<std::ptrdiff_t>(i * item));
  }
  if (pictures.empty()) return bad_argument("pictures: expected at least one");
  return batch;
}

}  // namespace rushlight
