// Small floating-point codes and float: half, bfloat16, and the 8-bit kinds torch has (torch/headeronly/util/Float8_*,
// OCP 8-bit and MX specifications). Widening is exact; narrowing rounds to nearest, ties to even. An 8-bit NaN widens
// to the very NaN that torch makes of it.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>

namespace rushlight {

namespace detail {

// The code nearest to a float without its sign, whose bits are `rest`. What is too large for the format, infinity and
// NaN become some code above its largest. One path for normal and subnormal numbers: weights have both.
constexpr std::int32_t round_to_code(std::int32_t rest, int mantissa_bits, int bias) noexcept {
  const int dropped = 23 - mantissa_bits;
  const std::int32_t smallest_normal = 128 - bias;  // exponents as a float has them
  const std::int32_t beyond = (130 + bias) << 23;   // no format has so many exponents above its bias
  const std::int32_t magnitude = std::min(rest, beyond);
  const std::int32_t exponent = std::max(magnitude >> 23, smallest_normal);
  // The last bit of a float with these bits weighs as much as that of the code, so the addition rounds to whole codes
  // (the processor does, to nearest, ties to even) and leaves the mantissa with its leading bit, if it has one.
  const std::int32_t steps = (exponent + dropped) << 23;
  const float sum = std::bit_cast<float>(magnitude) + std::bit_cast<float>(steps);
  return ((exponent - smallest_normal) << mantissa_bits) + (std::bit_cast<std::int32_t>(sum) - steps);
}

}  // namespace detail

// IEEE 754 binary16: 1 sign, 5 exponent (bias 15), 10 mantissa bits. NaNs keep their payload and sign, and become quiet
// only when narrowing would leave no payload.
[[nodiscard]] constexpr float f16_to_f32(std::uint16_t code) noexcept {
  const std::uint32_t sign = static_cast<std::uint32_t>(code & 0x8000U) << 16;
  const std::uint32_t rest = static_cast<std::uint32_t>(code & 0x7FFFU) << 13;
  constexpr std::uint32_t kInfinity = 0x7C00U << 13;
  constexpr std::uint32_t kSmallestNormal = 0x0400U << 13;
  constexpr std::uint32_t kRebias = (127U - 15U) << 23;
  // The mantissa of a subnormal counts steps of 2^-24, and both factors are exact.
  const auto subnormal = std::bit_cast<std::uint32_t>(static_cast<float>(code & 0x03FFU) * 0x1p-24F);
  const std::uint32_t normal = rest + (rest >= kInfinity ? 2 * kRebias : kRebias);
  return std::bit_cast<float>(sign | (rest >= kSmallestNormal ? normal : subnormal));
}

[[nodiscard]] constexpr std::uint16_t f32_to_f16(float value) noexcept {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto rest = static_cast<std::int32_t>(bits & 0x7FFFFFFFU);
  const std::int32_t number = std::min(detail::round_to_code(rest, 10, 15), 0x7C00);
  const std::int32_t payload = rest >> 13 & 0x03FF;
  const std::int32_t nan = rest > 0x7F800000 ? (payload != 0 ? payload : 0x0200) : 0;
  return static_cast<std::uint16_t>((bits >> 16 & 0x8000U) | static_cast<std::uint32_t>(number | nan));
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

inline constexpr Float8Layout kE5m2 = {2, 15, true, false, false};
inline constexpr Float8Layout kE4m3fn = {3, 7, false, true, false};
inline constexpr Float8Layout kE5m2fnuz = {2, 16, false, false, true};
inline constexpr Float8Layout kE4m3fnuz = {3, 8, false, false, true};

// What torch makes of the one NaN that the types with a "u" have.
inline constexpr float kOnlyNan = std::bit_cast<float>(0x7F800001U);

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
      const std::uint32_t quiet = mantissa == 0 ? 0U : 0x00400000U;
      value =
          std::bit_cast<float>((code & 0x80U) << 24 | 0x7F800000U | mantissa << (23 - layout.mantissa_bits) | quiet);
    } else if (layout.only_nan_7f_ff && (code & 0x7FU) == 0x7FU) {
      value = std::bit_cast<float>((code & 0x80U) << 24 | 0x7FF00000U);
    } else if (layout.only_nan_80 && code == 0x80U) {
      value = kOnlyNan;
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
  table[255] = kOnlyNan;
  return table;
}

// What rounds to more than the largest number becomes infinity (e5m2), the largest number (e4m3fn, infinity as well) or
// NaN (fnuz). NaN keeps its sign where the format has two.
constexpr std::uint8_t narrow_to_float8(float value, Float8Layout layout) noexcept {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto rest = static_cast<std::int32_t>(bits & 0x7FFFFFFFU);
  const std::int32_t beyond = layout.only_nan_80 ? 0x80 : layout.only_nan_7f_ff ? 0x7E : 0x7C;
  const std::int32_t number = std::min(round_to_code(rest, layout.mantissa_bits, layout.bias), beyond);
  const std::int32_t nan = rest > 0x7F800000 ? (layout.only_nan_80 ? 0x80 : 0x7F) : 0;
  const std::int32_t code = number | nan;
  // "fnuz": NaN has one sign, and zero no other, for its code is NaN.
  const bool has_sign = !layout.only_nan_80 || (code & 0x7F) != 0;
  return static_cast<std::uint8_t>(static_cast<std::uint32_t>(code) | (has_sign ? bits >> 24 & 0x80U : 0U));
}

}  // namespace detail

inline constexpr std::array<float, 256> kF8E5m2 = detail::make_float8_table(detail::kE5m2);
inline constexpr std::array<float, 256> kF8E4m3fn = detail::make_float8_table(detail::kE4m3fn);
inline constexpr std::array<float, 256> kF8E5m2fnuz = detail::make_float8_table(detail::kE5m2fnuz);
inline constexpr std::array<float, 256> kF8E4m3fnuz = detail::make_float8_table(detail::kE4m3fnuz);
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

[[nodiscard]] constexpr std::uint8_t f32_to_f8_e5m2(float value) noexcept {
  return detail::narrow_to_float8(value, detail::kE5m2);
}
[[nodiscard]] constexpr std::uint8_t f32_to_f8_e4m3fn(float value) noexcept {
  return detail::narrow_to_float8(value, detail::kE4m3fn);
}
[[nodiscard]] constexpr std::uint8_t f32_to_f8_e5m2fnuz(float value) noexcept {
  return detail::narrow_to_float8(value, detail::kE5m2fnuz);
}
[[nodiscard]] constexpr std::uint8_t f32_to_f8_e4m3fnuz(float value) noexcept {
  return detail::narrow_to_float8(value, detail::kE4m3fnuz);
}

// The nearest power of two of the magnitude: the sign is dropped, 0 becomes 2^-127 (the smallest there is), infinity
// NaN. A tie goes up. Of the floats below 2^-126, where the exponent field is 0, all above 2^-127 go up as well: torch
// reads the field alone.
[[nodiscard]] constexpr std::uint8_t f32_to_f8_e8m0fnu(float value) noexcept {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t exponent = bits >> 23 & 0xFFU;
  const std::uint32_t mantissa = bits & 0x007FFFFFU;
  constexpr std::uint32_t kHalf = 0x00400000U;
  if (exponent == 0xFFU) return 0xFF;
  const bool up = exponent == 0 ? mantissa > kHalf : mantissa >= kHalf;
  return static_cast<std::uint8_t>(exponent + (up ? 1U : 0U));
}

}  // namespace rushlight
