#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

#include "rushlight/inspect.hpp"

namespace rushlight {
namespace {

template <class T>
Tensor of(std::vector<T> values) {
  const auto count = static_cast<std::int64_t>(values.size());
  return Tensor::from_values<T>(std::span<const T>(values), {count}).value();
}

TEST(Statistics, FiguresOfASmallTensor) {
  const TensorStatistics figures = statistics(of<float>({1, 2, 3, 4, 0})).value();
  EXPECT_EQ(figures.count, 5);
  EXPECT_EQ(figures.zero, 1);
  EXPECT_EQ(figures.mean, 2.0);
  EXPECT_DOUBLE_EQ(figures.std, std::sqrt(2.0));
  EXPECT_EQ(figures.min, 0.0);
  EXPECT_EQ(figures.max, 4.0);
  // 24 bins of a sixth: 0, 1, 2, 3, and 4 in the last.
  for (const std::size_t bin : {0u, 6u, 12u, 18u, 23u}) EXPECT_EQ(figures.histogram[bin], 1u) << bin;
  EXPECT_EQ(std::accumulate(figures.histogram.begin(), figures.histogram.end(), std::uint64_t{0}), 5u);
}

TEST(Statistics, WhatIsNotFiniteIsCountedAndLeftOut) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  constexpr float kTiny = std::numeric_limits<float>::denorm_min();
  const TensorStatistics figures = statistics(of<float>({std::nanf(""), kInf, -kInf, kTiny, 2.0f})).value();
  EXPECT_EQ(figures.nan, 1);
  EXPECT_EQ(figures.infinite, 2);
  EXPECT_EQ(figures.subnormal, 1);
  EXPECT_EQ(figures.max, 2.0);
  EXPECT_EQ(figures.mean, (static_cast<double>(kTiny) + 2.0) / 2);
  const TensorStatistics none = statistics(of<float>({std::nanf(""), kInf})).value();
  EXPECT_EQ(none.count, 2);
  EXPECT_EQ(none.mean, 0);
  EXPECT_EQ(none.min, 0);
}

TEST(Statistics, SubnormalIsJudgedByTheElementsOwnType) {
  // 2^-20 is subnormal in float16 and not in float32.
  const Tensor single = of<float>({0x1p-20f});
  EXPECT_EQ(statistics(single)->subnormal, 0);
  EXPECT_EQ(statistics(single.to(DType::f16).value())->subnormal, 1);
  EXPECT_EQ(statistics(of<double>({5e-324}))->subnormal, 1);
}

TEST(Statistics, IntegersAndBoolsHaveFiguresToo) {
  EXPECT_EQ(statistics(of<std::int64_t>({-3, 5}))->mean, 1.0);
  const std::vector<std::byte> bytes{std::byte{0}, std::byte{1}, std::byte{2}, std::byte{0}};
  const Tensor booleans = Tensor::from_bytes(bytes, DType::boolean, {4}).value();
  EXPECT_EQ(statistics(booleans)->zero, 2);
  EXPECT_EQ(statistics(booleans)->max, 1.0);
}

TEST(Statistics, StridedViewsCountTheirElements) {
  const Tensor base = of<float>({1, 2, 3, 4, 5, 6});
  const Tensor every_other = Tensor::view(base.storage(), DType::f32, {3}, {2}, 1).value();
  EXPECT_EQ(statistics(every_other)->mean, 4.0);
  const Tensor row = Tensor::view(base.storage(), DType::f32, {2}, {1}, 4).value();
  EXPECT_EQ(statistics(row)->min, 5.0);
}

TEST(Statistics, ManyElementsAreReadInPieces) {
  std::vector<float> values(200001, 1.0f);
  values.back() = 3.0f;
  const TensorStatistics figures = statistics(of<float>(values)).value();
  EXPECT_EQ(figures.count, 200001);
  EXPECT_EQ(figures.max, 3.0);
  EXPECT_EQ(figures.histogram[0], 200000u);
  EXPECT_EQ(figures.histogram[23], 1u);
}

TEST(Statistics, TheLargestNumbersDoNotOverflowTheHistogram) {
  constexpr double kMax = std::numeric_limits<double>::max();
  const TensorStatistics figures = statistics(of<double>({-kMax, kMax})).value();
  EXPECT_EQ(figures.histogram[0], 1u);
  EXPECT_EQ(figures.histogram[23], 1u);
}

TEST(Statistics, EmptyAndConstantTensorsAreFine) {
  EXPECT_EQ(statistics(of<float>({}))->count, 0);
  const TensorStatistics constant = statistics(of<float>({2, 2})).value();
  EXPECT_EQ(constant.std, 0);
  EXPECT_EQ(constant.histogram[0], 2u);
}

TEST(Statistics, TypesWithoutPlainNumbersAreUnsupported) {
  for (const DType dtype : {DType::c64, DType::qi8, DType::bits8, DType::f4_e2m1fn_x2}) {
    const std::vector<std::byte> bytes(size_bytes(dtype));
    EXPECT_EQ(statistics(Tensor::from_bytes(bytes, dtype, {1}).value()).error().code, ErrorCode::unsupported)
        << to_string(dtype);
  }
}

TEST(Statistics, T11_ABombOfOneElementIsNotUnfolded) {
  const Tensor one = of<float>({1});
  const Tensor expanded = Tensor::view(one.storage(), DType::f32, {std::int64_t{1} << 40}, {0}, 0).value();
  EXPECT_EQ(statistics(expanded).error().code, ErrorCode::limit_exceeded);
}

}  // namespace
}  // namespace rushlight
