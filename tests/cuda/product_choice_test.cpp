// How products are multiplied, by shape, precision and GPU.
#include "cuda/product_choice.hpp"

#include <gtest/gtest.h>

#include <set>

namespace rushlight::cuda {
namespace {

constexpr TensorCores kAll = kAllTensorCores;
constexpr TensorCores kWarps = kWarpTensorCores;
constexpr int kProcessors = 132;

GemmArguments product(std::int64_t rows, std::int32_t columns, std::int32_t depth) {
  alignas(16) static const float kAligned[4] = {};
  GemmArguments a;
  a.rows = rows;
  a.columns = columns;
  a.depth = depth;
  a.channels = Divisor32(depth);
  a.input = kAligned;
  a.input_stride = depth;
  return a;
}

TEST(ProductChoices, PrecisionsNameTheKind) {
  const GemmArguments a = product(12544, 256, 1152);
  const auto kind = [&](Precision precision, const TensorCores& cores) {
    return choose_product(a, precision, kProcessors, cores)->kind;
  };
  EXPECT_EQ(kind(Precision::bf16, kWarps), ProductKind::bf16);
  EXPECT_EQ(kind(Precision::fp16, kWarps), ProductKind::fp16);
  EXPECT_EQ(kind(Precision::tf32, kWarps), ProductKind::tf32);
  EXPECT_EQ(kind(Precision::bf16, kAll), ProductKind::wgmma_bf16);
  EXPECT_EQ(kind(Precision::fp16, kAll), ProductKind::wgmma_fp16);
  EXPECT_EQ(kind(Precision::tf32, kAll), ProductKind::wgmma_tf32);
  for (const Precision precision : {Precision::strict, Precision::fast}) {
    EXPECT_EQ(kind(precision, kWarps), ProductKind::tf32x3);
    EXPECT_EQ(kind(precision, kAll), ProductKind::wgmma_tf32x3);
  }
}

TEST(ProductChoices, WhatAGpuCannotDoIsLeftToItsOrdinaryUnits) {
  const GemmArguments a = product(12544, 256, 1152);
  for (const Precision precision : {Precision::bf16, Precision::fp16, Precision::tf32, Precision::strict}) {
    const ProductKind kind = choose_product(a, precision, kProcessors, kWarps)->kind;
    TensorCores others = kWarps;
    others.of(kind) = false;
    EXPECT_FALSE(choose_product(a, precision, kProcessors, others));
  }
  EXPECT_EQ(fast_tensor_cores(75), TensorCores{});
  EXPECT_EQ(fast_tensor_cores(80), kWarps);
  EXPECT_EQ(fast_tensor_cores(90), kAll);
  EXPECT_EQ(fast_tensor_cores(100), kWarps);
  for (const int capability : {86, 89, 120}) {
    EXPECT_FALSE(fast_tensor_cores(capability).tf32x3);
    EXPECT_TRUE(fast_tensor_cores(capability).bf16);
    EXPECT_FALSE(fast_tensor_cores(capability).wgmma_bf16);
  }
}

// What fails its self-check is no loss: the other kind of the precision multiplies.
TEST(ProductChoices, EachKindOfAPrecisionStandsInForTheOther) {
  const GemmArguments a = product(12544, 256, 1152);
  TensorCores cores = kAll;
  cores.wgmma_fp16 = false;
  EXPECT_EQ(choose_product(a, Precision::fp16, kProcessors, cores)->kind, ProductKind::fp16);
  EXPECT_EQ(choose_product(a, Precision::bf16, kProcessors, cores)->kind, ProductKind::wgmma_bf16);
  cores = {.wgmma_tf32 = true};
  EXPECT_EQ(choose_product(a, Precision::tf32, kProcessors, cores)->kind, ProductKind::wgmma_tf32);
  EXPECT_FALSE(choose_product(a, Precision::bf16, kProcessors, cores));
  GemmArguments odd = a;
  odd.channels = Divisor32(3);
  EXPECT_FALSE(choose_product(odd, Precision::tf32, kProcessors, cores)) << "it reads 16 bytes at a time";
  EXPECT_EQ(choose_product(odd, Precision::tf32, kProcessors, kAll)->kind, ProductKind::tf32);
}

TEST(ProductChoices, AVariableOfTheEnvironmentLeavesWarpgroupsOut) {
  EXPECT_EQ(allowed_tensor_cores(kAll, nullptr, "off"), kWarps);
  EXPECT_EQ(allowed_tensor_cores({.wgmma_bf16 = true}, nullptr, "off"), TensorCores{});
  for (const char* const value : {"", "on", "offf"}) EXPECT_EQ(allowed_tensor_cores(kAll, value, value), kAll);
  EXPECT_EQ(allowed_tensor_cores(kAll, nullptr, nullptr), kAll);
  EXPECT_EQ(allowed_tensor_cores(kAll, "off", nullptr), TensorCores{});
}

// A warpgroup's columns come in runs of 64.
TEST(ProductChoices, FewColumnsAreAWarps) {
  EXPECT_EQ(choose_product(product(200'704, 32, 288), Precision::bf16, kProcessors, kAll)->kind, ProductKind::bf16);
  EXPECT_EQ(choose_product(product(200'704, 256, 288), Precision::bf16, kProcessors, kAll)->kind,
            ProductKind::wgmma_bf16);
}

// Its tiles of weights are 64 columns of one group.
TEST(ProductChoices, GroupsThatDoNotBeginAtATileAreAWarps) {
  GemmArguments a = product(12544, 192, 1152);
  a.groups = 4;
  EXPECT_EQ(choose_product(a, Precision::bf16, kProcessors, kAll)->kind, ProductKind::wgmma_bf16);
  a.columns = 200;
  EXPECT_EQ(choose_product(a, Precision::bf16, kProcessors, kAll)->kind, ProductKind::bf16);
  EXPECT_FALSE(choose_product(a, Precision::bf16, kProcessors, {.wgmma_bf16 = true}));
  a.groups = 1;
  EXPECT_EQ(choose_product(a, Precision::bf16, kProcessors, kAll)->kind, ProductKind::wgmma_bf16);
}

TEST(ProductChoices, LargeProductsGetLargeTilesAndAreNotSplit) {
  for (const TensorCores& cores : {kWarps, kAll}) {
    const auto choice = choose_product(product(1 << 18, 512, 1152), Precision::bf16, kProcessors, cores);
    EXPECT_EQ(choice->instance.tile, cores == kAll ? MmaTileName::rows128_columns256 : MmaTileName::rows128_columns128);
    EXPECT_EQ(choice->splits, 1);
    EXPECT_EQ(choice->slabs_of_split, 36);
  }
}

// The last stage of a ResNet on one image: 49 pixels.
TEST(ProductChoices, SmallDeepProductsAreSplitToFillTheGpu) {
  for (const Precision precision : {Precision::bf16, Precision::tf32, Precision::strict}) {
    const GemmArguments a = product(49, 512, 4608);
    const auto choice = choose_product(a, precision, kProcessors, kAll);
    ASSERT_TRUE(choice);
    EXPECT_GT(choice->splits, 3);
    EXPECT_EQ(partial_bytes(a, *choice), 49U * 512 * 4 * static_cast<unsigned>(choice->splits));
  }
}

TEST(ProductChoices, SplitsTakeEachSlabOnceAndNoneIsEmpty) {
  for (const std::int32_t depth : {1, 32, 33, 256, 300, 1000, 4608, 100'000}) {
    for (const std::int64_t rows : {9, 49, 500}) {
      const auto choice = choose_product(product(rows, 64, depth), Precision::bf16, kProcessors, kAll);
      const std::int32_t slabs = (depth + 31) / 32;
      EXPECT_GE(choice->splits * choice->slabs_of_split, slabs);
      EXPECT_LT((choice->splits - 1) * choice->slabs_of_split, slabs);
      EXPECT_TRUE(choice->splits == 1 || choice->slabs_of_split >= 4);
    }
  }
}

// What decides about bits: the kind and the split.
TEST(ProductChoices, StrictBitsDoNotDependOnTheNumberOfProcessors) {
  std::set<bool> on_tensor_cores;
  std::set<MmaTileName> tiles;
  std::set<ProductKind> kinds;
  for (const std::int64_t rows : {9, 49, 196, 784, 3136, 12544, 200'704}) {
    for (const std::int32_t columns : {10, 64, 512}) {
      for (const std::int32_t depth : {16, 64, 576, 4608}) {
        const GemmArguments a = product(rows, columns, depth);
        const auto first = choose_product(a, Precision::strict, 1, kAll);
        on_tensor_cores.insert(first.has_value());
        for (const int processors : {16, 108, 132, 144}) {
          const auto other = choose_product(a, Precision::strict, processors, kAll);
          ASSERT_EQ(first.has_value(), other.has_value());
          if (!first) continue;
          EXPECT_EQ(first->kind, other->kind);
          EXPECT_EQ(first->splits, other->splits);
          EXPECT_EQ(first->slabs_of_split, other->slabs_of_split);
          tiles.insert(other->instance.tile);
          kinds.insert(other->kind);
        }
      }
    }
  }
  EXPECT_GT(tiles.size(), 1U);
  EXPECT_EQ(kinds, (std::set<ProductKind>{ProductKind::tf32x3, ProductKind::wgmma_tf32x3}));
}

TEST(ProductChoices, OddGeometryIsReadOneValueAtATime) {
  GemmArguments a = product(100, 64, 36);
  EXPECT_TRUE(allows_chunks(a));
  a.channels = Divisor32(3);
  EXPECT_FALSE(allows_chunks(a));
  a = product(100, 64, 36);
  a.input_stride = 37;
  EXPECT_FALSE(allows_chunks(a));
  a = product(100, 64, 36);
  a.input += 1;
  EXPECT_FALSE(allows_chunks(a));
  EXPECT_EQ(choose_product(a, Precision::bf16, kProcessors, kAll)->instance.access, MmaAccess::singles);
}

TEST(ProductChoices, WeightsComeInTheFormOfTheKind) {
  EXPECT_EQ(weight_form(ProductKind::bf16, 64), WeightForm::bf16_rows);
  EXPECT_EQ(weight_form(ProductKind::fp16, 63), WeightForm::fp16_rows);
  EXPECT_EQ(weight_form(ProductKind::tf32, 64), WeightForm::plain);
  EXPECT_EQ(weight_form(ProductKind::tf32x3, 63), WeightForm::f32_rows);
  EXPECT_EQ(weight_form(ProductKind::wgmma_bf16, 64), WeightForm::bf16_dealt);
  EXPECT_EQ(weight_form(ProductKind::wgmma_fp16, 63), WeightForm::fp16_dealt);
  EXPECT_EQ(weight_form(ProductKind::wgmma_tf32, 64), WeightForm::tf32_dealt);
  EXPECT_EQ(weight_form(ProductKind::wgmma_tf32x3, 64), WeightForm::tf32x3_dealt);
}

}  // namespace
}  // namespace rushlight::cuda
