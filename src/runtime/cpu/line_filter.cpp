#include "runtime/cpu/line_filter.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/fail.hpp"
#include "runtime/cpu/line_form.hpp"
#include "runtime/cpu/winograd.hpp"

namespace rushlight::runtime::cpu {
namespace {

// What the taps phase, phase + stride, ... of a window become: G (line_form.hpp).
struct PhaseFilter {
  std::size_t first_tap;
  std::size_t taps;
  std::vector<double> g;  // [position][tap]
};

PhaseFilter filter_of(std::size_t phase, const LineForm& form) {
  const std::size_t taps = parts_of(form.taps - phase, form.stride);
  const std::size_t positions = form.outputs + taps - 1;
  std::vector<double> g(positions * taps, 0.0);
  for (std::size_t position = 0; position + 1 < positions; ++position) {
    double distances = 1;
    for (std::size_t other = 0; other + 1 < positions; ++other) {
      if (other != position) distances *= kLinePoints[position] - kLinePoints[other];
    }
    double power = 1;
    for (std::size_t tap = 0; tap < taps; ++tap, power *= kLinePoints[position]) {
      g[position * taps + tap] = power / distances;
    }
  }
  g.back() = 1;
  return {phase, taps, std::move(g)};
}

}  // namespace

const LineForm* line_form(Packing packing) noexcept {
  const auto* const found = std::find_if(std::begin(kLineForms), std::end(kLineForms),
                                         [&](const LineForm& form) { return form.packing == packing; });
  return found == std::end(kLineForms) ? nullptr : found;
}

Result<std::shared_ptr<PackedArray>> pack_line_filter(const WeightSource& weight, std::size_t width,
                                                      const LineForm& form) {
  std::vector<PhaseFilter> phases;
  for (std::size_t phase = 0; phase < form.stride; ++phase) phases.push_back(filter_of(phase, form));
  const std::size_t vectors = parts_of(weight.outputs, width);
  const std::size_t lines = weight.pixels / form.taps;
  RUSHLIGHT_TRY_ASSIGN(std::shared_ptr<PackedArray> array,
                       make_packed_array(vectors * width, lines * weight.channels * form.positions));
  float* to = array->memory.floats();
  for (std::size_t first = 0; first < vectors * width; first += width) {
    for (std::size_t line = 0; line < lines; ++line) {
      for (std::size_t channel = 0; channel < weight.channels; ++channel) {
        for (const PhaseFilter& phase : phases) {
          for (std::size_t at = 0; at < phase.g.size(); at += phase.taps) {
            for (std::size_t o = first; o < first + width; ++o) {
              double value = 0;
              for (std::size_t tap = 0; o < weight.outputs && tap < phase.taps; ++tap) {
                const std::size_t pixel = line * form.taps + phase.first_tap + tap * form.stride;
                value += phase.g[at + tap] *
                         static_cast<double>(weight.values[(o * weight.channels + channel) * weight.pixels + pixel]);
              }
              if (o < weight.outputs && !weight.scales.empty()) value *= weight.scales[o];
              const auto rounded = static_cast<float>(value);
              array->is_usual &= std::fabs(rounded) < kMostWinogradWeight;
              *to++ = rounded;
            }
          }
        }
      }
    }
  }
  return array;
}

}  // namespace rushlight::runtime::cpu
