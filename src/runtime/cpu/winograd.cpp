#include "runtime/cpu/winograd.hpp"

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <utility>

#include "base/fail.hpp"

namespace rushlight::runtime::cpu {
namespace {

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

// G g G^T for a run of outputs, in double.
template <int T>
class FilterTransform {
 public:
  static constexpr std::size_t kRun = 16;
  static constexpr std::size_t kSide = static_cast<std::size_t>(T);
  static constexpr std::size_t kPositions = kSide * kSide;
  using Lanes = double[kRun];

  explicit FilterTransform(const Transform<T>& g) {
    for (int row = 0; row < T; ++row) {
      for (int column = 0; column < 3; ++column) g_[row][column] = g(row, column);
    }
  }

  Lanes taps[9] = {};
  Lanes moved[kPositions];

  void run() noexcept {
    Lanes half[kSide * 3];  // G g
    for (std::size_t row = 0; row < kSide; ++row) {
      for (std::size_t column = 0; column < 3; ++column) {
        combine(g_[row], taps[column], taps[3 + column], taps[6 + column], half[row * 3 + column]);
      }
    }
    for (std::size_t row = 0; row < kSide; ++row) {
      for (std::size_t column = 0; column < kSide; ++column) {
        combine(g_[column], half[row * 3], half[row * 3 + 1], half[row * 3 + 2], moved[row * kSide + column]);
      }
    }
  }

 private:
  static void combine(const double (&g)[3], const Lanes& a, const Lanes& b, const Lanes& c, Lanes& to) noexcept {
    for (std::size_t i = 0; i < kRun; ++i) to[i] = g[0] * a[i] + g[1] * b[i] + g[2] * c[i];
  }

  double g_[kSide][3];
};

template <int T>
bool transform(const Transform<T>& g, const WeightSource& weight, std::size_t width, float* to) {
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
