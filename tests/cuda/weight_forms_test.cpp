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

// What lies at a place of an output's slab, in tiles of 64 outputs: the manual's swizzle, and the columns that a
// thread's sums of two fragments are.
template <class Code>
Code dealt_code(const std::vector<Code>& tiles, std::size_t output, std::size_t slabs, std::size_t part_of_all,
                std::size_t at) {
  constexpr std::size_t kRowBytes = 32 * sizeof(Code);
  const std::size_t column = output % 16;
  const std::size_t row = output % 64 / 16 * 16 + column % 4 / 2 * 8 + column / 4 * 2 + column % 2;
  const std::size_t turn = kRowBytes == 128 ? row % 8 : row / 2 % 4;
  const std::size_t byte = row * kRowBytes + (at * sizeof(Code) / 16 ^ turn) * 16 + at * sizeof(Code) % 16;
  return tiles.at((output / 64 * slabs + part_of_all) * 64 * 32 + byte / sizeof(Code));
}
// The first numbers of an output's slab; `part_of_all` counts slabs, or parts of them.
template <class Code>
std::vector<Code> dealt_codes(const std::vector<Code>& tiles, std::size_t output, std::size_t slabs,
                              std::size_t part_of_all, std::size_t count) {
  std::vector<Code> found;
  for (std::size_t at = 0; at < count; ++at) found.push_back(dealt_code(tiles, output, slabs, part_of_all, at));
  return found;
}

// Rows of 40 whose numbers say their k: wgmma's instructions of 16 take 0, 1, 8, 9, .. first, those of 8 TF32 take 0,
// 8, 16, 24, 1, ...
TEST(WeightForms, DealtIsTilesInTheOrderOfTheInstruction) {
  constexpr std::size_t kOutputs = 70;
  std::vector<float> values(kOutputs * 40);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 40 + i / 40);
  const std::vector<float> floats = codes<float>(values, {kOutputs, 1, 2, 20}, WeightForm::tf32_dealt);
  const Codes halves = codes<std::uint16_t>(values, {kOutputs, 40}, WeightForm::fp16_dealt);
  const Codes narrow = codes<std::uint16_t>(values, {kOutputs, 40}, WeightForm::bf16_dealt);
  ASSERT_EQ(floats.size(), 128U * 64);
  ASSERT_EQ(halves.size(), 128U * 64);
  ASSERT_EQ(narrow.size(), 128U * 64);
  EXPECT_EQ(dealt_codes(floats, 0, 2, 0, 16),
            (std::vector<float>{0, 8, 16, 24, 1, 9, 17, 25, 2, 10, 18, 26, 3, 11, 19, 27}));
  EXPECT_EQ(dealt_codes(floats, 0, 2, 0, 24).back(), 29);
  EXPECT_EQ(dealt_codes(floats, 0, 2, 1, 8), (std::vector<float>{32, 0, 0, 0, 33, 0, 0, 0}));
  const std::vector<float> expected = {0, 1, 8, 9, 16, 17, 24, 25, 2, 3, 10, 11, 18, 19, 26, 27, 4, 5, 12, 13};
  for (std::size_t output = 0; output < kOutputs; ++output) {
    EXPECT_EQ(dealt_code(floats, output, 2, 0, 0), static_cast<float>(output));
    EXPECT_EQ(dealt_code(floats, output, 2, 1, 1), 0);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const float value = expected[i] + static_cast<float>(output);
      EXPECT_EQ(low_number<Operand::fp16>(dealt_code(halves, output, 2, 0, i)), value);
      EXPECT_EQ(low_number<Operand::bf16>(dealt_code(narrow, output, 2, 0, i)), value);
    }
  }
  // Outputs that there are not.
  for (std::size_t output = kOutputs; output < 128; ++output) {
    EXPECT_EQ(dealt_codes(floats, output, 2, 0, 32), std::vector<float>(32, 0));
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
  ASSERT_EQ(parts.size(), 128U * 64);
  EXPECT_EQ(row_pitch(40, WeightForm::tf32x3_dealt), 128);
  const auto part = [&](std::size_t number, std::size_t at) { return dealt_code(parts, 0, 4, number, at); };
  EXPECT_EQ(part(0, 1), 8);  // k = 8
  EXPECT_EQ(part(1, 1), 0x1p-9F);
  EXPECT_EQ(part(0, 4), -kInfinity);  // k = 1
  EXPECT_TRUE(std::isnan(part(1, 4)));
  EXPECT_EQ(part(2, 0), 32);  // k = 32
  EXPECT_EQ(part(3, 0), 0x1p-9F);
  EXPECT_EQ(part(2, 1), 0);
}

TEST(WeightForms, DealtTf32IsRoundedAsTheGpuRoundsIt) {
  const std::vector<float> rounded =
      codes<float>({1 + 0x1p-11F, -1 - 0x1p-11F, kInfinity}, {3, 1}, WeightForm::tf32_dealt);
  EXPECT_EQ(dealt_code(rounded, 0, 1, 0, 0), 1 + 0x1p-10F);
  EXPECT_EQ(dealt_code(rounded, 1, 1, 0, 0), -1 - 0x1p-10F);
  EXPECT_EQ(dealt_code(rounded, 2, 1, 0, 0), kInfinity);
}

TEST(WeightForms, BytesAreThoseOfTheForm) {
  const std::vector<float> values(70 * 9 * 5);
  for (const WeightForm form :
       {WeightForm::plain, WeightForm::f32_rows, WeightForm::bf16_rows, WeightForm::fp16_rows, WeightForm::bf16_dealt,
        WeightForm::fp16_dealt, WeightForm::tf32_dealt, WeightForm::tf32x3_dealt, WeightForm::f32_transposed,
        WeightForm::winograd2, WeightForm::winograd4}) {
    const Tensor tensor = in_form(Tensor::from_values<float>(values, {70, 3, 3, 5}).value(), form).value();
    EXPECT_EQ(form_bytes({DType::f32, {70, 3, 3, 5}}, form), tensor.bytes().value().size());
  }
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
