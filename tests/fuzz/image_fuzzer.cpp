// Pictures (PNG, JPEG, PGM, PPM) and IDX sets.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "fuzz/answers.hpp"
#include "fuzz/memory_file.hpp"
#include "rushlight/image.hpp"

namespace {

using namespace rushlight;
using namespace rushlight::test;

constexpr std::uint64_t kMostPixels = 1 << 16;

Limits image_limits() {
  Limits limits = small_limits();
  limits.image_pixels = kMostPixels;
  return limits;
}

std::vector<std::uint8_t> values_of(const Tensor& pixels) {
  const auto values = pixels.values<std::uint8_t>();
  require(values.has_value());
  return {values->begin(), values->end()};
}

// As a model's input: what fits into float32 [N, C, H, W] does, and says so.
void check_input(const Tensor& pixels) {
  Preprocessing preprocessing;
  preprocessing.scale = 255;
  preprocessing.mean = {0.5};
  preprocessing.std = {0.25};
  for (const std::int64_t channels : {0, 1, 3}) {
    const Result<Tensor> input = to_input(pixels, preprocessing, channels);
    if (!input) {
      (void)checked_line(input.error());
      continue;
    }
    require(input->dtype() == DType::f32 && input->dim() == 4);
    require(channels == 0 || input->shape()[1] == channels);
    const auto values = input->values<float>();
    require(values.has_value());
    // (0 - 0.5) / 0.25 to (1 - 0.5) / 0.25.
    require(std::all_of(values->begin(), values->end(), [](float v) { return v >= -2.001f && v <= 2.001f; }));
  }
}

// Resized and cropped to sizes that come from the input: the size is what was asked for, a part is as in the whole.
void check_transform(const Tensor& pixels, std::uint8_t choice) {
  ImageTransform transform;
  transform.resize = choice % 2 == 0 ? ResizeTo(1 + choice % 13) : ResizeTo(1 + choice % 11, 1 + choice % 7);
  transform.interpolation = static_cast<Interpolation>(choice % 3);
  transform.resampling = static_cast<Resampling>(choice / 3 % 3);
  const Result<Tensor> whole = resize_and_crop(pixels, transform, image_limits());
  transform.center_crop = IntPair(1 + choice % 5, 1 + choice % 9);
  const Result<Tensor> part = resize_and_crop(pixels, transform, image_limits());
  if (!whole) (void)checked_line(whole.error());
  if (!part) (void)checked_line(part.error());
  if (!part) return;
  require(part->shape()[2] == transform.center_crop.h && part->shape()[3] == transform.center_crop.w);
  if (!whole) return;
  transform.resize = {};
  const Result<Tensor> cropped = resize_and_crop(*whole, transform, image_limits());
  require(cropped.has_value() && values_of(*cropped) == values_of(*part));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const MemoryFile file(std::span(data, size));
  const Result<Tensor> picture = read_image(file.path(), {.limits = image_limits()});
  const Result<Tensor> again = decode_image(std::as_bytes(std::span(data, size)), {.limits = image_limits()});
  require(picture.has_value() == again.has_value());
  if (picture) {
    const auto shape = picture->shape();
    require(shape.size() == 3 && (shape[0] == 1 || shape[0] == 3));
    require(picture->dtype() == DType::u8 && picture->is_contiguous());
    require(picture->size_bytes() <= 3 * kMostPixels);
    // Each sample of PGM and PPM takes room in the file, a bit of text at least.
    require(data[0] != 'P' || picture->size_bytes() <= size);
    require(values_of(*picture) == values_of(*again));
    check_input(*picture);
    check_transform(*picture, data[size / 2]);
    const Result<Tensor> colour = read_image(file.path(), {.channels = 3, .limits = image_limits()});
    const Result<Tensor> grey = read_image(file.path(), {.channels = 1, .limits = image_limits()});
    require(colour.has_value() && colour->shape()[0] == 3 && grey.has_value() && grey->shape()[0] == 1);
    require(values_of(shape[0] == 1 ? *grey : *colour) == values_of(*picture));
  } else {
    (void)checked_line(picture.error());
    require(picture.error().code != ErrorCode::io && picture.error().code == again.error().code);
    require(picture.error().finding.message == again.error().finding.message);
    require(picture.error().finding.offset.value_or(0) <= size);
  }
  if (const Result<Tensor> set = read_idx(file.path(), small_limits())) {
    require(set->dim() > 0 && set->size_bytes() < size);
    require(set->dtype() == DType::u8 && set->is_contiguous());
    (void)read_tensor(*set);
    check_input(*set);
  } else {
    (void)checked_line(set.error());
    require(set.error().code != ErrorCode::io);
  }
  return 0;
}
