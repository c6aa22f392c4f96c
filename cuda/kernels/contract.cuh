// output[kept] = sum over the others of a[kept, gone] * b[kept, gone]: what of Einsum and Bilinear is no plain product
// of matrices.
//
// A team (team.cuh) of one thread, one warp or one block makes one output and goes over all that is summed. Bytes
// moved: 4 or 8 in for each product, as the strides have it, and 4 out an output. Accuracy: double, rounded once.
// Tests: GeneralTeams.EveryLaneHasWhatAllFound, GeneralIndices.PlacesAreThoseOfTheStrides, operator_emulation_test.cpp.
#pragma once

#include <cstdint>

#include "cuda/kernels/team.cuh"

namespace rushlight::cuda {

struct ContractArguments {
  int lanes = 1;
  const float* a = nullptr;
  const float* b = nullptr;     // or null: ones
  const float* bias = nullptr;  // or null
  float* output = nullptr;
  StridedShape<4> kept;  // output, a, b, bias
  StridedShape<2> gone;  // a, b
};

RUSHLIGHT_HOST_DEVICE inline Grid grid_of(const ContractArguments& a) {
  return grid_for_teams(a.kept.elements, a.lanes);
}

template <int kLanes, class Block>
RUSHLIGHT_KERNEL void contract_kernel(Block& block, TeamShared& shared, const ContractArguments& a) {
  Team<kLanes, Block> team(block, shared);
  team.for_each_item(a.kept.elements, [&](std::int64_t item) {
    const StridedPlaces<4> first = places_of(a.kept, item);
    double sum = 0;
    for (std::int64_t i = team.lane(); i < a.gone.elements; i += kLanes) {
      const StridedPlaces<2> places = places_of(a.gone, i);
      const auto left = static_cast<double>(a.a[first.at[1] + places.at[0]]);
      sum += a.b == nullptr ? left : left * static_cast<double>(a.b[first.at[2] + places.at[1]]);
    }
    sum = team.sum(sum);
    if (team.lane() != 0) return;
    if (a.bias != nullptr) sum += static_cast<double>(a.bias[first.at[3]]);
    a.output[first.at[0]] = static_cast<float>(sum);
  });
}

}  // namespace rushlight::cuda
