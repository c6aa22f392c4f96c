#include "rushlight/text.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/quote.hpp"

namespace rushlight {
namespace {

using std::string_view_literals::operator""sv;

TEST(Escaped, LeavesPrintableTextAlone) {
  EXPECT_EQ(escaped(""), "");
  EXPECT_EQ(escaped("model_state_dict.conv1.weight"), "model_state_dict.conv1.weight");
  EXPECT_EQ(escaped("größe/重み/🔥"), "größe/重み/🔥");
}

TEST(Escaped, WritesControlCharactersOut) {
  EXPECT_EQ(escaped("a\nb\rc\td"), "a\\nb\\rc\\td");
  EXPECT_EQ(escaped("\x1b[31mred\x1b[0m"), "\\x1b[31mred\\x1b[0m");
  EXPECT_EQ(escaped("a\0b"sv), "a\\x00b");
  EXPECT_EQ(escaped("\x7f"), "\\x7f");
  EXPECT_EQ(escaped("\xc2\x9b"
                    "31m"),
            "\\u009b31m");  // C1 CSI, which some terminals obey
}

TEST(Escaped, WritesQuotesAndBackslashesOut) {
  EXPECT_EQ(escaped("it's \"so\" \\n"), "it\\'s \\\"so\\\" \\\\n");
}

TEST(Escaped, WritesBytesThatAreNotUtf8OutOneByOne) {
  EXPECT_EQ(escaped("a\xff\xfe"), "a\\xff\\xfe");
  EXPECT_EQ(escaped("\xc0\xaf"), "\\xc0\\xaf");                    // overlong '/'
  EXPECT_EQ(escaped("\xe0\x80\xaf"), "\\xe0\\x80\\xaf");           // overlong '/'
  EXPECT_EQ(escaped("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80");  // beyond U+10FFFF
  EXPECT_EQ(escaped("\xe2\x82"), "\\xe2\\x82");                    // cut short
  EXPECT_EQ(escaped("\x80 tail"), "\\x80 tail");
  EXPECT_EQ(escaped("\xe2\x82g"), "\\xe2\\x82g");  // what follows is not swallowed
}

TEST(Escaped, WritesLoneSurrogatesOut) {
  EXPECT_EQ(escaped("\xed\xa0\x80"), "\\ud800");
  EXPECT_EQ(escaped("\xed\xbf\xbf"), "\\udfff");
  EXPECT_EQ(escaped("\xed\x9f\xbf"), "\xed\x9f\xbf");  // U+D7FF is a character
}

TEST(Escaped, WritesCharactersThatReorderOrHideTextOut) {
  EXPECT_EQ(escaped("a\u202e"
                    "bc"),
            "a\\u202ebc");
  EXPECT_EQ(escaped("\u2066x\u2069"), "\\u2066x\\u2069");
  EXPECT_EQ(escaped("a\u200b"
                    "b"),
            "a\\u200bb");
  EXPECT_EQ(escaped("\ufeffx"), "\\ufeffx");
  EXPECT_EQ(escaped("a\u2028b"), "a\\u2028b");
  EXPECT_EQ(escaped("a\U000e0041"), "a\\U000e0041");
}

TEST(Escaped, CutsLongTextsBetweenCharacters) {
  EXPECT_EQ(escaped(std::string(200, 'x')), std::string(200, 'x'));
  EXPECT_EQ(escaped(std::string(201, 'x')), std::string(200, 'x') + "...");
  EXPECT_EQ(escaped("abcdef", 3), "abc...");
  EXPECT_EQ(escaped("ab\u20ac", 5), "ab\u20ac");  // exactly fits
  EXPECT_EQ(escaped("ab\u20ac", 4), "ab...");     // would cut the euro sign in half
  EXPECT_EQ(escaped("ab\u20acz", 5), "ab\u20ac...");
  EXPECT_EQ(escaped("a", 0), "...");
}

TEST(Escaped, IsValidUtf8WhateverComesIn) {
  // Every pair of bytes, and every single one behind a three-byte lead.
  for (int a = 0; a < 256; ++a) {
    for (int b = 0; b < 256; ++b) {
      const std::string pair{static_cast<char>(a), static_cast<char>(b)};
      const std::string tail{'\xe2', static_cast<char>(a), static_cast<char>(b)};
      for (const std::string& text : {pair, tail}) {
        const std::string safe = escaped(text);
        ASSERT_TRUE(is_valid_utf8(safe)) << a << " " << b;
        for (const char c : safe) ASSERT_FALSE(static_cast<unsigned char>(c) < 0x20 || c == 0x7f) << a << " " << b;
      }
    }
  }
}

TEST(Quoted, PutsSingleQuotesAroundTheEscapedText) {
  EXPECT_EQ(quoted("os.system"), "'os.system'");
  EXPECT_EQ(quoted("it's"), "'it\\'s'");
  EXPECT_EQ(quoted("abcdef", 3), "'abc...'");
}

TEST(Utf8, IsToldFromWhatOnlyLooksLikeIt) {
  EXPECT_TRUE(is_valid_utf8(""));
  EXPECT_TRUE(is_valid_utf8("aé€🔥"));
  EXPECT_TRUE(is_valid_utf8("\xf4\x8f\xbf\xbf"));  // U+10FFFF
  for (const std::string_view bad : {"\xc1\xbf"sv, "\x80"sv, "\xe0\x9f\xbf"sv, "\xf0\x8f\xbf\xbf"sv,
                                     "\xf5\x80\x80\x80"sv, "\xf4\x90\x80\x80"sv, "a\xc3"sv, "\xe2\x82"sv, "\xff"sv}) {
    EXPECT_FALSE(is_valid_utf8(bad));
    EXPECT_FALSE(is_valid_utf8_surrogatepass(bad));
  }
  EXPECT_FALSE(is_valid_utf8("\xed\xa0\x80"));
  EXPECT_TRUE(is_valid_utf8_surrogatepass("x\xed\xa0\x80y"));
}

std::vector<std::string> names(std::initializer_list<const char*> list) {
  return {list.begin(), list.end()};
}

TEST(Nearest, FindsTheVerbBehindATypo) {
  const std::vector<std::string> verbs = names({"list", "show", "verify", "hash", "scan", "run", "summary", "devices"});
  EXPECT_EQ(nearest("verfy", verbs, 1), names({"verify"}));
  EXPECT_EQ(nearest("lsit", verbs, 1), names({"list"}));  // neighbours swapped: one step
  EXPECT_EQ(nearest("VERIFY", verbs, 1), names({"verify"}));
  EXPECT_EQ(nearest("sumary", verbs), names({"summary"}));
  EXPECT_EQ(nearest("device", verbs, 1), names({"devices"}));
}

TEST(Nearest, IsSilentWhenNothingIsNear) {
  const std::vector<std::string> verbs = names({"list", "show", "verify", "x"});
  EXPECT_TRUE(nearest("frobnicate", verbs).empty());
  EXPECT_TRUE(nearest("y", verbs).empty());
  EXPECT_TRUE(nearest("", verbs).empty());
  EXPECT_TRUE(nearest("list", {}).empty());
}

TEST(Nearest, FindsANameBehindAPrefixBothWays) {
  const std::vector<std::string> tensors = names({"model.fc1.weight", "model.fc1.bias", "model.conv1.weight"});
  EXPECT_EQ(nearest("fc1.weight", tensors, 1), names({"model.fc1.weight"}));
  EXPECT_EQ(nearest("module.model.fc1.bias", tensors, 1), names({"model.fc1.bias"}));
  // A shared ending that is not a whole word is no prefix.
  EXPECT_TRUE(nearest("1.weight", names({"model.fc1.weight"})).empty());
}

TEST(Nearest, OrdersByDistanceThenByPosition) {
  EXPECT_EQ(nearest("conv3.weight", names({"conv11.weight", "conv1.weight", "conv2.weight", "fc.bias"}), 3),
            names({"conv1.weight", "conv2.weight", "conv11.weight"}));
}

TEST(Nearest, NamesEachCandidateOnce) {
  EXPECT_EQ(nearest("a.weight", names({"a.weigth", "a.weigth", "a.weigth"}), 3), names({"a.weigth"}));
}

TEST(Nearest, TakesHostileLengthsInItsStride) {
  std::vector<std::string> candidates(1000, std::string(100'000, 'a'));
  candidates.push_back("short");
  EXPECT_TRUE(nearest(std::string(100'000, 'b'), candidates).empty());
  EXPECT_EQ(nearest("shart", candidates, 1), names({"short"}));
}

}  // namespace
}  // namespace rushlight
