#include "tensor/layout.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <random>
#include <string>

namespace rushlight {
namespace {

constexpr std::int64_t kMin = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();

Result<Extent> check(DType dtype, const Shape& shape, const Strides& strides, std::int64_t offset,
                     std::uint64_t storage_bytes) {
  return check_geometry(dtype, shape, strides, offset, storage_bytes);
}

std::string message(const Result<Extent>& result) {
  return result ? "accepted" : result.error().finding.message;
}

std::string code(const Result<Extent>& result) {
  return result ? "accepted" : result.error().finding.code;
}

TEST(TensorLayout, T01_NegativeSizesAreNamedByDimension) {
  const auto minus_one = check(DType::f32, {2, -1}, {1, 1}, 0, 64);
  EXPECT_EQ(message(minus_one), "the size of dimension 1 is -1, expected 0 or more");
  EXPECT_EQ(code(minus_one), "TENSOR-SIZE");
  EXPECT_EQ(minus_one.error().code, ErrorCode::corrupt);
  EXPECT_EQ(minus_one.error().finding.category, Category::tensor);
  EXPECT_EQ(message(check(DType::f32, {kMin}, {1}, 0, 64)),
            "the size of dimension 0 is -9223372036854775808, expected 0 or more");
  // A zero does not hide it.
  EXPECT_EQ(code(check(DType::f32, {0, -1}, {1, 1}, 0, 64)), "TENSOR-SIZE");
  EXPECT_EQ(code(check(DType::f32, {-1, 0}, {1, 1}, 0, 64)), "TENSOR-SIZE");
}

TEST(TensorLayout, T02_ProductsOfSizesNeverWrap) {
  const auto square = check(DType::u8, {std::int64_t{1} << 32, std::int64_t{1} << 32}, {0, 0}, 0, 64);
  EXPECT_EQ(message(square), "sizes [4294967296, 4294967296] overflow a 64-bit count");
  EXPECT_EQ(code(square), "TENSOR-OVERFLOW");
  EXPECT_EQ(code(check(DType::u8, {std::int64_t{1} << 62, 4}, {0, 0}, 0, 64)), "TENSOR-OVERFLOW");
  EXPECT_EQ(code(check(DType::u8, {kMax, kMax, kMax}, {0, 0, 0}, 0, 64)), "TENSOR-OVERFLOW");
  // The elements can be counted, their bytes cannot.
  EXPECT_EQ(code(check(DType::c128, {std::int64_t{1} << 60}, {0}, 0, 64)), "TENSOR-OVERFLOW");
  EXPECT_TRUE(check(DType::c128, {(std::int64_t{1} << 59) - 1}, {0}, 0, 64));
  EXPECT_TRUE(check(DType::u8, {kMax}, {0}, 0, 1));
}

TEST(TensorLayout, T02_ZeroMakesTheProductZeroWhereverItStands) {
  for (const Shape& shape :
       {Shape{0, std::int64_t{1} << 62, 4}, Shape{std::int64_t{1} << 62, 4, 0}, Shape{std::int64_t{1} << 62, 0, 4}}) {
    const auto extent = check(DType::f32, shape, {1, 1, 1}, 0, 0);
    ASSERT_TRUE(extent) << message(extent);
    EXPECT_EQ(extent->numel, 0);
    EXPECT_EQ(extent->span, 0);
  }
}

TEST(TensorLayout, T04_StridesMustBeThereAndNotNegative) {
  EXPECT_EQ(message(check(DType::f32, {2}, {-1}, 1, 64)), "the stride of dimension 0 is -1, expected 0 or more");
  EXPECT_EQ(code(check(DType::f32, {2}, {kMin}, 0, 64)), "TENSOR-STRIDE");
  EXPECT_EQ(message(check(DType::f32, {2, 2}, {1}, 0, 64)), "a tensor of 2 dimensions has 1 strides");
  EXPECT_EQ(message(check(DType::f32, {}, {1}, 0, 64)), "a tensor of 0 dimensions has 1 strides");
  // Even where no element is reached through it.
  EXPECT_EQ(code(check(DType::f32, {0}, {-1}, 0, 64)), "TENSOR-STRIDE");
  EXPECT_EQ(code(check(DType::f32, {1}, {-1}, 0, 64)), "TENSOR-STRIDE");
}

TEST(TensorLayout, T06_OffsetsBeyondTheStorageAreRefused) {
  EXPECT_EQ(message(check(DType::f32, {1}, {1}, -1, 64)), "the storage offset is -1, expected 0 or more");
  EXPECT_EQ(message(check(DType::f32, {1}, {1}, 16, 64)),
            "sizes [1], strides [1] and offset 16 reach element 16, the storage holds 16 of float32 (64 bytes)");
  EXPECT_EQ(code(check(DType::f32, {1}, {1}, 16, 64)), "TENSOR-BOUNDS");
  EXPECT_EQ(code(check(DType::f32, {2}, {1}, 15, 64)), "TENSOR-BOUNDS");
  EXPECT_TRUE(check(DType::f32, {1}, {1}, 15, 64));
  const auto far = check(DType::f32, {2}, {1}, kMax, 64);
  EXPECT_EQ(message(far),
            "sizes [2], strides [1] and offset 9223372036854775807 reach beyond 64 bits, the storage holds 16 of "
            "float32 (64 bytes)");
  EXPECT_EQ(code(check(DType::f32, {}, {}, kMax, 64)), "TENSOR-BOUNDS");
}

TEST(TensorLayout, T06_OffsetOfATensorWithoutElementsReachesNothing) {
  for (const std::int64_t offset : {std::int64_t{0}, std::int64_t{16}, kMax}) {
    EXPECT_TRUE(check(DType::f64, {0}, {1}, offset, 0)) << offset;
    EXPECT_TRUE(check(DType::f64, {3, 0}, {kMax, kMax}, offset, 0)) << offset;
  }
  EXPECT_EQ(code(check(DType::f64, {0}, {1}, -1, 0)), "TENSOR-OFFSET");
}

TEST(TensorLayout, T07_LastByteAtTheEndIsAcceptedAndOnePastRefusedForEveryDType) {
  for (std::size_t i = 0; i < dtype_count(); ++i) {
    const DType dtype = dtype_at(i).dtype;
    const std::uint64_t width = size_bytes(dtype);
    const std::int64_t values = values_per_unit(dtype);
    // Three units: the last value of the third is in, the first of a fourth is out, and so is a unit cut short.
    const std::int64_t last = 3 * values - 1;
    EXPECT_TRUE(check(dtype, {3 * values}, {1}, 0, 3 * width)) << to_string(dtype);
    EXPECT_EQ(code(check(dtype, {3 * values + 1}, {1}, 0, 3 * width)), "TENSOR-BOUNDS") << to_string(dtype);
    EXPECT_EQ(code(check(dtype, {3 * values}, {1}, 0, 3 * width - 1)), "TENSOR-BOUNDS") << to_string(dtype);
    EXPECT_TRUE(check(dtype, {}, {}, last, 3 * width)) << to_string(dtype);
    EXPECT_EQ(code(check(dtype, {}, {}, last + 1, 3 * width)), "TENSOR-BOUNDS") << to_string(dtype);
    EXPECT_TRUE(check(dtype, {2}, {last}, 0, 3 * width)) << to_string(dtype);
    EXPECT_EQ(code(check(dtype, {2}, {last}, 1, 3 * width)), "TENSOR-BOUNDS") << to_string(dtype);
    EXPECT_EQ(code(check(dtype, {}, {}, 0, 0)), "TENSOR-BOUNDS") << to_string(dtype);
    EXPECT_TRUE(check(dtype, {0}, {1}, 0, 0)) << to_string(dtype);
  }
}

TEST(TensorLayout, T07_StridesTimesSizesNeverWrap) {
  EXPECT_EQ(code(check(DType::f32, {3}, {kMax / 2 + 1}, 0, 64)), "TENSOR-BOUNDS");
  EXPECT_EQ(code(check(DType::f32, {3, 3}, {kMax / 2, kMax / 2}, 0, 64)), "TENSOR-BOUNDS");
  EXPECT_EQ(code(check(DType::f32, {2, 2}, {kMax, 1}, 0, 64)), "TENSOR-BOUNDS");
  // A dimension of size 1 is never stepped through.
  EXPECT_TRUE(check(DType::f32, {1, 4}, {kMax, 1}, 12, 64));
}

TEST(TensorLayout, T10_MoreThan64DimensionsAreALimit) {
  EXPECT_TRUE(check(DType::f32, Shape(64, 1), Strides(64, 1), 0, 4));
  for (const std::size_t dims : {std::size_t{65}, std::size_t{1000}, std::size_t{1'000'000}}) {
    const auto result = check(DType::f32, Shape(dims, 1), Strides(dims, 1), 0, 4);
    EXPECT_EQ(message(result), "a tensor has " + std::to_string(dims) + " dimensions, expected at most 64");
    EXPECT_EQ(code(result), "TENSOR-DIMS");
    EXPECT_EQ(result.error().code, ErrorCode::limit_exceeded);
  }
}

TEST(TensorLayout, T11_ExpandedViewsMayClaimAnySizeOverFourBytes) {
  const auto expanded = check(DType::f32, {std::int64_t{1} << 40}, {0}, 0, 4);
  ASSERT_TRUE(expanded);
  EXPECT_EQ(expanded->numel, std::int64_t{1} << 40);
  EXPECT_EQ(expanded->span, 1);
}

TEST(TensorLayout, SpansCountTheGapsOfAView) {
  EXPECT_EQ(check(DType::f32, {3, 4}, {4, 1}, 0, 48)->span, 12);
  EXPECT_EQ(check(DType::f32, {4, 3}, {1, 4}, 0, 48)->span, 12);
  EXPECT_EQ(check(DType::f32, {3}, {4}, 3, 48)->span, 9);
  EXPECT_EQ(check(DType::f32, {2, 3}, {1, 1}, 0, 16)->span, 4);  // overlapping rows
  EXPECT_EQ(check(DType::f32, {}, {}, 5, 48)->span, 1);
}

// Sizes of these dtypes count values, of which two or four share a byte.
TEST(TensorLayout, PackedQuantisedTypesCountValues) {
  EXPECT_EQ(values_per_unit(DType::qu4x2), 2U);
  EXPECT_EQ(values_per_unit(DType::qu2x4), 4U);
  EXPECT_EQ(values_per_unit(DType::f4_e2m1fn_x2), 1U);
  EXPECT_EQ(values_per_unit(DType::bits1x8), 1U);
  EXPECT_TRUE(check(DType::qu4x2, {2, 3}, {3, 1}, 0, 3));
  const auto beyond = check(DType::qu4x2, {7}, {1}, 0, 3);
  EXPECT_EQ(message(beyond),
            "sizes [7], strides [1] and offset 0 reach element 6, the storage holds 6 of quint4x2 (3 bytes)");
}

// Against the plainest model: step to every element and see whether it is there.
TEST(TensorLayout, AgreesWithCountingEveryElement) {
  std::mt19937 random(7);
  const auto upto = [&](int n) { return std::int64_t{std::uniform_int_distribution<int>(0, n)(random)}; };
  int accepted = 0;
  for (int round = 0; round < 20000; ++round) {
    Shape shape(static_cast<std::size_t>(upto(3)));
    Strides strides(shape.size());
    for (auto& size : shape) size = upto(3);
    for (auto& stride : strides) stride = upto(5);
    const std::int64_t offset = upto(6);
    const std::int64_t units = upto(20);
    std::int64_t numel = 1;
    for (const auto size : shape) numel *= size;
    std::int64_t highest = -1;
    for (std::int64_t i = 0; i < numel; ++i) {
      std::int64_t rest = i;
      std::int64_t at = offset;
      for (std::size_t d = shape.size(); d-- > 0;) {
        at += rest % shape[d] * strides[d];
        rest /= shape[d];
      }
      highest = std::max(highest, at);
    }
    const auto extent = check(DType::i16, shape, strides, offset, static_cast<std::uint64_t>(2 * units));
    ASSERT_EQ(static_cast<bool>(extent), highest < units) << message(extent);
    if (!extent) continue;
    ++accepted;
    EXPECT_EQ(extent->numel, numel);
    EXPECT_EQ(extent->span, numel == 0 ? 0 : highest - offset + 1);
  }
  EXPECT_GT(accepted, 5000);
}

TEST(TensorLayout, ContiguousIgnoresDimensionsThatAreNotStepped) {
  const auto contiguous = [](const Shape& shape, const Strides& strides) { return is_contiguous(shape, strides); };
  EXPECT_TRUE(contiguous({}, {}));
  EXPECT_TRUE(contiguous({3, 4}, {4, 1}));
  EXPECT_TRUE(contiguous({3, 1, 4}, {4, 77, 1}));
  EXPECT_TRUE(contiguous({1, 1}, {9, 9}));
  EXPECT_TRUE(contiguous({0, 4}, {1, 3}));
  EXPECT_FALSE(contiguous({3, 4}, {1, 3}));
  EXPECT_FALSE(contiguous({3, 4}, {0, 1}));
  EXPECT_FALSE(contiguous({3}, {2}));
}

TEST(TensorLayout, ContiguousStridesAreTorchs) {
  EXPECT_EQ(contiguous_strides(Shape{}), Strides{});
  EXPECT_EQ(contiguous_strides(Shape{5}), Strides{1});
  EXPECT_EQ(contiguous_strides(Shape{2, 3, 4}), (Strides{12, 4, 1}));
  EXPECT_EQ(contiguous_strides(Shape{2, 0, 4}), (Strides{4, 4, 1}));
  EXPECT_EQ(contiguous_strides(Shape{0, std::int64_t{1} << 62, 4}), (Strides{kMax, 4, 1}));
}

}  // namespace
}  // namespace rushlight
