// Arithmetic in double, where float32 would lose digits that PyTorch keeps.
#pragma once

#include <cmath>

namespace rushlight::runtime::cpu {

[[nodiscard]] inline double wide(float value) noexcept {
  return static_cast<double>(value);
}

[[nodiscard]] inline double sigmoid(double x) noexcept {
  return 1 / (1 + std::exp(-x));
}

}  // namespace rushlight::runtime::cpu
