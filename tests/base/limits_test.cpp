#include "rushlight/limits.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

namespace rushlight {
namespace {

// Every field, in order: a struct of 64-bit numbers and nothing else.
std::vector<std::uint64_t> fields(const Limits& limits) {
  static_assert(sizeof(Limits) == 17 * sizeof(std::uint64_t));
  std::vector<std::uint64_t> values(17);
  std::memcpy(values.data(), &limits, sizeof limits);
  return values;
}

TEST(Limits, DefaultsAreThoseOfTheSecurityTable) {
  const Limits limits;
  EXPECT_EQ(limits.archive_entries, 1048576U);
  EXPECT_EQ(limits.central_directory_bytes, 268435456U);
  EXPECT_EQ(limits.record_name_bytes, 511U);
  EXPECT_EQ(limits.pickle_bytes, 268435456U);
  EXPECT_EQ(limits.pickle_depth, 512U);
  EXPECT_EQ(limits.pickle_string_bytes, 16777216U);
  EXPECT_EQ(limits.visited_nodes, 10000000U);
  EXPECT_EQ(limits.tensors, 4194304U);
  EXPECT_EQ(limits.tensor_dims, 64U);
  EXPECT_EQ(limits.inflated_bytes, 67108864U);
  EXPECT_EQ(limits.json_bytes, 67108864U);
}

TEST(Limits, StrictIsNowhereWiderAndOffIsNowhereNarrower) {
  const std::vector<std::uint64_t> normal = fields(Limits{});
  const std::vector<std::uint64_t> strict = fields(Limits::strict());
  const std::vector<std::uint64_t> off = fields(Limits::off());
  for (std::size_t i = 0; i < normal.size(); ++i) {
    EXPECT_LE(strict[i], normal[i]) << "field " << i;
    EXPECT_GT(strict[i], 0U) << "field " << i;
    EXPECT_GT(off[i], normal[i]) << "field " << i;
  }
  EXPECT_EQ(Limits::strict().pickle_bytes, 16777216U);
  EXPECT_EQ(Limits::strict().record_name_bytes, 511U);  // what torch itself reads
}

TEST(Limits, OffLeavesRoomForSumsAndSmallMultiples) {
  for (const std::uint64_t value : fields(Limits::off())) {
    EXPECT_GT(value, std::uint64_t{1} << 61);
    std::uint64_t doubled = 0;
    EXPECT_FALSE(__builtin_mul_overflow(value, std::uint64_t{3}, &doubled));
  }
}

}  // namespace
}  // namespace rushlight
