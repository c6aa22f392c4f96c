#include "runtime/cpu/conv_choice.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "runtime/cpu/op.hpp"
#include "runtime/cpu/winograd.hpp"

namespace rushlight::runtime::cpu {
namespace {

constexpr std::array kAlgorithms = {ConvAlgorithm::direct, ConvAlgorithm::winograd2, ConvAlgorithm::winograd4};
// With fewer the transforms are most of the work.
constexpr std::int64_t kFewChannels = 16;

// The rule counts in floating-point operations of a multiply-add unit that is kept busy:
//
//   products of a tile's positions, its rows rounded up to the six that a kernel takes at a time,
// + floats through the transforms, each at what the loads, additions and stores of its share take,
// + bytes of weights, which come from memory: between two runs the rest of a network passes through the caches.
//
// What decides are tiles of 2.25 and 4 times fewer products against weights of 16 / 9 and 4 times the bytes.
struct Costs {
  double input;   // of a float before the products
  double output;  // of one behind them
};
constexpr Costs kCosts[] = {{0, 0}, {10, 8}, {18, 12}};

double cost_of_direct(double images, double height, double width, double in, double out, double speed,
                      double weight_cost) {
  return 18 * images * height * width * in * out / speed + 9 * weight_cost * in * out;
}

double cost_of(ConvAlgorithm algorithm, double images, double height, double width, double in, double out,
               double weight_cost) {
  const auto side = static_cast<double>(winograd_outputs(algorithm));
  const auto tile = static_cast<double>(winograd_tile(algorithm));
  const Costs& costs = kCosts[static_cast<std::size_t>(algorithm)];
  const double positions = tile * tile;
  const double tiles = images * std::ceil(height / side) * std::ceil(width / side);
  const double rows = std::ceil(tiles / 6) * 6;
  return positions * (2 * rows * in * out + tiles * (costs.input * in + costs.output * out) + weight_cost * in * out);
}

}  // namespace

double operations_per_byte(Isa isa, const CpuFeatures& features) noexcept {
  // Measured on guests with one core at work: 172 GFLOP/s beside 13 GB/s (512-bit units), 118 beside 28 (256). Units of
  // 128 bits were not measured.
  constexpr double kWide = 14;
  constexpr double kMiddle = 5;
  constexpr double kNarrow = 2;
  if (isa == Isa::avx512) return features.splits_avx512 ? kMiddle : kWide;
  return isa == Isa::avx2 ? kMiddle : kNarrow;
}

std::span<const ConvAlgorithm> conv_algorithms(const ConvStep& step, const PlannedTensor& input,
                                               const PlannedTensor& output, Precision precision) noexcept {
  const bool has_others = step.kernel == IntPair{3} && step.stride == IntPair{1} && step.dilation == IntPair{1} &&
                          step.groups == 1 && input.c >= kFewChannels && output.c >= kFewChannels &&
                          output.elements() != 0;
  // Of the other precisions what is computed in floats is computed strictly.
  const bool is_fast = precision == Precision::fast || precision == Precision::bf16;
  return std::span(kAlgorithms).first(!has_others ? 1 : is_fast ? 3 : 2);
}

ConvAlgorithm choose_conv_algorithm(const ConvStep& step, const PlannedTensor& input, const PlannedTensor& output,
                                    Precision precision, double operations_per_byte, double direct_speed) noexcept {
  const std::span<const ConvAlgorithm> offered = conv_algorithms(step, input, output, precision);
  const double weight_bytes = precision == Precision::bf16 ? 2 : 4;
  const auto cost = [&](ConvAlgorithm algorithm) {
    const auto images = static_cast<double>(output.n);
    const auto height = static_cast<double>(output.h);
    const auto width = static_cast<double>(output.w);
    const auto in = static_cast<double>(input.c);
    const auto out = static_cast<double>(output.c);
    if (algorithm == ConvAlgorithm::direct) {
      return cost_of_direct(images, height, width, in, out, direct_speed, operations_per_byte * weight_bytes);
    }
    return cost_of(algorithm, images, height, width, in, out, operations_per_byte * sizeof(float));
  };
  return *std::min_element(offered.begin(), offered.end(),
                           [&](ConvAlgorithm a, ConvAlgorithm b) { return cost(a) < cost(b); });
}

ConvAlgorithm usual_conv_algorithm(const ConvStep& step, const OpContext& context) noexcept {
  return choose_conv_algorithm(step, context.tensor(step.input), context.tensor(step.output), context.options.precision,
                               context.machine.operations_per_byte,
                               context.narrow == nullptr ? 1 : context.narrow->speed);
}

std::string_view word_of(ConvAlgorithm algorithm) noexcept {
  switch (algorithm) {
    case ConvAlgorithm::direct:
      return "direct";
    case ConvAlgorithm::winograd2:
      return "winograd2";
    case ConvAlgorithm::winograd4:
      return "winograd4";
  }
  return "?";
}

std::optional<ConvAlgorithm> parse_conv_algorithm(std::string_view word) noexcept {
  for (const ConvAlgorithm algorithm : kAlgorithms) {
    if (word == word_of(algorithm)) return algorithm;
  }
  return std::nullopt;
}

ConvAlgorithm choose_conv_algorithm(const ConvStep& step, const OpContext& context) noexcept {
  // Weights of any other way are larger.
  if (context.options.low_memory) return ConvAlgorithm::direct;
  if (context.conv_choices != nullptr) {
    const auto chosen = context.conv_choices->find(step.output);
    if (chosen != context.conv_choices->end()) return chosen->second;
  }
  return usual_conv_algorithm(step, context);
}

}  // namespace rushlight::runtime::cpu
