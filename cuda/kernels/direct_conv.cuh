// Convolutions with few channels in a group, depthwise ones above all: a tile of a matrix product would be nearly
// empty.
//
// One thread makes one output; neighbouring threads make neighbouring channels of a pixel, so that depthwise input and
// output are read and written in whole lines. Weights, [out][kh][kw][in / groups], are read with a stride of one
// channel's window and come from the cache. Bytes moved: 4 * taps * channels for an output from L1 or L2; from memory,
// each input once and each output once where the window's rows stay in L2.
// Accuracy: products in order of k, in one fp32 sum; there are few.
// Tests: CudaElements.EveryElementIsTakenOnceHoweverFewTheBlocks, CudaWindow.*, EmulatedKernels.*
#pragma once

#include <cstdint>

#include "cuda/kernels/execution.cuh"
#include "cuda/kernels/gemm.cuh"

namespace rushlight::cuda {

struct DirectConvArguments {
  GemmArguments gemm;            // depth, channels and columns are those of one group
  Divisor64 output_channels;     // groups * columns
  Divisor32 channels_per_group;  // gemm.columns
};

RUSHLIGHT_HOST_DEVICE inline std::int64_t elements_of(const DirectConvArguments& a) {
  return a.gemm.rows * a.output_channels.divisor();
}
RUSHLIGHT_HOST_DEVICE inline Grid grid_of(const DirectConvArguments& a) {
  return grid_for_elements(elements_of(a));
}

template <class Block>
RUSHLIGHT_KERNEL void direct_conv_kernel(Block& block, const DirectConvArguments& arguments) {
  const GemmArguments& a = arguments.gemm;
  for_each_element(block, elements_of(arguments), [&](std::int64_t element) {
    const std::int64_t row = arguments.output_channels.quotient(element);
    const auto channel = static_cast<std::int32_t>(arguments.output_channels.remainder(element, row));
    const std::int32_t group = arguments.channels_per_group.quotient(channel);
    const WindowOrigin origin = window_origin(a.window, row);
    const std::int32_t channels = a.channels.divisor();
    const float* weight = a.weights + std::int64_t{channel} * a.depth;
    float sum = 0.0F;
    for (std::int32_t kh = 0; kh < a.window.kernel.h; ++kh) {
      const std::int32_t h = origin.h + kh * a.window.dilation.h;
      for (std::int32_t kw = 0; kw < a.window.kernel.w; ++kw, weight += channels) {
        const std::int32_t w = origin.w + kw * a.window.dilation.w;
        if (!is_inside(a.window, h, w)) continue;
        const float* const pixel =
            a.input + pixel_number(a.window, origin, h, w) * a.input_stride + std::int64_t{group} * channels;
        for (std::int32_t c = 0; c < channels; ++c) {
          sum = fused(load_constant(pixel + c), load_constant(weight + c), sum);
        }
      }
    }
    const float bias = a.bias == nullptr ? 0.0F : load_constant(a.bias + channel);
    const float residual = a.residual == nullptr ? 0.0F : a.residual[row * a.residual_stride + channel];
    a.output[row * a.output_stride + channel] = finish(sum, bias, residual, a.activation);
  });
}

}  // namespace rushlight::cuda
