// Each allocation of the arena fails in turn. The linker sends realloc here (--wrap=realloc,
// tests/pickle/CMakeLists.txt).
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <limits>

#include "pickle/buffer.hpp"
#include "pickle/machine.hpp"
#include "pickle/read.hpp"
#include "pickle/rich_stream.hpp"

namespace {

constexpr std::uint64_t kNever = std::numeric_limits<std::uint64_t>::max();
std::uint64_t calls_until_failure = kNever;

}  // namespace

extern "C" {
void* __real_realloc(void* block, std::size_t size);
void* __wrap_realloc(void* block, std::size_t size) {
  if (calls_until_failure != kNever) {
    if (calls_until_failure == 0) return nullptr;
    --calls_until_failure;
  }
  return __real_realloc(block, size);
}
}

namespace rushlight::pickle {
namespace {

TEST(PickleMemory, EveryFailedAllocationIsOutOfMemory) {
  const test::PickleBuilder stream = test::rich_body();
  std::uint64_t failures = 0;
  for (std::uint64_t n = 0;; ++n) {
    calls_until_failure = n;
    const auto pickle = test::read(stream);
    calls_until_failure = kNever;
    if (pickle) break;
    ++failures;
    ASSERT_EQ(pickle.error().code, ErrorCode::out_of_memory) << to_string(pickle.error());
    ASSERT_EQ(pickle.error().finding.code, "OUT-OF-MEMORY");
    ASSERT_EQ(to_string(pickle.error()), "no memory for the objects of a pickle");
  }
  EXPECT_GE(failures, 10u);  // one buffer each for nodes, slots, stack, marks, calls, memo ...
}

TEST(PickleMemory, GrowthThatFailsMidwayIsOutOfMemory) {
  test::PickleBuilder stream;
  stream.mark();
  for (std::uint32_t i = 0; i < 50'000; ++i) stream.empty_list().put(i).get(i).append();
  stream.tuple().stop();
  std::uint64_t failures = 0;
  for (std::uint64_t n = 0;; ++n) {
    calls_until_failure = n;
    const auto pickle = test::read(stream);
    calls_until_failure = kNever;
    if (pickle) break;
    ++failures;
    ASSERT_EQ(pickle.error().code, ErrorCode::out_of_memory) << to_string(pickle.error());
  }
  EXPECT_GE(failures, 15u);
}

TEST(PickleMemory, ABufferKeepsItsContentWhenItCannotGrow) {
  Buffer<std::uint32_t> buffer;
  for (std::uint32_t i = 0; i < 64; ++i) ASSERT_TRUE(buffer.push(i));
  calls_until_failure = 0;
  EXPECT_FALSE(buffer.push(64));
  EXPECT_FALSE(buffer.reserve(1000));
  EXPECT_FALSE(buffer.grow_by(1000));
  calls_until_failure = kNever;
  EXPECT_FALSE(buffer.grow_by(std::numeric_limits<std::size_t>::max()));
  EXPECT_FALSE(buffer.reserve(std::numeric_limits<std::size_t>::max()));
  ASSERT_EQ(buffer.size(), 64u);
  for (std::uint32_t i = 0; i < 64; ++i) EXPECT_EQ(buffer[i], i);
  Buffer<std::uint32_t> moved = std::move(buffer);
  EXPECT_EQ(moved.size(), 64u);
}

}  // namespace
}  // namespace rushlight::pickle
