// values[line][i], positions[line][i] = the i-th of the largest, or smallest, of input[line]: TopK.
//
// A team (team.cuh) of one thread, one warp or one block takes one line and goes over it once for each output: it looks
// for the first of those that stand behind the one before. Made for few of many. Bytes moved: 4 * size an output, from
// the cache where a line fits it, and 12 out. Accuracy: exact. NaN is the largest; of equals the first stands first.
// Tests: GeneralTeams.EveryLaneHasWhatAllFound, operator_emulation_test.cpp.
#pragma once

#include <cstdint>

#include "cuda/kernels/reduce.cuh"

namespace rushlight::cuda {

struct TopKArguments {
  bool largest = true;
  int lanes = 1;
  const float* input = nullptr;
  float* values = nullptr;
  std::int64_t* positions = nullptr;  // or null
  std::int64_t size = 0;              // of a line
  std::int64_t wanted = 0;
  std::int64_t input_step = 1;   // distances of a line's neighbours
  std::int64_t output_step = 1;  // of both outputs
  StridedShape<2> lines;         // input, outputs
};

RUSHLIGHT_HOST_DEVICE inline Grid grid_of(const TopKArguments& a) {
  return grid_for_teams(a.lines.elements, a.lanes);
}

// Whether `a` stands before `b`: NaN before everything among the largest, behind it among the smallest.
RUSHLIGHT_HOST_DEVICE inline bool stands_before(bool largest, const Found& a, const Found& b) {
  const bool a_is_nan = a.value != a.value;
  const bool b_is_nan = b.value != b.value;
  if (a_is_nan != b_is_nan) return a_is_nan == largest;
  if (a_is_nan || a.value == b.value) return a.position < b.position;
  return (a.value > b.value) == largest;
}

template <int kLanes, class Block>
RUSHLIGHT_KERNEL void top_k_kernel(Block& block, TeamShared& shared, const TopKArguments& a) {
  Team<kLanes, Block> team(block, shared);
  team.for_each_item(a.lines.elements, [&](std::int64_t line) {
    const StridedPlaces<2> places = places_of(a.lines, line);
    // A negative position: nothing.
    const auto first_of = [&](const Found& x, const Found& y) {
      if (x.position < 0) return y;
      return y.position < 0 || stands_before(a.largest, x, y) ? x : y;
    };
    Found last{0, -1};
    for (std::int64_t i = 0; i < a.wanted; ++i) {
      Found own{0, -1};
      for (std::int64_t k = team.lane(); k < a.size; k += kLanes) {
        const Found x{static_cast<double>(a.input[places.at[0] + k * a.input_step]), static_cast<double>(k)};
        if (last.position < 0 || stands_before(a.largest, last, x)) own = first_of(own, x);
      }
      last = team.template join<true>(own, first_of);
      if (team.lane() != 0) continue;
      const std::int64_t to = places.at[1] + i * a.output_step;
      a.values[to] = static_cast<float>(last.value);
      if (a.positions != nullptr) a.positions[to] = static_cast<std::int64_t>(last.position);
    }
  });
}

}  // namespace rushlight::cuda
