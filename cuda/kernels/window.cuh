// Where the windows of convolutions and poolings lie. NHWC throughout.
// Tests: CudaWindow.*
#pragma once

#include <cstdint>

#include "cuda/kernels/divisor.cuh"
#include "cuda/kernels/execution.cuh"

namespace rushlight::cuda {

struct Pair {
  std::int32_t h = 1;
  std::int32_t w = 1;
};

// All sizes, and every coordinate a window can reach, are below 2^31 (calls.cpp sees to it).
struct Window {
  Pair input;
  Pair output;
  Pair kernel;
  Pair stride;
  Pair padding{0, 0};  // above and to the left
  Pair dilation;
  Divisor64 output_pixels;  // output.h * output.w
  Divisor32 output_width;
};

// The window of an output pixel, whichever image it belongs to.
struct WindowOrigin {
  std::int64_t image_pixel = 0;  // number of the image's first pixel among all input pixels
  std::int32_t h = 0;            // of the first tap; negative in the padding
  std::int32_t w = 0;
};

RUSHLIGHT_HOST_DEVICE inline WindowOrigin window_origin(const Window& window, std::int64_t output_pixel) {
  const std::int64_t image = window.output_pixels.quotient(output_pixel);
  const auto pixel = static_cast<std::int32_t>(window.output_pixels.remainder(output_pixel, image));
  const std::int32_t row = window.output_width.quotient(pixel);
  const std::int32_t column = window.output_width.remainder(pixel, row);
  return {image * window.input.h * window.input.w, row * window.stride.h - window.padding.h,
          column * window.stride.w - window.padding.w};
}

RUSHLIGHT_HOST_DEVICE inline bool is_inside(const Window& window, std::int32_t h, std::int32_t w) {
  return h >= 0 && h < window.input.h && w >= 0 && w < window.input.w;
}

// The number of an input pixel among all of them.
RUSHLIGHT_HOST_DEVICE inline std::int64_t pixel_number(const Window& window, const WindowOrigin& origin, std::int32_t h,
                                                       std::int32_t w) {
  return origin.image_pixel + std::int64_t{h} * window.input.w + w;
}

// Places along one axis, half-open.
struct Extent {
  std::int32_t begin = 0;
  std::int32_t end = 0;
};

// Bin i of an adaptive pooling: from floor(i * size / bins) up to ceil((i + 1) * size / bins).
RUSHLIGHT_HOST_DEVICE inline Extent adaptive_bin(std::int32_t i, std::int32_t size, std::int32_t bins) {
  const std::int64_t begin = std::int64_t{i} * size / bins;
  const std::int64_t end = ((std::int64_t{i} + 1) * size + bins - 1) / bins;
  return {static_cast<std::int32_t>(begin), static_cast<std::int32_t>(end)};
}

// A window of an average pooling along one axis, and the size that counts when padding does: torch clips the window to
// the padded input first (ceil_mode lets the last one overhang that), then to the input.
struct AverageExtent {
  Extent inside;
  std::int32_t padded_size = 0;
};
RUSHLIGHT_HOST_DEVICE inline AverageExtent average_extent(std::int32_t begin, std::int32_t kernel, std::int32_t size,
                                                          std::int32_t padding) {
  // The sum may pass 2^31 where padding and kernel are both absurd.
  const std::int64_t padded_end = std::int64_t{size} + padding;
  const std::int64_t end = std::int64_t{begin} + kernel < padded_end ? std::int64_t{begin} + kernel : padded_end;
  AverageExtent extent;
  extent.padded_size = static_cast<std::int32_t>(end - begin);
  extent.inside.begin = begin > 0 ? begin : 0;
  extent.inside.end = static_cast<std::int32_t>(end < size ? end : size);
  return extent;
}

}  // namespace rushlight::cuda
