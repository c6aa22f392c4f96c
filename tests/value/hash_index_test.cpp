#include "value/hash_index.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace rushlight {
namespace {

TEST(HashIndex, FindsWhatWasPutInAndNothingElse) {
  const std::uint64_t seed = random_seed();
  std::vector<std::string> names;
  HashIndex index;
  EXPECT_EQ(index.find(hash_text("a", seed), [](std::uint32_t) { return true; }), std::nullopt);
  for (std::uint32_t i = 0; i < 5000; ++i) {
    names.push_back("layer." + std::to_string(i) + ".weight");
    index.insert(hash_text(names.back(), seed), i);
  }
  const auto find = [&](const std::string& name) {
    return index.find(hash_text(name, seed), [&](std::uint32_t at) { return names[at] == name; });
  };
  for (std::uint32_t i = 0; i < 5000; ++i) ASSERT_EQ(find(names[i]), i);
  EXPECT_EQ(find("layer.5000.weight"), std::nullopt);
}

TEST(HashIndex, EqualHashesAreToldApartByTheThingsThemselves) {
  HashIndex index;
  for (std::uint32_t i = 0; i < 100; ++i) index.insert(42, i);
  for (std::uint32_t i = 0; i < 100; ++i) {
    EXPECT_EQ(index.find(42, [i](std::uint32_t at) { return at == i; }), i);
  }
  EXPECT_EQ(index.find(42, [](std::uint32_t) { return false; }), std::nullopt);
}

TEST(HashIndex, SeedsDifferFromCallToCall) {
  EXPECT_NE(random_seed(), random_seed());
  EXPECT_NE(hash_text("weight", 1), hash_text("weight", 2));
  EXPECT_NE(hash_pair(1, 2, 0), hash_pair(2, 1, 0));
}

}  // namespace
}  // namespace rushlight
