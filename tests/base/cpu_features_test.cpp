#include "base/cpu_features.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

namespace rushlight {
namespace {

#if defined(__x86_64__) && defined(__linux__)
// The kernel's own opinion: the words behind "flags" or "model name" in /proc/cpuinfo.
std::string line_of_cpuinfo(const std::string& key) {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.compare(0, key.size(), key) == 0) return line.substr(line.find(':') + 2);
  }
  return {};
}

bool kernel_says(const std::string& flag) {
  std::istringstream words(line_of_cpuinfo("flags"));
  for (std::string word; words >> word;) {
    if (word == flag) return true;
  }
  return false;
}

TEST(CpuFeatures, AgreeWithTheKernel) {
  const CpuFeatures features = detect_cpu_features();
  const bool avx2 = kernel_says("avx") && kernel_says("avx2") && kernel_says("fma") && kernel_says("f16c");
  const bool avx512 =
      avx2 && kernel_says("avx512f") && kernel_says("avx512dq") && kernel_says("avx512bw") && kernel_says("avx512vl");
  EXPECT_EQ(features.avx2, avx2);
  EXPECT_EQ(features.avx512, avx512);
  EXPECT_EQ(features.avx512_bf16, avx512 && kernel_says("avx512_bf16"));
  EXPECT_EQ(features.avx512_vnni, avx512 && kernel_says("avx512_vnni"));
  EXPECT_EQ(features.amx_bf16, avx512 && kernel_says("amx_tile") && kernel_says("amx_bf16"));
  EXPECT_EQ(features.amx_int8, avx512 && kernel_says("amx_tile") && kernel_says("amx_int8"));
}

TEST(CpuFeatures, TheBrandIsTheKernelsModelName) {
  const std::string brand = cpu_brand();
  EXPECT_FALSE(brand.empty());
  const std::string model = line_of_cpuinfo("model name");
  // The kernel trims blanks at both ends, as we do.
  EXPECT_EQ(brand, model.substr(0, model.find_last_not_of(' ') + 1));
}
#endif

TEST(ChooseIsa, TakesTheBestTheProcessorHas) {
  EXPECT_EQ(choose_isa({}, nullptr), Isa::baseline);
  EXPECT_EQ(choose_isa({.avx2 = true}, nullptr), Isa::avx2);
  EXPECT_EQ(choose_isa({.avx2 = true, .avx512 = true}, nullptr), Isa::avx512);
}

TEST(ChooseIsa, TheVariableOnlyEverLowersIt) {
  const CpuFeatures all{.avx2 = true, .avx512 = true};
  EXPECT_EQ(choose_isa(all, "avx2"), Isa::avx2);
  EXPECT_EQ(choose_isa(all, "baseline"), Isa::baseline);
  EXPECT_EQ(choose_isa({.avx2 = true}, "avx512"), Isa::avx2);
  EXPECT_EQ(choose_isa({}, "avx512"), Isa::baseline);
}

TEST(ChooseIsa, IgnoresNamesItDoesNotKnow) {
  const CpuFeatures all{.avx2 = true, .avx512 = true};
  EXPECT_EQ(choose_isa(all, ""), Isa::avx512);
  EXPECT_EQ(choose_isa(all, "AVX2"), Isa::avx512);
  EXPECT_EQ(choose_isa(all, "sse"), Isa::avx512);
}

TEST(UsableIsa, ReadsTheVariable) {
  const char* const before = std::getenv("RUSHLIGHT_ISA");
  const std::string saved = before == nullptr ? "" : before;
  ASSERT_EQ(setenv("RUSHLIGHT_ISA", "baseline", 1), 0);
  EXPECT_EQ(usable_isa(), Isa::baseline);
  ASSERT_EQ(unsetenv("RUSHLIGHT_ISA"), 0);
  EXPECT_EQ(usable_isa(), choose_isa(detect_cpu_features(), nullptr));
  if (before != nullptr) setenv("RUSHLIGHT_ISA", saved.c_str(), 1);
}

TEST(Isa, NamesAndParsesBothWays) {
  for (const Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512}) EXPECT_EQ(parse_isa(to_string(isa)), isa);
  EXPECT_FALSE(parse_isa("avx"));
}

}  // namespace
}  // namespace rushlight
