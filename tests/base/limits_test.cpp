#include "rushlight/limits.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace rushlight {
namespace {

// Every field, in order: a struct of 64-bit numbers and nothing else.
std::vector<std::uint64_t> fields(const Limits& limits) {
  static_assert(sizeof(Limits) == 18 * sizeof(std::uint64_t));
  std::vector<std::uint64_t> values(18);
  std::memcpy(values.data(), &limits, sizeof limits);
  return values;
}

// In the order of the struct; the size above tells when one is missing here.
constexpr std::array kNames = {
    "archive_entries",
    "central_directory_bytes",
    "record_name_bytes",
    "pickle_bytes",
    "pickle_nodes",
    "pickle_depth",
    "pickle_memo",
    "pickle_string_bytes",
    "pickle_integer_bytes",
    "visited_nodes",
    "tensors",
    "tensor_dims",
    "inflated_bytes",
    "materialised_bytes",
    "json_bytes",
    "graph_nodes",
    "arena_bytes",
    "image_pixels",
};

// "256 MiB", "16 Mi", "10,000,000": as the page writes numbers.
std::uint64_t number_of(const std::string& cell) {
  std::istringstream text(cell);
  std::string digits;
  std::string unit;
  text >> digits >> unit;
  std::erase(digits, ',');
  constexpr std::string_view kPrefixes = "KMG";
  const std::size_t power = unit.empty() ? 0 : kPrefixes.find(unit[0]) + 1;
  return std::stoull(digits) << (10 * power);
}

struct PageRow {
  std::string field;
  std::uint64_t normal = 0;
  std::uint64_t strict = 0;
  std::string reason;
};
// The table of format-spec/08-security.md, section 2.
std::vector<PageRow> page_rows() {
  std::ifstream file(RUSHLIGHT_TESTS_SOURCE_DIR "/../format-spec/08-security.md");
  std::vector<PageRow> rows;
  bool in_table = false;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("| field | default | strict |")) {
      in_table = true;
      std::getline(file, line);  // the ruler
    } else if (in_table && line.starts_with("| `")) {
      std::istringstream parts(line.substr(1));
      std::array<std::string, 4> cells;
      for (std::string& cell : cells) std::getline(parts, cell, '|');
      rows.push_back({cells[0].substr(2, cells[0].size() - 4), number_of(cells[1]), number_of(cells[2]), cells[3]});
    } else {
      in_table = false;
    }
  }
  return rows;
}

TEST(Limits, DefaultsAreThoseOfTheSecurityTable) {
  const std::vector<std::uint64_t> normal = fields(Limits{});
  const std::vector<std::uint64_t> strict = fields(Limits::strict());
  const std::vector<PageRow> rows = page_rows();
  ASSERT_EQ(kNames.size(), normal.size());
  ASSERT_EQ(rows.size(), normal.size()) << "format-spec/08-security.md has a row for each field";
  for (std::size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(rows[i].field, kNames[i]);
    EXPECT_EQ(rows[i].normal, normal[i]) << kNames[i];
    EXPECT_EQ(rows[i].strict, strict[i]) << kNames[i];
    EXPECT_GT(rows[i].reason.size(), 10U) << kNames[i];
  }
  // The names above are those of these fields: numbers that stand once tell.
  const Limits limits;
  EXPECT_EQ(limits.record_name_bytes, rows[2].normal);
  EXPECT_EQ(limits.pickle_depth, rows[5].normal);
  EXPECT_EQ(limits.visited_nodes, rows[9].normal);
  EXPECT_EQ(limits.tensor_dims, rows[11].normal);
  EXPECT_EQ(limits.arena_bytes, rows[16].normal);
  EXPECT_EQ(limits.image_pixels, rows[17].normal);
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
