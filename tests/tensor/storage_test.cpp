#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "rushlight/tensor.hpp"
#include "tensor/memory.hpp"

namespace rushlight {
namespace {

// As a record of a file: read at the first touch, once, whatever the number of threads; can fail.
class LazyMemory final : public Memory {
 public:
  LazyMemory(std::vector<std::byte> content, bool fails) : content_(std::move(content)), fails_(fails) {}

  [[nodiscard]] std::uint64_t size_bytes() const noexcept override { return content_.size(); }
  [[nodiscard]] std::string_view recorded_device() const noexcept override { return "cuda:1"; }
  [[nodiscard]] std::string_view record() const noexcept override { return "data/7"; }
  [[nodiscard]] Integrity integrity() const noexcept override { return state_.load(); }
  [[nodiscard]] Result<ByteSpan> bytes() override {
    std::call_once(once_, [this] {
      ++reads_;
      state_ = fails_ ? Integrity::mismatch : Integrity::verified;
    });
    if (fails_) {
      return Error::of({.category = Category::crc, .code = "CRC", .message = "crc-32 mismatch"});
    }
    return ByteSpan(content_);
  }
  [[nodiscard]] int reads() const noexcept { return reads_; }

 private:
  std::vector<std::byte> content_;
  bool fails_;
  std::once_flag once_;
  std::atomic<int> reads_{0};
  std::atomic<Integrity> state_{Integrity::not_checked};
};

std::vector<std::byte> counting(std::size_t size) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i);
  return bytes;
}

TEST(Storage, HostMemoryIsZeroFilledAndAlignedTo64) {
  for (const std::uint64_t size : {0U, 1U, 63U, 64U, 65U, 4097U, 1U << 20}) {
    const auto memory = make_host_memory(size).value();
    const auto bytes = memory->bytes().value();
    ASSERT_EQ(bytes.size(), size);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(bytes.data()) % 64, 0U);
    for (const std::byte b : bytes) ASSERT_EQ(b, std::byte{0});
    if (size > 0) {
      memory->mutable_bytes().value()[size - 1] = std::byte{9};
      EXPECT_EQ(memory->bytes().value()[size - 1], std::byte{9});
    }
  }
}

TEST(Storage, MoreThanAProcessCanAddressIsOutOfMemory) {
  for (const std::uint64_t size : {std::uint64_t{1} << 48, std::uint64_t{1} << 63, ~std::uint64_t{0}}) {
    const auto memory = make_host_memory(size);
    ASSERT_FALSE(memory);
    EXPECT_EQ(memory.error().code, ErrorCode::out_of_memory);
    EXPECT_EQ(memory.error().finding.message, "no memory for " + std::to_string(size) + " bytes");
  }
}

TEST(Storage, KnowsWhatItsRecordSaysWithoutReading) {
  const auto memory = std::make_shared<LazyMemory>(counting(32), false);
  const Storage storage(memory);
  EXPECT_EQ(storage.size_bytes(), 32U);
  EXPECT_EQ(storage.device(), Device::cpu());
  EXPECT_EQ(storage.recorded_device(), "cuda:1");
  EXPECT_EQ(storage.record(), "data/7");
  EXPECT_EQ(storage.integrity(), Integrity::not_checked);
  EXPECT_EQ(memory->reads(), 0);

  const Tensor tensor = Tensor::view(storage, DType::f32, {4}, {1}, 2).value();
  EXPECT_EQ(tensor.size_bytes(), 16U);
  EXPECT_EQ(memory->reads(), 0);
  EXPECT_EQ(tensor.bytes().value()[0], std::byte{8});
  EXPECT_EQ(memory->reads(), 1);
  EXPECT_EQ(storage.integrity(), Integrity::verified);
}

TEST(Storage, EmptyViewsNeverReadTheirRecord) {
  const auto memory = std::make_shared<LazyMemory>(counting(32), true);
  const Tensor empty = Tensor::view(Storage(memory), DType::f32, {0, 5}, {5, 1}, 1000).value();
  EXPECT_TRUE(empty.bytes().value().empty());
  EXPECT_TRUE(empty.values<float>().value().empty());
  EXPECT_TRUE(empty.contiguous());
  EXPECT_TRUE(empty.to(DType::f64));
  EXPECT_EQ(memory->reads(), 0);
}

TEST(Storage, ManyThreadsReadTheirRecordOnce) {
  const auto memory = std::make_shared<LazyMemory>(counting(4096), false);
  const Tensor tensor = Tensor::view(Storage(memory), DType::i32, {1024}, {1}, 0).value();
  std::atomic<int> right{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      for (int round = 0; round < 50; ++round) {
        const auto values = tensor.values<std::int32_t>();
        const Tensor copy = tensor;  // handles are counted from all threads
        if (values && (*values)[1] == 0x07060504 && copy.to(DType::f64)) ++right;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, 8 * 50);
  EXPECT_EQ(memory->reads(), 1);
}

TEST(Storage, EveryThreadGetsTheSameErrorAndItIsNotForgotten) {
  const auto memory = std::make_shared<LazyMemory>(counting(64), true);
  const Tensor tensor = Tensor::view(Storage(memory), DType::f32, {4, 4}, {1, 4}, 0).value();
  std::atomic<int> refused{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      const auto bytes = tensor.bytes();
      if (!bytes && bytes.error().code == ErrorCode::checksum_mismatch) ++refused;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(refused, 4);
  EXPECT_EQ(tensor.contiguous().error().code, ErrorCode::checksum_mismatch);
  EXPECT_EQ(tensor.to(DType::f64).error().code, ErrorCode::checksum_mismatch);
  EXPECT_EQ(memory->reads(), 1);
  EXPECT_EQ(tensor.storage().integrity(), Integrity::mismatch);
}

TEST(Storage, BytesOfAFileAreNotWritable) {
  const Storage storage(std::make_shared<LazyMemory>(counting(16), false));
  const auto refused = storage.mutable_bytes();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(refused.error().finding.message, "the bytes of a file cannot be written through a tensor");
}

TEST(Storage, HandlesToOneBlockAreEqual) {
  const Storage a(make_host_memory(8).value());
  const Storage b = a;
  const Storage c(make_host_memory(8).value());
  EXPECT_TRUE(a == b);
  EXPECT_FALSE(a == c);
}

TEST(Storage, MetaMemoryOfAnySizeCostsNothingAndHasNoBytes) {
  const Storage storage(make_meta_memory(std::uint64_t{1} << 62));
  const Tensor tensor = Tensor::view(storage, DType::f32, {std::int64_t{1} << 40, 1024}, {1024, 1}, 0).value();
  EXPECT_EQ(tensor.device(), Device::meta());
  EXPECT_EQ(tensor.size_bytes(), std::uint64_t{1} << 52);
  const auto bytes = tensor.bytes();
  ASSERT_FALSE(bytes);
  EXPECT_EQ(bytes.error().code, ErrorCode::device);
  EXPECT_EQ(bytes.error().finding.message, "a tensor on the meta device has a shape and no data");
  EXPECT_FALSE(tensor.mutable_bytes());
}

TEST(Storage, StatesOfIntegrityHaveTheirNames) {
  EXPECT_EQ(to_string(Integrity::not_checked), "not-checked");
  EXPECT_EQ(to_string(Integrity::verified), "verified");
  EXPECT_EQ(to_string(Integrity::mismatch), "mismatch");
  EXPECT_EQ(to_string(Integrity::not_computed), "not-computed");
  EXPECT_EQ(to_string(Integrity::none), "none");
}

}  // namespace
}  // namespace rushlight
