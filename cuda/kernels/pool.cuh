// Poolings over NHWC images: output[image][row][column][channel].
//
// One thread makes one output; neighbouring threads make neighbouring channels, so every read and write of a warp is
// one line. Bytes moved: 4 * kernel area in, mostly from the cache where windows overlap, and 4 out, for each output.
// Averages are summed in double: these kernels wait for memory, and even a GPU with one double unit for 64 floats keeps
// up with it.
// Accuracy: maxima are exact, averages have one rounding from double.
// Tests: CudaPool.*, CudaWindow.*
#pragma once

#include <cstdint>

#include "cuda/kernels/execution.cuh"
#include "cuda/kernels/window.cuh"

namespace rushlight::cuda {

struct PoolImages {
  const float* input = nullptr;
  float* output = nullptr;
  std::int64_t input_stride = 0;  // floats from pixel to pixel
  std::int64_t output_stride = 0;
  std::int64_t rows = 0;  // output pixels
  Divisor64 channels;
  Window window;
};

struct MaxPoolArguments {
  PoolImages images;
};
struct AvgPoolArguments {
  PoolImages images;  // dilation is 1
  bool count_include_pad = true;
  std::int64_t divisor_override = 0;  // 0: none
};
struct AdaptiveAvgPoolArguments {
  PoolImages images;  // window: only the sizes of input and output
};

RUSHLIGHT_HOST_DEVICE inline Grid grid_of(const PoolImages& a) {
  return grid_for_elements(a.rows * a.channels.divisor());
}
RUSHLIGHT_HOST_DEVICE inline Grid grid_of(const MaxPoolArguments& a) {
  return grid_of(a.images);
}
RUSHLIGHT_HOST_DEVICE inline Grid grid_of(const AvgPoolArguments& a) {
  return grid_of(a.images);
}
RUSHLIGHT_HOST_DEVICE inline Grid grid_of(const AdaptiveAvgPoolArguments& a) {
  return grid_of(a.images);
}

// Calls f(origin, first input of the channel, output) for each output of this thread.
template <class Block, class F>
RUSHLIGHT_KERNEL void for_each_output(const Block& block, const PoolImages& a, F&& f) {
  for_each_element(block, a.rows * a.channels.divisor(), [&](std::int64_t element) {
    const std::int64_t row = a.channels.quotient(element);
    const std::int64_t channel = a.channels.remainder(element, row);
    f(window_origin(a.window, row), a.input + channel, a.output[row * a.output_stride + channel]);
  });
}

// torch.nn.MaxPool2d: what lies outside does not count, NaN wins.
template <class Block>
RUSHLIGHT_KERNEL void max_pool_kernel(Block& block, const MaxPoolArguments& arguments) {
  const PoolImages& a = arguments.images;
  const Window& window = a.window;
  for_each_output(block, a, [&](const WindowOrigin& origin, const float* input, float& output) {
    float largest = kMinusInfinity;
    for (std::int32_t kh = 0; kh < window.kernel.h; ++kh) {
      const std::int32_t h = origin.h + kh * window.dilation.h;
      for (std::int32_t kw = 0; kw < window.kernel.w; ++kw) {
        const std::int32_t w = origin.w + kw * window.dilation.w;
        if (!is_inside(window, h, w)) continue;
        const float value = load_constant(input + pixel_number(window, origin, h, w) * a.input_stride);
        // False for NaN on the left only: a NaN is taken, and never given back.
        if (!(value <= largest)) largest = largest != largest ? largest : value;
      }
    }
    output = largest;
  });
}

template <class Block>
RUSHLIGHT_KERNEL void avg_pool_kernel(Block& block, const AvgPoolArguments& arguments) {
  const PoolImages& a = arguments.images;
  const Window& window = a.window;
  for_each_output(block, a, [&](const WindowOrigin& origin, const float* input, float& output) {
    const AverageExtent rows = average_extent(origin.h, window.kernel.h, window.input.h, window.padding.h);
    const AverageExtent columns = average_extent(origin.w, window.kernel.w, window.input.w, window.padding.w);
    double sum = 0;
    for (std::int32_t h = rows.inside.begin; h < rows.inside.end; ++h) {
      for (std::int32_t w = columns.inside.begin; w < columns.inside.end; ++w) {
        sum += static_cast<double>(load_constant(input + pixel_number(window, origin, h, w) * a.input_stride));
      }
    }
    const std::int64_t height = rows.inside.end - rows.inside.begin;
    const std::int64_t width = columns.inside.end - columns.inside.begin;
    std::int64_t divisor = arguments.divisor_override;
    if (divisor == 0) {
      divisor = arguments.count_include_pad ? std::int64_t{rows.padded_size} * columns.padded_size : height * width;
    }
    // A window that lies in the padding alone is 0, as torch has it, and not 0 / 0.
    output = height > 0 && width > 0 ? static_cast<float>(sum / static_cast<double>(divisor)) : 0.0F;
  });
}

template <class Block>
RUSHLIGHT_KERNEL void adaptive_avg_pool_kernel(Block& block, const AdaptiveAvgPoolArguments& arguments) {
  const PoolImages& a = arguments.images;
  const Window& window = a.window;
  for_each_output(block, a, [&](const WindowOrigin& origin, const float* input, float& output) {
    // With stride 1 and no padding the origin is the output's own place.
    const Extent rows = adaptive_bin(origin.h, window.input.h, window.output.h);
    const Extent columns = adaptive_bin(origin.w, window.input.w, window.output.w);
    double sum = 0;
    for (std::int32_t h = rows.begin; h < rows.end; ++h) {
      for (std::int32_t w = columns.begin; w < columns.end; ++w) {
        sum += static_cast<double>(load_constant(input + pixel_number(window, origin, h, w) * a.input_stride));
      }
    }
    const std::int64_t area = std::int64_t{rows.end - rows.begin} * (columns.end - columns.begin);
    output = static_cast<float>(sum / static_cast<double>(area));
  });
}

}  // namespace rushlight::cuda
