// Numbers and strings of protocol 0.
#include "pickle/literals.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>

namespace rushlight::pickle {
namespace {

using namespace std::string_literals;

TEST(PickleLiterals, DecimalIntegersOfAnySizeConvertBothWays) {
  for (const char* const text :
       {"9223372036854775808", "-9223372036854775809", "18446744073709551615", "18446744073709551616",
        "-18446744073709551616", "340282366920938463463374607431768211456", "-340282366920938463463374607431768211457",
        "100000000000000000000000000000000000000000000000000", "999999999999999999999999999999999999999999999999999"}) {
    const auto integer = parse_decimal(text);
    ASSERT_TRUE(integer) << text;
    EXPECT_FALSE(integer->is_small) << text;
    EXPECT_EQ(decimal_text(integer->twos_complement), text);
  }
  for (const char* const text : {"0", "-1", "127", "-128", "9223372036854775807", "-9223372036854775808"}) {
    const auto integer = parse_decimal(text);
    ASSERT_TRUE(integer) << text;
    EXPECT_TRUE(integer->is_small);
    EXPECT_EQ(std::to_string(integer->value), text);
  }
}

TEST(PickleLiterals, TheLongestIntegersConvertBothWays) {
  const std::string nines(kMaxDecimalDigits, '9');
  EXPECT_EQ(decimal_text(parse_decimal(nines)->twos_complement), nines);
  EXPECT_EQ(decimal_text(parse_decimal("-" + nines)->twos_complement), "-" + nines);
  EXPECT_EQ(parse_decimal(nines)->twos_complement.size(), 1786u);
}

TEST(PickleLiterals, TwosComplementIsTrimmedToItsSign) {
  EXPECT_EQ(significant_bytes(""), 0u);
  EXPECT_EQ(significant_bytes("\0\0\0"s), 1u);
  EXPECT_EQ(significant_bytes("\xff\xff\xff"), 1u);
  EXPECT_EQ(significant_bytes("\x80\x00"s), 2u);
  EXPECT_EQ(significant_bytes("\x7f\xff"), 2u);
  EXPECT_EQ(significant_bytes("\x80\xff\xff"), 1u);
  EXPECT_EQ(small_integer("\x80"), -128);
  EXPECT_EQ(small_integer("\x80\x00"s), 128);
  EXPECT_EQ(decimal_text(""), "0");
  EXPECT_EQ(decimal_text("\x00\x00\x00\x80"s), "-2147483648");
  EXPECT_EQ(decimal_text("\x00\x00\x00\x80\x00"s), "2147483648");
}

TEST(PickleLiterals, FloatsReadBackFromTheirRepr) {
  // Pairs of a value and Python's repr of it.
  const struct {
    double value;
    const char* text;
  } cases[] = {{0.0, "0.0"},
               {-0.0, "-0.0"},
               {1.0, "1.0"},
               {-1.5, "-1.5"},
               {0.1, "0.1"},
               {123456.75, "123456.75"},
               {1e15, "1000000000000000.0"},
               {1e16, "1e+16"},
               {1234567890123456.0, "1234567890123456.0"},
               {12345678901234567.0, "1.2345678901234568e+16"},
               {1e-4, "0.0001"},
               {1e-5, "1e-05"},
               {1.5e-7, "1.5e-07"},
               {1e100, "1e+100"},
               {5e-324, "5e-324"},
               {1.7976931348623157e308, "1.7976931348623157e+308"},
               {std::numeric_limits<double>::infinity(), "inf"},
               {-std::numeric_limits<double>::infinity(), "-inf"}};
  for (const auto& one : cases) {
    EXPECT_EQ(float_text(one.value), one.text);
    const auto read = parse_float(one.text);
    ASSERT_TRUE(read) << one.text;
    EXPECT_EQ(*read, one.value);
    EXPECT_EQ(std::signbit(*read), std::signbit(one.value));
  }
  EXPECT_EQ(float_text(std::numeric_limits<double>::quiet_NaN()), "nan");
  ASSERT_TRUE(parse_float("nan"));
  EXPECT_TRUE(std::isnan(*parse_float("nan")));
}

TEST(PickleLiterals, EscapesOfStrings) {
  EXPECT_EQ(unescape_string(R"(\a\b\f\n\r\t\v\\\'\")"), "\a\b\f\n\r\t\v\\'\"");
  EXPECT_EQ(unescape_string(R"(\0\12\1234\777)"), "\0\n\x53\x34\xff"s);
  EXPECT_EQ(unescape_string(R"(\xfF\q\u0041)"), "\xff\\q\\u0041");
  EXPECT_EQ(unescape_string("\\"), std::nullopt);
  EXPECT_EQ(unescape_string(R"(\x)"), std::nullopt);
  EXPECT_EQ(unescape_string(R"(\xg0)"), std::nullopt);
}

TEST(PickleLiterals, EscapesOfRawUnicode) {
  EXPECT_EQ(unescape_raw_unicode(R"(\u0041\U0001F600)"), "A\U0001f600");
  EXPECT_EQ(unescape_raw_unicode(R"(\n\\u0041\)"), R"(\n\\u0041\)");  // only u and U escape, and not behind a backslash
  EXPECT_EQ(unescape_raw_unicode("\xe9\x80"), "\u00e9\u0080");
  EXPECT_EQ(unescape_raw_unicode(R"(\u)"), std::nullopt);
  EXPECT_EQ(unescape_raw_unicode(R"(\u004)"), std::nullopt);
  EXPECT_EQ(unescape_raw_unicode(R"(\U00110000)"), std::nullopt);
}

TEST(PickleLiterals, Utf8OfEveryLength) {
  std::string text;
  for (const std::uint32_t code_point : {0x41u, 0x7Fu, 0x80u, 0x7FFu, 0x800u, 0xFFFFu, 0x10000u, 0x10FFFFu}) {
    append_utf8(text, code_point);
  }
  EXPECT_EQ(text, "A\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf");
}

}  // namespace
}  // namespace rushlight::pickle
