// x to the power of a number, as torch.pow has it.
#pragma once

#include <cmath>

namespace rushlight::runtime::reference {

// The few exponents that torch computes another way differ from C's pow() where x is -inf or -0:
// pow_tensor_optimized_kernel in ATen/native/cpu/PowKernel.cpp.
inline double power(double x, double exponent) noexcept {
  if (exponent == 0.5) return std::sqrt(x);
  if (exponent == 2) return x * x;
  if (exponent == 3) return x * x * x;
  if (exponent == -0.5) return 1 / std::sqrt(x);
  if (exponent == -1) return 1 / x;
  if (exponent == -2) return 1 / (x * x);
  return std::pow(x, exponent);
}

}  // namespace rushlight::runtime::reference
