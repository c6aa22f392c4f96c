// output[item] = what two lines have in common, a[item][i] and b[item][i]: CosineSimilarity and PairwiseDistance.
//
// A team (team.cuh) of one thread, one warp or one block takes one item and goes over both lines once. Bytes moved: 8
// for each pair in and 4 out an item. Accuracy: double, rounded once.
// Tests: GeneralTeams.EveryLaneHasWhatAllFound, GeneralIndices.PlacesAreThoseOfTheStrides, operator_emulation_test.cpp.
#pragma once

#include <cmath>
#include <cstdint>

#include "cuda/kernels/reduce.cuh"

namespace rushlight::cuda {

enum class PairRule : std::uint8_t {
  cosine,    // a . b / (max(|a|, eps) * max(|b|, eps))
  distance,  // the norm of order `order` of a - b + eps
};

struct PairsArguments {
  PairRule rule = PairRule::cosine;
  int lanes = 1;
  double eps = 0;
  double order = 2;
  const float* a = nullptr;
  const float* b = nullptr;
  float* output = nullptr;
  StridedShape<2> kept;  // of a and b, in C order: item i is output i
  StridedShape<2> gone;
};

RUSHLIGHT_HOST_DEVICE inline Grid grid_of(const PairsArguments& a) {
  return grid_for_teams(a.kept.elements, a.lanes);
}

template <int kLanes, class Block>
class LinePair {
 public:
  using SharedTeam = Team<kLanes, Block>;
  RUSHLIGHT_KERNEL LinePair(SharedTeam& team, const PairsArguments& a, std::int64_t item)
      : team_(team), a_(a), first_(places_of(a.kept, item)) {}

  RUSHLIGHT_KERNEL double value() {
    if (a_.rule == PairRule::cosine) return cosine();
    const double order = a_.order;
    if (::fabs(order) == kInfiniteDouble) return extreme_distance(order > 0);
    double own = 0;
    for_each([&](double x, double y) { own += norm_term(::fabs(x - y + a_.eps), order); });
    return norm_of_sum(team_.sum(own), order);
  }

 private:
  template <class F>
  RUSHLIGHT_KERNEL void for_each(F&& f) {
    for (std::int64_t i = team_.lane(); i < a_.gone.elements; i += kLanes) {
      const StridedPlaces<2> places = places_of(a_.gone, i);
      f(static_cast<double>(a_.a[first_.at[0] + places.at[0]]), static_cast<double>(a_.b[first_.at[1] + places.at[1]]));
    }
  }
  RUSHLIGHT_KERNEL double cosine() {
    double product = 0;
    double of_a = 0;
    double of_b = 0;
    for_each([&](double x, double y) {
      product += x * y;
      of_a += x * x;
      of_b += y * y;
    });
    product = team_.sum(product);
    const double length_a = ::sqrt(team_.sum(of_a));
    const double length_b = ::sqrt(team_.sum(of_b));
    return product / ((length_a < a_.eps ? a_.eps : length_a) * (length_b < a_.eps ? a_.eps : length_b));
  }
  // NaN wins.
  RUSHLIGHT_KERNEL double extreme_distance(bool largest) {
    const auto join = [largest](const Found& x, const Found& y) {
      const bool stays = x.value != x.value || (y.value == y.value && (x.value > y.value) == largest);
      return stays ? x : y;
    };
    Found own{largest ? 0.0 : kInfiniteDouble, 0};
    for_each([&](double x, double y) { own = join(own, Found{::fabs(x - y + a_.eps), 0}); });
    return team_.template join<false>(own, join).value;
  }

  SharedTeam& team_;
  const PairsArguments& a_;
  const StridedPlaces<2> first_;
};

template <int kLanes, class Block>
RUSHLIGHT_KERNEL void pairs_kernel(Block& block, TeamShared& shared, const PairsArguments& a) {
  Team<kLanes, Block> team(block, shared);
  team.for_each_item(a.kept.elements, [&](std::int64_t item) {
    const double value = LinePair<kLanes, Block>(team, a, item).value();
    if (team.lane() == 0) a.output[item] = static_cast<float>(value);
  });
}

}  // namespace rushlight::cuda
