// output[item][i] = input[item][i] made to fit those of its own item: layer, group, instance and RMS norms, softmaxes,
// Normalize, CumSum.
//
// An item is what a statistic is taken over: the last dimensions of a row, a group of channels of an image, a line
// along a dimension. A team (team.cuh) of one thread, one warp or one block takes one: it goes over the elements once
// for each statistic and once to write. Bytes moved: 4 in from memory and 4 out an element where an item fits the
// cache, 4 in for each statistic where not. Accuracy: statistics in double, rounded once an element. Tests:
// GeneralTeams.EveryLaneHasWhatAllFound, operator_emulation_test.cpp.
#pragma once

#include <cmath>
#include <cstdint>

#include "cuda/kernels/reduce.cuh"
#include "cuda/kernels/team.cuh"

namespace rushlight::cuda {

enum class NormRule : std::uint8_t {
  layer,    // (x - mean) / sqrt(var + eps) * weight + bias
  given,    // the same with mean and variance from outside
  rms,      // x / sqrt(mean square + eps) * weight
  unit,     // x / max(norm of order `order`, eps)
  softmax,  // of x * order, which is 1 or -1
  log_softmax,
  running_sum,  // one lane
};

struct NormaliseArguments {
  NormRule rule = NormRule::layer;
  int lanes = 1;
  double eps = 0;
  double order = 0;
  const float* input = nullptr;
  float* output = nullptr;
  const float* weight = nullptr;  // or null, like the next three
  const float* bias = nullptr;
  const float* mean = nullptr;
  const float* variance = nullptr;
  StridedShape<3> kept;  // input, output, weight and what lies like it
  StridedShape<3> gone;
};

RUSHLIGHT_HOST_DEVICE inline Grid grid_of(const NormaliseArguments& a) {
  return grid_for_teams(a.kept.elements, a.lanes);
}

template <int kLanes, class Block>
class Normalisation {
 public:
  using SharedTeam = Team<kLanes, Block>;
  RUSHLIGHT_KERNEL Normalisation(SharedTeam& team, const NormaliseArguments& a, std::int64_t item)
      : team_(team), a_(a), first_(places_of(a.kept, item)) {}

  RUSHLIGHT_KERNEL void run() {
    const auto count = static_cast<double>(a_.gone.elements);
    switch (a_.rule) {
      case NormRule::layer: {
        const double mean = sum([](double x) { return x; }) / count;
        const double square = sum([mean](double x) { return (x - mean) * (x - mean); });
        return write_affine(mean, 1 / ::sqrt(square / count + a_.eps));
      }
      case NormRule::given:
        return write_affine(static_cast<double>(a_.mean[first_.at[2]]),
                            1 / ::sqrt(static_cast<double>(a_.variance[first_.at[2]]) + a_.eps));
      case NormRule::rms: {
        const double square = sum([](double x) { return x * x; });
        return write_affine(0, 1 / ::sqrt(square / count + a_.eps));
      }
      case NormRule::unit: {
        const double norm = norm_of_item();
        const double divisor = norm < a_.eps ? a_.eps : norm;
        return write([divisor](double x, std::int64_t) { return x / divisor; });
      }
      case NormRule::softmax: {
        const double sign = a_.order;
        const double peak = largest([sign](double x) { return sign * x; });
        const double all = sum([sign, peak](double x) { return ::exp(sign * x - peak); });
        return write([=](double x, std::int64_t) { return ::exp(sign * x - peak) / all; });
      }
      case NormRule::log_softmax: {
        const double peak = largest([](double x) { return x; });
        const double shift = ::log(sum([peak](double x) { return ::exp(x - peak); }));
        return write([=](double x, std::int64_t) { return x - peak - shift; });
      }
      case NormRule::running_sum: {
        double all = 0;
        return write([&all](double x, std::int64_t) { return all += x; });
      }
    }
  }

 private:
  template <class F>
  RUSHLIGHT_KERNEL void for_each(F&& f) {
    for (std::int64_t i = team_.lane(); i < a_.gone.elements; i += kLanes) {
      const StridedPlaces<3> places = places_of(a_.gone, i);
      f(static_cast<double>(a_.input[first_.at[0] + places.at[0]]), places);
    }
  }
  template <class F>
  RUSHLIGHT_KERNEL double sum(F&& f) {
    double own = 0;
    for_each([&](double x, const StridedPlaces<3>&) { own += f(x); });
    return team_.sum(own);
  }
  template <class F>
  RUSHLIGHT_KERNEL double largest(F&& f) {
    double own = -kInfiniteDouble;
    for_each([&](double x, const StridedPlaces<3>&) {
      const double value = f(x);
      own = value > own || value != value ? value : own;
    });
    return team_.largest(own);
  }
  RUSHLIGHT_KERNEL double norm_of_item() {
    const double order = a_.order;
    if (order == kInfiniteDouble) {
      const double most = largest([](double x) { return ::fabs(x); });
      return most == -kInfiniteDouble ? 0.0 : most;
    }
    if (order == -kInfiniteDouble) return -largest([](double x) { return -::fabs(x); });
    return norm_of_sum(sum([order](double x) { return norm_term(::fabs(x), order); }), order);
  }
  // f(element, place of its weight).
  template <class F>
  RUSHLIGHT_KERNEL void write(F&& f) {
    for_each([&](double x, const StridedPlaces<3>& places) {
      a_.output[first_.at[1] + places.at[1]] = static_cast<float>(f(x, first_.at[2] + places.at[2]));
    });
  }
  RUSHLIGHT_KERNEL void write_affine(double mean, double factor) {
    write([&](double x, std::int64_t place) {
      const double scale = a_.weight == nullptr ? 1.0 : static_cast<double>(a_.weight[place]);
      const double shift = a_.bias == nullptr ? 0.0 : static_cast<double>(a_.bias[place]);
      return (x - mean) * factor * scale + shift;
    });
  }

  SharedTeam& team_;
  const NormaliseArguments& a_;
  const StridedPlaces<3> first_;
};

template <int kLanes, class Block>
RUSHLIGHT_KERNEL void normalise_kernel(Block& block, TeamShared& shared, const NormaliseArguments& a) {
  Team<kLanes, Block> team(block, shared);
  team.for_each_item(a.kept.elements, [&](std::int64_t item) { Normalisation<kLanes, Block>(team, a, item).run(); });
}

}  // namespace rushlight::cuda
