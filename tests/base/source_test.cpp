#include "rushlight/source.hpp"

#include <gtest/gtest.h>

#include <array>
#include <limits>
#include <string_view>

#include "base/bytes.hpp"
#include "base/source_range.hpp"

namespace rushlight {
namespace {

using std::string_view_literals::operator""sv;

TEST(MemorySource, GivesTheCallersBytesWithoutACopy) {
  constexpr std::string_view kText = "0123456789";
  const std::shared_ptr<const Source> source = Source::from_memory(as_byte_span(kText), "a name");
  EXPECT_EQ(source->size_bytes(), 10U);
  EXPECT_EQ(source->name(), "a name");
  EXPECT_EQ(source->mapping().data(), as_byte_span(kText).data());
  std::array<std::byte, 4> out{};
  ASSERT_TRUE(source->read_at(6, out));
  EXPECT_EQ(as_text(out), "6789");
}

TEST(MemorySource, RefusesAReadBeyondTheEnd) {
  const std::shared_ptr<const Source> source = Source::from_memory(as_byte_span("0123456789"sv), "m");
  std::array<std::byte, 4> out{};
  const Status status = source->read_at(7, out);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(to_string(status.error()), "m at 0x7: a read of 4 bytes ends beyond the source's 10 bytes");
  EXPECT_FALSE(source->read_at(std::numeric_limits<std::uint64_t>::max(), out));
  EXPECT_TRUE(source->read_at(10, std::span<std::byte>{}));
}

TEST(MemorySource, ReleasesWhatKeepsTheBytesAliveAfterTheLastUse) {
  auto bytes = std::make_shared<std::array<std::byte, 8>>();
  std::shared_ptr<const Source> source = Source::from_memory(*bytes, "m", bytes);
  EXPECT_EQ(bytes.use_count(), 2);
  source.reset();
  EXPECT_EQ(bytes.use_count(), 1);
}

TEST(MemorySource, MayBeEmpty) {
  const std::shared_ptr<const Source> source = Source::from_memory({});
  EXPECT_EQ(source->size_bytes(), 0U);
  EXPECT_EQ(source->name(), "memory");
  EXPECT_TRUE(source->read_at(0, std::span<std::byte>{}));
}

}  // namespace
}  // namespace rushlight
