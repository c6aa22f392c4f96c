#include "runtime/cpu/conv_choice.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "runtime/cpu/op.hpp"
#include "runtime/cpu/winograd.hpp"

namespace rushlight::runtime::cpu {
namespace {

constexpr std::array kAlgorithms = {ConvAlgorithm::direct, ConvAlgorithm::winograd2, ConvAlgorithm::winograd2x4,
                                    ConvAlgorithm::winograd4};
// Of stride 2.
constexpr std::array kStrided = {ConvAlgorithm::direct, ConvAlgorithm::winograd2_strided,
                                 ConvAlgorithm::winograd4_strided};
// The first of them are as exact as the direct way: three of many channels, two of few.
constexpr std::size_t kExact = 3;
constexpr std::int64_t kManyChannels = 64;
// Of fewer outputs F(2x2) of few channels saves little, and its roundings are many beside those of such short sums:
// SqueezeNet's 13 x 13 pictures of 48 channels.
constexpr std::int64_t kLeastExactPicture = 14 * 14;
// With fewer the transforms are most of the work.
constexpr std::int64_t kFewChannels = 16;

// The rule counts in floating-point operations of a multiply-add unit that is kept busy:
//
//   products of the tiles' positions, in sixes of rows as a kernel takes them, fewer of which cost a little more each,
// + floats through the transforms, each at what the loads, additions and stores of its share take,
// + bytes of weights, which come from memory: between two runs the rest of a network passes through the caches. Part of
//   that time passes beside the products'.
//
// What decides are tiles of 2.25 to 4 times fewer products against weights of 16 / 9 to 4 times the bytes.
struct Costs {
  double input;   // of a float before the products
  double output;  // of one behind them
};
constexpr Costs kCosts[] = {{0, 0}, {10, 8}, {14, 10}, {18, 12}, {8, 8}, {36, 14}};

// Of an operation of the products: short chains are stored and loaded more often.
double cost_of_product(std::size_t chain) {
  if (chain == kGemmChain) return 1;
  return chain < kGemmChain / 4 ? 1.15 : 1.06;
}
// Of a byte of weights: with short chains they are asked for more evenly.
double cost_of_weight(std::size_t chain) {
  return chain == kGemmChain ? 1 : 0.75;
}

double rows_of(double tiles) {
  const double sixes = std::floor(tiles / 6) * 6;
  return sixes + (sixes < tiles ? tiles - sixes + 0.7 : 0);
}

double beside(double operations, double bytes, const MemoryCost& memory) {
  const double waiting = memory.operations_per_byte * bytes;
  return operations + waiting - memory.hidden * std::min(operations, waiting);
}

double cost_of_direct(double images, double height, double width, double in, double out, double speed,
                      double weight_bytes, const MemoryCost& memory) {
  return beside(18 * images * height * width * in * out / speed, 9 * weight_bytes * in * out, memory);
}

double cost_of(ConvAlgorithm algorithm, Precision precision, double images, double height, double width, double in,
               double out, const MemoryCost& memory) {
  const WinogradTiling tiling = winograd_form(algorithm)->tiling;
  const Costs& costs = kCosts[static_cast<std::size_t>(algorithm)];
  const std::size_t chain = winograd_chain(algorithm, static_cast<std::size_t>(in), precision);
  const WinogradGrid grid{tiling, static_cast<std::size_t>(height), static_cast<std::size_t>(width)};
  double operations = 0;
  for (std::size_t position = 0; position < tiling.positions(); ++position) {
    const WinogradGrid::Groups groups = grid.groups_for(position);
    double tiles = 0;
    for (std::size_t group = groups.first; group < groups.last; ++group) {
      tiles += images * static_cast<double>(grid.tiles_in(static_cast<WinogradGrid::Group>(group)));
    }
    operations +=
        cost_of_product(chain) * 2 * rows_of(tiles) * in * out + tiles * (costs.input * in + costs.output * out);
  }
  const double bytes = cost_of_weight(chain) * sizeof(float) * in * out;
  return beside(operations, static_cast<double>(tiling.filters()) * bytes, memory);
}

}  // namespace

MemoryCost memory_cost(Isa isa, const CpuFeatures& features) noexcept {
  // Measured on guests with one core at work. 512-bit units: 172 GFLOP/s beside 13 GB/s, where one waits for the other.
  // 256: 118 GFLOP/s; 17 GB/s where few rows wait for weights, and where more rows multiply them an eighth of it shows.
  // Units of 128 bits were not measured.
  constexpr MemoryCost kWide = {14, 0};
  constexpr MemoryCost kMiddle = {7, 0.875};
  constexpr MemoryCost kNarrow = {2, 0};
  if (isa == Isa::avx512) return features.splits_avx512 ? kMiddle : kWide;
  return isa == Isa::avx2 ? kMiddle : kNarrow;
}

std::span<const ConvAlgorithm> conv_algorithms(const ConvStep& step, const PlannedTensor& input,
                                               const PlannedTensor& output, Precision precision) noexcept {
  const bool is_strided = step.stride == IntPair{2};
  const bool has_others = step.kernel == IntPair{3} && (is_strided || step.stride == IntPair{1}) &&
                          step.dilation == IntPair{1} && step.groups == 1 && input.c >= kFewChannels &&
                          output.c >= kFewChannels && output.elements() != 0 && !input.is_bf16 && !output.is_bf16;
  if (!has_others) return std::span(kAlgorithms).first(1);
  const std::span<const ConvAlgorithm> all = is_strided ? std::span<const ConvAlgorithm>(kStrided) : kAlgorithms;
  if (takes_fast_ways(precision)) return all;
  if (input.c >= kManyChannels) return all.first(kExact);
  return all.first(is_strided || output.h * output.w >= kLeastExactPicture ? kExact - 1 : 1);
}

ConvAlgorithm choose_conv_algorithm(const ConvStep& step, const PlannedTensor& input, const PlannedTensor& output,
                                    Precision precision, const MemoryCost& memory, double direct_speed) noexcept {
  const std::span<const ConvAlgorithm> offered = conv_algorithms(step, input, output, precision);
  const double weight_bytes = precision == Precision::bf16 ? 2 : 4;
  const auto cost = [&](ConvAlgorithm algorithm) {
    const auto images = static_cast<double>(output.n);
    const auto height = static_cast<double>(output.h);
    const auto width = static_cast<double>(output.w);
    const auto in = static_cast<double>(input.c);
    const auto out = static_cast<double>(output.c);
    if (algorithm == ConvAlgorithm::direct) {
      return cost_of_direct(images, height, width, in, out, direct_speed, weight_bytes, memory);
    }
    return cost_of(algorithm, precision, images, height, width, in, out, memory);
  };
  return *std::min_element(offered.begin(), offered.end(),
                           [&](ConvAlgorithm a, ConvAlgorithm b) { return cost(a) < cost(b); });
}

ConvAlgorithm usual_conv_algorithm(const ConvStep& step, const OpContext& context) noexcept {
  // As of the whole batch: whether its items are computed one by one hangs on caches, which must not show in results.
  PlannedTensor output = context.tensor(step.output);
  output.n *= context.items;
  return choose_conv_algorithm(step, context.tensor(step.input), output, context.options.precision,
                               context.machine.memory, context.narrow == nullptr ? 1 : context.narrow->speed);
}

std::string_view word_of(ConvAlgorithm algorithm) noexcept {
  switch (algorithm) {
    case ConvAlgorithm::direct:
      return "direct";
    case ConvAlgorithm::winograd2:
      return "winograd2";
    case ConvAlgorithm::winograd2x4:
      return "winograd2x4";
    case ConvAlgorithm::winograd4:
      return "winograd4";
    case ConvAlgorithm::winograd2_strided:
      return "winograd2s2";
    case ConvAlgorithm::winograd4_strided:
      return "winograd4s2";
  }
  return "?";
}

std::optional<ConvAlgorithm> parse_conv_algorithm(std::string_view word) noexcept {
  for (const std::span<const ConvAlgorithm> algorithms : {std::span<const ConvAlgorithm>(kAlgorithms), {kStrided}}) {
    for (const ConvAlgorithm algorithm : algorithms) {
      if (word == word_of(algorithm)) return algorithm;
    }
  }
  return std::nullopt;
}

ConvAlgorithm choose_conv_algorithm(const ConvStep& step, const OpContext& context) noexcept {
  // Weights of any other way are larger, and it multiplies floats.
  if (context.options.low_memory || context.tensor(step.input).is_bf16 || context.tensor(step.output).is_bf16) {
    return ConvAlgorithm::direct;
  }
  if (context.conv_choices != nullptr) {
    const auto chosen = context.conv_choices->find(step.output);
    if (chosen != context.conv_choices->end()) return chosen->second;
  }
  return usual_conv_algorithm(step, context);
}

}  // namespace rushlight::runtime::cpu
