#include "runtime/cpu/winograd.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/fail.hpp"
#include "runtime/winograd_filters.hpp"

namespace rushlight::runtime::cpu {
namespace {

// Values that pass WinogradInputCall's test are below 2^64, their transforms below 2^69: sums of 2^16 products with
// these stay finite.
constexpr double kMostWeight = 1099511627776.0;  // 2^40

template <int T>
bool transform(const FilterMatrix<T>& g, const WeightSource& weight, std::size_t width, float* to) {
  using Filters = FilterTransform<T>;
  Filters filters(g);
  const std::size_t inputs = weight.channels;
  bool is_usual = true;
  for (std::size_t first = 0; first < weight.outputs; first += width, to += Filters::kPositions * inputs * width) {
    const std::size_t in_panel = std::min(width, weight.outputs - first);
    for (std::size_t o = 0; o < in_panel; o += Filters::kRun) {
      const std::size_t count = std::min(Filters::kRun, in_panel - o);
      for (std::size_t input = 0; input < inputs; ++input) {
        for (std::size_t i = 0; i < count; ++i) {
          const float* const from = weight.values.data() + ((first + o + i) * inputs + input) * 9;
          const double scale = weight.scales.empty() ? 1.0 : weight.scales[first + o + i];
          for (std::size_t tap = 0; tap < 9; ++tap) filters.taps[tap][i] = static_cast<double>(from[tap]) * scale;
        }
        filters.run();
        for (std::size_t position = 0; position < Filters::kPositions; ++position) {
          const auto& moved = filters.moved[position];
          float* const place = to + (position * inputs + input) * width + o;
          for (std::size_t i = 0; i < count; ++i) {
            is_usual &= std::abs(moved[i]) < kMostWeight;  // not so NaN
            place[i] = static_cast<float>(moved[i]);
          }
        }
      }
    }
  }
  return is_usual;
}

}  // namespace

Result<std::shared_ptr<PackedArray>> pack_winograd(const WeightSource& weight, std::size_t width,
                                                   ConvAlgorithm algorithm) {
  const std::size_t positions = winograd_tile(algorithm) * winograd_tile(algorithm);
  const std::size_t panels = panels_for(weight.outputs, width);
  RUSHLIGHT_TRY_ASSIGN(std::shared_ptr<PackedArray> array,
                       make_packed_array(panels * width, positions * weight.channels));
  float* const to = array->memory.floats();
  // The last panel's padding.
  if (weight.outputs % width != 0) {
    const std::size_t panel = positions * weight.channels * width;
    std::fill_n(to + (panels - 1) * panel, panel, 0.0F);
  }
  array->is_usual = algorithm == ConvAlgorithm::winograd4 ? transform<6>(g_of_f4(), weight, width, to)
                                                          : transform<4>(g_of_f2(), weight, width, to);
  return array;
}

}  // namespace rushlight::runtime::cpu
