#include "interchange/source_cursor.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "support/test_source.hpp"

namespace rushlight::interchange {
namespace {

using test::TestSource;

std::vector<std::byte> counting(std::size_t size) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i * 7 + i / 251);
  return bytes;
}

TEST(SourceCursor, PiecesOfEverySizeFollowEachOther) {
  const std::vector<std::byte> bytes = counting(300000);
  for (const auto access : {TestSource::Access::mapped, TestSource::Access::read_only}) {
    const TestSource source(bytes, access);
    SourceCursor cursor(source);
    std::size_t at = 0;
    std::size_t size = 0;
    while (at < bytes.size()) {
      size = std::min(size * 3 / 2 + 1, bytes.size() - at);
      const ByteSpan piece = cursor.take(size).value();
      ASSERT_EQ(piece.size(), size);
      ASSERT_TRUE(std::equal(piece.begin(), piece.end(), bytes.begin() + static_cast<std::ptrdiff_t>(at))) << at;
      at += size;
      ASSERT_EQ(cursor.position(), at);
      ASSERT_EQ(cursor.bytes_left(), bytes.size() - at);
    }
    EXPECT_TRUE(cursor.take(0).value().empty());
  }
}

TEST(SourceCursor, SmallPiecesShareOneRead) {
  const TestSource source(counting(200000), TestSource::Access::read_only);
  SourceCursor cursor(source);
  for (int i = 0; i < 10000; ++i) ASSERT_TRUE(cursor.take(4));
  EXPECT_EQ(source.reads(), 1U);
}

TEST(SourceCursor, FailuresOfTheSourceAreHandedOn) {
  TestSource source(counting(100000), TestSource::Access::read_only);
  source.fail_within(70000, 70001);
  SourceCursor cursor(source);
  ASSERT_TRUE(cursor.take(60000));
  EXPECT_EQ(cursor.take(20000).error().code, ErrorCode::io);
}

}  // namespace
}  // namespace rushlight::interchange
