#include "value/big_integer.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <string>

namespace rushlight {
namespace {

using namespace std::string_literals;

// 2^exponent, with more bytes than needed where asked.
std::string power_of_two(unsigned exponent, std::size_t spare = 0) {
  std::string bytes(exponent / 8 + 1 + spare, '\0');
  bytes[exponent / 8] = static_cast<char>(1U << (exponent % 8));
  if (exponent % 8 == 7 && spare == 0) bytes += '\0';
  return bytes;
}

std::string minus(std::string bytes) {
  bytes += '\0';
  unsigned carry = 1;
  for (char& c : bytes) {
    const unsigned value = (~static_cast<unsigned>(static_cast<unsigned char>(c)) & 0xFFU) + carry;
    c = static_cast<char>(value);
    carry = value >> 8;
  }
  return bytes;
}

TEST(BigInteger, BytesThatOnlyRepeatTheSignAreDropped) {
  EXPECT_EQ(shortest_twos_complement(""), "");
  EXPECT_EQ(shortest_twos_complement("\0\0\0"s), "");
  EXPECT_EQ(shortest_twos_complement("\1\0\0"s), "\1");
  EXPECT_EQ(shortest_twos_complement("\x80\0\0"s), "\x80\0"s);
  EXPECT_EQ(shortest_twos_complement("\xff\xff\xff"), "\xff");
  EXPECT_EQ(shortest_twos_complement("\x7f\xff\xff"), "\x7f\xff");
  EXPECT_EQ(shortest_twos_complement("\x80\xff"), "\x80");
}

TEST(BigInteger, SixtyFourBitsFitAndSixtyFiveDoNot) {
  EXPECT_EQ(to_int64(""), 0);
  EXPECT_EQ(to_int64("\xff"), -1);
  EXPECT_EQ(to_int64("\x80"), -128);
  EXPECT_EQ(to_int64("\x80\0"s), 128);
  EXPECT_EQ(to_int64("\xff\xff\xff\xff\xff\xff\xff\x7f"), std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(to_int64("\0\0\0\0\0\0\0\x80"s), std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(to_int64(power_of_two(63)), std::nullopt);
  EXPECT_EQ(to_int64(power_of_two(5, 40)), 32);
  EXPECT_EQ(to_int64(minus(power_of_two(63))), std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(to_int64(minus(power_of_two(64))), std::nullopt);
}

TEST(BigInteger, DecimalDigitsAreExact) {
  EXPECT_EQ(to_decimal(""), "0");
  EXPECT_EQ(to_decimal("\xff"), "-1");
  EXPECT_EQ(to_decimal(power_of_two(63)), "9223372036854775808");
  EXPECT_EQ(to_decimal(power_of_two(64)), "18446744073709551616");
  EXPECT_EQ(to_decimal(minus(power_of_two(63))), "-9223372036854775808");
  EXPECT_EQ(to_decimal(minus(power_of_two(64))), "-18446744073709551616");
  EXPECT_EQ(to_decimal(power_of_two(200)), "1606938044258990275541962092341162602522202993782792835301376");
  // 10^30, whose last three groups of nine digits are zero.
  EXPECT_EQ(to_decimal("\x00\x00\x00\x40\xea\xed\x74\x46\xd0\x9c\x2c\x9f\x0c"s), "1" + std::string(30, '0'));
}

TEST(BigInteger, TheLongestIntegerOfAFileIsWrittenOut) {
  const std::string digits = to_decimal(power_of_two(8 * 65535));
  EXPECT_EQ(digits.size(), 157825U);
  EXPECT_EQ(digits.substr(digits.size() - 1), "6");  // powers of 2^4 end in 6
}

TEST(BigInteger, TheNearestDoubleIsFoundAndTiesGoToEven) {
  EXPECT_EQ(to_double(""), 0.0);
  EXPECT_EQ(to_double(power_of_two(64)), 0x1p64);
  EXPECT_EQ(to_double(minus(power_of_two(1000))), -0x1p1000);
  EXPECT_EQ(to_double(power_of_two(1023)), 0x1p1023);
  EXPECT_EQ(to_double(power_of_two(1024)), std::nullopt);
  EXPECT_EQ(to_double(minus(power_of_two(1024))), std::nullopt);
  // 2^100 + 2^47 is halfway between two doubles; a bit more decides.
  std::string tie = power_of_two(100);
  tie[47 / 8] = static_cast<char>(1U << (47 % 8));
  EXPECT_EQ(to_double(tie), 0x1p100);
  tie[0] = 1;
  EXPECT_EQ(to_double(tie), 0x1.0000000000001p100);
  // Rounds up into infinity: no double.
  EXPECT_EQ(to_double(std::string(128, '\xff') + '\0'), std::nullopt);
}

}  // namespace
}  // namespace rushlight
