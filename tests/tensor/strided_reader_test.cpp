#include "tensor/strided_reader.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <string>
#include <vector>

namespace rushlight {
namespace {

std::vector<std::byte> random_bytes(std::size_t size, std::mt19937& random) {
  std::vector<std::byte> bytes(size);
  for (std::byte& b : bytes) b = static_cast<std::byte>(random());
  return bytes;
}

TEST(StridedReader, ReadsWhatSteppingFromElementToElementFinds) {
  std::mt19937 random(11);
  const auto upto = [&](int n) { return std::int64_t{std::uniform_int_distribution<int>(0, n)(random)}; };
  for (const DType dtype : {DType::u8, DType::f16, DType::f32, DType::f64, DType::c128}) {
    const std::size_t width = size_bytes(dtype);
    for (int round = 0; round < 2000; ++round) {
      Shape shape(static_cast<std::size_t>(upto(5)));
      Strides strides(shape.size());
      std::int64_t numel = 1;
      std::int64_t reach = 0;
      for (std::size_t d = shape.size(); d-- > 0;) {
        shape[d] = 1 + upto(3);
        // Often the stride that would make it contiguous, or one that repeats or overlaps.
        strides[d] = upto(2) > 0 ? numel : upto(4);
        numel *= shape[d];
        reach += (shape[d] - 1) * strides[d];
      }
      const std::vector<std::byte> memory = random_bytes(static_cast<std::size_t>(reach + 1) * width, random);
      std::vector<std::byte> want;
      for (std::int64_t i = 0; i < numel; ++i) {
        std::int64_t rest = i;
        std::int64_t at = 0;
        for (std::size_t d = shape.size(); d-- > 0;) {
          at += rest % shape[d] * strides[d];
          rest /= shape[d];
        }
        const auto* const element = memory.data() + static_cast<std::size_t>(at) * width;
        want.insert(want.end(), element, element + width);
      }
      // In pieces of any length.
      StridedReader reader(memory.data(), dtype, shape, strides, false, false);
      std::vector<std::byte> have(want.size());
      for (std::size_t done = 0; done < static_cast<std::size_t>(numel);) {
        const auto count = std::min(static_cast<std::size_t>(1 + upto(6)), static_cast<std::size_t>(numel) - done);
        reader.read(have.data() + done * width, count);
        done += count;
      }
      ASSERT_EQ(have, want) << to_string(dtype) << ' ' << shape_text(shape) << ' ' << shape_text(strides);
    }
  }
}

TEST(StridedReader, TakesAllSixtyFourDimensions) {
  Shape shape(64, 1);
  shape[0] = 2;
  shape[31] = 3;
  shape[63] = 2;
  Strides strides(64, 0);
  strides[0] = 1;
  strides[31] = 2;
  strides[63] = 6;
  std::vector<std::uint8_t> memory(12);
  for (std::size_t i = 0; i < memory.size(); ++i) memory[i] = static_cast<std::uint8_t>(i);
  std::vector<std::uint8_t> have(12);
  StridedReader(std::as_bytes(std::span(memory)).data(), DType::u8, shape, strides, false, false)
      .read(std::as_writable_bytes(std::span(have)).data(), have.size());
  EXPECT_EQ(have, (std::vector<std::uint8_t>{0, 6, 2, 8, 4, 10, 1, 7, 3, 9, 5, 11}));
}

template <class T>
std::vector<T> resolved(DType dtype, const std::vector<T>& memory, bool conj, bool neg) {
  const auto count = static_cast<std::int64_t>(memory.size() * sizeof(T) / size_bytes(dtype));
  std::vector<T> out(memory.size());
  StridedReader(std::as_bytes(std::span(memory)).data(), dtype, Shape{count}, Strides{1}, conj, neg)
      .read(std::as_writable_bytes(std::span(out)).data(), static_cast<std::size_t>(count));
  return out;
}

TEST(StridedReader, ConjugatesAndNegatesComplexNumbers) {
  const std::vector<float> memory = {1, 2, -3, 4};
  EXPECT_EQ(resolved(DType::c64, memory, true, false), (std::vector<float>{1, -2, -3, -4}));
  EXPECT_EQ(resolved(DType::c64, memory, false, true), (std::vector<float>{-1, -2, 3, -4}));
  EXPECT_EQ(resolved(DType::c64, memory, true, true), (std::vector<float>{-1, 2, 3, 4}));
  EXPECT_EQ(resolved(DType::c128, std::vector<double>{1, 2}, true, false), (std::vector<double>{1, -2}));
  EXPECT_EQ(resolved(DType::c32, std::vector<std::uint16_t>{0x3C00, 0x4000}, true, false),
            (std::vector<std::uint16_t>{0x3C00, 0xC000}));
}

TEST(StridedReader, NegatesRealNumbersAndIntegers) {
  EXPECT_EQ(resolved(DType::f64, std::vector<double>{1, -2}, false, true), (std::vector<double>{-1, 2}));
  EXPECT_EQ(resolved(DType::bf16, std::vector<std::uint16_t>{0, 0xBF80}, false, true),
            (std::vector<std::uint16_t>{0x8000, 0x3F80}));
  EXPECT_EQ(resolved(DType::f8_e5m2, std::vector<std::uint8_t>{0x01}, false, true), std::vector<std::uint8_t>{0x81});
  EXPECT_EQ(resolved(DType::i64, std::vector<std::int64_t>{5, INT64_MIN}, false, true),
            (std::vector<std::int64_t>{-5, INT64_MIN}));
  EXPECT_EQ(resolved(DType::i8, std::vector<std::int8_t>{1, -128}, false, true), (std::vector<std::int8_t>{-1, -128}));
  EXPECT_EQ(resolved(DType::u8, std::vector<std::uint8_t>{1, 0}, false, true), (std::vector<std::uint8_t>{255, 0}));
  EXPECT_EQ(resolved(DType::u16, std::vector<std::uint16_t>{1}, false, true), std::vector<std::uint16_t>{0xFFFF});
  EXPECT_EQ(resolved(DType::i32, std::vector<std::int32_t>{7}, false, true), std::vector<std::int32_t>{-7});
}

TEST(StridedReader, BitsWithoutAMeaningAreRefused) {
  for (std::size_t i = 0; i < dtype_count(); ++i) {
    const DTypeInfo& row = dtype_at(i);
    const Status conj = check_bits(row.dtype, true, false);
    EXPECT_EQ(conj.has_value(), row.kind == DTypeKind::complex) << row.name;
    if (!conj) {
      EXPECT_EQ(conj.error().finding.message, "the conjugate bit is set on a tensor of " + std::string(row.name));
    }
    EXPECT_TRUE(check_bits(row.dtype, false, false)) << row.name;
  }
  for (const DType dtype : {DType::boolean, DType::f8_e8m0fnu, DType::f8_e4m3fnuz, DType::f8_e5m2fnuz,
                            DType::f4_e2m1fn_x2, DType::qi8, DType::qu4x2, DType::bits8}) {
    const Status neg = check_bits(dtype, false, true);
    ASSERT_FALSE(neg) << to_string(dtype);
    EXPECT_EQ(neg.error().finding.code, "TENSOR-NEG");
  }
  EXPECT_TRUE(check_bits(DType::f32, false, true));
  EXPECT_TRUE(check_bits(DType::u8, false, true));
}

}  // namespace
}  // namespace rushlight
