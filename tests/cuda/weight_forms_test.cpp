// Weights on their way to the GPU: what each form makes of them.
#include "cuda/weight_forms.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <vector>

#include "cuda/kernels/operands.cuh"

namespace rushlight::cuda {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
using Codes = std::vector<std::uint16_t>;

template <class Code>
std::vector<Code> codes(const std::vector<float>& values, const Shape& shape, WeightForm form) {
  const Tensor tensor = in_form(Tensor::from_values<float>(values, shape).value(), form).value();
  const std::span<const std::byte> bytes = tensor.bytes().value();
  std::vector<Code> codes(bytes.size() / sizeof(Code));
  if (!bytes.empty()) std::memcpy(codes.data(), bytes.data(), bytes.size());
  return codes;
}

TEST(WeightForms, WhatNeedsNoChangeIsNotCopied) {
  const Tensor values = Tensor::from_values<float>(std::vector<float>(8, 1.5F), {2, 4}).value();
  for (const WeightForm form : {WeightForm::plain, WeightForm::f32_rows}) {
    EXPECT_EQ(in_form(values, form).value().bytes().value().data(), values.bytes().value().data());
  }
}

TEST(WeightForms, Bfloat16IsTheNearestWithTiesToEven) {
  // A step of bfloat16 at 1 is 2^-7: halves of it go to the even neighbour.
  EXPECT_EQ(codes<std::uint16_t>({1, 1 + 0x1p-8F, 1 + 0x3p-8F, 1 + 0x1.02p-8F, -0.0F, kInfinity, 3.4e38F, kNaN}, {1, 8},
                                 WeightForm::bf16_rows),
            (Codes{0x3F80, 0x3F80, 0x3F82, 0x3F81, 0x8000, 0x7F80, 0x7F80, 0x7FC0}));
}

TEST(WeightForms, HalfIsTheNearestWithTiesToEven) {
  EXPECT_EQ(codes<std::uint16_t>({1, 1 + 0x1p-11F, 1 + 0x3p-11F, 65504, 65520, -kInfinity, 0x1p-24F, kNaN}, {1, 8},
                                 WeightForm::fp16_rows),
            (Codes{0x3C00, 0x3C00, 0x3C02, 0x7BFF, 0x7C00, 0xFC00, 0x0001, 0x7E00}));
}

TEST(WeightForms, RowsBeginAtMultiplesOf16BytesAndZerosFillThem) {
  const std::vector<float> values = {1, 2, 3, 4, 5, 6};
  EXPECT_EQ(codes<float>(values, {2, 3}, WeightForm::f32_rows), (std::vector<float>{1, 2, 3, 0, 4, 5, 6, 0}));
  EXPECT_EQ(codes<float>(values, {1, 2, 1, 3}, WeightForm::f32_rows), (std::vector<float>{1, 2, 3, 4, 5, 6, 0, 0}));
  EXPECT_EQ(codes<std::uint16_t>(values, {2, 3}, WeightForm::fp16_rows),
            (Codes{0x3C00, 0x4000, 0x4200, 0, 0, 0, 0, 0, 0x4400, 0x4500, 0x4600, 0, 0, 0, 0, 0}));
  EXPECT_EQ(codes<float>({}, {0, 3}, WeightForm::f32_rows), std::vector<float>());
  EXPECT_EQ(codes<float>({}, {3, 0}, WeightForm::f32_rows), std::vector<float>());
  for (const std::int64_t depth : {1, 3, 4, 7, 8, 9}) {
    EXPECT_EQ(row_pitch(depth, WeightForm::plain), depth);
    EXPECT_EQ(row_pitch(depth, WeightForm::f32_rows), (depth + 3) / 4 * 4);
    EXPECT_EQ(row_pitch(depth, WeightForm::bf16_rows), (depth + 7) / 8 * 8);
  }
}

// Two rows of 40 whose numbers say their k: wgmma's instructions of 16 take 0, 1, 8, 9, .. first, those of 8 TF32 take
// 0, 8, 16, 24, 1, ...
TEST(WeightForms, DealtIsWholeSlabsInTheOrderOfTheInstruction) {
  std::vector<float> values(80);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 40);
  const std::vector<float> floats = codes<float>(values, {2, 1, 2, 20}, WeightForm::tf32_dealt);
  const Codes halves = codes<std::uint16_t>(values, {2, 40}, WeightForm::fp16_dealt);
  const Codes narrow = codes<std::uint16_t>(values, {2, 40}, WeightForm::bf16_dealt);
  ASSERT_EQ(floats.size(), 128U);
  ASSERT_EQ(halves.size(), 128U);
  ASSERT_EQ(narrow.size(), 128U);
  const auto floats_at = [&](std::size_t at, std::size_t count) {
    return std::vector<float>(floats.begin() + static_cast<std::ptrdiff_t>(at),
                              floats.begin() + static_cast<std::ptrdiff_t>(at + count));
  };
  EXPECT_EQ(floats_at(0, 16), (std::vector<float>{0, 8, 16, 24, 1, 9, 17, 25, 2, 10, 18, 26, 3, 11, 19, 27}));
  EXPECT_EQ(floats_at(16, 8), (std::vector<float>{4, 12, 20, 28, 5, 13, 21, 29}));
  EXPECT_EQ(floats_at(32, 8), (std::vector<float>{32, 0, 0, 0, 33, 0, 0, 0}));
  EXPECT_EQ(floats_at(64, 4), (std::vector<float>{0, 8, 16, 24}));
  const std::vector<float> expected = {0, 1, 8, 9, 16, 17, 24, 25, 2, 3, 10, 11, 18, 19, 26, 27, 4, 5, 12, 13};
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(low_number<Operand::fp16>(halves[i]), expected[i]);
    EXPECT_EQ(low_number<Operand::bf16>(narrow[64 + i]), expected[i]);
  }
  EXPECT_EQ(row_pitch(1, WeightForm::bf16_dealt), 32);
  EXPECT_EQ(row_pitch(64, WeightForm::tf32_dealt), 64);
  EXPECT_EQ(codes<float>({}, {0, 3}, WeightForm::tf32_dealt), std::vector<float>());
}

// Slabs of big parts and of small ones in turns; together they are the number.
TEST(WeightForms, TwoPartsLieSlabBySlab) {
  std::vector<float> values(40);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i) + 0x1p-9F;
  values[1] = -kInfinity;
  const std::vector<float> parts = codes<float>(values, {1, 40}, WeightForm::tf32x3_dealt);
  ASSERT_EQ(parts.size(), 128U);
  EXPECT_EQ(row_pitch(40, WeightForm::tf32x3_dealt), 128);
  EXPECT_EQ(parts[1], 8);  // k = 8
  EXPECT_EQ(parts[32 + 1], 0x1p-9F);
  EXPECT_EQ(parts[4], -kInfinity);  // k = 1
  EXPECT_TRUE(std::isnan(parts[32 + 4]));
  EXPECT_EQ(parts[64], 32);  // k = 32
  EXPECT_EQ(parts[96], 0x1p-9F);
  EXPECT_EQ(parts[65], 0);
}

TEST(WeightForms, DealtTf32IsRoundedAsTheGpuRoundsIt) {
  const std::vector<float> rounded =
      codes<float>({1 + 0x1p-11F, -1 - 0x1p-11F, kInfinity}, {3, 1}, WeightForm::tf32_dealt);
  EXPECT_EQ(rounded[0], 1 + 0x1p-10F);
  EXPECT_EQ(rounded[32], -1 - 0x1p-10F);
  EXPECT_EQ(rounded[64], kInfinity);
}

TEST(WeightForms, TransposedIsOutputsInnermost) {
  const std::vector<float> values = {1, 2, 3, 4, 5, 6};
  const std::vector<float> turned = {1, 4, 2, 5, 3, 6};
  EXPECT_EQ(codes<float>(values, {2, 1, 3, 1}, WeightForm::f32_transposed), turned);
  EXPECT_EQ(codes<float>(values, {1, 6}, WeightForm::f32_transposed), values);
  EXPECT_EQ(codes<float>({}, {0, 3}, WeightForm::f32_transposed), std::vector<float>());
}

}  // namespace
}  // namespace rushlight::cuda
