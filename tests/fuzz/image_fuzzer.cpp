// Pictures (PGM, PPM) and IDX sets.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "fuzz/answers.hpp"
#include "fuzz/memory_file.hpp"
#include "rushlight/image.hpp"

namespace {

using namespace rushlight;
using namespace rushlight::test;

// Bytes of pixels, each of which the file holds: at least a bit of text or a byte each.
void check_pixels(const Tensor& pixels, std::size_t file_bytes) {
  require(pixels.dtype() == DType::u8 && pixels.is_contiguous() && pixels.size_bytes() <= file_bytes);
  (void)read_tensor(pixels);
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

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const MemoryFile file(std::span(data, size));
  if (const Result<Tensor> picture = read_image(file.path(), small_limits())) {
    require(picture->dim() == 3 && (picture->shape()[0] == 1 || picture->shape()[0] == 3));
    check_pixels(*picture, size);
    check_input(*picture);
  } else {
    (void)checked_line(picture.error());
    require(picture.error().code != ErrorCode::io);
  }
  if (const Result<Tensor> set = read_idx(file.path(), small_limits())) {
    require(set->dim() > 0 && set->size_bytes() < size);
    check_pixels(*set, size);
    check_input(*set);
  } else {
    (void)checked_line(set.error());
    require(set.error().code != ErrorCode::io);
  }
  return 0;
}
