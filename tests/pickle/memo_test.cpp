// The memo, dense and sparse.
#include "pickle/memo.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <random>

namespace rushlight::pickle {
namespace {

TEST(PickleMemo, KnowsNothingAtFirst) {
  const Memo memo;
  EXPECT_EQ(memo.size(), 0u);
  EXPECT_EQ(memo.get(0), Memo::kNothing);
  EXPECT_EQ(memo.get(~std::uint64_t{0}), Memo::kNothing);
}

TEST(PickleMemo, CountsEachIndexOnce) {
  Memo memo;
  ASSERT_TRUE(memo.put(0, 10));
  ASSERT_TRUE(memo.put(0, 11));
  ASSERT_TRUE(memo.put(500, 12));       // the array grows over a hole
  ASSERT_TRUE(memo.put(1u << 30, 13));  // the tree
  ASSERT_TRUE(memo.put(1u << 30, 14));
  EXPECT_EQ(memo.size(), 3u);
  EXPECT_EQ(memo.get(0), 11u);
  EXPECT_EQ(memo.get(499), Memo::kNothing);
  EXPECT_EQ(memo.get(500), 12u);
  EXPECT_EQ(memo.get(1u << 30), 14u);
  memo.clear();
  EXPECT_EQ(memo.size(), 0u);
  EXPECT_EQ(memo.get(0), Memo::kNothing);
  EXPECT_EQ(memo.get(1u << 30), Memo::kNothing);
}

TEST(PickleMemo, EntriesMoveFromTheTreeIntoTheArray) {
  Memo memo;
  ASSERT_TRUE(memo.put(5000, 1));
  for (std::uint32_t i = 0; i < 6000; ++i) {
    if (i != 5000) {
      ASSERT_TRUE(memo.put(i, i + 100));
    }
  }
  EXPECT_EQ(memo.size(), 6000u);
  EXPECT_EQ(memo.get(5000), 1u);
  EXPECT_EQ(memo.get(4999), 5099u);
  EXPECT_EQ(memo.get(5001), 5101u);
  ASSERT_TRUE(memo.put(5000, 2));
  EXPECT_EQ(memo.get(5000), 2u);
  EXPECT_EQ(memo.size(), 6000u);
}

TEST(PickleMemo, IndicesThatCountDownAreKept) {
  Memo memo;
  for (std::uint32_t i = 20000; i-- > 0;) ASSERT_TRUE(memo.put(i, i));
  EXPECT_EQ(memo.size(), 20000u);
  for (std::uint32_t i = 0; i < 20000; ++i) ASSERT_EQ(memo.get(i), i);
}

TEST(PickleMemo, AgreesWithAMapOnRandomIndices) {
  std::mt19937_64 random(7);
  for (const std::uint64_t span : {50u, 3000u, 1u << 20}) {
    Memo memo;
    std::map<std::uint64_t, std::uint32_t> wanted;
    for (std::uint32_t i = 0; i < 20000; ++i) {
      const std::uint64_t index = random() % 8 == 0 ? random() : random() % span;
      ASSERT_TRUE(memo.put(index, i));
      wanted[index] = i;
      ASSERT_EQ(memo.size(), wanted.size());
      const std::uint64_t asked = random() % span;
      const auto found = wanted.find(asked);
      ASSERT_EQ(memo.get(asked), found == wanted.end() ? Memo::kNothing : found->second);
    }
    for (const auto& [index, value] : wanted) ASSERT_EQ(memo.get(index), value);
  }
}

}  // namespace
}  // namespace rushlight::pickle
