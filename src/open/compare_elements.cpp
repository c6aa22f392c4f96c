#include "open/compare_elements.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "base/float_codes.hpp"

namespace rushlight::open {
namespace {

// A number as its bits: its value in double, and its place among all numbers of its dtype.
template <class BitsType, double (*kValue)(BitsType), bool kSigned>
struct FloatCode {
  using Bits = BitsType;
  static double value(Bits bits) noexcept { return kValue(bits); }
  // Both zeros are 0.
  static std::int64_t place(Bits bits) noexcept {
    if constexpr (kSigned) {
      constexpr int kSign = 8 * sizeof(Bits) - 1;
      const auto magnitude = static_cast<std::int64_t>(bits & static_cast<Bits>(~(Bits{1} << kSign)));
      return bits >> kSign != 0 ? -magnitude : magnitude;
    }
    return static_cast<std::int64_t>(bits);
  }
};
double f16(std::uint16_t bits) {
  return f16_to_f32(bits);
}
double bf16(std::uint16_t bits) {
  return bf16_to_f32(bits);
}
double f32(std::uint32_t bits) {
  return std::bit_cast<float>(bits);
}
double f64(std::uint64_t bits) {
  return std::bit_cast<double>(bits);
}
double f8_e5m2(std::uint8_t bits) {
  return f8_e5m2_to_f32(bits);
}
double f8_e4m3fn(std::uint8_t bits) {
  return f8_e4m3fn_to_f32(bits);
}
double f8_e5m2fnuz(std::uint8_t bits) {
  return f8_e5m2fnuz_to_f32(bits);
}
double f8_e4m3fnuz(std::uint8_t bits) {
  return f8_e4m3fnuz_to_f32(bits);
}
double f8_e8m0fnu(std::uint8_t bits) {
  return f8_e8m0fnu_to_f32(bits);
}

template <class T>
T load(const std::byte* at) noexcept {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

double distance(std::int64_t a, std::int64_t b) noexcept {
  const auto x = static_cast<std::uint64_t>(a);
  const auto y = static_cast<std::uint64_t>(b);
  return static_cast<double>(a > b ? x - y : y - x);
}
double distance(std::uint64_t a, std::uint64_t b) noexcept {
  return static_cast<double>(a > b ? a - b : b - a);
}

double relative(double difference, double reference) noexcept {
  if (difference == 0) return 0;
  return reference == 0 ? std::numeric_limits<double>::infinity() : difference / reference;
}

void note_figures(ElementTally& tally, double difference, double reference, std::int64_t at) noexcept {
  if (difference > tally.max_abs) {
    tally.max_abs = difference;
    tally.max_abs_at = at;
  }
  // Infinity from infinity is no number; the absolute difference says enough.
  const double rel = relative(difference, reference);
  if (rel > tally.max_rel) tally.max_rel = rel;
}

template <class T>
void compare_integers(ElementTally& tally, const std::byte* a, const std::byte* b) noexcept {
  using Wide = std::conditional_t<std::is_signed_v<T>, std::int64_t, std::uint64_t>;
  for (std::int64_t i = 0; i < tally.elements; ++i, a += sizeof(T), b += sizeof(T)) {
    const Wide x = load<T>(a);
    const Wide y = load<T>(b);
    const auto p = static_cast<double>(x);
    const auto q = static_cast<double>(y);
    tally.sum_aa += p * p;
    tally.sum_bb += q * q;
    tally.sum_ab += p * q;
    if (x == y) continue;
    ++tally.unequal;
    const double difference = distance(x, y);
    tally.sum_dd += difference * difference;
    note_figures(tally, difference, std::fabs(p), i);
  }
  tally.different = tally.unequal;
}

// kParts: 2 for complex numbers.
template <class Code, int kParts>
void compare_floats(ElementTally& tally, const std::byte* a, const std::byte* b, const Tolerance& tolerance) noexcept {
  using Bits = typename Code::Bits;
  constexpr std::size_t kBytes = kParts * sizeof(Bits);
  const bool is_exact = tolerance.rtol == 0 && tolerance.atol == 0;
  for (std::int64_t i = 0; i < tally.elements; ++i, a += kBytes, b += kBytes) {
    double difference = 0;  // squared, while there may be two
    double reference = 0;
    std::uint64_t ulp = 0;
    bool is_nan = false;
    bool is_equal = true;
    for (std::size_t part = 0; part < kParts; ++part) {
      const auto x = load<Bits>(a + part * sizeof(Bits));
      const auto y = load<Bits>(b + part * sizeof(Bits));
      const double p = Code::value(x);
      const double q = Code::value(y);
      tally.sum_aa += p * p;
      tally.sum_bb += q * q;
      tally.sum_ab += p * q;
      if constexpr (kParts == 2) {
        reference = std::hypot(reference, p);
      } else {
        reference = std::fabs(p);
      }
      is_nan = is_nan || std::isnan(p) || std::isnan(q);
      if (x == y) continue;
      is_equal = false;
      const double d = std::fabs(q - p);
      if constexpr (kParts == 2) {
        difference = std::hypot(difference, d);
      } else {
        difference = d;
      }
      const std::int64_t m = Code::place(x);
      const std::int64_t n = Code::place(y);
      const auto [least, most] = std::minmax(m, n);
      ulp = std::max(ulp, static_cast<std::uint64_t>(most) - static_cast<std::uint64_t>(least));
    }
    if (is_equal) continue;
    ++tally.unequal;
    if (is_nan) {
      ++tally.different;
      ++tally.nan;
      continue;
    }
    tally.sum_dd += difference * difference;
    note_figures(tally, difference, reference, i);
    tally.max_ulp = std::max(tally.max_ulp, ulp);
    // An infinite allowance must not swallow an infinite difference.
    const double allowed = tolerance.atol + tolerance.rtol * reference;
    const bool is_close = !is_exact && difference <= allowed && std::isfinite(difference);
    if (!is_close) ++tally.different;
  }
}

void compare_bytes(ElementTally& tally, const std::byte* a, const std::byte* b, std::size_t width) noexcept {
  for (std::int64_t i = 0; i < tally.elements; ++i, a += width, b += width) {
    if (std::memcmp(a, b, width) != 0) ++tally.unequal;
  }
  tally.different = tally.unequal;
}

}  // namespace

void ElementTally::append(const ElementTally& next) noexcept {
  if (next.max_abs > max_abs) {
    max_abs = next.max_abs;
    max_abs_at = elements + next.max_abs_at;
  }
  elements += next.elements;
  different += next.different;
  unequal += next.unequal;
  nan += next.nan;
  max_rel = std::max(max_rel, next.max_rel);
  max_ulp = std::max(max_ulp, next.max_ulp);
  sum_aa += next.sum_aa;
  sum_bb += next.sum_bb;
  sum_ab += next.sum_ab;
  sum_dd += next.sum_dd;
}

bool has_numbers(DType dtype) noexcept {
  return info(dtype).kind != DTypeKind::bits && info(dtype).packed == 1;
}

bool has_ulps(DType dtype) noexcept {
  const DTypeKind kind = info(dtype).kind;
  return has_numbers(dtype) && (kind == DTypeKind::real || kind == DTypeKind::complex);
}

ElementTally compare_elements(DType dtype, ByteSpan a, ByteSpan b, const Tolerance& tolerance) noexcept {
  ElementTally tally;
  const std::size_t width = size_bytes(dtype);
  tally.elements = static_cast<std::int64_t>(a.size() / width);
  const std::byte* const p = a.data();
  const std::byte* const q = b.data();
  using Half = FloatCode<std::uint16_t, f16, true>;
  using BFloat = FloatCode<std::uint16_t, bf16, true>;
  using Single = FloatCode<std::uint32_t, f32, true>;
  using Double = FloatCode<std::uint64_t, f64, true>;
  switch (dtype) {
    case DType::boolean:
    case DType::u8:
    case DType::qu8:
      compare_integers<std::uint8_t>(tally, p, q);
      break;
    case DType::i8:
    case DType::qi8:
      compare_integers<std::int8_t>(tally, p, q);
      break;
    case DType::u16:
      compare_integers<std::uint16_t>(tally, p, q);
      break;
    case DType::i16:
      compare_integers<std::int16_t>(tally, p, q);
      break;
    case DType::u32:
      compare_integers<std::uint32_t>(tally, p, q);
      break;
    case DType::i32:
    case DType::qi32:
      compare_integers<std::int32_t>(tally, p, q);
      break;
    case DType::u64:
      compare_integers<std::uint64_t>(tally, p, q);
      break;
    case DType::i64:
      compare_integers<std::int64_t>(tally, p, q);
      break;
    case DType::f16:
      compare_floats<Half, 1>(tally, p, q, tolerance);
      break;
    case DType::bf16:
      compare_floats<BFloat, 1>(tally, p, q, tolerance);
      break;
    case DType::f32:
      compare_floats<Single, 1>(tally, p, q, tolerance);
      break;
    case DType::f64:
      compare_floats<Double, 1>(tally, p, q, tolerance);
      break;
    case DType::c32:
      compare_floats<Half, 2>(tally, p, q, tolerance);
      break;
    case DType::bc32:
      compare_floats<BFloat, 2>(tally, p, q, tolerance);
      break;
    case DType::c64:
      compare_floats<Single, 2>(tally, p, q, tolerance);
      break;
    case DType::c128:
      compare_floats<Double, 2>(tally, p, q, tolerance);
      break;
    case DType::f8_e5m2:
      compare_floats<FloatCode<std::uint8_t, f8_e5m2, true>, 1>(tally, p, q, tolerance);
      break;
    case DType::f8_e4m3fn:
      compare_floats<FloatCode<std::uint8_t, f8_e4m3fn, true>, 1>(tally, p, q, tolerance);
      break;
    case DType::f8_e5m2fnuz:
      compare_floats<FloatCode<std::uint8_t, f8_e5m2fnuz, true>, 1>(tally, p, q, tolerance);
      break;
    case DType::f8_e4m3fnuz:
      compare_floats<FloatCode<std::uint8_t, f8_e4m3fnuz, true>, 1>(tally, p, q, tolerance);
      break;
    case DType::f8_e8m0fnu:
      compare_floats<FloatCode<std::uint8_t, f8_e8m0fnu, false>, 1>(tally, p, q, tolerance);
      break;
    case DType::f4_e2m1fn_x2:
    case DType::qu4x2:
    case DType::qu2x4:
    case DType::bits1x8:
    case DType::bits2x4:
    case DType::bits4x2:
    case DType::bits8:
    case DType::bits16:
      compare_bytes(tally, p, q, width);
      break;
  }
  return tally;
}

}  // namespace rushlight::open
