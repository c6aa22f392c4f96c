#include "rushlight/tensor.hpp"

#include <gtest/gtest.h>
#include <malloc.h>

#include <array>
#include <cstring>
#include <limits>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "tensor/memory.hpp"
#include "tensor/tensor_impl.hpp"

namespace rushlight {
namespace {

std::vector<float> counting(std::size_t size) {
  std::vector<float> values(size);
  std::iota(values.begin(), values.end(), 0.0F);
  return values;
}

std::vector<float> values_of(const Tensor& tensor) {
  const auto values = tensor.values<float>().value();
  return {values.begin(), values.end()};
}

Shape shape_of(const Tensor& tensor) {
  return {tensor.shape().begin(), tensor.shape().end()};
}

Strides strides_of(const Tensor& tensor) {
  return {tensor.strides().begin(), tensor.strides().end()};
}

TEST(Tensor, DefaultIsAnEmptyVectorOfFloats) {
  const Tensor tensor;
  EXPECT_EQ(tensor.dtype(), DType::f32);
  EXPECT_EQ(shape_of(tensor), Shape{0});
  EXPECT_EQ(strides_of(tensor), Strides{1});
  EXPECT_EQ(tensor.numel(), 0);
  EXPECT_EQ(tensor.size_bytes(), 0U);
  EXPECT_TRUE(tensor.is_contiguous());
  EXPECT_TRUE(tensor.values<float>().value().empty());
  EXPECT_TRUE(tensor.bytes().value().empty());
}

TEST(Tensor, MovedFromReadsAsDefault) {
  Tensor tensor = Tensor::zeros(DType::i64, {3}).value();
  const Tensor taken = std::move(tensor);
  EXPECT_EQ(taken.numel(), 3);
  EXPECT_EQ(tensor.numel(), 0);  // NOLINT(bugprone-use-after-move): that is the question
  EXPECT_EQ(tensor.dtype(), DType::f32);
}

TEST(Tensor, ZerosAreDenseAndWritable) {
  Tensor tensor = Tensor::zeros(DType::f32, {2, 3}).value();
  EXPECT_EQ(values_of(tensor), std::vector<float>(6, 0));
  EXPECT_EQ(strides_of(tensor), (Strides{3, 1}));
  const float four = 4;
  std::memcpy(tensor.mutable_bytes().value().data() + 8, &four, sizeof four);
  EXPECT_EQ(values_of(tensor), (std::vector<float>{0, 0, 4, 0, 0, 0}));
  EXPECT_EQ(tensor.storage().integrity(), Integrity::none);
  EXPECT_EQ(tensor.storage().recorded_device(), "cpu");
  EXPECT_EQ(tensor.storage().record(), "");
}

TEST(Tensor, ScalarsHaveNoDimensionsAndOneElement) {
  const Tensor scalar = Tensor::from_values<std::int64_t>(std::array<std::int64_t, 1>{-5}, {}).value();
  EXPECT_EQ(scalar.dim(), 0);
  EXPECT_EQ(scalar.numel(), 1);
  EXPECT_EQ(scalar.size_bytes(), 8U);
  EXPECT_EQ(scalar.values<std::int64_t>().value()[0], -5);
}

TEST(Tensor, SizesThatCannotBeAreTheCallersMistake) {
  const auto negative = Tensor::zeros(DType::f32, {2, -3});
  ASSERT_FALSE(negative);
  EXPECT_EQ(negative.error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(negative.error().finding.message, "the size of dimension 1 is -3, expected 0 or more");
  const auto huge = Tensor::zeros(DType::f64, {std::int64_t{1} << 31, std::int64_t{1} << 31});
  ASSERT_FALSE(huge);
  EXPECT_EQ(huge.error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(huge.error().finding.code, "TENSOR-OVERFLOW");
  const auto large = Tensor::zeros(DType::f64, {std::int64_t{1} << 50});
  ASSERT_FALSE(large);
  EXPECT_EQ(large.error().code, ErrorCode::out_of_memory);
  EXPECT_EQ(Tensor::zeros(DType::f32, Shape(65, 1)).error().code, ErrorCode::limit_exceeded);
}

TEST(Tensor, BytesMustFitTheShapeExactly) {
  const std::array<std::byte, 12> bytes{};
  EXPECT_TRUE(Tensor::from_bytes(bytes, DType::f32, {3}));
  const auto wrong = Tensor::from_bytes(bytes, DType::f32, {2});
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(wrong.error().finding.message, "the tensor's elements take 8 bytes, found 12");
  // No memory is asked for before the bytes were counted.
  EXPECT_EQ(Tensor::from_bytes(bytes, DType::u8, {std::int64_t{1} << 50}).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(Tensor::from_bytes(bytes, DType::u8, {std::int64_t{1} << 62, 4}).error().finding.code, "TENSOR-OVERFLOW");
}

TEST(Tensor, ViewsShareTheirStorageAndSeeEachOthersWrites) {
  Tensor base = Tensor::from_values<float>(counting(6), {2, 3}).value();
  const Tensor row = Tensor::view(base.storage(), DType::f32, {3}, {1}, 3).value();
  EXPECT_TRUE(row.shares_storage_with(base));
  EXPECT_EQ(values_of(row), (std::vector<float>{3, 4, 5}));
  const float nine = 9;
  std::memcpy(base.mutable_bytes().value().data() + 16, &nine, sizeof nine);
  EXPECT_EQ(values_of(row), (std::vector<float>{3, 9, 5}));
  EXPECT_FALSE(row.shares_storage_with(Tensor::from_values<float>(counting(6), {6}).value()));
}

TEST(Tensor, ATensorOutlivesWhateverItCameFrom) {
  Tensor row;
  {
    const Tensor base = Tensor::from_values<float>(counting(6), {2, 3}).value();
    row = Tensor::view(base.storage(), DType::f32, {3}, {1}, 3).value();
  }
  EXPECT_EQ(values_of(row), (std::vector<float>{3, 4, 5}));
}

TEST(Tensor, BytesOfAViewGoFromItsFirstElementToItsLast) {
  const Tensor base = Tensor::from_values<float>(counting(12), {3, 4}).value();
  const Tensor column = Tensor::view(base.storage(), DType::f32, {3}, {4}, 1).value();
  EXPECT_EQ(column.bytes().value().size(), 9 * sizeof(float));
  EXPECT_EQ(column.bytes().value().data(), base.bytes().value().data() + 4);
  EXPECT_EQ(column.size_bytes(), 3 * sizeof(float));
}

TEST(Tensor, ViewsOutsideTheirStorageAreRefusedAsCorrupt) {
  const Storage storage(make_host_memory(48).value());
  const auto outside = Tensor::view(storage, DType::f32, {3, 4}, {4, 1}, 1);
  ASSERT_FALSE(outside);
  EXPECT_EQ(outside.error().code, ErrorCode::corrupt);
  EXPECT_EQ(outside.error().finding.message,
            "sizes [3, 4], strides [4, 1] and offset 1 reach element 12, the storage holds 12 of float32 (48 bytes)");
  EXPECT_EQ(outside.error().finding.found, "12");
  EXPECT_EQ(outside.error().finding.expected, "below 12");
}

TEST(Tensor, ValuesAreGivenOnlyAsWhatTheyAre) {
  const Tensor tensor = Tensor::from_values<float>(counting(6), {2, 3}).value();
  const auto as_double = tensor.values<double>();
  ASSERT_FALSE(as_double);
  EXPECT_EQ(as_double.error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(as_double.error().finding.message, "the tensor holds float32, values of float64 were asked for");
  const Tensor transposed = Tensor::view(tensor.storage(), DType::f32, {3, 2}, {1, 3}, 0).value();
  EXPECT_EQ(transposed.values<float>().error().finding.message, "the tensor is not contiguous");
  const Tensor negated = Tensor::view(tensor.storage(), DType::f32, {6}, {1}, 0, {.neg = true}).value();
  EXPECT_EQ(negated.values<float>().error().finding.message, "the tensor's storage holds conjugated or negated values");
  // bool is no C++ bool.
  EXPECT_FALSE(Tensor::zeros(DType::boolean, {2}).value().values<std::uint8_t>());
}

TEST(Tensor, ContiguousOfADenseTensorIsTheTensorItself) {
  const Tensor tensor = Tensor::from_values<float>(counting(6), {2, 3}).value();
  EXPECT_TRUE(tensor.contiguous().value().shares_storage_with(tensor));
  // Also of a dense part of a larger storage, whatever the limit: nothing is copied.
  const Tensor part = Tensor::view(tensor.storage(), DType::f32, {1, 3}, {77, 1}, 3).value();
  EXPECT_TRUE(part.contiguous(0).value().shares_storage_with(tensor));
}

TEST(Tensor, ContiguousPutsElementsInCOrder) {
  const Tensor tensor = Tensor::from_values<float>(counting(6), {2, 3}).value();
  const Tensor transposed = Tensor::view(tensor.storage(), DType::f32, {3, 2}, {1, 3}, 0,
                                         {.requires_grad = true, .tensor_class = TensorClass::parameter})
                                .value();
  const Tensor copy = transposed.contiguous().value();
  EXPECT_EQ(values_of(copy), (std::vector<float>{0, 3, 1, 4, 2, 5}));
  EXPECT_EQ(strides_of(copy), (Strides{2, 1}));
  EXPECT_TRUE(copy.options().requires_grad);
  EXPECT_EQ(copy.options().tensor_class, TensorClass::parameter);
  EXPECT_FALSE(copy.shares_storage_with(tensor));
}

TEST(Tensor, T12_OverlappingViewsRepeatTheirElements) {
  const Tensor tensor = Tensor::from_values<float>(counting(4), {4}).value();
  const Tensor windows = Tensor::view(tensor.storage(), DType::f32, {3, 2}, {1, 1}, 0).value();
  EXPECT_EQ(values_of(windows.contiguous().value()), (std::vector<float>{0, 1, 1, 2, 2, 3}));
  const Tensor expanded = Tensor::view(tensor.storage(), DType::f32, {2, 2}, {0, 1}, 2).value();
  EXPECT_EQ(values_of(expanded.contiguous().value()), (std::vector<float>{2, 3, 2, 3}));
}

TEST(Tensor, ContiguousResolvesConjugatesAndNegations) {
  const Tensor base = Tensor::from_values<float>(std::vector<float>{1, 2, 3, 4}, {4}).value();
  const Tensor conj = Tensor::view(base.storage(), DType::c64, {2}, {1}, 0, {.conj = true}).value();
  const Tensor copy = conj.contiguous().value();
  EXPECT_FALSE(copy.options().conj);
  const auto bytes = copy.bytes().value();
  std::array<float, 4> have{};
  ASSERT_EQ(bytes.size(), sizeof have);
  std::memcpy(have.data(), bytes.data(), sizeof have);
  EXPECT_EQ(have, (std::array<float, 4>{1, -2, 3, -4}));
  const Tensor neg = Tensor::view(base.storage(), DType::f32, {4}, {1}, 0, {.neg = true}).value();
  EXPECT_EQ(values_of(neg.contiguous().value()), (std::vector<float>{-1, -2, -3, -4}));
  EXPECT_EQ(values_of(base), (std::vector<float>{1, 2, 3, 4}));
  EXPECT_EQ(Tensor::view(base.storage(), DType::f32, {4}, {1}, 0, {.conj = true}).error().finding.message,
            "the conjugate bit is set on a tensor of float32");
}

TEST(Tensor, T11_ExpandedViewsMaterialiseOnlyWithinTheLimit) {
  const Tensor one = Tensor::from_values<float>(std::vector<float>{7}, {1}).value();
  const Tensor bomb =
      Tensor::view(one.storage(), DType::f32, {std::int64_t{1} << 20, std::int64_t{1} << 20}, {0, 0}, 0).value();
  EXPECT_EQ(bomb.numel(), std::int64_t{1} << 40);
  EXPECT_EQ(bomb.size_bytes(), std::uint64_t{1} << 42);
  EXPECT_EQ(bomb.bytes().value().size(), 4U);
  const auto refused = bomb.contiguous();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::limit_exceeded);
  EXPECT_EQ(refused.error().finding.message,
            "a copy in C order of [1048576, 1048576] takes 4398046511104 bytes, expected at most 1099511627776; the "
            "storage has 4");
  const Tensor small = Tensor::view(one.storage(), DType::f32, {3}, {0}, 0).value();
  EXPECT_EQ(values_of(small.contiguous(12).value()), (std::vector<float>{7, 7, 7}));
  EXPECT_EQ(small.contiguous(11).error().code, ErrorCode::limit_exceeded);
}

TEST(Tensor, MoreThanEightDimensionsWorkTheSame) {
  Shape shape = {2, 1, 1, 1, 1, 1, 1, 1, 1, 3};
  const Tensor tensor = Tensor::from_values<float>(counting(6), shape).value();
  EXPECT_EQ(shape_of(tensor), shape);
  EXPECT_EQ(tensor.strides()[0], 3);
  EXPECT_EQ(tensor.strides()[9], 1);
  std::swap(shape[0], shape[9]);
  Strides strides(10, 1);
  strides[9] = 3;
  const Tensor swapped = Tensor::view(tensor.storage(), DType::f32, shape, strides, 0).value();
  EXPECT_EQ(values_of(swapped.contiguous().value()), (std::vector<float>{0, 3, 1, 4, 2, 5}));
}

TEST(Tensor, ABlobIsViewedWithoutACopyAndDeletedAfterItsLastUse) {
  auto* const memory = new float[6]{0, 1, 2, 3, 4, 5};
  int deleted = 0;
  {
    Tensor view;
    {
      const Tensor tensor = Tensor::from_blob(memory, 24, DType::f32, {2, 3}, {}, [&deleted](void* data) {
                              delete[] static_cast<float*>(data);
                              ++deleted;
                            }).value();
      EXPECT_EQ(tensor.values<float>().value().data(), memory);
      EXPECT_EQ(tensor.mutable_bytes().value().size(), 24U);
      view = Tensor::view(tensor.storage(), DType::f32, {1}, {1}, 5).value();
    }
    EXPECT_EQ(deleted, 0);
    EXPECT_EQ(view.values<float>().value()[0], 5);
  }
  EXPECT_EQ(deleted, 1);
}

TEST(Tensor, ABlobMayHaveStridesAndMustHoldThem) {
  std::array<float, 6> memory = {0, 1, 2, 3, 4, 5};
  const Tensor transposed = Tensor::from_blob(memory.data(), 24, DType::f32, {3, 2}, {1, 3}).value();
  EXPECT_EQ(values_of(transposed.contiguous().value()), (std::vector<float>{0, 3, 1, 4, 2, 5}));
  const auto outside = Tensor::from_blob(memory.data(), 24, DType::f32, {7});
  ASSERT_FALSE(outside);
  EXPECT_EQ(outside.error().code, ErrorCode::invalid_argument);
  EXPECT_TRUE(Tensor::from_blob(nullptr, 0, DType::f32, {0}));
  EXPECT_EQ(Tensor::from_blob(nullptr, 4, DType::f32, {1}).error().finding.message, "a blob of 4 bytes has no address");
}

TEST(Tensor, MemoryThatWasRefusedStaysTheCallers) {
  std::array<float, 2> memory{};
  int deleted = 0;
  EXPECT_FALSE(Tensor::from_blob(memory.data(), 8, DType::f32, {3}, {}, [&deleted](void*) { ++deleted; }));
  EXPECT_EQ(deleted, 0);
}

TEST(Tensor, AMisalignedBlobIsRefused) {
  alignas(16) std::array<std::byte, 64> memory{};
  const auto refused = Tensor::from_blob(memory.data() + 2, 8, DType::f32, {2});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(refused.error().finding.message,
            "a blob of float32 is not aligned to its elements, expected a multiple of 4");
  EXPECT_TRUE(Tensor::from_blob(memory.data() + 2, 8, DType::f16, {4}));
  EXPECT_TRUE(Tensor::from_blob(memory.data() + 8, 16, DType::c128, {1}));  // aligned as its halves
  EXPECT_TRUE(Tensor::from_blob(memory.data() + 1, 8, DType::u8, {8}));
  // Seen through another dtype, the elements may lie askew: then they are bytes, not values.
  const Tensor bytes = Tensor::from_blob(memory.data() + 1, 8, DType::u8, {8}).value();
  const Tensor askew = Tensor::view(bytes.storage(), DType::f32, {2}, {1}, 0).value();
  EXPECT_TRUE(askew.bytes());
  EXPECT_EQ(askew.values<float>().error().finding.message,
            "the elements of float32 are not aligned in the caller's memory");
  EXPECT_TRUE(askew.to(DType::f64));
}

TEST(Tensor, PackedQuantisedViewsCountValuesAndShareBytes) {
  const Storage storage(make_host_memory(4).value());
  for (std::size_t i = 0; i < 4; ++i) storage.mutable_bytes().value()[i] = static_cast<std::byte>(i + 1);
  const Tensor codes = Tensor::view(storage, DType::qu4x2, {2, 3}, {3, 1}, 0).value();
  EXPECT_EQ(codes.numel(), 6);
  EXPECT_EQ(codes.size_bytes(), 3U);
  EXPECT_EQ(codes.bytes().value().size(), 3U);
  const Tensor second_row = Tensor::view(storage, DType::qu4x2, {3}, {1}, 3).value();
  EXPECT_EQ(second_row.bytes().value().size(), 2U);  // values 3 to 5: half of the second byte and the third
  EXPECT_EQ(second_row.bytes().value()[0], std::byte{2});
  EXPECT_EQ(second_row.contiguous().error().code, ErrorCode::unsupported);
  EXPECT_EQ(Tensor::zeros(DType::qu2x4, {5}).value().storage().size_bytes(), 2U);
}

TEST(Tensor, ManyTensorsOfOneStorageTakeLittleMemoryEach) {
  const Storage storage(make_host_memory(64).value());
  constexpr std::array<std::int64_t, 4> kShape = {2, 2, 2, 2};
  constexpr std::array<std::int64_t, 4> kStrides = {8, 4, 2, 1};
  std::vector<Tensor> tensors;
  tensors.reserve(20000);
  // Sanitizers count their own way, and say 0 here.
  const std::size_t before = mallinfo2().uordblks;
  for (int i = 0; i < 20000; ++i) {
    tensors.push_back(Tensor::Impl::view(storage, DType::f32, kShape, kStrides, 0).value());
  }
  EXPECT_LE((mallinfo2().uordblks - before) / tensors.size(), 512U);
  EXPECT_EQ(tensors.back().numel(), 16);
}

}  // namespace
}  // namespace rushlight
