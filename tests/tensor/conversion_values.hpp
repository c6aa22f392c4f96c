// The values that conversions.txt has digests of: all codes of the types of 8 and 16 bits; of the wider ones, whatever
// a conversion could get wrong. make_conversions.py makes the same ones with NumPy and gives them to torch.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "base/float_codes.hpp"
#include "rushlight/dtype.hpp"

namespace rushlight::conversion_values {

template <class Bits>
constexpr Bits kSign = Bits{1} << (8 * sizeof(Bits) - 1);

template <class Bits>
void add_with_neighbours(std::vector<Bits>& values, Bits bits) {
  values.insert(values.end(), {static_cast<Bits>(bits - 1), bits, static_cast<Bits>(bits + 1)});
}

template <class Bits>
void add_with_sign(std::vector<Bits>& values, Bits bits) {
  values.insert(values.end(), {bits, static_cast<Bits>(bits ^ kSign<Bits>)});
}

// Halfway between a positive half and the next; above the largest one lies 65536.
inline double half_tie(std::uint32_t code) {
  const double low = static_cast<double>(f16_to_f32(static_cast<std::uint16_t>(code)));
  const double high = code == 0x7BFF ? 65536.0 : static_cast<double>(f16_to_f32(static_cast<std::uint16_t>(code + 1)));
  return (low + high) / 2;
}

// Where fractions are cut off, and where 8 and 16 bits end.
inline std::vector<double> quarters() {
  constexpr int kSpans[][2] = {{0, 1300}, {131040, 131108}, {262112, 262180}};
  std::vector<double> values;
  for (const auto& [first, end] : kSpans) {
    for (int i = first; i < end; ++i) values.push_back(i * 0.25);
  }
  return values;
}

// Knuth's generator of MMIX.
inline std::vector<std::uint64_t> noise() {
  std::vector<std::uint64_t> values(4096);
  std::uint64_t state = 1;
  for (std::uint64_t& value : values) value = state = state * 6364136223846793005U + 1442695040888963407U;
  return values;
}

// Around each bfloat16 and halfway to the next, NaNs included: the codes of all 8-bit floats and the ties between them
// are among these. Then the ties between halves.
inline std::vector<std::uint32_t> float32_values() {
  std::vector<std::uint32_t> values;
  for (std::uint32_t code = 0; code < 65536; ++code) {
    for (const std::uint32_t lower : {0U, 1U, 0x7FFFU, 0x8000U, 0x8001U, 0xFFFFU}) values.push_back(code << 16 | lower);
  }
  for (std::uint32_t code = 0; code < 0x7C00; ++code) {
    const auto tie = std::bit_cast<std::uint32_t>(static_cast<float>(half_tie(code)));
    for (const std::uint32_t bits : {tie - 1, tie, tie + 1}) add_with_sign(values, bits);
  }
  for (const double value : quarters()) add_with_sign(values, std::bit_cast<std::uint32_t>(static_cast<float>(value)));
  return values;
}

// The same ties with the neighbours a double has (as floats they become the tie), the limits of the integers, and each
// exponent with the mantissas around those that round to another float.
inline std::vector<std::uint64_t> float64_values() {
  std::vector<std::uint64_t> values;
  for (std::uint32_t code = 0; code < 65536; ++code) {
    if ((code & 0x7FFFU) >= 0x7F80U) continue;
    for (const std::uint32_t bits : {code << 16, code << 16 | 0x8000U}) {
      add_with_neighbours(values, std::bit_cast<std::uint64_t>(static_cast<double>(std::bit_cast<float>(bits))));
    }
  }
  for (std::uint32_t code = 0; code < 0x7C00; ++code) {
    const auto tie = std::bit_cast<std::uint64_t>(half_tie(code));
    for (const std::uint64_t bits : {tie - 1, tie, tie + 1}) add_with_sign(values, bits);
  }
  for (const double value : quarters()) add_with_sign(values, std::bit_cast<std::uint64_t>(value));
  double power = 1;
  for (int k = 0; k <= 64; ++k, power *= 2) {
    for (const double step : {-1.0, -0.5, 0.0, 0.5, 1.0}) {
      add_with_sign(values, std::bit_cast<std::uint64_t>(power + step));
    }
  }
  constexpr std::uint64_t kOne = 1;
  for (std::uint64_t exponent = 0; exponent < 4096; ++exponent) {  // the sign is its highest bit
    for (const std::uint64_t mantissa : {std::uint64_t{0}, kOne, kOne << 28, (kOne << 28) + 1, (kOne << 29) - 1,
                                         (kOne << 51) - 1, kOne << 51, (kOne << 51) + 1, (kOne << 52) - 1}) {
      values.push_back(exponent << 52 | mantissa);
    }
  }
  const std::vector<std::uint64_t> more = noise();
  values.insert(values.end(), more.begin(), more.end());
  return values;
}

// All that fit 16 bits and some more; then, at each power of two, what rounds to another float of 8, 16 or 32 bits, and
// the limits of the narrower integers. Signed ones have the same codes.
template <class Int>
std::vector<Int> integer_values() {
  constexpr int kBits = 8 * sizeof(Int);
  std::vector<Int> values;
  for (int i = -70000; i < 70000; ++i) values.push_back(static_cast<Int>(static_cast<std::int64_t>(i)));
  for (int k = 0; k < kBits; ++k) {
    for (std::uint64_t mantissa = 0; mantissa < (k >= 8 ? 256 : 1); ++mantissa) {
      const std::uint64_t base = (std::uint64_t{1} << k) + (k >= 8 ? mantissa << (k - 8) : 0);
      std::vector<std::uint64_t> steps = {~std::uint64_t{0}, 0, 1};
      if (k >= 25) {
        const std::uint64_t half = std::uint64_t{1} << (k - 25);  // of the half of a float's last bit
        steps.insert(steps.end(), {0 - half, half, 2 * half, 3 * half});
      }
      for (const std::uint64_t step : steps) {
        values.insert(values.end(), {static_cast<Int>(base + step), static_cast<Int>(0 - (base + step))});
      }
    }
  }
  for (const std::uint64_t value : noise()) values.push_back(static_cast<Int>(value >> (64 - kBits)));
  return values;
}

// Each value as a real part once, and as an imaginary part once.
template <class Bits>
std::vector<Bits> paired(const std::vector<Bits>& parts) {
  std::vector<Bits> values;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    values.insert(values.end(), {parts[i], parts[(i + 12345) % parts.size()]});
  }
  return values;
}

template <class Bits>
std::vector<Bits> all_codes(std::uint32_t count) {
  std::vector<Bits> values;
  for (std::uint32_t code = 0; code < count; ++code) values.push_back(static_cast<Bits>(code));
  return values;
}

template <class Bits>
std::vector<std::byte> bytes_of(const std::vector<Bits>& values) {
  const auto bytes = std::as_bytes(std::span(values));
  return {bytes.begin(), bytes.end()};
}

// The elements' bytes. None for types that are not converted.
inline std::vector<std::byte> values_of(DType dtype) {
  switch (dtype) {
    case DType::boolean:
      return bytes_of(all_codes<std::uint8_t>(2));
    case DType::u8:
    case DType::i8:
    case DType::f8_e5m2:
    case DType::f8_e4m3fn:
    case DType::f8_e5m2fnuz:
    case DType::f8_e4m3fnuz:
    case DType::f8_e8m0fnu:
      return bytes_of(all_codes<std::uint8_t>(256));
    case DType::u16:
    case DType::i16:
    case DType::f16:
    case DType::bf16:
      return bytes_of(all_codes<std::uint16_t>(65536));
    case DType::u32:
    case DType::i32:
      return bytes_of(integer_values<std::uint32_t>());
    case DType::u64:
    case DType::i64:
      return bytes_of(integer_values<std::uint64_t>());
    case DType::f32:
      return bytes_of(float32_values());
    case DType::f64:
      return bytes_of(float64_values());
    case DType::c32:
    case DType::bc32: {
      std::vector<std::uint16_t> values;
      for (std::uint32_t code = 0; code < 65536; ++code) {  // an odd factor: all codes are imaginary parts, too
        values.insert(values.end(), {static_cast<std::uint16_t>(code), static_cast<std::uint16_t>(code * 40503U + 1U)});
      }
      return bytes_of(values);
    }
    case DType::c64:
      return bytes_of(paired(float32_values()));
    case DType::c128:
      return bytes_of(paired(float64_values()));
    default:
      return {};
  }
}

}  // namespace rushlight::conversion_values
