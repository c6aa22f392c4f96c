#include "tensor/file_memory.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/bytes.hpp"
#include "support/test_source.hpp"

namespace rushlight {
namespace {

using test::TestSource;
using Access = TestSource::Access;

// Bytes 0, 1, 2, ...
std::shared_ptr<TestSource> counting_source(std::size_t size, Access access) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i);
  return std::make_shared<TestSource>(std::move(bytes), access);
}

bool is_aligned(const std::byte* data) {
  return reinterpret_cast<std::uintptr_t>(data) % 16 == 0;
}

TEST(FileMemory, NothingIsReadBeforeTheFirstUseAndThenOnce) {
  const auto source = counting_source(100, Access::read_only);
  FileMemory memory(source, 10, 20, "cuda:1", "0/storage");
  EXPECT_EQ(memory.size_bytes(), 20U);
  EXPECT_EQ(memory.recorded_device(), "cuda:1");
  EXPECT_EQ(memory.record(), "0/storage");
  EXPECT_EQ(memory.device(), Device::cpu());
  EXPECT_EQ(memory.integrity(), Integrity::none);
  EXPECT_EQ(source->reads(), 0U);
  const ByteSpan bytes = memory.bytes().value();
  EXPECT_EQ(source->bytes_read(), 20U);
  ASSERT_EQ(bytes.size(), 20U);
  for (std::size_t i = 0; i < 20; ++i) EXPECT_EQ(bytes[i], static_cast<std::byte>(10 + i));
  EXPECT_TRUE(is_aligned(bytes.data()));
  EXPECT_EQ(memory.bytes().value().data(), bytes.data());
  EXPECT_EQ(source->reads(), 1U);
  EXPECT_EQ(memory.integrity(), Integrity::none);
  EXPECT_EQ(memory.mutable_bytes().error().code, ErrorCode::invalid_argument);
}

TEST(FileMemory, AMappingIsHandedOutWhereItIsAligned) {
  const auto source = counting_source(200, Access::mapped);
  const auto first = reinterpret_cast<std::uintptr_t>(source->mapping().data());
  const std::uint64_t aligned = (16 - first % 16) % 16;
  FileMemory in_place(source, aligned, 100);
  EXPECT_EQ(in_place.bytes().value().data(), source->mapping().data() + aligned);
  for (std::uint64_t i = 1; i < 16; ++i) {
    FileMemory copied(source, aligned + i, 100);
    const ByteSpan bytes = copied.bytes().value();
    EXPECT_TRUE(is_aligned(bytes.data())) << i;
    EXPECT_EQ(bytes[0], static_cast<std::byte>(aligned + i));
    EXPECT_EQ(bytes[99], static_cast<std::byte>(aligned + i + 99));
  }
  EXPECT_EQ(source->reads(), 0U);
}

TEST(FileMemory, ElementsOfTheOtherByteOrderAreSwappedInACopy) {
  for (const Access access : {Access::mapped, Access::read_only}) {
    const auto source = counting_source(64, access);
    FileMemory memory(source, 16, 8, "cpu", {}, 4);
    const ByteSpan bytes = memory.bytes().value();
    const std::vector<int> expected = {19, 18, 17, 16, 23, 22, 21, 20};
    for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_EQ(std::to_integer<int>(bytes[i]), expected[i]);
    std::vector<std::byte> untouched(8);
    ASSERT_TRUE(source->read_at(16, untouched));
    EXPECT_EQ(std::to_integer<int>(untouched[0]), 16);
  }
}

TEST(FileMemory, EmptyPartsReadNothing) {
  const auto source = counting_source(10, Access::read_only);
  FileMemory memory(source, 10, 0);
  EXPECT_TRUE(memory.bytes().value().empty());
  EXPECT_EQ(source->reads(), 0U);
}

TEST(FileMemory, AFailureIsKeptAndNamesFileAndPart) {
  const auto source = counting_source(100, Access::read_only);
  source->fail_within(50, 51);
  FileMemory memory(source, 40, 20, "cpu", "a\nb");
  const Result<ByteSpan> first = memory.bytes();
  ASSERT_FALSE(first);
  EXPECT_EQ(first.error().code, ErrorCode::io);
  EXPECT_EQ(to_string(first.error()), "test.pt: a\\nb at 0x28: input/output error");
  source->fail_within(0, 0);
  EXPECT_FALSE(memory.bytes());
  FileMemory nameless(source, 40, 20);
  EXPECT_TRUE(nameless.bytes());
  source->fail_within(50, 51);
  FileMemory unnamed(source, 40, 20);
  EXPECT_EQ(to_string(unnamed.bytes().error()), "test.pt at 0x28: input/output error");
}

TEST(FileMemory, MayBeAskedByManyThreads) {
  const auto source = counting_source(4096, Access::read_only);
  FileMemory memory(source, 0, 4096);
  std::vector<const std::byte*> seen(8);
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < seen.size(); ++i) {
    threads.emplace_back([&memory, &seen, i] { seen[i] = memory.bytes().value().data(); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::byte* data : seen) EXPECT_EQ(data, seen[0]);
  EXPECT_EQ(source->reads(), 1U);
}

}  // namespace
}  // namespace rushlight
