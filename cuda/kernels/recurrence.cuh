// state[item][unit] = f(x[item][gate][unit], weights[gate][unit] . before[item]): one step of time of RNN, LSTM and GRU
// in both directions, and of their cells; and the projection of an LSTM's state.
//
// One warp makes one unit of one direction for four items of the batch: its lanes share the products of each gate with
// the state before, and the first four of them make a state each. What the inputs give to the gates is there already,
// one product over all steps. Bytes moved: 4 * gates * depth of weights a warp, from the second-level cache after the
// first step, and the states before, from the first-level one.
// Accuracy: fp32 sums of depth / 32 products, a butterfly over them; then double, rounded once. The cell is float32
// between steps, as torch has it.
// Tests: GeneralIndices.StatesOfAStepAreCoveredOnce, operator_emulation_test.cpp.
#pragma once

#include <cmath>
#include <cstdint>

#include "cuda/kernels/divisor.cuh"
#include "cuda/kernels/execution.cuh"

namespace rushlight::cuda {

// Gates stand in torch's order: of an LSTM i, f, g, o, of a GRU r, z, n. A projection has no x.
enum class RecurrentRule : std::uint8_t { tanh, relu, lstm, gru, projection };
RUSHLIGHT_HOST_DEVICE constexpr int gates_of(RecurrentRule rule) {
  return rule == RecurrentRule::lstm ? 4 : rule == RecurrentRule::gru ? 3 : 1;
}

inline constexpr int kRecurrentThreads = 128;
inline constexpr int kRecurrentItems = 4;  // of the batch, that a warp computes together

struct RecurrentDirection {
  const float* weights = nullptr;      // [gate][unit][depth]
  const float* bias = nullptr;         // [gate][unit], or null
  const float* x = nullptr;            // [item][gate][unit] of this step
  const float* before = nullptr;       // [item][depth], or null: zeros
  const float* cell_before = nullptr;  // of an LSTM: [item][unit], or null: zeros
  float* cell = nullptr;               // likewise; it may be cell_before
  float* state = nullptr;              // [item][unit]
  float* last = nullptr;               // [item][unit] once more, or null
};

struct RecurrentStepArguments {
  RecurrentRule rule = RecurrentRule::tanh;
  int directions = 1;
  std::int64_t items = 0;
  Divisor64 units;
  Divisor64 item_blocks;    // of kRecurrentItems
  std::int64_t depth = 0;   // of the state before
  std::int64_t x_item = 0;  // distances of items, in floats; of cells and of `last` they are the number of units
  std::int64_t before_item = 0;
  std::int64_t state_item = 0;
  RecurrentDirection at[2];
};

// What one warp makes.
struct RecurrentPlace {
  int direction = 0;
  std::int64_t item = 0;  // the first of kRecurrentItems
  std::int64_t unit = 0;
};
RUSHLIGHT_HOST_DEVICE inline std::int64_t warps_of(const RecurrentStepArguments& a) {
  return a.directions * a.item_blocks.divisor() * a.units.divisor();
}
RUSHLIGHT_HOST_DEVICE inline RecurrentPlace recurrent_place(const RecurrentStepArguments& a, std::int64_t warp) {
  const std::int64_t block = a.units.quotient(warp);
  const std::int64_t direction = a.item_blocks.quotient(block);
  return {static_cast<int>(direction), a.item_blocks.remainder(block, direction) * kRecurrentItems,
          a.units.remainder(warp, block)};
}

RUSHLIGHT_HOST_DEVICE inline Grid grid_of(const RecurrentStepArguments& a) {
  const std::int64_t wanted = ceil_div<std::int64_t>(warps_of(a), kRecurrentThreads / kWarpThreads);
  return {wanted < kElementBlocks ? wanted : kElementBlocks, kRecurrentThreads};
}

RUSHLIGHT_HOST_DEVICE inline double recurrent_sigmoid(double x) {
  return 1 / (1 + ::exp(-x));
}

// The new state from what the input (x) and the state before (h) give to each gate. `own`: the unit's state before, of
// a GRU; `cell`: the unit's cell, of an LSTM, before and after.
template <int kGates>
RUSHLIGHT_HOST_DEVICE inline double recurrent_state(RecurrentRule rule, const double (&x)[kGates],
                                                    const double (&h)[kGates], double own, double& cell) {
  if constexpr (kGates == 4) {
    cell = recurrent_sigmoid(x[1] + h[1]) * cell + recurrent_sigmoid(x[0] + h[0]) * ::tanh(x[2] + h[2]);
    return recurrent_sigmoid(x[3] + h[3]) * ::tanh(cell);
  } else if constexpr (kGates == 3) {
    const double update = recurrent_sigmoid(x[1] + h[1]);
    const double fresh = ::tanh(x[2] + recurrent_sigmoid(x[0] + h[0]) * h[2]);
    return (1 - update) * fresh + update * own;
  } else {
    const double sum = x[0] + h[0];
    if (rule == RecurrentRule::tanh) return ::tanh(sum);
    return rule == RecurrentRule::relu && sum < 0 ? 0.0 : sum;
  }
}

template <int kGates, class Block>
RUSHLIGHT_KERNEL void recurrent_step_kernel(Block& block, const RecurrentStepArguments& a) {
  constexpr int kWarps = kRecurrentThreads / kWarpThreads;
  const int lane = block.thread() % kWarpThreads;
  const std::int64_t units = a.units.divisor();
  for (std::int64_t warp = block.index() * kWarps + block.thread() / kWarpThreads; warp < warps_of(a);
       warp += block.count() * kWarps) {
    const RecurrentPlace place = recurrent_place(a, warp);
    const RecurrentDirection& d = a.at[place.direction];
    float sums[kGates][kRecurrentItems] = {};
    for (std::int64_t k = lane; d.before != nullptr && k < a.depth; k += kWarpThreads) {
      float before[kRecurrentItems];
      RUSHLIGHT_UNROLL
      for (int i = 0; i < kRecurrentItems; ++i) {
        const std::int64_t item = place.item + i;
        before[i] = item < a.items ? d.before[item * a.before_item + k] : 0.0F;
      }
      RUSHLIGHT_UNROLL
      for (int gate = 0; gate < kGates; ++gate) {
        const float weight = load_constant(d.weights + (gate * units + place.unit) * a.depth + k);
        RUSHLIGHT_UNROLL
        for (int i = 0; i < kRecurrentItems; ++i) sums[gate][i] = fused(weight, before[i], sums[gate][i]);
      }
    }
    RUSHLIGHT_UNROLL
    for (int gate = 0; gate < kGates; ++gate) {
      RUSHLIGHT_UNROLL
      for (int i = 0; i < kRecurrentItems; ++i) sums[gate][i] = warp_sum(block, sums[gate][i]);
    }
    RUSHLIGHT_UNROLL
    for (int i = 0; i < kRecurrentItems; ++i) {
      const std::int64_t item = place.item + i;
      if (lane != i || item >= a.items) continue;
      double x[kGates];
      double h[kGates];
      RUSHLIGHT_UNROLL
      for (int gate = 0; gate < kGates; ++gate) {
        const std::int64_t row = gate * units + place.unit;
        x[gate] = d.x == nullptr ? 0.0 : static_cast<double>(d.x[item * a.x_item + row]);
        h[gate] = static_cast<double>(sums[gate][i]);
        if (d.bias != nullptr) h[gate] += static_cast<double>(load_constant(d.bias + row));
      }
      const std::int64_t dense = item * units + place.unit;
      double own = 0;
      double cell = 0;
      if (a.rule == RecurrentRule::gru && d.before != nullptr) {
        own = static_cast<double>(d.before[item * a.before_item + place.unit]);
      }
      if (a.rule == RecurrentRule::lstm && d.cell_before != nullptr) cell = static_cast<double>(d.cell_before[dense]);
      const float state = static_cast<float>(recurrent_state(a.rule, x, h, own, cell));
      if (a.rule == RecurrentRule::lstm) d.cell[dense] = static_cast<float>(cell);
      d.state[item * a.state_item + place.unit] = state;
      if (d.last != nullptr) d.last[dense] = state;
    }
  }
}

}  // namespace rushlight::cuda
