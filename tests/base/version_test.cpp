#include "rushlight/version.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>

#include "base/cpu_features.hpp"

namespace rushlight {
namespace {

TEST(Version, TheHeadersTheLibraryAndTheBuildAgree) {
  const std::string header = std::to_string(RUSHLIGHT_VERSION_MAJOR) + "." + std::to_string(RUSHLIGHT_VERSION_MINOR) +
                             "." + std::to_string(RUSHLIGHT_VERSION_PATCH);
  EXPECT_EQ(header, RUSHLIGHT_CMAKE_VERSION);
  EXPECT_EQ(version_string(), RUSHLIGHT_CMAKE_VERSION);
}

TEST(BuildInfo, HasARowForEverythingOnceAndNoneEmpty) {
  const BuildInfo info = build_info();
  std::set<std::string> names;
  for (const auto& [name, value] : info.rows) {
    EXPECT_TRUE(names.insert(name).second) << name << " is there twice";
    EXPECT_FALSE(value.empty()) << name;
  }
  for (const char* name : {"compiler", "build", "exceptions", "isa", "cpu", "crc32", "sha256", "cuda", "xxhash",
                           "libdeflate", "isa-l", "openssl"}) {
    EXPECT_EQ(names.count(name), 1U) << name;
  }
}

TEST(BuildInfo, TellsTheInstructionSetInUse) {
  const BuildInfo info = build_info();
  EXPECT_EQ(info.find("isa"), to_string(usable_isa()));
  EXPECT_EQ(info.find("no such row"), "");
}

TEST(BuildInfo, TellsVersionsAsTheHeadersGiveThem) {
  const BuildInfo info = build_info();
  const std::string_view xxhash = info.find("xxhash");
  EXPECT_EQ(std::count(xxhash.begin(), xxhash.end(), '.'), 2) << xxhash;
  EXPECT_NE(info.find("libdeflate").find('.'), std::string_view::npos);
}

}  // namespace
}  // namespace rushlight
