// output[kept] = rule of input[kept][gone] over all that go: sums and their like, norms, variances, extrema and where
// they are.
//
// The input's dimensions are those that stay and those that go, both in C order; a team (team.cuh) of one thread, one
// warp or one block makes one output. Bytes moved: 4 for each input, twice for variances and logsumexp (the second time
// from the cache where an item fits it), and 4 or 8 out. Accuracy: in double, rounded once.
// NaN: it wins every comparison, and the first one is where the extremum is. Of equals the first one is, too.
// Tests: GeneralTeams.EveryLaneHasWhatAllFound, operator_emulation_test.cpp.
#pragma once

#include <cmath>
#include <cstdint>

#include "cuda/kernels/team.cuh"

namespace rushlight::cuda {

enum class ReduceRule : std::uint8_t {
  sum,
  mean,
  product,
  largest,
  smallest,
  norm,       // of order `number`, which may be infinite
  variance,   // with `number` as the correction
  deviation,  // its root
  log_sum_exp,
};

struct ReduceArguments {
  ReduceRule rule = ReduceRule::sum;
  int lanes = 1;
  double number = 0;
  const float* input = nullptr;
  float* values = nullptr;            // or null
  std::int64_t* positions = nullptr;  // of largest and smallest, or null
  StridedShape<1> kept;               // in C order: item i is output i
  StridedShape<1> gone;
};

RUSHLIGHT_HOST_DEVICE inline Grid grid_of(const ReduceArguments& a) {
  return grid_for_teams(a.kept.elements, a.lanes);
}

// Whether `a`, which stands before `b`, is the extremum of the two.
RUSHLIGHT_HOST_DEVICE inline bool stays_first(bool largest, const Found& a, const Found& b) {
  if (a.value != a.value) return b.value == b.value || a.position < b.position;
  if (b.value != b.value) return false;
  if (a.value == b.value) return a.position < b.position;
  return (a.value > b.value) == largest;
}

// The norm's sum over elements of these magnitudes, and what becomes of it.
RUSHLIGHT_HOST_DEVICE inline double norm_term(double magnitude, double order) {
  if (order == 2) return magnitude * magnitude;
  if (order == 1) return magnitude;
  if (order == 0) return magnitude != 0 ? 1.0 : 0.0;
  return ::pow(magnitude, order);
}
RUSHLIGHT_HOST_DEVICE inline double norm_of_sum(double sum, double order) {
  if (order == 2) return ::sqrt(sum);
  return order == 1 || order == 0 ? sum : ::pow(sum, 1 / order);
}

template <int kLanes, class Block>
class Reduction {
 public:
  using SharedTeam = Team<kLanes, Block>;
  RUSHLIGHT_KERNEL Reduction(SharedTeam& team, const ReduceArguments& a, std::int64_t item)
      : team_(team), a_(a), from_(a.input + places_of(a.kept, item).at[0]) {}

  RUSHLIGHT_KERNEL Found value() {
    const auto count = static_cast<double>(a_.gone.elements);
    switch (a_.rule) {
      case ReduceRule::sum:
        return {sum([](double x) { return x; }), 0};
      case ReduceRule::mean:
        return {sum([](double x) { return x; }) / count, 0};
      case ReduceRule::product:
        return fold(1, [](const Found& all, const Found& x) { return Found{all.value * x.value, 0}; });
      case ReduceRule::largest:
        return extremum(true, false);
      case ReduceRule::smallest:
        return extremum(false, false);
      case ReduceRule::norm: {
        if (::fabs(a_.number) == kInfiniteDouble) return extremum(a_.number > 0, true);
        const double order = a_.number;
        return {norm_of_sum(sum([order](double x) { return norm_term(::fabs(x), order); }), order), 0};
      }
      case ReduceRule::variance:
      case ReduceRule::deviation: {
        const double mean = sum([](double x) { return x; }) / count;
        const double squares = sum([mean](double x) { return (x - mean) * (x - mean); });
        const double variance = squares / (count > a_.number ? count - a_.number : 0.0);
        return {a_.rule == ReduceRule::deviation ? ::sqrt(variance) : variance, 0};
      }
      case ReduceRule::log_sum_exp: {
        double peak = extremum(true, false).value;
        if (::fabs(peak) == kInfiniteDouble) peak = 0;  // torch's own rule: infinities stay what they are
        return {::log(sum([peak](double x) { return ::exp(x - peak); })) + peak, 0};
      }
    }
    return {};
  }

 private:
  // f(element, its place among those that go), for this lane's.
  template <class F>
  RUSHLIGHT_KERNEL void for_each(F&& f) {
    for (std::int64_t i = team_.lane(); i < a_.gone.elements; i += kLanes) {
      f(static_cast<double>(from_[places_of(a_.gone, i).at[0]]), i);
    }
  }
  template <class F>
  RUSHLIGHT_KERNEL double sum(F&& f) {
    double own = 0;
    for_each([&](double x, std::int64_t) { own += f(x); });
    return team_.sum(own);
  }
  template <class Join>
  RUSHLIGHT_KERNEL Found fold(double start, Join&& join) {
    Found own{start, 0};
    for_each([&](double x, std::int64_t i) { own = join(own, Found{x, static_cast<double>(i)}); });
    return team_.template join<false>(own, join);
  }
  // Lanes without elements hold what every element beats.
  RUSHLIGHT_KERNEL Found extremum(bool largest, bool of_magnitudes) {
    const auto join = [largest](const Found& a, const Found& b) { return stays_first(largest, a, b) ? a : b; };
    const double worst = largest ? (of_magnitudes ? 0.0 : -kInfiniteDouble) : kInfiniteDouble;
    Found own{worst, static_cast<double>(a_.gone.elements)};
    for_each([&](double x, std::int64_t i) {
      own = join(own, Found{of_magnitudes ? ::fabs(x) : x, static_cast<double>(i)});
    });
    return team_.template join<true>(own, join);
  }

  SharedTeam& team_;
  const ReduceArguments& a_;
  const float* const from_;
};

template <int kLanes, class Block>
RUSHLIGHT_KERNEL void reduce_kernel(Block& block, TeamShared& shared, const ReduceArguments& a) {
  Team<kLanes, Block> team(block, shared);
  team.for_each_item(a.kept.elements, [&](std::int64_t item) {
    const Found found = Reduction<kLanes, Block>(team, a, item).value();
    if (team.lane() != 0) return;
    if (a.values != nullptr) a.values[item] = static_cast<float>(found.value);
    if (a.positions != nullptr) a.positions[item] = static_cast<std::int64_t>(found.position);
  });
}

}  // namespace rushlight::cuda
