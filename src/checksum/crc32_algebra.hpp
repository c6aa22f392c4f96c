// Arithmetic in GF(2)[x] / P, the field CRC-32 lives in. An element is a word as the reflected CRC keeps it: bit 31 is
// the coefficient of x^0, bit 0 that of x^31.
#pragma once

#include <cstdint>
#include <optional>

namespace rushlight::checksum {

// x^32 + x^26 + x^23 + x^22 + x^16 + x^12 + x^11 + x^10 + x^8 + x^7 + x^5 + x^4 + x^2 + x + 1 without its first term.
inline constexpr std::uint32_t kPolynomial = 0xEDB88320U;
inline constexpr std::uint32_t kOne = 0x80000000U;  // x^0
inline constexpr std::uint32_t kX = 0x40000000U;    // x^1
// P is primitive: the powers of x run through every non-zero element.
inline constexpr std::uint64_t kOrderOfX = 0xFFFFFFFFU;

[[nodiscard]] constexpr std::uint32_t times_x(std::uint32_t a) noexcept {
  return a >> 1 ^ ((a & 1U) != 0 ? kPolynomial : 0U);
}

[[nodiscard]] constexpr std::uint32_t multiply(std::uint32_t a, std::uint32_t b) noexcept {
  std::uint32_t product = 0;
  for (std::uint32_t term = kOne; term != 0; term >>= 1) {
    product ^= b & (0U - static_cast<std::uint32_t>((a & term) != 0));
    b = times_x(b);
  }
  return product;
}

[[nodiscard]] constexpr std::uint32_t power(std::uint32_t base, std::uint64_t exponent) noexcept {
  std::uint32_t result = kOne;
  for (; exponent != 0; exponent >>= 1) {
    if ((exponent & 1U) != 0) result = multiply(result, base);
    base = multiply(base, base);
  }
  return result;
}

// x^exponent mod P.
[[nodiscard]] constexpr std::uint32_t power_of_x(std::uint64_t exponent) noexcept {
  return power(kX, exponent % kOrderOfX);
}

// The k in [0, 2^32 - 1) with x^k = a; nullopt for a = 0.
[[nodiscard]] std::optional<std::uint32_t> logarithm_of(std::uint32_t a) noexcept;

}  // namespace rushlight::checksum
