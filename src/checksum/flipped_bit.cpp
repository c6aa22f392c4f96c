// Which bit was flipped: a discrete logarithm in the field of CRC-32.
#include <algorithm>
#include <array>
#include <utility>

#include "checksum/crc32.hpp"
#include "checksum/crc32_algebra.hpp"

namespace rushlight::checksum {
namespace {

// 2^32 - 1 is the product of the five Fermat primes.
constexpr std::array<std::uint32_t, 5> kFactors{3, 5, 17, 257, 65537};

// The k in [0, order) with base^k = a, where base has the given order and a is one of its powers: baby steps
// base^0 .. base^(m-1), giant steps of base^m, m * m >= order.
std::uint32_t logarithm_in_subgroup(std::uint32_t base, std::uint32_t order, std::uint32_t a) noexcept {
  constexpr std::uint32_t kMostSteps = 257;  // 257 * 257 >= 65537
  std::uint32_t steps = 1;
  while (steps * steps < order) ++steps;
  std::array<std::pair<std::uint32_t, std::uint32_t>, kMostSteps> baby;  // base^k, k
  std::uint32_t element = kOne;
  for (std::uint32_t k = 0; k < steps; ++k) {
    baby[k] = {element, k};
    element = multiply(element, base);
  }
  const auto end = baby.begin() + steps;
  std::sort(baby.begin(), end);
  const std::uint32_t giant = power(base, order - steps % order);  // base^-steps
  for (std::uint32_t i = 0; i < steps; ++i) {
    const auto found = std::lower_bound(baby.begin(), end, std::pair(a, 0U));
    if (found != end && found->first == a) return i * steps + found->second;
    a = multiply(a, giant);
  }
  return 0;  // not reached: a is a power of base
}

}  // namespace

std::optional<std::uint32_t> logarithm_of(std::uint32_t a) noexcept {
  if (a == 0) return std::nullopt;
  // The logarithm modulo each factor, put together by the Chinese remainder theorem step by step: `k` is right modulo
  // `modulus`, and a multiple of `modulus` makes it right modulo the next factor too.
  std::uint64_t k = 0;
  std::uint64_t modulus = 1;
  for (const std::uint32_t factor : kFactors) {
    const std::uint64_t cofactor = kOrderOfX / factor;
    const std::uint32_t residue = logarithm_in_subgroup(power_of_x(cofactor), factor, power(a, cofactor));
    while (k % factor != residue) k += modulus;
    modulus *= factor;
  }
  return static_cast<std::uint32_t>(k);
}

std::optional<BitPosition> locate_flipped_bit(std::uint32_t crc_difference, std::uint64_t size_bytes) noexcept {
  if (crc_difference == 0 || size_bytes == 0 || size_bytes >= std::uint64_t{1} << 29) return std::nullopt;
  const std::uint64_t bits = size_bytes * 8;
  // CRC-32 reads the least significant bit of a byte first, and the first bit read is the coefficient of the highest
  // power: bit t of the message weighs x^(bits - 1 - t), and the remainder is taken of that times x^32.
  const std::uint32_t weight = multiply(crc_difference, power_of_x(kOrderOfX - 32));
  const std::optional<std::uint32_t> exponent = logarithm_of(weight);
  if (!exponent || *exponent >= bits) return std::nullopt;
  const std::uint64_t position = bits - 1 - *exponent;
  return BitPosition{position / 8, static_cast<unsigned>(position % 8)};
}

}  // namespace rushlight::checksum
