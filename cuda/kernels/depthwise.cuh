// Depthwise convolutions: every channel has a window of its own, and a tile of a matrix product would be nearly empty.
//
//   output[pixel][c] = activation(sum over taps of input[pixel of tap][c] * weights[tap][c] + bias[c] +
//   residual[pixel][c])
//
// One thread makes a strip: four or two neighbouring pixels of a line, for four channels where they can be moved by one
// instruction, and for one elsewhere. Line by line of the window it loads the inputs under the strip into registers,
// once for all outputs that read them, and the line's weights, once for the strip: 18 inputs and 9 weights for four
// outputs of a 3x3 window, where outputs one by one would load 36 of each. Neighbouring lanes take neighbouring
// channels. Windows that are not 3x3 or 5x5, of stride 1 or 2, load what they need tap by tap.
//
// Bytes moved: 4 for each input and each output (as much again for a residual); lines that the windows of other strips
// read as well come from the caches.
// Accuracy: products in the order of taps, in one fp32 sum; there are few. The same bits by every shape.
// Tests: CudaDepthwise.*, CudaElements.*
#pragma once

#include <cstdint>

#include "cuda/kernels/activation.cuh"
#include "cuda/kernels/execution.cuh"
#include "cuda/kernels/lanes.cuh"
#include "cuda/kernels/window.cuh"

namespace rushlight::cuda {

struct DepthwiseArguments {
  const float* input = nullptr;
  const float* weights = nullptr;   // [kernel.h][kernel.w][channels]
  const float* bias = nullptr;      // [channels], or null
  const float* residual = nullptr;  // or null; may be the output's memory
  float* output = nullptr;
  std::int64_t input_stride = 0;  // floats from pixel to pixel
  std::int64_t residual_stride = 0;
  std::int64_t output_stride = 0;
  std::int64_t lines = 0;  // of all output images
  std::int32_t channels = 0;
  Activation activation;
  Window window;
  // How lines are cut: set_shares() knows.
  Divisor64 channel_runs;  // runs of the shape's width
  Divisor64 strips;        // in a line
  Divisor64 output_lines;  // window.output.h
};

enum class DepthwiseWindow : std::uint8_t {
  k3_stride1,
  k3_stride2,
  k5_stride1,
  k5_stride2,
  any,          // four channels at once
  any_singles,  // one channel at a time: any alignment
};

struct DepthwiseCall {
  DepthwiseArguments arguments;
  DepthwiseWindow window = DepthwiseWindow::any_singles;
  bool long_strips = false;  // of four outputs, for windows of a fixed size
};

// Kernel 0: whatever size, stride and dilation the arguments say.
template <int Width, int Kernel, int Stride, int Strip>
struct DepthwiseShape {
  static constexpr int kWidth = Width;
  static constexpr int kKernel = Kernel;
  static constexpr int kStride = Stride;
  static constexpr int kStrip = Strip;
  static constexpr int kInputs = (Strip - 1) * Stride + Kernel;  // of a line, under a strip
};

// Calls f(shape) with the call's DepthwiseShape, and returns what f does.
template <class F>
auto with_shape(const DepthwiseCall& call, F&& f) {
  switch (call.window) {
    case DepthwiseWindow::k3_stride1:
      return call.long_strips ? f(DepthwiseShape<4, 3, 1, 4>{}) : f(DepthwiseShape<4, 3, 1, 2>{});
    case DepthwiseWindow::k3_stride2:
      return call.long_strips ? f(DepthwiseShape<4, 3, 2, 4>{}) : f(DepthwiseShape<4, 3, 2, 2>{});
    case DepthwiseWindow::k5_stride1:
      return call.long_strips ? f(DepthwiseShape<4, 5, 1, 4>{}) : f(DepthwiseShape<4, 5, 1, 2>{});
    case DepthwiseWindow::k5_stride2:
      return call.long_strips ? f(DepthwiseShape<4, 5, 2, 4>{}) : f(DepthwiseShape<4, 5, 2, 2>{});
    case DepthwiseWindow::any:
      return f(DepthwiseShape<4, 0, 0, 2>{});
    case DepthwiseWindow::any_singles:
      break;
  }
  return f(DepthwiseShape<1, 0, 0, 2>{});
}

// Cuts lines into strips and channels into runs.
inline void set_shares(DepthwiseCall& call) {
  DepthwiseArguments& a = call.arguments;
  with_shape(call, [&]<class Shape>(Shape) {
    a.channel_runs = Divisor64(ceil_div(a.channels, Shape::kWidth));
    a.strips = Divisor64(ceil_div(a.window.output.w, Shape::kStrip));
  });
  a.output_lines = Divisor64(a.window.output.h);
}

RUSHLIGHT_HOST_DEVICE inline std::int64_t elements_of(const DepthwiseArguments& a) {
  return a.lines * a.strips.divisor() * a.channel_runs.divisor();
}
RUSHLIGHT_HOST_DEVICE inline Grid grid_of(const DepthwiseCall& call) {
  return grid_for_elements(elements_of(call.arguments));
}

// True when every run of four channels that starts at a multiple of four can be moved at once.
RUSHLIGHT_HOST_DEVICE inline bool allows_quads(const DepthwiseArguments& a) {
  return a.channels % 4 == 0 && a.input_stride % 4 == 0 && a.output_stride % 4 == 0 && is_aligned16(a.input) &&
         is_aligned16(a.weights) && is_aligned16(a.output) && (a.bias == nullptr || is_aligned16(a.bias)) &&
         (a.residual == nullptr || (a.residual_stride % 4 == 0 && is_aligned16(a.residual)));
}

// What one thread makes: output pixels (image, row, column .. column + kStrip) of channels channel .. channel + kWidth.
struct DepthwiseShare {
  std::int64_t image = 0;
  std::int32_t row = 0;
  std::int32_t column = 0;
  std::int32_t channel = 0;
};
template <class Shape>
RUSHLIGHT_HOST_DEVICE DepthwiseShare depthwise_share(const DepthwiseArguments& a, std::int64_t element) {
  const std::int64_t strip = a.channel_runs.quotient(element);
  const std::int64_t line = a.strips.quotient(strip);
  const std::int64_t image = a.output_lines.quotient(line);
  return {image, static_cast<std::int32_t>(a.output_lines.remainder(line, image)),
          static_cast<std::int32_t>(a.strips.remainder(strip, line)) * Shape::kStrip,
          static_cast<std::int32_t>(a.channel_runs.remainder(element, strip)) * Shape::kWidth};
}

// The first input of line `h` of an image, for a channel.
RUSHLIGHT_HOST_DEVICE inline const float* input_line(const DepthwiseArguments& a, const DepthwiseShare& share,
                                                     std::int32_t h) {
  const std::int64_t line = share.image * a.window.input.h + h;
  return a.input + line * a.window.input.w * a.input_stride + share.channel;
}

template <class Shape>
using StripSums = Lanes<Shape::kWidth>[Shape::kStrip];

template <class Shape>
RUSHLIGHT_KERNEL void add_products(const Lanes<Shape::kWidth>& values, const Lanes<Shape::kWidth>& weights,
                                   Lanes<Shape::kWidth>& sums) {
  RUSHLIGHT_UNROLL
  for (int i = 0; i < Shape::kWidth; ++i) sums.at[i] = fused(values.at[i], weights.at[i], sums.at[i]);
}

// Windows whose size and stride the compiler knows.
template <class Shape>
RUSHLIGHT_KERNEL void add_fixed_window(const DepthwiseArguments& a, const DepthwiseShare& share,
                                       StripSums<Shape>& sums) {
  constexpr int kWidth = Shape::kWidth;
  const std::int32_t first_h = share.row * Shape::kStride - a.window.padding.h;
  const std::int32_t first_w = share.column * Shape::kStride - a.window.padding.w;
  const float* weight = a.weights + share.channel;
  RUSHLIGHT_UNROLL
  for (int kh = 0; kh < Shape::kKernel; ++kh, weight += std::int64_t{Shape::kKernel} * a.channels) {
    const std::int32_t h = first_h + kh;
    if (h < 0 || h >= a.window.input.h) continue;
    const float* const line = input_line(a, share, h);
    Lanes<kWidth> inputs[Shape::kInputs];
    RUSHLIGHT_UNROLL
    for (int i = 0; i < Shape::kInputs; ++i) {
      const std::int32_t w = first_w + i;
      const bool inside = w >= 0 && w < a.window.input.w;
      inputs[i] = inside ? load_lanes<kWidth>(line + w * a.input_stride) : Lanes<kWidth>{};
    }
    RUSHLIGHT_UNROLL
    for (int kw = 0; kw < Shape::kKernel; ++kw) {
      const Lanes<kWidth> weights = load_lanes<kWidth>(weight + std::int64_t{kw} * a.channels);
      RUSHLIGHT_UNROLL
      for (int p = 0; p < Shape::kStrip; ++p) add_products<Shape>(inputs[p * Shape::kStride + kw], weights, sums[p]);
    }
  }
}

template <class Shape>
RUSHLIGHT_KERNEL void add_any_window(const DepthwiseArguments& a, const DepthwiseShare& share, StripSums<Shape>& sums) {
  constexpr int kWidth = Shape::kWidth;
  const Window& window = a.window;
  const float* weight = a.weights + share.channel;
  for (std::int32_t kh = 0; kh < window.kernel.h; ++kh) {
    const std::int32_t h = share.row * window.stride.h - window.padding.h + kh * window.dilation.h;
    const bool line_inside = h >= 0 && h < window.input.h;
    const float* const line = line_inside ? input_line(a, share, h) : nullptr;
    for (std::int32_t kw = 0; kw < window.kernel.w; ++kw, weight += a.channels) {
      if (!line_inside) continue;
      const Lanes<kWidth> weights = load_lanes<kWidth>(weight);
      RUSHLIGHT_UNROLL
      for (int p = 0; p < Shape::kStrip; ++p) {
        // A window behind the last one may lie where 32 bits cannot count.
        if (share.column + p >= window.output.w) continue;
        const std::int32_t w = (share.column + p) * window.stride.w - window.padding.w + kw * window.dilation.w;
        if (w < 0 || w >= window.input.w) continue;
        add_products<Shape>(load_lanes<kWidth>(line + w * a.input_stride), weights, sums[p]);
      }
    }
  }
}

template <class Shape>
RUSHLIGHT_KERNEL void store_strip(const DepthwiseArguments& a, const DepthwiseShare& share,
                                  const StripSums<Shape>& sums) {
  constexpr int kWidth = Shape::kWidth;
  const Lanes<kWidth> bias = a.bias == nullptr ? Lanes<kWidth>{} : load_lanes<kWidth>(a.bias + share.channel);
  const std::int64_t line = share.image * a.window.output.h + share.row;
  const std::int64_t first = line * a.window.output.w + share.column;
  RUSHLIGHT_UNROLL
  for (int p = 0; p < Shape::kStrip; ++p) {
    if (share.column + p >= a.window.output.w) return;
    const float* const residual =
        a.residual == nullptr ? nullptr : a.residual + (first + p) * a.residual_stride + share.channel;
    const Lanes<kWidth> added = residual == nullptr ? Lanes<kWidth>{} : load_written_lanes<kWidth>(residual);
    Lanes<kWidth> values;
    RUSHLIGHT_UNROLL
    for (int i = 0; i < kWidth; ++i) {
      values.at[i] = activate(a.activation, sums[p].at[i] + bias.at[i] + added.at[i]);
    }
    store_lanes(a.output + (first + p) * a.output_stride + share.channel, values);
  }
}

template <class Shape, class Block>
RUSHLIGHT_KERNEL void depthwise_kernel(Block& block, const DepthwiseArguments& a) {
  for_each_element(block, elements_of(a), [&](std::int64_t element) {
    const DepthwiseShare share = depthwise_share<Shape>(a, element);
    StripSums<Shape> sums = {};
    if constexpr (Shape::kKernel == 0) {
      add_any_window<Shape>(a, share, sums);
    } else {
      add_fixed_window<Shape>(a, share, sums);
    }
    store_strip<Shape>(a, share, sums);
  });
}

}  // namespace rushlight::cuda
