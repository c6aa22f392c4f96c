#include "tensor/derived_memory.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string_view>
#include <thread>
#include <vector>

#include "base/bytes.hpp"

namespace rushlight {
namespace {

// Bytes 0, 1, 2 ..., and how often they were asked for; or an error.
class CountingMemory final : public Memory {
 public:
  explicit CountingMemory(std::size_t size_bytes, bool fails = false) : bytes_(size_bytes), fails_(fails) {
    for (std::size_t i = 0; i < size_bytes; ++i) bytes_[i] = static_cast<std::byte>(i);
  }
  [[nodiscard]] std::uint64_t size_bytes() const noexcept override { return bytes_.size(); }
  [[nodiscard]] Device device() const noexcept override { return Device::cpu(); }
  [[nodiscard]] std::string_view recorded_device() const noexcept override { return "cuda:3"; }
  [[nodiscard]] std::string_view record() const noexcept override { return "data/7"; }
  [[nodiscard]] Integrity integrity() const noexcept override { return Integrity::verified; }
  [[nodiscard]] Result<ByteSpan> bytes() override {
    ++asked;
    if (fails_) return Error::of({.category = Category::crc, .code = "CRC-MISMATCH", .message = "damaged"});
    return ByteSpan(bytes_);
  }
  std::atomic<int> asked{0};

 private:
  std::vector<std::byte> bytes_;
  bool fails_;
};

std::vector<int> numbers(ByteSpan bytes) {
  std::vector<int> out;
  for (const std::byte b : bytes) out.push_back(std::to_integer<int>(b));
  return out;
}

TEST(DerivedMemory, AWindowIsPartOfTheWhole) {
  const auto whole = std::make_shared<CountingMemory>(8);
  const auto window = make_window_memory(whole, 2, 3);
  EXPECT_EQ(window->size_bytes(), 3u);
  EXPECT_EQ(window->record(), "data/7");
  EXPECT_EQ(window->recorded_device(), "cuda:3");
  EXPECT_EQ(window->integrity(), Integrity::verified);
  EXPECT_EQ(whole->asked, 0);  // nothing is read to make it
  EXPECT_EQ(window->bytes().value().data(), whole->bytes().value().data() + 2);
  EXPECT_EQ(numbers(window->bytes().value()), (std::vector<int>{2, 3, 4}));
  EXPECT_TRUE(make_window_memory(whole, 8, 0)->bytes().value().empty());
}

TEST(DerivedMemory, UnitsAreSwappedOnceWhoeverAsks) {
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
    EXPECT_EQ(original->asked, 1);
    // The original is as it was.
    EXPECT_EQ(numbers(original->bytes().value()), (std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7}));
  }
}

TEST(DerivedMemory, ErrorsOfTheOriginalAreTheirs) {
  const auto damaged = std::make_shared<CountingMemory>(8, true);
  EXPECT_EQ(make_window_memory(damaged, 0, 4)->bytes().error().code, ErrorCode::checksum_mismatch);
  const auto swapped = make_swapped_memory(damaged, 4);
  EXPECT_EQ(swapped->bytes().error().code, ErrorCode::checksum_mismatch);
  EXPECT_EQ(swapped->bytes().error().code, ErrorCode::checksum_mismatch);
}

}  // namespace
}  // namespace rushlight
