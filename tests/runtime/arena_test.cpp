#include "runtime/arena.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <random>

namespace rushlight::runtime {
namespace {

constexpr std::uint64_t kAlignment = 64;

void expect_valid(const std::vector<Lifetime>& lifetimes, const ArenaLayout& layout) {
  ASSERT_EQ(lifetimes.size(), layout.offsets_bytes.size());
  for (std::size_t a = 0; a < lifetimes.size(); ++a) {
    EXPECT_EQ(0U, layout.offsets_bytes[a] % kAlignment);
    EXPECT_LE(layout.offsets_bytes[a] + lifetimes[a].size_bytes, layout.size_bytes);
    for (std::size_t b = 0; b < a; ++b) {
      if (lifetimes[a].last_step < lifetimes[b].first_step || lifetimes[b].last_step < lifetimes[a].first_step)
        continue;
      const bool apart = layout.offsets_bytes[a] + lifetimes[a].size_bytes <= layout.offsets_bytes[b] ||
                         layout.offsets_bytes[b] + lifetimes[b].size_bytes <= layout.offsets_bytes[a];
      ASSERT_TRUE(apart) << a << " and " << b << " share memory while both live";
    }
  }
}

std::vector<Lifetime> random_lifetimes(std::mt19937& random, std::size_t count, std::size_t steps,
                                       std::size_t longest) {
  std::vector<Lifetime> lifetimes(count);
  for (Lifetime& lifetime : lifetimes) {
    lifetime.size_bytes = random() % 5 == 0 ? 0 : random() % 5000;
    lifetime.first_step = random() % steps;
    lifetime.last_step = lifetime.first_step + random() % longest;
  }
  return lifetimes;
}

TEST(Arena, NothingThatLivesAtOnceOverlaps) {
  std::mt19937 random(1);
  for (int i = 0; i < 300; ++i) {
    const auto lifetimes = random_lifetimes(random, random() % 60, 1 + random() % 40, 1 + random() % 12);
    expect_valid(lifetimes, plan_arena(lifetimes, kAlignment).value());
    if (HasFatalFailure()) return;
  }
}

TEST(Arena, VeryManyLifetimesAreStillPlacedWithoutOverlap) {
  std::mt19937 random(2);
  // Beyond the quadratic planner's limit; lifetimes are short, so only near ones can clash.
  std::vector<Lifetime> lifetimes = random_lifetimes(random, 20'000, 20'000, 6);
  std::sort(lifetimes.begin(), lifetimes.end(),
            [](const Lifetime& a, const Lifetime& b) { return a.first_step < b.first_step; });
  const ArenaLayout layout = plan_arena(lifetimes, kAlignment).value();
  for (std::size_t a = 0; a < lifetimes.size(); ++a) {
    for (std::size_t b = a; b-- > 0 && lifetimes[b].first_step + 6 > lifetimes[a].first_step;) {
      if (lifetimes[b].last_step < lifetimes[a].first_step) continue;
      const bool apart = layout.offsets_bytes[a] + lifetimes[a].size_bytes <= layout.offsets_bytes[b] ||
                         layout.offsets_bytes[b] + lifetimes[b].size_bytes <= layout.offsets_bytes[a];
      ASSERT_TRUE(apart) << a << " and " << b;
    }
  }
  std::uint64_t all = 0;
  for (const Lifetime& lifetime : lifetimes) all += lifetime.size_bytes;
  EXPECT_LT(layout.size_bytes, all / 100) << "memory is not reused";
}

TEST(Arena, AChainNeedsItsTwoLargestNeighbours) {
  std::vector<Lifetime> chain;
  const std::uint64_t sizes[] = {640, 6400, 1280, 6400, 64};
  for (std::size_t i = 0; i < std::size(sizes); ++i) chain.push_back({sizes[i], i, i + 1});
  EXPECT_EQ(6400U + 1280U, plan_arena(chain, kAlignment)->size_bytes);
}

TEST(Arena, NothingNeedsNothing) {
  EXPECT_EQ(0U, plan_arena({}, kAlignment)->size_bytes);
}

TEST(Arena, SizesThatCannotBeCountedAreRefused) {
  const std::uint64_t huge = std::numeric_limits<std::uint64_t>::max();
  EXPECT_FALSE(plan_arena(std::vector<Lifetime>{{huge, 0, 1}}, kAlignment));
  EXPECT_FALSE(plan_arena(std::vector<Lifetime>{{huge / 4, 0, 1}, {huge / 4, 2, 3}, {huge / 4, 4, 5}}, kAlignment));
}

TEST(Arena, TheSameLifetimesGiveTheSameLayout) {
  std::mt19937 random(3);
  const auto lifetimes = random_lifetimes(random, 50, 30, 8);
  EXPECT_EQ(plan_arena(lifetimes, kAlignment)->offsets_bytes, plan_arena(lifetimes, kAlignment)->offsets_bytes);
}

}  // namespace
}  // namespace rushlight::runtime
