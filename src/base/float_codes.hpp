// Small floating-point codes and float: half, bfloat16, and the 8-bit kinds torch has (torch/headeronly/util/Float8_*,
// OCP 8-bit and MX specifications). Widening is exact; narrowing rounds to nearest, ties to even.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

namespace rushlight {

// IEEE 754 binary16: 1 sign, 5 exponent (bias 15), 10 mantissa bits. NaNs keep their payload and sign, and become quiet
// only when narrowing would leave no payload.
[[nodiscard]] constexpr float f16_to_f32(std::uint16_t code) noexcept {
  const std::uint32_t sign = static_cast<std::uint32_t>(code & 0x8000U) << 16;
  const std::uint32_t rest = static_cast<std::uint32_t>(code & 0x7FFFU) << 13;
  constexpr std::uint32_t kInfinity = 0x7C00U << 13;
  constexpr std::uint32_t kSmallestNormal = 0x0400U << 13;
  constexpr std::uint32_t kRebias = (127U - 15U) << 23;
  if (rest >= kInfinity) return std::bit_cast<float>(sign | (rest + 2 * kRebias));
  if (rest >= kSmallestNormal) return std::bit_cast<float>(sign | (rest + kRebias));
  // Subnormal: the mantissa counts steps of 2^-24, and both factors are exact.
  const float magnitude = static_cast<float>(code & 0x03FFU) * 0x1p-24F;
  return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(magnitude));
}

[[nodiscard]] constexpr std::uint16_t f32_to_f16(float value) noexcept {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = bits >> 16 & 0x8000U;
  const std::uint32_t rest = bits & 0x7FFFFFFFU;
  constexpr std::uint32_t kInfinity = 0x7F800000U;
  constexpr std::uint32_t kOverflow = 0x477FF000U;        // 65520: halfway from the largest half to the next power
  constexpr std::uint32_t kSmallestNormal = 0x38800000U;  // 2^-14
  constexpr std::uint32_t kUnderflow = 0x33000000U;       // 2^-25: halfway from 0 to the smallest half, a tie to 0
  std::uint32_t code = 0;
  if (rest > kInfinity) {
    const std::uint32_t payload = rest >> 13 & 0x03FFU;
    code = 0x7C00U | (payload != 0 ? payload : 0x0200U);
  } else if (rest >= kOverflow) {
    code = 0x7C00U;
  } else if (rest >= kSmallestNormal) {
    // Half a step, and one more where the kept part is odd; a carry moves into the exponent, as it should.
    const std::uint32_t rounded = rest + 0x0FFFU + (rest >> 13 & 1U);
    code = (rounded >> 13) - ((127U - 15U) << 10);
  } else if (rest > kUnderflow) {
    const std::uint32_t shift = 126U - (rest >> 23);  // 14 .. 24: the mantissa's last kept bit weighs 2^-24
    const std::uint32_t mantissa = (rest & 0x007FFFFFU) | 0x00800000U;
    const std::uint32_t kept = mantissa >> shift;
    const std::uint32_t dropped = mantissa & ((1U << shift) - 1U);
    const std::uint32_t half = 1U << (shift - 1U);
    code = kept + (dropped > half || (dropped == half && (kept & 1U) != 0) ? 1U : 0U);
  }
  return static_cast<std::uint16_t>(sign | code);
}

// bfloat16: the upper half of a float.
[[nodiscard]] constexpr float bf16_to_f32(std::uint16_t code) noexcept {
  return std::bit_cast<float>(static_cast<std::uint32_t>(code) << 16);
}

[[nodiscard]] constexpr std::uint16_t f32_to_bf16(float value) noexcept {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7FFFFFFFU) > 0x7F800000U) {
    // Rounding could carry a NaN into infinity, and cutting could leave no payload.
    const std::uint32_t upper = bits >> 16;
    return static_cast<std::uint16_t>((upper & 0x7FU) != 0 ? upper : upper | 0x0040U);
  }
  return static_cast<std::uint16_t>((bits + 0x7FFFU + (bits >> 16 & 1U)) >> 16);
}

namespace detail {

// How an 8-bit code with a sign is laid out: sign, exponent, mantissa.
struct Float8Layout {
  int mantissa_bits;
  int bias;
  bool ieee_specials;   // exponent all ones: infinity and NaN
  bool only_nan_7f_ff;  // S.1111.111 alone is NaN, there is no infinity ("fn")
  bool only_nan_80;     // 0x80 alone is NaN, there is no infinity and no negative zero ("fnuz")
};

constexpr float kFloat8Nan = std::bit_cast<float>(0x7FC00000U);

constexpr float power_of_two(int exponent) noexcept {
  float power = 1.0F;
  for (; exponent > 0; --exponent) power *= 2.0F;
  for (; exponent < 0; ++exponent) power *= 0.5F;
  return power;
}

constexpr std::array<float, 256> make_float8_table(Float8Layout layout) noexcept {
  std::array<float, 256> table{};
  const std::uint32_t mantissa_mask = (1U << layout.mantissa_bits) - 1U;
  const std::uint32_t exponent_mask = (0x80U >> layout.mantissa_bits) - 1U;
  for (std::uint32_t code = 0; code < 256; ++code) {
    const std::uint32_t mantissa = code & mantissa_mask;
    const std::uint32_t exponent = (code & 0x7FU) >> layout.mantissa_bits;
    const float sign = (code & 0x80U) != 0 ? -1.0F : 1.0F;
    float value = 0.0F;
    if (layout.ieee_specials && exponent == exponent_mask) {
      value = mantissa == 0 ? sign * std::bit_cast<float>(0x7F800000U) : kFloat8Nan;
    } else if ((layout.only_nan_7f_ff && (code & 0x7FU) == 0x7FU) || (layout.only_nan_80 && code == 0x80U)) {
      value = kFloat8Nan;
    } else {
      const std::uint32_t whole = exponent == 0 ? mantissa : mantissa | (mantissa_mask + 1U);
      const int power = (exponent == 0 ? 1 : static_cast<int>(exponent)) - layout.bias - layout.mantissa_bits;
      value = sign * static_cast<float>(whole) * power_of_two(power);
    }
    table[code] = value;
  }
  return table;
}

// A bare power of two: 2^(code - 127), 0xFF is NaN (OCP MX 5.4.1). 2^-127 is a subnormal float, and exact.
constexpr std::array<float, 256> make_e8m0_table() noexcept {
  std::array<float, 256> table{};
  for (int code = 0; code < 255; ++code) table[static_cast<std::size_t>(code)] = power_of_two(code - 127);
  table[255] = kFloat8Nan;
  return table;
}

}  // namespace detail

inline constexpr std::array<float, 256> kF8E5m2 = detail::make_float8_table({2, 15, true, false, false});
inline constexpr std::array<float, 256> kF8E4m3fn = detail::make_float8_table({3, 7, false, true, false});
inline constexpr std::array<float, 256> kF8E5m2fnuz = detail::make_float8_table({2, 16, false, false, true});
inline constexpr std::array<float, 256> kF8E4m3fnuz = detail::make_float8_table({3, 8, false, false, true});
inline constexpr std::array<float, 256> kF8E8m0fnu = detail::make_e8m0_table();

[[nodiscard]] constexpr float f8_e5m2_to_f32(std::uint8_t code) noexcept {
  return kF8E5m2[code];
}
[[nodiscard]] constexpr float f8_e4m3fn_to_f32(std::uint8_t code) noexcept {
  return kF8E4m3fn[code];
}
[[nodiscard]] constexpr float f8_e5m2fnuz_to_f32(std::uint8_t code) noexcept {
  return kF8E5m2fnuz[code];
}
[[nodiscard]] constexpr float f8_e4m3fnuz_to_f32(std::uint8_t code) noexcept {
  return kF8E4m3fnuz[code];
}
[[nodiscard]] constexpr float f8_e8m0fnu_to_f32(std::uint8_t code) noexcept {
  return kF8E8m0fnu[code];
}

}  // namespace rushlight
