// The end of a product whose depth was split among blocks: partial sums become outputs.
//
//   output[m][n] = activation(sum over splits of partial[split][m][n] + bias[n] + residual[m][n])
//
// One thread makes one output; neighbours lie side by side. Bytes moved: 4 * (splits + 1) an output, and 4 for a
// residual; what was just written comes from L2.
// Accuracy: one fp32 sum in the order of the splits, whoever stored them first.
// Tests: EmulatedTensorCoreCalls.OneBlockAddsThePartsThatManyWould
#pragma once

#include <cstdint>

#include "cuda/kernels/execution.cuh"
#include "cuda/kernels/gemm.cuh"

namespace rushlight::cuda {

struct SplitSumArguments {
  GemmArguments gemm;  // how a sum becomes an output
  const float* partial = nullptr;
  std::int32_t splits = 0;
  Divisor64 output_channels;  // groups * columns
};

RUSHLIGHT_HOST_DEVICE inline std::int64_t elements_of(const SplitSumArguments& a) {
  return a.gemm.rows * a.output_channels.divisor();
}
RUSHLIGHT_HOST_DEVICE inline Grid grid_of(const SplitSumArguments& a) {
  return grid_for_elements(elements_of(a));
}

template <class Block>
RUSHLIGHT_KERNEL void split_sum_kernel(Block& block, const SplitSumArguments& arguments) {
  const GemmArguments& a = arguments.gemm;
  const std::int64_t elements = elements_of(arguments);
  for_each_element(block, elements, [&](std::int64_t element) {
    const std::int64_t row = arguments.output_channels.quotient(element);
    const std::int64_t channel = arguments.output_channels.remainder(element, row);
    float sum = 0.0F;
    for (std::int32_t split = 0; split < arguments.splits; ++split) {
      sum += arguments.partial[split * elements + element];
    }
    const float bias = a.bias == nullptr ? 0.0F : load_constant(a.bias + channel);
    const float residual = a.residual == nullptr ? 0.0F : a.residual[row * a.residual_stride + channel];
    a.output[row * a.output_stride + channel] = finish(sum, bias, residual, a.activation);
  });
}

}  // namespace rushlight::cuda
