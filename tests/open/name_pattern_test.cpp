#include "open/name_pattern.hpp"

#include <gtest/gtest.h>

#include <string>

namespace rushlight::open {
namespace {

TEST(NamePattern, GlobsMatchWholeNames) {
  EXPECT_TRUE(matches_glob("", ""));
  EXPECT_FALSE(matches_glob("", "a"));
  EXPECT_TRUE(matches_glob("*", ""));
  EXPECT_TRUE(matches_glob("*", "a.b"));
  EXPECT_TRUE(matches_glob("a*", "a"));
  EXPECT_TRUE(matches_glob("a*c", "abcbc"));
  EXPECT_FALSE(matches_glob("a*c", "abcb"));
  EXPECT_TRUE(matches_glob("?.weight", "0.weight"));
  EXPECT_FALSE(matches_glob("?.weight", "10.weight"));
  EXPECT_TRUE(matches_glob("*.*.weight", "a.b.weight"));
  EXPECT_FALSE(matches_glob("weight", "a.weight"));
}

TEST(NamePattern, BracketsAreSetsRangesAndTheirOpposites) {
  EXPECT_TRUE(matches_glob("layer[123].w", "layer2.w"));
  EXPECT_FALSE(matches_glob("layer[123].w", "layer4.w"));
  EXPECT_TRUE(matches_glob("layer[0-9].w", "layer4.w"));
  EXPECT_TRUE(matches_glob("[!a-c]x", "dx"));
  EXPECT_FALSE(matches_glob("[^a-c]x", "bx"));
  EXPECT_TRUE(matches_glob("[]]", "]"));
  EXPECT_TRUE(matches_glob("[a-]", "-"));
  // A bracket that is never closed stands for itself.
  EXPECT_TRUE(matches_glob("state[0", "state[0"));
  EXPECT_TRUE(matches_glob("[", "["));
  EXPECT_TRUE(matches_glob("x[]", "x[]"));
}

TEST(NamePattern, BracketsOfNamesStandForThemselves) {
  EXPECT_TRUE(matches_glob("state[*].step", "state[0].step"));
  EXPECT_TRUE(matches_glob("state[?].*", "state[7].exp_avg"));
  EXPECT_TRUE(matches_glob("state[0].*", "state[0].exp_avg"));
  EXPECT_TRUE(matches_glob("state[0].*", "state0.exp_avg"));
  EXPECT_FALSE(matches_glob("state[1].*", "state[0].exp_avg"));
  EXPECT_FALSE(matches_glob("state[*].step", "state.step"));
}

TEST(NamePattern, ManyStarsTakeNoExponentialTime) {
  std::string pattern;
  for (int i = 0; i < 500; ++i) pattern += "*a";
  pattern += "b";
  EXPECT_FALSE(matches_glob(pattern, std::string(2000, 'a')));
}

TEST(NamePattern, OnlySomeTextsAreGlobs) {
  EXPECT_TRUE(is_glob("a*"));
  EXPECT_TRUE(is_glob("a?"));
  EXPECT_TRUE(is_glob("a[0]"));
  EXPECT_FALSE(is_glob("a.b"));
}

}  // namespace
}  // namespace rushlight::open
