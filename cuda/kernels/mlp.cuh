// A chain of small Linears on at most 8 rows, and perhaps a softmax behind the last, by one start of one kernel.
//
//   output[m][n] = activation(sum over k of input[m][k] * weights[n][k] + bias[n])    of each layer, m < 8
//
// The first layer is the wide one: a block makes a column n for all rows m, its 256 threads take every 256th group of
// four k, and a grid of a block a column has the weights of 784 x 128 on their way within one round of loads. The block
// that arrives last, by a ticket, makes all that is left: it reads the first layer's outputs into shared memory, and
// from layer to layer they stay there, a warp a column. Which block that is decides nothing but who does the work: sums
// run in an order that depends on the layer alone.
//
// Every layer's output is also stored where the plan has it; whoever else reads it finds it.
//
// Bytes moved: 4 for each weight, once; the rows come from the caches. The last layers run on one multiprocessor, which
// loads some 64 bytes a cycle: mlp_choice.cpp keeps them small.
// Accuracy: depth / 256 products in sequence and 8 + 5 additions in the first layer, depth / 32 and 5 in the others.
// Tests: CudaMlp.*, mlp_test.cpp
#pragma once

#include <cstdint>

#include "cuda/kernels/activation.cuh"
#include "cuda/kernels/execution.cuh"
#include "cuda/kernels/lanes.cuh"
#include "cuda/kernels/softmax.cuh"

namespace rushlight::cuda {

inline constexpr int kMlpRows = 8;
inline constexpr int kMlpLayers = 6;
inline constexpr int kMlpThreads = 256;
inline constexpr int kMlpWarps = kMlpThreads / kWarpThreads;
// Of one layer's outputs in shared memory: rows * pitch. There are two such.
inline constexpr int kMlpFloats = 4096;

struct MlpLayer {
  const float* weights = nullptr;  // [columns][depth]
  const float* bias = nullptr;     // [columns], or null
  float* output = nullptr;
  std::int64_t output_stride = 0;  // floats from row to row
  std::int32_t depth = 0;
  std::int32_t columns = 0;
  bool loads_quads = false;  // weights and inputs may be read four values at a time
  Activation activation;
};

struct MlpArguments {
  const float* input = nullptr;
  std::int64_t input_stride = 0;
  std::int32_t rows = 0;
  std::int32_t layer_count = 0;
  MlpLayer layers[kMlpLayers];
  float* probabilities = nullptr;   // [rows][columns of the last layer], or null
  std::uint32_t* ticket = nullptr;  // 0 before the kernel starts, and when it has ended
};

struct MlpCall {
  MlpArguments arguments;
  std::int64_t blocks = 0;  // at most the first layer's columns
};

struct MlpShared {
  alignas(16) float values[2][kMlpFloats];
  float sums[kMlpRows][kMlpWarps];
};

// Floats from row to row in shared memory.
RUSHLIGHT_HOST_DEVICE constexpr std::int32_t mlp_pitch(std::int32_t columns) {
  return (columns + 3) / 4 * 4;
}
RUSHLIGHT_HOST_DEVICE inline Grid grid_of(const MlpCall& call) {
  return {call.blocks, kMlpThreads};
}

// Adds the products of the k that one of `threads` threads takes, for every row.
template <int Width, int Threads, class Load>
RUSHLIGHT_KERNEL void add_mlp_products(const MlpLayer& layer, std::int32_t column, std::int32_t rows, int thread,
                                       const Load& load, float (&sums)[kMlpRows]) {
  const float* const weights = layer.weights + std::int64_t{column} * layer.depth;
  RUSHLIGHT_UNROLL_BY_4
  for (std::int64_t k = std::int64_t{thread} * Width; k < layer.depth; k += Threads * Width) {
    const Lanes<Width> weight = load_lanes<Width>(weights + k);
    RUSHLIGHT_UNROLL
    for (int row = 0; row < kMlpRows; ++row) {
      if (row >= rows) continue;
      const Lanes<Width> value = load(row, k);
      RUSHLIGHT_UNROLL
      for (int i = 0; i < Width; ++i) sums[row] = fused(value.at[i], weight.at[i], sums[row]);
    }
  }
}

RUSHLIGHT_KERNEL inline float mlp_output(const MlpLayer& layer, std::int32_t column, float sum) {
  const float bias = layer.bias == nullptr ? 0.0F : load_constant(layer.bias + column);
  return activate(layer.activation, sum + bias);
}

// The first layer: all threads of a block work for one column after the other.
template <class Block>
RUSHLIGHT_KERNEL void mlp_first_layer(Block& block, MlpShared& shared, const MlpArguments& a) {
  const MlpLayer& layer = a.layers[0];
  const int thread = block.thread();
  for (std::int64_t number = block.index(); number < layer.columns; number += block.count()) {
    const auto column = static_cast<std::int32_t>(number);
    float sums[kMlpRows] = {};
    if (layer.loads_quads) {
      add_mlp_products<4, kMlpThreads>(
          layer, column, a.rows, thread,
          [&](int row, std::int64_t k) { return load_lanes<4>(a.input + row * a.input_stride + k); }, sums);
    } else {
      add_mlp_products<1, kMlpThreads>(
          layer, column, a.rows, thread,
          [&](int row, std::int64_t k) { return load_lanes<1>(a.input + row * a.input_stride + k); }, sums);
    }
    RUSHLIGHT_UNROLL
    for (int row = 0; row < kMlpRows; ++row) {
      if (row >= a.rows) continue;
      const float sum = warp_sum(block, sums[row]);
      if (thread % kWarpThreads == 0) shared.sums[row][thread / kWarpThreads] = sum;
    }
    block.sync();
    if (thread < a.rows) {
      float sum = 0.0F;
      for (int warp = 0; warp < kMlpWarps; ++warp) sum += shared.sums[thread][warp];
      layer.output[thread * layer.output_stride + column] = mlp_output(layer, column, sum);
    }
    block.sync();  // before the next column's sums
  }
}

// A layer from shared memory into shared memory: a warp makes a column.
template <class Block>
RUSHLIGHT_KERNEL void mlp_next_layer(Block& block, const MlpLayer& layer, std::int32_t rows, const float* from,
                                     float* to) {
  const int lane = block.thread() % kWarpThreads;
  const std::int32_t from_pitch = mlp_pitch(layer.depth);
  const std::int32_t to_pitch = mlp_pitch(layer.columns);
  for (std::int32_t column = block.thread() / kWarpThreads; column < layer.columns; column += kMlpWarps) {
    float sums[kMlpRows] = {};
    if (layer.loads_quads) {
      add_mlp_products<4, kWarpThreads>(
          layer, column, rows, lane,
          [&](int row, std::int64_t k) { return load_written_lanes<4>(from + row * from_pitch + k); }, sums);
    } else {
      add_mlp_products<1, kWarpThreads>(
          layer, column, rows, lane,
          [&](int row, std::int64_t k) { return load_written_lanes<1>(from + row * from_pitch + k); }, sums);
    }
    RUSHLIGHT_UNROLL
    for (int row = 0; row < kMlpRows; ++row) {
      if (row >= rows) continue;
      const float sum = warp_sum(block, sums[row]);
      if (lane != 0) continue;
      const float value = mlp_output(layer, column, sum);
      to[row * to_pitch + column] = value;
      layer.output[row * layer.output_stride + column] = value;
    }
  }
}

template <class Block>
RUSHLIGHT_KERNEL void mlp_kernel(Block& block, MlpShared& shared, const MlpArguments& a) {
  mlp_first_layer(block, shared, a);
  if (!block.arrives_last(a.ticket)) return;

  const MlpLayer& first = a.layers[0];
  for (std::int32_t row = 0; row < a.rows; ++row) {
    for (std::int32_t column = block.thread(); column < first.columns; column += kMlpThreads) {
      shared.values[0][row * mlp_pitch(first.columns) + column] =
          block.load_written(first.output + row * first.output_stride + column);
    }
  }
  block.sync();
  int half = 0;
  for (std::int32_t i = 1; i < a.layer_count; ++i, half = 1 - half) {
    mlp_next_layer(block, a.layers[i], a.rows, shared.values[half], shared.values[1 - half]);
    block.sync();
  }
  if (a.probabilities == nullptr) return;
  const std::int32_t columns = a.layers[a.layer_count - 1].columns;
  const int row = block.thread() / kWarpThreads;
  if (row >= a.rows) return;  // the whole warp
  softmax_row(block, block.thread() % kWarpThreads, shared.values[half] + row * mlp_pitch(columns),
              a.probabilities + std::int64_t{row} * columns, columns);
}

}  // namespace rushlight::cuda
