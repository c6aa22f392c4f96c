#include "base/bytes.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <limits>
#include <string_view>

#include "base/checked.hpp"

namespace rushlight {
namespace {

using std::string_view_literals::operator""sv;

TEST(ByteReader, ReadsLittleEndianIntegersOfEveryWidth) {
  ByteReader reader(as_byte_span("\x01\x34\x12\x78\x56\x34\x12\x08\x07\x06\x05\x04\x03\x02\x01\xff"sv));
  EXPECT_EQ(reader.read<std::uint8_t>(), std::uint8_t{0x01});
  EXPECT_EQ(reader.read<std::uint16_t>(), std::uint16_t{0x1234});
  EXPECT_EQ(reader.read<std::uint32_t>(), 0x12345678U);
  EXPECT_EQ(reader.read<std::uint64_t>(), 0x0102030405060708U);
  EXPECT_EQ(reader.position(), 15U);
  EXPECT_EQ(reader.read<std::int8_t>(), std::int8_t{-1});
  EXPECT_TRUE(reader.at_end());
}

TEST(ByteReader, AReadThatDoesNotFitMovesNothing) {
  ByteReader reader(as_byte_span("abc"sv));
  EXPECT_FALSE(reader.read<std::uint32_t>());
  EXPECT_EQ(reader.position(), 0U);
  EXPECT_FALSE(reader.read_bytes(4));
  EXPECT_FALSE(reader.read_bytes(std::numeric_limits<std::uint64_t>::max()));
  EXPECT_EQ(reader.bytes_left(), 3U);
  const auto taken = reader.read_bytes(3);
  ASSERT_TRUE(taken);
  EXPECT_EQ(as_text(*taken), "abc");
  EXPECT_TRUE(reader.read_bytes(0));
  EXPECT_FALSE(reader.read<std::uint8_t>());
}

TEST(ByteReader, ReadsLinesAndRefusesOneWithoutAnEnd) {
  ByteReader reader(as_byte_span("one\n\ntwo"sv));
  EXPECT_EQ(reader.read_line(), "one");
  EXPECT_EQ(reader.read_line(), "");
  EXPECT_FALSE(reader.read_line());
  EXPECT_EQ(reader.position(), 5U);
  ByteReader empty{ByteSpan{}};
  EXPECT_FALSE(empty.read_line());
}

TEST(ByteSwapped, ReversesTheBytes) {
  EXPECT_EQ(byte_swapped(std::uint8_t{0x12}), 0x12);
  EXPECT_EQ(byte_swapped(std::uint16_t{0x1234}), 0x3412);
  EXPECT_EQ(byte_swapped(std::uint32_t{0x12345678}), 0x78563412U);
  EXPECT_EQ(byte_swapped(std::int64_t{0x0102030405060708}), 0x0807060504030201);
}

TEST(StoreLe, IsWhatLoadLeReads) {
  std::array<std::byte, 9> bytes{};
  store_le<std::uint64_t>(bytes.data() + 1, 0x0123456789abcdefU);
  EXPECT_EQ(std::to_integer<int>(bytes[1]), 0xef);
  EXPECT_EQ(std::to_integer<int>(bytes[8]), 0x01);
  EXPECT_EQ(load_le<std::uint64_t>(bytes.data() + 1), 0x0123456789abcdefU);
}

TEST(Checked, SaysWhenASumDifferenceOrProductDoesNotFit) {
  constexpr auto kMax = std::numeric_limits<std::uint64_t>::max();
  EXPECT_EQ(checked_add<std::uint64_t>(kMax - 1, 1), kMax);
  EXPECT_FALSE(checked_add<std::uint64_t>(kMax, 1));
  EXPECT_EQ(checked_sub<std::uint64_t>(5, 5), 0U);
  EXPECT_FALSE(checked_sub<std::uint64_t>(5, 6));
  EXPECT_EQ(checked_mul<std::uint64_t>(1U << 31, 1U << 31), std::uint64_t{1} << 62);
  EXPECT_FALSE(checked_mul<std::uint64_t>(std::uint64_t{1} << 32, std::uint64_t{1} << 32));
  EXPECT_FALSE(checked_mul<std::int64_t>(std::numeric_limits<std::int64_t>::min(), -1));
}

TEST(RangeFits, HoldsAtTheEdgesAndNeverWraps) {
  EXPECT_TRUE(range_fits<std::uint64_t>(0, 0, 0));
  EXPECT_TRUE(range_fits<std::uint64_t>(3, 7, 10));
  EXPECT_FALSE(range_fits<std::uint64_t>(3, 8, 10));
  EXPECT_TRUE(range_fits<std::uint64_t>(10, 0, 10));
  EXPECT_FALSE(range_fits<std::uint64_t>(11, 0, 10));
  EXPECT_FALSE(range_fits<std::uint64_t>(8, ~std::uint64_t{0} - 4, 10));
}

}  // namespace
}  // namespace rushlight
