#include "tensor/computed_memory.hpp"

#include <gtest/gtest.h>

#include <array>
#include <bit>

#include <memory>
#include <numeric>
#include <thread>
#include <utility>
#include <vector>

#include "base/bytes.hpp"
#include "counting_memory.hpp"
#include "tensor/element_stream.hpp"

namespace rushlight::test {
namespace {

std::shared_ptr<Memory> floats(std::size_t count) {
  std::vector<float> values(count);
  std::iota(values.begin(), values.end(), 0.5F);
  const Tensor tensor = Tensor::from_values<float>(values, {static_cast<std::int64_t>(count)}).value();
  return tensor.storage().memory();
}

std::vector<std::byte> in_pieces(Memory& memory, std::size_t& pieces) {
  std::vector<std::byte> all;
  pieces = 0;
  EXPECT_TRUE(each_piece(memory, [&](ByteSpan piece) -> Status {
    ++pieces;
    all.insert(all.end(), piece.begin(), piece.end());
    return {};
  }));
  return all;
}

TEST(ComputedMemory, UnitsAreSwappedOnceWhoeverAsks) {
  for (const auto& [unit, expected] : {std::pair(2u, std::vector<int>{1, 0, 3, 2, 5, 4, 7, 6}),
                                       std::pair(4u, std::vector<int>{3, 2, 1, 0, 7, 6, 5, 4}),
                                       std::pair(8u, std::vector<int>{7, 6, 5, 4, 3, 2, 1, 0})}) {
    const auto original = std::make_shared<CountingMemory>(8);
    const auto swapped = make_swapped_memory(original, unit);
    EXPECT_EQ(swapped->size_bytes(), 8u);
    EXPECT_EQ(swapped->record(), "data/7");
    EXPECT_EQ(swapped->recorded_device(), "cuda:3");
    EXPECT_EQ(swapped->integrity(), Integrity::verified);
    EXPECT_EQ(original->asked, 0);
    std::vector<std::thread> threads;
    for (int i = 0; i < 8; ++i) {
      threads.emplace_back([&, &wanted = expected] { EXPECT_EQ(numbers(swapped->bytes().value()), wanted); });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(original->asked, 2);  // once to see whether it can be read
    // The original is as it was.
    EXPECT_EQ(numbers(original->bytes().value()), (std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7}));
  }
}

TEST(ComputedMemory, ACastIsMadeInPiecesThatAreNotKept) {
  constexpr std::size_t kCount = 400'000;
  const std::shared_ptr<Memory> original = floats(kCount);
  const std::shared_ptr<Memory> cast = make_cast_memory(original, DType::f32, DType::f64).value();
  ASSERT_EQ(cast->size_bytes(), 8 * kCount);
  EXPECT_TRUE(cast->is_computed());
  std::size_t pieces = 0;
  const std::vector<std::byte> read = in_pieces(*cast, pieces);
  EXPECT_GT(pieces, 10u);
  EXPECT_TRUE(cast->is_computed());
  // Whoever needs all of it in one place gets it, and it stays there.
  const ByteSpan kept = cast->bytes().value();
  EXPECT_FALSE(cast->is_computed());
  EXPECT_TRUE(std::ranges::equal(read, kept));
  EXPECT_EQ(cast->bytes().value().data(), kept.data());
  EXPECT_EQ(in_pieces(*cast, pieces).size(), kept.size());
  EXPECT_EQ(pieces, 1u);
  EXPECT_EQ(std::bit_cast<double>(load_le<std::uint64_t>(kept.data() + 8 * (kCount - 1))),
            static_cast<double>(kCount - 1) + 0.5);
  // From there on it may be written, and says what was written.
  cast->mutable_bytes().value()[0] = std::byte{7};
  std::array<std::byte, 8> first{};
  ASSERT_TRUE(cast->compute(0, first));
  EXPECT_EQ(first[0], std::byte{7});
}

TEST(ComputedMemory, WhatIsNoWholeElementIsLeftOut) {
  const auto original = std::make_shared<CountingMemory>(11);
  const std::shared_ptr<Memory> cast = make_cast_memory(original, DType::f32, DType::f64).value();
  EXPECT_EQ(cast->size_bytes(), 16u);
  EXPECT_EQ(cast->recorded_device(), "cuda:3");
  EXPECT_EQ(cast->record(), "");  // its bytes are in no file
  EXPECT_EQ(cast->bytes().value().size(), 16u);
  EXPECT_EQ(make_cast_memory(original, DType::f32, DType::qi8).error().finding.code, "TENSOR-CONVERT");
}

TEST(ComputedMemory, ErrorsOfTheOriginalAreTheirs) {
  const auto damaged = std::make_shared<CountingMemory>(8, true);
  for (const std::shared_ptr<Memory>& memory :
       {make_swapped_memory(damaged, 4), make_cast_memory(damaged, DType::f32, DType::f16).value()}) {
    EXPECT_EQ(memory->bytes().error().code, ErrorCode::checksum_mismatch);
    EXPECT_EQ(memory->bytes().error().code, ErrorCode::checksum_mismatch);
    EXPECT_EQ(memory->compute(0, {}).error().code, ErrorCode::checksum_mismatch);
    EXPECT_EQ(each_piece(*memory, [](ByteSpan) -> Status { return {}; }).error().code, ErrorCode::checksum_mismatch);
  }
}

TEST(ComputedMemory, AViewInOrderIsStreamedFromWhereItBegins) {
  constexpr std::int64_t kCount = 300'000;
  const Storage storage(make_cast_memory(floats(kCount), DType::f32, DType::f64).value());
  for (const bool transposed : {false, true}) {
    const Tensor view = Tensor::view(storage, DType::f64, {2, (kCount - 10) / 2},
                                     transposed ? Strides{1, 2} : Strides{(kCount - 10) / 2, 1}, 10)
                            .value();
    ElementStream elements = ElementStream::open(view).value();
    std::vector<double> values;
    for (ByteSpan piece = elements.next(); !piece.empty(); piece = elements.next()) {
      for (std::size_t i = 0; i < piece.size(); i += 8)
        values.push_back(std::bit_cast<double>(load_le<std::uint64_t>(piece.data() + i)));
    }
    ASSERT_EQ(values.size(), static_cast<std::size_t>(kCount - 10));
    EXPECT_EQ(values[0], 10.5);
    EXPECT_EQ(values[1], transposed ? 12.5 : 11.5);
    EXPECT_EQ(values.back(), kCount - 0.5);
    // Elements that do not lie in order need all bytes at hand.
    EXPECT_EQ(storage.memory()->is_computed(), !transposed);
  }
}

}  // namespace
}  // namespace rushlight::test
