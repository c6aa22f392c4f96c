// Tensor::to(DType): against what torch makes of all codes of 8 and 16 bits and of the difficult values of the wider
// types (conversions.txt), and against plain models of the number formats.
#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <map>
#include <span>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "checksum/xxh3.hpp"
#include "conversion_values.hpp"
#include "rushlight/tensor.hpp"

namespace rushlight {
namespace {

std::vector<std::byte> from_hex(const std::string& hex) {
  std::vector<std::byte> bytes(hex.size() / 2);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<std::byte>(std::stoi(hex.substr(2 * i, 2), nullptr, 16));
  }
  return bytes;
}

template <class T>
T load(const std::byte* data) {
  T value;
  std::memcpy(&value, data, sizeof value);
  return value;
}

// NaN has many codes, and which one comes out is nobody's promise.
bool is_nan(DType dtype, const std::byte* element) {
  switch (dtype) {
    case DType::f16:
      return (load<std::uint16_t>(element) & 0x7FFF) > 0x7C00;
    case DType::bf16:
      return (load<std::uint16_t>(element) & 0x7FFF) > 0x7F80;
    case DType::f32:
      return std::isnan(load<float>(element));
    case DType::f64:
      return std::isnan(load<double>(element));
    default:
      return false;
  }
}

Tensor make(DType dtype, std::span<const std::byte> bytes) {
  const auto numel = static_cast<std::int64_t>(bytes.size() / size_bytes(dtype));
  return Tensor::from_bytes(bytes, dtype, {numel}).value();
}

template <class T>
Tensor make(DType dtype, const std::vector<T>& elements) {
  return make(dtype, std::as_bytes(std::span(elements)));
}

template <class T>
std::vector<T> elements_of(const Tensor& tensor) {
  const auto bytes = tensor.bytes().value();
  std::vector<T> elements(bytes.size() / sizeof(T));
  std::memcpy(elements.data(), bytes.data(), bytes.size());
  return elements;
}

// conversions.txt, line by line: a word, the dtypes and the rest, without comments.
struct Line {
  std::string what;
  std::vector<std::string> fields;
};

std::vector<Line> lines_of_conversions() {
  std::ifstream file(RUSHLIGHT_TESTS_SOURCE_DIR "/tensor/conversions.txt");
  std::vector<Line> lines;
  for (std::string text; std::getline(file, text);) {
    std::istringstream words(text.substr(0, text.find('#')));
    Line line;
    if (!(words >> line.what)) continue;
    for (std::string field; words >> field;) line.fields.push_back(field);
    lines.push_back(std::move(line));
  }
  return lines;
}

std::string digest_of(std::span<const std::byte> bytes) {
  return checksum::to_hex(checksum::xxh3_128(bytes));
}

// Of a result: in 16-bit codes of floats one NaN stands for all, for torch does not say which one comes out there.
std::string digest_of(const Tensor& tensor) {
  const auto bytes = tensor.bytes().value();
  std::uint16_t infinity = 0;
  if (tensor.dtype() == DType::f16 || tensor.dtype() == DType::c32) infinity = 0x7C00;
  if (tensor.dtype() == DType::bf16 || tensor.dtype() == DType::bc32) infinity = 0x7F80;
  if (infinity == 0) return digest_of(bytes);
  auto codes = elements_of<std::uint16_t>(tensor);
  for (std::uint16_t& code : codes) {
    if ((code & 0x7FFF) > infinity) code = 0x7FFF;
  }
  return digest_of(std::as_bytes(std::span(codes)));
}

// The same elements with gaps between them, in which nothing may be read.
Tensor with_gaps(const Tensor& dense) {
  const auto bytes = dense.bytes().value();
  const std::size_t width = size_bytes(dense.dtype());
  std::vector<std::byte> apart(2 * bytes.size(), std::byte{0xA5});
  for (std::size_t i = 0; i < bytes.size(); i += width) std::memcpy(&apart[2 * i], &bytes[i], width);
  const Tensor wide = Tensor::from_bytes(apart, dense.dtype(), {2 * dense.numel()}).value();
  return Tensor::view(wide.storage(), dense.dtype(), {dense.numel()}, {2}, 0).value();
}

TEST(TensorConversion, AgreesWithTorchOnEveryPair) {
  std::map<DType, Tensor> dense;
  std::map<DType, Tensor> strided;
  int pairs = 0;
  for (const auto& [what, fields] : lines_of_conversions()) {
    if (what == "values") {
      ASSERT_EQ(fields.size(), 3U);
      const DType source = dtype_from_name(fields[0]).value();
      const Tensor values = make(source, conversion_values::values_of(source));
      ASSERT_EQ(std::to_string(values.numel()), fields[1]) << fields[0];
      ASSERT_EQ(digest_of(values.bytes().value()), fields[2])
          << "other values than make_conversions.py's: " << fields[0];
      dense[source] = values;
      strided[source] = with_gaps(values);
    }
    if (what == "converted") {
      ASSERT_EQ(fields.size(), 3U);
      const DType source = dtype_from_name(fields[0]).value();
      const DType target = dtype_from_name(fields[1]).value();
      EXPECT_EQ(digest_of(dense.at(source).to(target).value()), fields[2]) << fields[0] << " to " << fields[1];
      EXPECT_EQ(digest_of(strided.at(source).to(target).value()), fields[2])
          << fields[0] << " with gaps to " << fields[1];
      ++pairs;
    }
  }
  EXPECT_EQ(pairs, 22 * 21);
}

TEST(TensorConversion, AgreesWithTorchOnTheExamples) {
  int examples = 0;
  for (const auto& [what, fields] : lines_of_conversions()) {
    if (what != "example") continue;
    ASSERT_EQ(fields.size(), 4U);
    const Tensor before = make(dtype_from_name(fields[0]).value(), from_hex(fields[2]));
    const Tensor after = before.to(dtype_from_name(fields[1]).value()).value();
    EXPECT_EQ(checksum::to_hex(after.bytes().value()), fields[3])
        << fields[0] << ' ' << fields[2] << " to " << fields[1];
    ++examples;
  }
  EXPECT_GT(examples, 100);
}

// IEEE-like formats by their definition, in double.
double decode(std::uint32_t code, int exponent_bits, int mantissa_bits, int bias) {
  const std::uint32_t mantissa = code & ((1U << mantissa_bits) - 1);
  const std::uint32_t exponent = code >> mantissa_bits & ((1U << exponent_bits) - 1);
  const double sign = (code >> (mantissa_bits + exponent_bits) & 1U) != 0 ? -1 : 1;
  if (exponent == 0) return sign * std::ldexp(mantissa, 1 - bias - mantissa_bits);
  return sign * std::ldexp(mantissa + (1U << mantissa_bits), static_cast<int>(exponent) - bias - mantissa_bits);
}

struct SmallFloat {
  DType dtype;
  double (*value)(std::uint32_t code);
  bool single_nan = false;
};
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

const SmallFloat kSmallFloats[] = {
    {DType::f16,
     [](std::uint32_t c) {
       if ((c & 0x7C00) != 0x7C00) return decode(c, 5, 10, 15);
       return (c & 0x3FF) != 0 ? kNan : (c & 0x8000) != 0 ? -kInf : kInf;
     }},
    {DType::bf16,
     [](std::uint32_t c) {
       if ((c & 0x7F80) != 0x7F80) return decode(c, 8, 7, 127);
       return (c & 0x7F) != 0 ? kNan : (c & 0x8000) != 0 ? -kInf : kInf;
     }},
    {DType::f8_e5m2,
     [](std::uint32_t c) {
       if ((c & 0x7C) != 0x7C) return decode(c, 5, 2, 15);
       return (c & 3) != 0 ? kNan : (c & 0x80) != 0 ? -kInf : kInf;
     }},
    {DType::f8_e4m3fn, [](std::uint32_t c) { return (c & 0x7F) == 0x7F ? kNan : decode(c, 4, 3, 7); }},
    {DType::f8_e5m2fnuz, [](std::uint32_t c) { return c == 0x80 ? kNan : decode(c, 5, 2, 16); }, true},
    {DType::f8_e4m3fnuz, [](std::uint32_t c) { return c == 0x80 ? kNan : decode(c, 4, 3, 8); }, true},
    {DType::f8_e8m0fnu, [](std::uint32_t c) { return c == 0xFF ? kNan : std::ldexp(1.0, static_cast<int>(c) - 127); },
     true},
};

Tensor all_codes(DType dtype) {
  const std::uint32_t count = size_bytes(dtype) == 1 ? 256 : 65536;
  std::vector<std::byte> bytes(count * size_bytes(dtype));
  for (std::uint32_t code = 0; code < count; ++code) {
    bytes[code * size_bytes(dtype)] = static_cast<std::byte>(code);
    if (size_bytes(dtype) == 2) bytes[2 * code + 1] = static_cast<std::byte>(code >> 8);
  }
  return make(dtype, bytes);
}

TEST(TensorConversion, EveryCodeOfTheSmallFloatsWidensExactly) {
  for (const SmallFloat& format : kSmallFloats) {
    const Tensor codes = all_codes(format.dtype);
    const auto doubles = elements_of<double>(codes.to(DType::f64).value());
    const auto floats = elements_of<float>(codes.to(DType::f32).value());
    ASSERT_EQ(doubles.size(), static_cast<std::size_t>(codes.numel()));
    for (std::uint32_t code = 0; code < doubles.size(); ++code) {
      const double want = format.value(code);
      if (std::isnan(want)) {
        EXPECT_TRUE(std::isnan(doubles[code]) && std::isnan(floats[code])) << to_string(format.dtype) << ' ' << code;
        continue;
      }
      EXPECT_EQ(doubles[code], want) << to_string(format.dtype) << ' ' << code;
      EXPECT_EQ(std::signbit(doubles[code]), std::signbit(want)) << to_string(format.dtype) << ' ' << code;
      EXPECT_EQ(static_cast<double>(floats[code]), want) << to_string(format.dtype) << ' ' << code;
    }
  }
}

TEST(TensorConversion, EveryCodeOfTheSmallFloatsTruncatesToIntegers) {
  for (const SmallFloat& format : kSmallFloats) {
    const Tensor codes = all_codes(format.dtype);
    const auto i64 = elements_of<std::int64_t>(codes.to(DType::i64).value());
    const auto i16 = elements_of<std::int16_t>(codes.to(DType::i16).value());
    const auto u8 = elements_of<std::uint8_t>(codes.to(DType::u8).value());
    const auto bits = elements_of<std::uint8_t>(codes.to(DType::boolean).value());
    for (std::uint32_t code = 0; code < i64.size(); ++code) {
      const double value = format.value(code);
      EXPECT_EQ(bits[code], value != 0 ? 1 : 0) << to_string(format.dtype) << ' ' << code;
      if (!(std::fabs(value) < 0x1p63)) {
        const std::int64_t want = std::isnan(value) && format.single_nan ? 0 : std::numeric_limits<std::int64_t>::min();
        EXPECT_EQ(i64[code], want) << to_string(format.dtype) << ' ' << code;
        EXPECT_EQ(u8[code], 0) << to_string(format.dtype) << ' ' << code;
        continue;
      }
      const auto whole = static_cast<std::int64_t>(value);
      EXPECT_EQ(i64[code], whole) << to_string(format.dtype) << ' ' << code;
      EXPECT_EQ(u8[code], static_cast<std::uint8_t>(whole)) << to_string(format.dtype) << ' ' << code;
      const bool fits_32 = std::fabs(value) < 2147483648.0;
      EXPECT_EQ(i16[code], fits_32 ? static_cast<std::int16_t>(whole) : 0) << to_string(format.dtype) << ' ' << code;
    }
  }
}

template <class From, class To>
void expect_casts(DType from, DType to) {
  const Tensor codes = all_codes(from);
  const auto before = elements_of<From>(codes);
  const auto after = elements_of<To>(codes.to(to).value());
  ASSERT_EQ(before.size(), after.size());
  for (std::size_t i = 0; i < before.size(); ++i) {
    ASSERT_EQ(after[i], static_cast<To>(before[i])) << to_string(from) << " to " << to_string(to) << ' ' << i;
  }
}

template <class From>
void expect_casts_from(DType from) {
  expect_casts<From, std::uint8_t>(from, DType::u8);
  expect_casts<From, std::int8_t>(from, DType::i8);
  expect_casts<From, std::uint16_t>(from, DType::u16);
  expect_casts<From, std::int16_t>(from, DType::i16);
  expect_casts<From, std::uint32_t>(from, DType::u32);
  expect_casts<From, std::int32_t>(from, DType::i32);
  expect_casts<From, std::uint64_t>(from, DType::u64);
  expect_casts<From, std::int64_t>(from, DType::i64);
  expect_casts<From, float>(from, DType::f32);
  expect_casts<From, double>(from, DType::f64);
}

TEST(TensorConversion, EveryValueOfTheSmallIntegersWrapsOrWidens) {
  expect_casts_from<std::uint8_t>(DType::u8);
  expect_casts_from<std::int8_t>(DType::i8);
  expect_casts_from<std::uint16_t>(DType::u16);
  expect_casts_from<std::int16_t>(DType::i16);
}

TEST(TensorConversion, EveryHalfComesBackFromAWiderFloat) {
  for (const DType dtype : {DType::f16, DType::bf16}) {
    const Tensor codes = all_codes(dtype);
    for (const DType wide : {DType::f32, DType::f64, DType::c64, DType::c128}) {
      const Tensor back = codes.to(wide).value().to(dtype).value();
      const auto before = codes.bytes().value();
      const auto after = back.bytes().value();
      for (std::size_t i = 0; i < before.size(); i += 2) {
        if (is_nan(dtype, &before[i])) {
          EXPECT_TRUE(is_nan(dtype, &after[i])) << i / 2;
        } else {
          EXPECT_EQ(load<std::uint16_t>(&after[i]), load<std::uint16_t>(&before[i])) << i / 2;
        }
      }
    }
  }
}

TEST(TensorConversion, FloatsBetweenTwoHalvesRoundToTheNearestAndTiesToEven) {
  std::vector<float> between;
  std::vector<std::uint16_t> want;
  for (std::uint16_t code = 0; code < 0x7BFF; ++code) {
    const double low = decode(code, 5, 10, 15);
    const double high = decode(code + 1U, 5, 10, 15);
    const auto middle = static_cast<float>((low + high) / 2);
    const auto up = static_cast<std::uint16_t>(code + 1);
    between.insert(between.end(), {std::nextafter(middle, 0.0F), middle, std::nextafter(middle, 1e9F)});
    want.insert(want.end(), {code, (code & 1) == 0 ? code : up, up});
  }
  EXPECT_EQ(elements_of<std::uint16_t>(make(DType::f32, between).to(DType::f16).value()), want);
}

// Rounding by definition, one float at a time: of the format's positive numbers the nearest, of two the even code.
TEST(TensorConversion, FloatsBetweenTwoFloat8sRoundToTheNearestAndTiesToEven) {
  for (const SmallFloat& format : kSmallFloats) {
    if (size_bytes(format.dtype) != 1 || format.dtype == DType::f8_e8m0fnu) continue;
    std::vector<float> between;
    std::vector<std::uint8_t> want;
    for (std::uint32_t code = 0; std::isfinite(format.value(code + 1)) && code < 0x7F; ++code) {
      const double low = format.value(code);
      const double high = format.value(code + 1);
      const auto middle = static_cast<float>((low + high) / 2);
      const auto down = static_cast<std::uint8_t>(code);
      const auto up = static_cast<std::uint8_t>(code + 1);
      between.insert(between.end(), {static_cast<float>(low), std::nextafter(middle, 0.0F), middle,
                                     std::nextafter(middle, 1e9F), static_cast<float>(high)});
      want.insert(want.end(), {down, down, (code & 1) == 0 ? down : up, up, up});
    }
    ASSERT_GT(want.size(), 5U * 100);
    EXPECT_EQ(elements_of<std::uint8_t>(make(DType::f32, between).to(format.dtype).value()), want)
        << to_string(format.dtype);
  }
}

TEST(TensorConversion, EveryFloat8ComesBackFromAWiderFloat) {
  for (const SmallFloat& format : kSmallFloats) {
    if (size_bytes(format.dtype) != 1) continue;
    const Tensor codes = all_codes(format.dtype);
    for (const DType wide : {DType::bf16, DType::f32, DType::f64, DType::c64, DType::c128}) {
      const auto back = elements_of<std::uint8_t>(codes.to(wide).value().to(format.dtype).value());
      for (std::uint32_t code = 0; code < 256; ++code) {
        if (std::isnan(format.value(code))) {
          EXPECT_TRUE(std::isnan(format.value(back[code]))) << to_string(format.dtype) << ' ' << code;
        } else {
          EXPECT_EQ(back[code], code) << to_string(format.dtype) << " through " << to_string(wide);
        }
      }
    }
  }
}

TEST(TensorConversion, WhatIsTooLargeForAFloat8IsInfinityOrTheLargestOrNan) {
  const Tensor source = make(DType::f32, std::vector<float>{1e9F, -1e9F, INFINITY, -INFINITY});
  const auto codes = [&](DType to) { return elements_of<std::uint8_t>(source.to(to).value()); };
  EXPECT_EQ(codes(DType::f8_e5m2), (std::vector<std::uint8_t>{0x7C, 0xFC, 0x7C, 0xFC}));
  EXPECT_EQ(codes(DType::f8_e4m3fn), (std::vector<std::uint8_t>{0x7E, 0xFE, 0x7E, 0xFE}));
  EXPECT_EQ(codes(DType::f8_e5m2fnuz), (std::vector<std::uint8_t>{0x80, 0x80, 0x80, 0x80}));
  EXPECT_EQ(codes(DType::f8_e4m3fnuz), (std::vector<std::uint8_t>{0x80, 0x80, 0x80, 0x80}));
  // 1e9 lies between 2^29 and 2^30, nearer to the latter.
  EXPECT_EQ(codes(DType::f8_e8m0fnu), (std::vector<std::uint8_t>{127 + 30, 127 + 30, 0xFF, 0xFF}));
}

TEST(TensorConversion, PowersOfTwoHaveNoSignAndNoZero) {
  const std::vector<float> values = {0.0F, -0.0F, 1e-45F, 0x1p-127F, 0x1.000004p-127F, -1.0F, 1.49F, 1.5F, 0x1.8p127F};
  EXPECT_EQ(elements_of<std::uint8_t>(make(DType::f32, values).to(DType::f8_e8m0fnu).value()),
            (std::vector<std::uint8_t>{0, 0, 0, 0, 1, 127, 127, 128, 0xFF}));
}

TEST(TensorConversion, DoublesPassThroughAFloatOnTheirWayTo16Bits) {
  // Just below the tie at 65520: nearest is 65504, but as a float it is the tie, and that is infinity.
  const std::vector<double> values = {65519.9999999, -65519.9999999};
  EXPECT_EQ(elements_of<std::uint16_t>(make(DType::f64, values).to(DType::f16).value()),
            (std::vector<std::uint16_t>{0x7C00, 0xFC00}));
}

TEST(TensorConversion, FloatsThatFitNoIntegerGiveWhatAnX86ProcessorGives) {
  const double inf = kInf;
  const std::vector<double> values = {kNan, inf, -inf, 1e30, 0x1p63, -0x1p63, 0x1p64, 1.5 * 0x1p63, -1.0};
  const Tensor source = make(DType::f64, values);
  constexpr std::int64_t kMin64 = std::numeric_limits<std::int64_t>::min();
  constexpr std::int32_t kMin32 = std::numeric_limits<std::int32_t>::min();
  constexpr std::uint64_t kTop = std::uint64_t{1} << 63;
  EXPECT_EQ(elements_of<std::int64_t>(source.to(DType::i64).value()),
            (std::vector<std::int64_t>{kMin64, kMin64, kMin64, kMin64, kMin64, kMin64, kMin64, kMin64, -1}));
  EXPECT_EQ(elements_of<std::uint64_t>(source.to(DType::u64).value()),
            (std::vector<std::uint64_t>{kTop, 0, kTop, 0, kTop, kTop, 0, kTop + kTop / 2, ~std::uint64_t{0}}));
  EXPECT_EQ(elements_of<std::int32_t>(source.to(DType::i32).value()),
            (std::vector<std::int32_t>{kMin32, kMin32, kMin32, kMin32, kMin32, kMin32, kMin32, kMin32, -1}));
  EXPECT_EQ(elements_of<std::uint32_t>(source.to(DType::u32).value()),
            (std::vector<std::uint32_t>{0, 0, 0, 0, 0, 0, 0, 0, 0xFFFFFFFF}));
  EXPECT_EQ(elements_of<std::uint16_t>(source.to(DType::u16).value()),
            (std::vector<std::uint16_t>{0, 0, 0, 0, 0, 0, 0, 0, 0xFFFF}));
  EXPECT_EQ(elements_of<std::int8_t>(source.to(DType::i8).value()),
            (std::vector<std::int8_t>{0, 0, 0, 0, 0, 0, 0, 0, -1}));
}

TEST(TensorConversion, UnsignedIntegersOf64BitsAreNotTakenForNegativeOnes) {
  const std::vector<std::uint64_t> values = {~std::uint64_t{0}, std::uint64_t{1} << 63, 5};
  const Tensor source = make(DType::u64, values);
  EXPECT_EQ(elements_of<double>(source.to(DType::f64).value()), (std::vector<double>{0x1p64, 0x1p63, 5}));
  EXPECT_EQ(elements_of<float>(source.to(DType::f32).value()), (std::vector<float>{0x1p64F, 0x1p63F, 5}));
  EXPECT_EQ(elements_of<std::int64_t>(source.to(DType::i64).value()),
            (std::vector<std::int64_t>{-1, std::numeric_limits<std::int64_t>::min(), 5}));
  EXPECT_EQ(elements_of<std::uint8_t>(source.to(DType::boolean).value()), (std::vector<std::uint8_t>{1, 1, 1}));
}

TEST(TensorConversion, T23_BoolStoragesMayHoldAnyByte) {
  std::vector<std::uint8_t> bytes(256);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(i);
  const Tensor source = make(DType::boolean, bytes);
  std::vector<std::uint8_t> want(256, 1);
  want[0] = 0;
  EXPECT_EQ(elements_of<std::uint8_t>(source.to(DType::u8).value()), want);
  EXPECT_EQ(elements_of<float>(source.to(DType::f32).value()), std::vector<float>(want.begin(), want.end()));
  // The bytes themselves stay what they are.
  EXPECT_EQ(elements_of<std::uint8_t>(source.to(DType::boolean).value()), bytes);
}

TEST(TensorConversion, ComplexNumbersAreTrueWhereEitherPartIs) {
  const std::vector<std::array<float, 2>> values = {{0, 0}, {1, 0}, {0, 1}, {-0.0F, -0.0F}, {NAN, 0}, {0, NAN}};
  EXPECT_EQ(elements_of<std::uint8_t>(make(DType::c64, values).to(DType::boolean).value()),
            (std::vector<std::uint8_t>{0, 1, 1, 0, 1, 1}));
}

TEST(TensorConversion, HalfPrecisionComplexNumbersConvertPartByPart) {
  const std::vector<std::array<float, 2>> values = {{1.5F, -2.0F}, {65504.0F, 1e30F}};
  const Tensor source = make(DType::c64, values);
  const Tensor half = source.to(DType::c32).value();
  EXPECT_EQ(elements_of<std::uint16_t>(half), (std::vector<std::uint16_t>{0x3E00, 0xC000, 0x7BFF, 0x7C00}));
  EXPECT_EQ(elements_of<float>(half.to(DType::c64).value()),
            (std::vector<float>{1.5F, -2.0F, 65504.0F, static_cast<float>(kInf)}));
  EXPECT_EQ(elements_of<float>(half.to(DType::f32).value()), (std::vector<float>{1.5F, 65504.0F}));
  const Tensor brain = source.to(DType::bc32).value();
  EXPECT_EQ(elements_of<std::uint16_t>(brain), (std::vector<std::uint16_t>{0x3FC0, 0xC000, 0x4780, 0x714A}));
  EXPECT_EQ(elements_of<double>(make(DType::i32, std::vector<std::int32_t>{-7}).to(DType::c128).value()),
            (std::vector<double>{-7, 0}));
}

// Which pairs exist, all of them: a new dtype has to be put somewhere.
TEST(TensorConversion, PairsThatAreNotBuiltAreNamed) {
  const auto is_number = [](DType dtype) {
    return info(dtype).kind != DTypeKind::quantized && info(dtype).kind != DTypeKind::bits &&
           dtype != DType::f4_e2m1fn_x2;
  };
  for (std::size_t i = 0; i < dtype_count(); ++i) {
    for (std::size_t j = 0; j < dtype_count(); ++j) {
      const DType from = dtype_at(i).dtype;
      const DType to = dtype_at(j).dtype;
      const auto converted = Tensor::zeros(from, {2}).value().to(to);
      if (from == to || (is_number(from) && is_number(to))) {
        ASSERT_TRUE(converted) << to_string(from) << " to " << to_string(to);
        EXPECT_EQ(converted->dtype(), to);
        continue;
      }
      ASSERT_FALSE(converted) << to_string(from) << " to " << to_string(to);
      EXPECT_EQ(converted.error().code, ErrorCode::unsupported);
      EXPECT_EQ(converted.error().finding.message,
                "no conversion from " + std::string(to_string(from)) + " to " + std::string(to_string(to)));
      const bool codes = info(from).kind == DTypeKind::quantized || info(to).kind == DTypeKind::quantized;
      EXPECT_EQ(converted.error().finding.hint.empty(), !codes);
    }
  }
}

TEST(TensorConversion, QuantisedElementsAreCodesAndSaidToBe) {
  const Tensor codes = Tensor::zeros(DType::qu8, {2}).value();
  EXPECT_EQ(codes.to(DType::f32).error().finding.hint,
            "elements of quint8 are codes: dequantise first, value = scale x (code - zero point)");
  EXPECT_EQ(Tensor::zeros(DType::f32, {2}).value().to(DType::qi8).error().finding.hint,
            "elements of qint8 are codes: to make them takes a scale and a zero point");
}

TEST(TensorConversion, StridedAndConjugatedViewsConvertAsTheirValues) {
  std::vector<float> values(3000);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  const Tensor dense = Tensor::from_values<float>(values, {1000, 3}).value();
  const Tensor transposed =
      Tensor::view(dense.storage(), DType::f32, {3, 1000}, {1, 3}, 0, {.requires_grad = true}).value();
  const Tensor converted = transposed.to(DType::i32).value();
  EXPECT_TRUE(converted.is_contiguous());
  EXPECT_TRUE(converted.options().requires_grad);
  const auto ints = elements_of<std::int32_t>(converted);
  for (std::size_t i = 0; i < 3000; ++i) ASSERT_EQ(ints[i], static_cast<std::int32_t>(i % 1000 * 3 + i / 1000));

  const Tensor pairs =
      Tensor::view(dense.storage(), DType::c64, {2}, {1}, 0, {.conj = true}).value().to(DType::c128).value();
  EXPECT_EQ(elements_of<double>(pairs), (std::vector<double>{0, -1, 2, -3}));
  EXPECT_FALSE(pairs.options().conj);
}

TEST(TensorConversion, T11_ExpandedViewsAreNotConvertedIntoTerabytes) {
  const Tensor one = Tensor::zeros(DType::f32, {1}).value();
  const Tensor bomb = Tensor::view(one.storage(), DType::f32, {std::int64_t{1} << 40}, {0}, 0).value();
  const auto refused = bomb.to(DType::f64);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::limit_exceeded);
  EXPECT_EQ(refused.error().finding.message,
            "a copy in C order of [1099511627776] takes 8796093022208 bytes, expected at most 1099511627776; the "
            "storage has 4");
  // Nor where the bytes of the result cannot even be counted.
  const Tensor byte = Tensor::zeros(DType::u8, {1}).value();
  const Tensor endless = Tensor::view(byte.storage(), DType::u8, {std::int64_t{1} << 60}, {0}, 0).value();
  EXPECT_FALSE(endless.to(DType::c128));
}

TEST(TensorConversion, TensorsWithoutElementsConvertWithoutBytes) {
  const Tensor empty = Tensor::zeros(DType::f64, {3, 0, 2}).value();
  const Tensor converted = empty.to(DType::i8).value();
  EXPECT_EQ(converted.dtype(), DType::i8);
  EXPECT_EQ(Shape(converted.shape().begin(), converted.shape().end()), (Shape{3, 0, 2}));
  EXPECT_TRUE(converted.bytes().value().empty());
  EXPECT_TRUE(Tensor().to(DType::i8));
}

}  // namespace
}  // namespace rushlight
