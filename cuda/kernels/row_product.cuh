// A Linear on very few rows: every weight is needed once, so the time is that of reading them.
//
//   output[m][n] = activation(sum over k of input[m][k] * weights[n][k] + bias[n] + residual[m][n]),  m < 8
//
// One warp makes one column n for all rows m; its lanes take every 32nd group of four k (of eight, where weights have
// 16 bits) and meet in a butterfly. Bytes moved: 4 or 2 * depth a warp for the weights, each read once by neighbouring
// lanes; the rows come from the cache.
// Accuracy: depth / 32 products in sequence, then five additions; inputs are not rounded, whatever the weights are.
// Tests: CudaRowProduct.EachColumnHasOneWarp
#pragma once

#include <cstdint>

#include "cuda/kernels/execution.cuh"
#include "cuda/kernels/gemm.cuh"

namespace rushlight::cuda {

inline constexpr int kRowProductRows = 8;
inline constexpr int kRowProductThreads = 128;

// The same arguments as the tile kernel's, with rows <= kRowProductRows, groups == 1 and no window.
struct RowProductArguments {
  GemmArguments gemm;
  bool loads_quads = false;  // depth, stride and pointers allow it: see rows_allow_quads()
  // Weights of 16 bits instead: rows of WeightForm::bf16_rows or ::fp16_rows.
  const std::uint16_t* rounded = nullptr;
  std::int32_t rounded_pitch = 0;
  Operand operand = Operand::bf16;
};

// True when input rows and weight rows may be read four values at a time.
RUSHLIGHT_HOST_DEVICE inline bool rows_allow_quads(const GemmArguments& a) {
  return a.depth % 4 == 0 && a.input_stride % 4 == 0 && is_aligned16(a.input) && is_aligned16(a.weights);
}

RUSHLIGHT_HOST_DEVICE inline Grid grid_of(const RowProductArguments& a) {
  return {ceil_div<std::int64_t>(a.gemm.columns, kRowProductThreads / kWarpThreads), kRowProductThreads};
}

// Which column a thread works for, and where in each round of k its lane begins.
struct RowProductShare {
  std::int64_t column = 0;
  int lane = 0;
};
RUSHLIGHT_HOST_DEVICE inline RowProductShare row_product_share(std::int64_t block, int thread) {
  return {block * (kRowProductThreads / kWarpThreads) + thread / kWarpThreads, thread % kWarpThreads};
}

template <int Width>
RUSHLIGHT_KERNEL void add_row_products(const GemmArguments& a, const RowProductShare& share,
                                       float (&sums)[kRowProductRows]) {
  const float* const weights = a.weights + share.column * a.depth;
  for (std::int64_t k = std::int64_t{share.lane} * Width; k < a.depth; k += kWarpThreads * Width) {
    const Lanes<Width> weight = load_lanes<Width>(weights + k);
    RUSHLIGHT_UNROLL
    for (int row = 0; row < kRowProductRows; ++row) {
      if (row >= a.rows) continue;
      const Lanes<Width> value = load_lanes<Width>(a.input + row * a.input_stride + k);
      RUSHLIGHT_UNROLL
      for (int i = 0; i < Width; ++i) sums[row] = fused(value.at[i], weight.at[i], sums[row]);
    }
  }
}

// Eight k at a time. Weights beyond the depth are zeros, inputs there are not read.
inline constexpr int kRoundedWidth = 8;
template <Operand kOperand, int Width>
RUSHLIGHT_KERNEL void add_rounded_products(const RowProductArguments& arguments, const RowProductShare& share,
                                           float (&sums)[kRowProductRows]) {
  const GemmArguments& a = arguments.gemm;
  const std::uint16_t* const weights = arguments.rounded + share.column * arguments.rounded_pitch;
  for (std::int64_t k = std::int64_t{share.lane} * kRoundedWidth; k < a.depth; k += kWarpThreads * kRoundedWidth) {
    const Words4 words = load_words4(weights + k);
    RUSHLIGHT_UNROLL
    for (int row = 0; row < kRowProductRows; ++row) {
      if (row >= a.rows) continue;
      RUSHLIGHT_UNROLL
      for (int i = 0; i < kRoundedWidth; i += Width) {
        if (k + i >= a.depth) continue;
        const Lanes<Width> value = load_lanes<Width>(a.input + row * a.input_stride + k + i);
        RUSHLIGHT_UNROLL
        for (int j = 0; j < Width; ++j) {
          const std::uint32_t pair = words.at[(i + j) / 2];
          const float weight = (i + j) % 2 == 0 ? low_number<kOperand>(pair) : high_number<kOperand>(pair);
          sums[row] = fused(value.at[j], weight, sums[row]);
        }
      }
    }
  }
}

template <class Block>
RUSHLIGHT_KERNEL void row_product_kernel(Block& block, const RowProductArguments& arguments) {
  const GemmArguments& a = arguments.gemm;
  const RowProductShare share = row_product_share(block.index(), block.thread());
  if (share.column >= a.columns) return;  // the whole warp
  float sums[kRowProductRows] = {};
  if (arguments.rounded != nullptr) {
    if (arguments.operand == Operand::bf16) {
      arguments.loads_quads ? add_rounded_products<Operand::bf16, 4>(arguments, share, sums)
                            : add_rounded_products<Operand::bf16, 1>(arguments, share, sums);
    } else {
      arguments.loads_quads ? add_rounded_products<Operand::fp16, 4>(arguments, share, sums)
                            : add_rounded_products<Operand::fp16, 1>(arguments, share, sums);
    }
  } else if (arguments.loads_quads) {
    add_row_products<4>(a, share, sums);
  } else {
    add_row_products<1>(a, share, sums);
  }
  RUSHLIGHT_UNROLL
  for (int row = 0; row < kRowProductRows; ++row) {
    if (row >= a.rows) continue;
    const float sum = warp_sum(block, sums[row]);
    if (share.lane != 0) continue;
    const float residual = a.residual == nullptr ? 0.0F : a.residual[row * a.residual_stride + share.column];
    const float bias = a.bias == nullptr ? 0.0F : load_constant(a.bias + share.column);
    a.output[row * a.output_stride + share.column] = finish(sum, bias, residual, a.activation);
  }
}

}  // namespace rushlight::cuda
