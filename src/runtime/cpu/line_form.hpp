// Winograd's minimal filtering along one line: m outputs of r taps from m + r - 1 products instead of m * r. With
// stride 2 every other input meets every other tap, so that there are two such filters of stride 1, whose products at
// the same point are added up before anything else happens to them.
//
// The Toom-Cook way (Winograd, "Arithmetic Complexity of Computations", 1980, and Blahut, "Fast Algorithms for Digital
// Signal Processing", 1985, chapter 5): with points p_0 .. p_(n-2) and infinity,
//
//   y = A^T ((G g) * (B^T d)), A[j][i] = p_j^i, G[j][i] = p_j^i / N_j, N_j the product of p_j's distances to the
//   others, B^T[j][i] the coefficient of x^i in the product of (x - p_k) over all k other than j; for infinity the last
//   output and tap alone, and all k.
//
// Points are taken in the order 0, 1, -1, 1/2, -1/2, 2, so that the filters of both phases have theirs in common, and
// every factor of B and A is exact.
//
// All of it is for the compiler alone: kernels of every instruction set include it (kernels.hpp says why).
#pragma once

#include <cstddef>

namespace rushlight::runtime::cpu {

inline constexpr std::size_t kMostLinePositions = 7;
inline constexpr double kLinePoints[kMostLinePositions - 1] = {0, 1, -1, 0.5, -0.5, 2};

template <std::size_t N>
struct LineMatrix {
  float rows[N][N];
};

// B^T for `N` positions, the last one's point being infinity.
template <std::size_t N>
consteval LineMatrix<N> line_input() {
  LineMatrix<N> b{};
  for (std::size_t position = 0; position < N; ++position) {
    double polynomial[N + 1] = {1};  // coefficients of x^0, x^1, ...
    for (std::size_t k = 0; k + 1 < N; ++k) {
      if (k == position) continue;
      for (std::size_t i = N; i > 0; --i) polynomial[i] = polynomial[i - 1] - kLinePoints[k] * polynomial[i];
      polynomial[0] *= -kLinePoints[k];
    }
    for (std::size_t i = 0; i < N; ++i) b.rows[position][i] = static_cast<float>(polynomial[i]);
  }
  return b;
}

// Powers of the points: [position][exponent]. Those of infinity are not looked at.
template <std::size_t N>
consteval LineMatrix<N> line_output() {
  LineMatrix<N> a{};
  for (std::size_t position = 0; position + 1 < N; ++position) {
    double power = 1;
    for (std::size_t i = 0; i < N; ++i, power *= kLinePoints[position]) a.rows[position][i] = static_cast<float>(power);
  }
  return a;
}

// Of the filter of a window's taps phase, phase + stride, ...: 0 where there is no such phase.
constexpr std::size_t line_positions(std::size_t taps, std::size_t stride, std::size_t outputs, std::size_t phase) {
  return phase >= stride ? 0 : outputs + (taps + stride - 1 - phase) / stride - 1;
}

// Windows of `Taps` columns, `Outputs` outputs at a time.
template <std::size_t Taps, std::size_t Stride, std::size_t Outputs>
struct LineFormOf {
  static constexpr std::size_t kTaps = Taps;
  static constexpr std::size_t kStride = Stride;
  static constexpr std::size_t kOutputs = Outputs;
  static constexpr std::size_t kFirstPositions = line_positions(Taps, Stride, Outputs, 0);
  static constexpr std::size_t kSecondPositions = line_positions(Taps, Stride, Outputs, 1);
  static constexpr std::size_t kPositions = kFirstPositions + kSecondPositions;
  // Sums that are kept for an output: of each point, whatever the phase.
  static constexpr std::size_t kSums = kFirstPositions;
  struct Sums {
    std::size_t of[kPositions];
  };
  static consteval Sums sums() {
    Sums sums{};
    for (std::size_t position = 0; position < kPositions; ++position) {
      const bool is_infinity = position + 1 == kPositions;
      sums.of[position] = position < kSums ? position : is_infinity ? kSums - 1 : position - kSums;
    }
    return sums;
  }
};

}  // namespace rushlight::runtime::cpu
