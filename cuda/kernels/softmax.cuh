// Softmax along the middle of a dense [outer][axis][inner]: exp(x - max) / sum of exp(x - max).
//
// Two kernels. Where the axis is innermost, one warp takes one row, its lanes every 32nd element: lines are read whole,
// three times, the second and third time from the cache. Elsewhere one thread takes one (outer, inner) and walks the
// axis: neighbouring threads read neighbouring elements. Bytes moved: 4 in (once from memory for rows that fit the
// cache) and 4 out an element.
// In place: who writes an element is who read it, and has read all the others of its own before.
// NaN: the maximum passes over NaNs, the sum does not, so one NaN makes its whole row NaN; so does an infinity, as in
// torch.
// Accuracy: fp32; a row's 32 partial sums meet in a butterfly, a line's sum is one chain.
// Tests: CudaElements.GridsStayWithinWhatCudaAllows, EmulatedKernels.SoftmaxIsItsDefinition
#pragma once

#include <cmath>
#include <cstdint>

#include "cuda/kernels/divisor.cuh"
#include "cuda/kernels/execution.cuh"

namespace rushlight::cuda {

struct SoftmaxArguments {
  const float* input = nullptr;
  float* output = nullptr;
  std::int64_t outer = 0;
  std::int64_t axis = 0;
  Divisor64 inner;
};

inline constexpr int kSoftmaxThreads = 128;

RUSHLIGHT_HOST_DEVICE inline bool softmax_is_innermost(const SoftmaxArguments& a) {
  return a.inner.divisor() == 1;
}
RUSHLIGHT_HOST_DEVICE inline Grid grid_of(const SoftmaxArguments& a) {
  const std::int64_t lines = a.outer * a.inner.divisor();
  if (!softmax_is_innermost(a)) return grid_for_elements(lines);
  const std::int64_t wanted = ceil_div<std::int64_t>(lines, kSoftmaxThreads / kWarpThreads);
  return {wanted < kElementBlocks ? wanted : kElementBlocks, kSoftmaxThreads};
}

RUSHLIGHT_HOST_DEVICE inline float exponential(float x) {
#if defined(__CUDA_ARCH__)
  return expf(x);
#else
  return std::exp(x);
#endif
}

// One row, by a warp.
template <class Block>
RUSHLIGHT_KERNEL void softmax_row(Block& block, int lane, const float* input, float* output, std::int64_t axis) {
  float largest = kMinusInfinity;
  for (std::int64_t i = lane; i < axis; i += kWarpThreads) largest = input[i] > largest ? input[i] : largest;
  largest = warp_max(block, largest);
  float sum = 0.0F;
  for (std::int64_t i = lane; i < axis; i += kWarpThreads) sum += exponential(input[i] - largest);
  sum = warp_sum(block, sum);
  for (std::int64_t i = lane; i < axis; i += kWarpThreads) output[i] = exponential(input[i] - largest) / sum;
}

// A warp a row.
template <class Block>
RUSHLIGHT_KERNEL void softmax_rows_kernel(Block& block, const SoftmaxArguments& a) {
  constexpr int kWarps = kSoftmaxThreads / kWarpThreads;
  const int lane = block.thread() % kWarpThreads;
  for (std::int64_t row = block.index() * kWarps + block.thread() / kWarpThreads; row < a.outer;
       row += block.count() * kWarps) {
    softmax_row(block, lane, a.input + row * a.axis, a.output + row * a.axis, a.axis);
  }
}

// A thread a line.
template <class Block>
RUSHLIGHT_KERNEL void softmax_lines_kernel(Block& block, const SoftmaxArguments& a) {
  const std::int64_t inner = a.inner.divisor();
  for_each_element(block, a.outer * inner, [&](std::int64_t line) {
    const std::int64_t outer = a.inner.quotient(line);
    const std::int64_t begin = outer * a.axis * inner + a.inner.remainder(line, outer);
    const std::int64_t end = begin + a.axis * inner;
    float largest = kMinusInfinity;
    for (std::int64_t i = begin; i < end; i += inner) largest = a.input[i] > largest ? a.input[i] : largest;
    float sum = 0.0F;
    for (std::int64_t i = begin; i < end; i += inner) sum += exponential(a.input[i] - largest);
    for (std::int64_t i = begin; i < end; i += inner) a.output[i] = exponential(a.input[i] - largest) / sum;
  });
}

}  // namespace rushlight::cuda
