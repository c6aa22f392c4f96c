// What Winograd's algorithm makes of the weights of 3x3 windows: G g G^T, for any backend. The matrices for inputs and
// outputs stand in winograd_sums.inc.
#pragma once

#include <Eigen/Core>
#include <cmath>
#include <cstddef>

namespace rushlight::runtime {

template <int T>
using FilterMatrix = Eigen::Matrix<double, T, 3>;

// Lavin and Gray, 2015, section 4.1.
inline FilterMatrix<4> g_of_f2() {
  FilterMatrix<4> g;
  g << 1, 0, 0, 0.5, 0.5, 0.5, 0.5, -0.5, 0.5, 0, 0, 1;
  return g;
}

// For points 0, a, -a, b, -b and infinity: [1, p, p^2] divided by the product of p's distances to the others. The
// B and A of winograd_sums.inc go with it.
inline FilterMatrix<6> g_of_f4() {
  const double a = std::sqrt(0.5);
  const double b = std::sqrt(2.0);
  const double n_a = 2 * a * a * (a * a - b * b);
  const double n_b = 2 * b * b * (b * b - a * a);
  FilterMatrix<6> g;
  g.row(0) << 1 / (a * a * b * b), 0, 0;
  g.row(1) << 1 / n_a, a / n_a, a * a / n_a;
  g.row(2) << 1 / n_a, -a / n_a, a * a / n_a;
  g.row(3) << 1 / n_b, b / n_b, b * b / n_b;
  g.row(4) << 1 / n_b, -b / n_b, b * b / n_b;
  g.row(5) << 0, 0, 1;
  return g;
}

// For a stride of 2: the outer taps for the points a, -a, b, -b and infinity, [1, p] divided by the product of |p|'s
// distances to the others, then the middle tap.
inline FilterMatrix<6> g_of_f4_strided() {
  const double a = 0.5;
  const double b = 1.25;
  const double n_a = 2 * a * (a * a - b * b);
  const double n_b = 2 * b * (b * b - a * a);
  FilterMatrix<6> g;
  g.row(0) << 1 / n_a, 0, a / n_a;
  g.row(1) << 1 / n_a, 0, -a / n_a;
  g.row(2) << 1 / n_b, 0, b / n_b;
  g.row(3) << 1 / n_b, 0, -b / n_b;
  g.row(4) << 0, 0, 1;
  g.row(5) << 0, 1, 0;
  return g;
}

// G g G^T for a run of outputs, in double.
template <int T>
class FilterTransform {
 public:
  static constexpr std::size_t kRun = 16;
  static constexpr std::size_t kSide = static_cast<std::size_t>(T);
  static constexpr std::size_t kPositions = kSide * kSide;
  using Lanes = double[kRun];

  explicit FilterTransform(const FilterMatrix<T>& g) {
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

}  // namespace rushlight::runtime
