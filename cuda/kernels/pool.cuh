// Poolings over NHWC images: output[image][row][column][channel].
//
// One thread makes one pixel of four neighbouring channels, moved by one instruction, or of one channel where alignment
// does not allow four; neighbouring threads make neighbouring channels, so every read and write of a warp is one run of
// lines. Averages over a whole image are another kernel: global_pool.cuh.
//
// Bytes moved: 4 * kernel area in, mostly from the cache where windows overlap, and 4 out, for each output.
// Averages are summed in double: these kernels wait for memory, and even a GPU with one double unit for 64 floats keeps
// up with it.
// Accuracy: maxima are exact, averages have one rounding from double.
// Tests: CudaPool.*, CudaWindow.*
#pragma once

#include <cstdint>

#include "cuda/kernels/execution.cuh"
#include "cuda/kernels/lanes.cuh"
#include "cuda/kernels/window.cuh"

namespace rushlight::cuda {

struct PoolImages {
  const float* input = nullptr;
  float* output = nullptr;
  std::int64_t input_stride = 0;  // floats from pixel to pixel
  std::int64_t output_stride = 0;
  std::int64_t rows = 0;     // output pixels
  bool moves_quads = false;  // four channels at once: see allows_quads()
  Divisor64 channel_runs;    // of four channels, or of one
  Window window;
};

RUSHLIGHT_HOST_DEVICE inline bool allows_quads(const PoolImages& a, std::int64_t channels) {
  return channels % 4 == 0 && a.input_stride % 4 == 0 && a.output_stride % 4 == 0 && is_aligned16(a.input) &&
         is_aligned16(a.output);
}

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
  return grid_for_elements(a.rows * a.channel_runs.divisor());
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

// Calls f(origin, first input of the channels, outputs) for each run of channels of this thread.
template <int Width, class Block, class F>
RUSHLIGHT_KERNEL void for_each_output(const Block& block, const PoolImages& a, F&& f) {
  for_each_element(block, a.rows * a.channel_runs.divisor(), [&](std::int64_t element) {
    const std::int64_t row = a.channel_runs.quotient(element);
    const std::int64_t channel = a.channel_runs.remainder(element, row) * Width;
    f(window_origin(a.window, row), a.input + channel, a.output + row * a.output_stride + channel);
  });
}

// Sums over a rectangle of the input, in double.
template <int Width>
struct PoolSums {
  double at[Width] = {};
};
template <int Width>
RUSHLIGHT_KERNEL void add_inputs(const PoolImages& a, const WindowOrigin& origin, const Extent& rows,
                                 const Extent& columns, const float* input, PoolSums<Width>& sums) {
  for (std::int32_t h = rows.begin; h < rows.end; ++h) {
    for (std::int32_t w = columns.begin; w < columns.end; ++w) {
      const Lanes<Width> values = load_lanes<Width>(input + pixel_number(a.window, origin, h, w) * a.input_stride);
      RUSHLIGHT_UNROLL
      for (int i = 0; i < Width; ++i) sums.at[i] += static_cast<double>(values.at[i]);
    }
  }
}
template <int Width>
RUSHLIGHT_KERNEL void store_quotients(float* to, const PoolSums<Width>& sums, double divisor) {
  Lanes<Width> values;
  RUSHLIGHT_UNROLL
  for (int i = 0; i < Width; ++i) values.at[i] = static_cast<float>(sums.at[i] / divisor);
  store_lanes(to, values);
}

// torch.nn.MaxPool2d: what lies outside does not count, NaN wins.
template <int Width, class Block>
RUSHLIGHT_KERNEL void max_pool_kernel(Block& block, const MaxPoolArguments& arguments) {
  const PoolImages& a = arguments.images;
  const Window& window = a.window;
  for_each_output<Width>(block, a, [&](const WindowOrigin& origin, const float* input, float* output) {
    Lanes<Width> largest;
    RUSHLIGHT_UNROLL
    for (int i = 0; i < Width; ++i) largest.at[i] = kMinusInfinity;
    for (std::int32_t kh = 0; kh < window.kernel.h; ++kh) {
      const std::int32_t h = origin.h + kh * window.dilation.h;
      for (std::int32_t kw = 0; kw < window.kernel.w; ++kw) {
        const std::int32_t w = origin.w + kw * window.dilation.w;
        if (!is_inside(window, h, w)) continue;
        const Lanes<Width> values = load_lanes<Width>(input + pixel_number(window, origin, h, w) * a.input_stride);
        RUSHLIGHT_UNROLL
        for (int i = 0; i < Width; ++i) {
          float& most = largest.at[i];
          // False for NaN on the left only: a NaN is taken, and never given back.
          if (!(values.at[i] <= most)) most = most != most ? most : values.at[i];
        }
      }
    }
    store_lanes(output, largest);
  });
}

template <int Width, class Block>
RUSHLIGHT_KERNEL void avg_pool_kernel(Block& block, const AvgPoolArguments& arguments) {
  const PoolImages& a = arguments.images;
  const Window& window = a.window;
  for_each_output<Width>(block, a, [&](const WindowOrigin& origin, const float* input, float* output) {
    const AverageExtent rows = average_extent(origin.h, window.kernel.h, window.input.h, window.padding.h);
    const AverageExtent columns = average_extent(origin.w, window.kernel.w, window.input.w, window.padding.w);
    PoolSums<Width> sums;
    add_inputs(a, origin, rows.inside, columns.inside, input, sums);
    const std::int64_t height = rows.inside.end - rows.inside.begin;
    const std::int64_t width = columns.inside.end - columns.inside.begin;
    // A window that lies in the padding alone is 0, as torch has it, and not 0 / 0.
    if (height <= 0 || width <= 0) return store_lanes(output, Lanes<Width>{});
    std::int64_t divisor = arguments.divisor_override;
    if (divisor == 0) {
      divisor = arguments.count_include_pad ? std::int64_t{rows.padded_size} * columns.padded_size : height * width;
    }
    store_quotients(output, sums, static_cast<double>(divisor));
  });
}

template <int Width, class Block>
RUSHLIGHT_KERNEL void adaptive_avg_pool_kernel(Block& block, const AdaptiveAvgPoolArguments& arguments) {
  const PoolImages& a = arguments.images;
  const Window& window = a.window;
  for_each_output<Width>(block, a, [&](const WindowOrigin& origin, const float* input, float* output) {
    // With stride 1 and no padding the origin is the output's own place.
    const Extent rows = adaptive_bin(origin.h, window.input.h, window.output.h);
    const Extent columns = adaptive_bin(origin.w, window.input.w, window.output.w);
    PoolSums<Width> sums;
    add_inputs(a, origin, rows, columns, input, sums);
    const std::int64_t area = std::int64_t{rows.end - rows.begin} * (columns.end - columns.begin);
    store_quotients(output, sums, static_cast<double>(area));
  });
}

}  // namespace rushlight::cuda
