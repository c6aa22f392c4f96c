#include "runtime/cpu/winograd.hpp"

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <utility>

#include "base/checked.hpp"
#include "base/fail.hpp"
#include "runtime/failure.hpp"

namespace rushlight::runtime::cpu {
namespace {

using Filter = Eigen::Matrix<double, 3, 3>;
template <int T>
using Transform = Eigen::Matrix<double, T, 3>;

// Lavin and Gray, 2015, section 4.1.
Transform<4> g_of_f2() {
  Transform<4> g;
  g << 1, 0, 0, 0.5, 0.5, 0.5, 0.5, -0.5, 0.5, 0, 0, 1;
  return g;
}

// For points 0, a, -a, b, -b and infinity: [1, p, p^2] divided by the product of p's distances to the others. The
// kernels' B and A go with it (kernels/winograd.inc).
Transform<6> g_of_f4() {
  const double a = std::sqrt(0.5);
  const double b = std::sqrt(2.0);
  const double n_a = 2 * a * a * (a * a - b * b);
  const double n_b = 2 * b * b * (b * b - a * a);
  Transform<6> g;
  g.row(0) << 1 / (a * a * b * b), 0, 0;
  g.row(1) << 1 / n_a, a / n_a, a * a / n_a;
  g.row(2) << 1 / n_a, -a / n_a, a * a / n_a;
  g.row(3) << 1 / n_b, b / n_b, b * b / n_b;
  g.row(4) << 1 / n_b, -b / n_b, b * b / n_b;
  g.row(5) << 0, 0, 1;
  return g;
}

// Values that pass WinogradInputCall's test are below 2^64, their transforms below 2^69: sums of 2^16 products with
// these stay finite.
constexpr double kMostWeight = 1099511627776.0;  // 2^40

template <int T>
bool transform(const Transform<T>& g, std::span<const float> weights, std::size_t outputs, std::size_t inputs,
               std::size_t width, float* to) {
  constexpr std::size_t kPositions = static_cast<std::size_t>(T) * T;
  bool is_usual = true;
  for (std::size_t o = 0; o < outputs; ++o) {
    float* const first = to + o / width * kPositions * inputs * width + o % width;
    for (std::size_t i = 0; i < inputs; ++i) {
      Filter filter;
      for (std::size_t tap = 0; tap < 9; ++tap) {
        const float weight = weights[(o * 9 + tap) * inputs + i];
        filter(static_cast<Eigen::Index>(tap / 3), static_cast<Eigen::Index>(tap % 3)) = static_cast<double>(weight);
      }
      const Eigen::Matrix<double, T, T> moved = g * filter * g.transpose();
      if (!(moved.cwiseAbs().maxCoeff() < kMostWeight)) is_usual = false;
      for (std::size_t position = 0; position < kPositions; ++position) {
        const auto row = static_cast<Eigen::Index>(position / T);
        const auto column = static_cast<Eigen::Index>(position % T);
        first[(position * inputs + i) * width] = static_cast<float>(moved(row, column));
      }
    }
  }
  return is_usual;
}

// In operations that a multiply-add unit does in the time: what moving one float through the transforms takes, and
// what one byte of weights takes that comes from beyond the caches.
struct Costs {
  double input;
  double output;
};
constexpr Costs kCosts[] = {{0, 0}, {10, 8}, {18, 12}};
constexpr double kWeightByte = 8;

double cost_of(ConvAlgorithm algorithm, double images, double height, double width, double in, double out) {
  if (algorithm == ConvAlgorithm::direct) {
    return 18 * images * height * width * in * out + kWeightByte * 36 * in * out;
  }
  const auto side = static_cast<double>(winograd_outputs(algorithm));
  const auto tile = static_cast<double>(winograd_tile(algorithm));
  const Costs& costs = kCosts[static_cast<std::size_t>(algorithm)];
  const double positions = tile * tile;
  const double tiles = images * std::ceil(height / side) * std::ceil(width / side);
  // Rows of a product come in sixes, or nearly.
  const double rows = std::ceil(tiles / 6) * 6;
  return positions *
         (2 * rows * in * out + tiles * (costs.input * in + costs.output * out) + kWeightByte * 4 * in * out);
}

}  // namespace

ConvAlgorithm choose_conv_algorithm(const ConvStep& step, const PlannedTensor& input, const PlannedTensor& output,
                                    Precision precision) noexcept {
  constexpr std::int64_t kFewChannels = 16;
  const bool fits = step.kernel == IntPair{3} && step.stride == IntPair{1} && step.dilation == IntPair{1} &&
                    step.groups == 1 && input.c >= kFewChannels && output.c >= kFewChannels;
  if (!fits || output.elements() == 0) return ConvAlgorithm::direct;
  ConvAlgorithm best = ConvAlgorithm::direct;
  const auto cost = [&](ConvAlgorithm algorithm) {
    return cost_of(algorithm, static_cast<double>(output.n), static_cast<double>(output.h),
                   static_cast<double>(output.w), static_cast<double>(input.c), static_cast<double>(output.c));
  };
  for (const ConvAlgorithm algorithm : {ConvAlgorithm::winograd2, ConvAlgorithm::winograd4}) {
    if (algorithm == ConvAlgorithm::winograd4 && precision != Precision::fast) continue;
    if (cost(algorithm) < cost(best)) best = algorithm;
  }
  return best;
}

Result<std::shared_ptr<PackedArray>> pack_winograd(std::span<const float> weights, std::size_t outputs,
                                                   std::size_t inputs, std::size_t width, ConvAlgorithm algorithm) {
  const std::size_t positions = winograd_tile(algorithm) * winograd_tile(algorithm);
  const auto columns = checked_mul(panels_for(outputs, width) * width, inputs);
  const auto count = columns ? checked_mul(*columns, positions) : std::nullopt;
  const auto bytes = count ? checked_mul(*count, sizeof(float)) : std::nullopt;
  auto array = std::make_shared<PackedArray>();
  if (bytes) array->memory = AlignedBuffer::allocate(*bytes);
  if (array->memory.data() == nullptr) return no_memory_for(bytes.value_or(UINT64_MAX), "packed weights");
  std::fill_n(array->memory.floats(), *count, 0.0F);
  float* const to = array->memory.floats();
  array->is_usual = algorithm == ConvAlgorithm::winograd4
                        ? transform<6>(g_of_f4(), weights, outputs, inputs, width, to)
                        : transform<4>(g_of_f2(), weights, outputs, inputs, width, to);
  return array;
}

}  // namespace rushlight::runtime::cpu
