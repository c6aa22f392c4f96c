#include "base/float_codes.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace rushlight {
namespace {

std::uint32_t bits_of(float value) {
  return std::bit_cast<std::uint32_t>(value);
}
float float_of(std::uint32_t bits) {
  return std::bit_cast<float>(bits);
}

// The definition of a binary floating-point code (IEEE 754 3.4), in double and by ldexp.
double by_definition(unsigned code, int exponent_bits, int mantissa_bits, int bias) {
  const unsigned mantissa = code & ((1U << mantissa_bits) - 1U);
  const unsigned exponent = code >> mantissa_bits & ((1U << exponent_bits) - 1U);
  const bool negative = (code >> (mantissa_bits + exponent_bits) & 1U) != 0;
  const double fraction = std::ldexp(static_cast<double>(mantissa), -mantissa_bits);
  const double magnitude =
      exponent == 0 ? std::ldexp(fraction, 1 - bias) : std::ldexp(1.0 + fraction, static_cast<int>(exponent) - bias);
  return negative ? -magnitude : magnitude;
}

// Equal bits, so that zeros keep their signs.
void expect_same(float found, double expected, unsigned code) {
  ASSERT_EQ(bits_of(found), bits_of(static_cast<float>(expected))) << "code " << code;
}

// Rounding by definition: the multiple of the step at this magnitude that is nearest, ties to even.
double nearest_in_format(double value, int mantissa_bits, int smallest_exponent) {
  if (value == 0.0) return value;
  const int exponent = std::max(std::ilogb(value), smallest_exponent);
  const double step = std::ldexp(1.0, exponent - mantissa_bits);
  return std::nearbyint(value / step) * step;
}

TEST(Half, WidensEveryCodeExactly) {
  for (unsigned code = 0; code < 65536; ++code) {
    const float value = f16_to_f32(static_cast<std::uint16_t>(code));
    if ((code & 0x7C00U) != 0x7C00U) {
      expect_same(value, by_definition(code, 5, 10, 15), code);
    } else if ((code & 0x03FFU) == 0) {
      expect_same(value, (code & 0x8000U) != 0 ? -INFINITY : INFINITY, code);
    } else {
      ASSERT_TRUE(std::isnan(value)) << code;
    }
  }
}

TEST(Half, NarrowsEveryWidenedCodeBackToItself) {
  for (unsigned code = 0; code < 65536; ++code) {  // NaNs and their payloads included
    ASSERT_EQ(f32_to_f16(f16_to_f32(static_cast<std::uint16_t>(code))), code);
  }
}

TEST(Half, NarrowsToTheNearestCodeTiesToEven) {
  std::uint64_t checked = 0;
  for (std::uint64_t bits = 0; bits < (std::uint64_t{1} << 32); bits += 1009) {
    const float value = float_of(static_cast<std::uint32_t>(bits));
    const float narrowed = f16_to_f32(f32_to_f16(value));
    if (std::isnan(value)) {
      ASSERT_TRUE(std::isnan(narrowed)) << bits;
      continue;
    }
    double expected = std::isinf(value) ? static_cast<double>(value) : nearest_in_format(value, 10, -14);
    if (std::fabs(expected) > 65504.0) expected = std::copysign(INFINITY, expected);
    ASSERT_EQ(bits_of(narrowed), bits_of(static_cast<float>(std::copysign(expected, value)))) << bits;
    ++checked;
  }
  EXPECT_GT(checked, 4'000'000U);
}

TEST(Half, RoundsAtTheBordersBetweenAllNeighbours) {
  for (std::uint32_t code = 0; code < 0x7BFF; ++code) {
    const float low = f16_to_f32(static_cast<std::uint16_t>(code));
    const float high = f16_to_f32(static_cast<std::uint16_t>(code + 1));
    const float middle = (low + high) / 2;  // exact: one bit more than a half has
    ASSERT_EQ(f32_to_f16(middle), (code & 1U) != 0 ? code + 1 : code);
    ASSERT_EQ(f32_to_f16(std::nextafter(middle, 0.0F)), code);
    ASSERT_EQ(f32_to_f16(std::nextafter(middle, 1e9F)), code + 1);
    ASSERT_EQ(f32_to_f16(-middle), 0x8000U | ((code & 1U) != 0 ? code + 1 : code));
  }
  EXPECT_EQ(f32_to_f16(65519.996F), 0x7BFF);
  EXPECT_EQ(f32_to_f16(65520.0F), 0x7C00);
  EXPECT_EQ(f32_to_f16(std::numeric_limits<float>::denorm_min()), 0x0000);
  EXPECT_EQ(f32_to_f16(-std::numeric_limits<float>::denorm_min()), 0x8000);
}

TEST(Half, ANanNeverBecomesAnInfinity) {
  EXPECT_EQ(f32_to_f16(float_of(0x7F800001U)), 0x7E00);  // a payload below what a half can hold
  EXPECT_EQ(f32_to_f16(float_of(0xFF800001U)), 0xFE00);
  EXPECT_EQ(f32_to_f16(float_of(0x7FC00000U)), 0x7E00);
}

TEST(Bfloat16, IsTheUpperHalfOfAFloat) {
  for (unsigned code = 0; code < 65536; ++code) {
    const auto word = static_cast<std::uint16_t>(code);
    ASSERT_EQ(bits_of(bf16_to_f32(word)), code << 16);
    ASSERT_EQ(f32_to_bf16(bf16_to_f32(word)), code);
  }
}

TEST(Bfloat16, NarrowsToTheNearestCodeTiesToEven) {
  for (std::uint32_t upper = 0; upper < 65536; ++upper) {
    for (const std::uint32_t lower : {0x0000U, 0x0001U, 0x7FFFU, 0x8000U, 0x8001U, 0xFFFFU}) {
      const float value = float_of(upper << 16 | lower);
      const float narrowed = bf16_to_f32(f32_to_bf16(value));
      if (std::isnan(value)) {
        ASSERT_TRUE(std::isnan(narrowed)) << upper << " " << lower;
        ASSERT_EQ(std::signbit(narrowed), std::signbit(value));
        continue;
      }
      // In double the next power of two exists, and becomes infinity only when it is cast to float.
      const double expected = std::isinf(value) ? static_cast<double>(value) : nearest_in_format(value, 7, -126);
      ASSERT_EQ(bits_of(narrowed), bits_of(static_cast<float>(std::copysign(expected, value))))
          << upper << " " << lower;
    }
  }
  EXPECT_EQ(f32_to_bf16(std::numeric_limits<float>::max()), 0x7F80);
}

TEST(Float8, E5m2IsTheUpperHalfOfAHalf) {
  for (unsigned code = 0; code < 256; ++code) {
    const float value = f8_e5m2_to_f32(static_cast<std::uint8_t>(code));
    const float half = f16_to_f32(static_cast<std::uint16_t>(code << 8));
    if (std::isnan(half)) {
      ASSERT_TRUE(std::isnan(value)) << code;
    } else {
      expect_same(value, half, code);
    }
  }
  EXPECT_EQ(f8_e5m2_to_f32(0x7B), 57344.0F);
  EXPECT_EQ(f8_e5m2_to_f32(0x7C), INFINITY);
  EXPECT_EQ(f8_e5m2_to_f32(0x01), 0x1p-16F);
}

TEST(Float8, E4m3fnHasNoInfinityAndTwoNans) {
  for (unsigned code = 0; code < 256; ++code) {
    const float value = f8_e4m3fn_to_f32(static_cast<std::uint8_t>(code));
    if ((code & 0x7FU) == 0x7FU) {
      ASSERT_TRUE(std::isnan(value)) << code;
    } else {
      expect_same(value, by_definition(code, 4, 3, 7), code);
    }
  }
  EXPECT_EQ(f8_e4m3fn_to_f32(0x7E), 448.0F);
  EXPECT_EQ(f8_e4m3fn_to_f32(0x01), 0x1p-9F);
  EXPECT_TRUE(std::signbit(f8_e4m3fn_to_f32(0x80)));
}

TEST(Float8, FnuzKindsHaveOneNanWhereNegativeZeroWouldBe) {
  for (unsigned code = 0; code < 256; ++code) {
    const auto byte = static_cast<std::uint8_t>(code);
    if (code == 0x80) {
      ASSERT_TRUE(std::isnan(f8_e5m2fnuz_to_f32(byte)));
      ASSERT_TRUE(std::isnan(f8_e4m3fnuz_to_f32(byte)));
    } else {
      expect_same(f8_e5m2fnuz_to_f32(byte), by_definition(code, 5, 2, 16), code);
      expect_same(f8_e4m3fnuz_to_f32(byte), by_definition(code, 4, 3, 8), code);
    }
  }
  EXPECT_EQ(f8_e5m2fnuz_to_f32(0x7F), 57344.0F);
  EXPECT_EQ(f8_e5m2fnuz_to_f32(0x01), 0x1p-17F);
  EXPECT_EQ(f8_e4m3fnuz_to_f32(0x7F), 240.0F);
  EXPECT_EQ(f8_e4m3fnuz_to_f32(0x01), 0x1p-10F);
}

TEST(Float8, E8m0fnuIsABarePowerOfTwo) {
  for (int code = 0; code < 255; ++code) {
    expect_same(f8_e8m0fnu_to_f32(static_cast<std::uint8_t>(code)), std::ldexp(1.0, code - 127),
                static_cast<unsigned>(code));
  }
  EXPECT_TRUE(std::isnan(f8_e8m0fnu_to_f32(255)));
  EXPECT_EQ(f8_e8m0fnu_to_f32(127), 1.0F);
}

// All of it may be asked at compile time.
static_assert(f16_to_f32(0x3C00) == 1.0F);
static_assert(f32_to_f16(-2.0F) == 0xC000);
static_assert(f8_e4m3fn_to_f32(0x38) == 1.0F);

}  // namespace
}  // namespace rushlight
