#include "rushlight/usage.hpp"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

namespace rushlight {
namespace {

using Parts = std::vector<std::string_view>;

TEST(NameParts, FollowDotsAndBrackets) {
  EXPECT_EQ(name_parts("weight"), (Parts{"weight"}));
  EXPECT_EQ(name_parts("model.conv1.weight"), (Parts{"model", "conv1", "weight"}));
  EXPECT_EQ(name_parts("optimizer.state[0].exp_avg"), (Parts{"optimizer", "state", "[0]", "exp_avg"}));
  EXPECT_EQ(name_parts("[0][1]"), (Parts{"[0]", "[1]"}));
}

TEST(NameParts, KeysInBracketsMayHoldAnything) {
  EXPECT_EQ(name_parts("cache[(1, 'a.b[2]')].x"), (Parts{"cache", "[(1, 'a.b[2]')]", "x"}));
  EXPECT_EQ(name_parts("open[1.5"), (Parts{"open", "[1.5"}));
  EXPECT_EQ(name_parts("a]b"), (Parts{"a]b"}));
}

TEST(NameParts, EmptyOnesStay) {
  EXPECT_EQ(name_parts(""), (Parts{""}));
  EXPECT_EQ(name_parts("a."), (Parts{"a", ""}));
  EXPECT_EQ(name_parts("a..b"), (Parts{"a", "", "b"}));
}

TEST(NameParts, TheLastOfManyHoldsTheRest) {
  std::string name = "a";
  for (int i = 0; i < 1000; ++i) name += ".a";
  const Parts parts = name_parts(name);
  ASSERT_EQ(parts.size(), 64u);
  EXPECT_EQ(parts.back().size(), name.size() - 63 * 2);
}

TensorEntry entry(std::string name, const Tensor& tensor) {
  TensorEntry made;
  made.name = std::move(name);
  made.tensor = tensor;
  return made;
}

TEST(DiskUsage, StoragesCountOnceUnderTheirFirstName) {
  const Tensor big = Tensor::zeros(DType::f32, {100}).value();
  const Tensor small = Tensor::zeros(DType::f32, {10}).value();
  Inspection inspection;
  inspection.format.size_bytes = 500;
  inspection.tensors = {entry("encoder.weight", big), entry("encoder.bias", small), entry("decoder.weight", big)};
  const UsageReport report = disk_usage(inspection);
  EXPECT_EQ(report.storage_bytes, 440u);
  EXPECT_EQ(report.container_bytes, 60u);
  EXPECT_FALSE(report.is_compressed);
  const auto node = [&](std::string_view name) {
    for (const UsageNode& candidate : report.nodes) {
      if (candidate.name == name) return candidate;
    }
    ADD_FAILURE() << "no node is called " << name;
    return UsageNode();
  };
  EXPECT_EQ(node("encoder").size_bytes, 440u);
  EXPECT_EQ(node("encoder").shared_bytes, 0u);
  EXPECT_EQ(node("encoder").tensors, 2);
  EXPECT_EQ(node("decoder").size_bytes, 0u);
  EXPECT_EQ(node("decoder").shared_bytes, 400u);
  EXPECT_EQ(node("decoder.weight").depth, 2u);
  EXPECT_EQ(report.nodes[0].size_bytes, 440u);
  EXPECT_EQ(report.nodes[0].children.size(), 2u);
}

TEST(DiskUsage, StoragesLargerThanTheFileAreCompressed) {
  Inspection inspection;
  inspection.format.size_bytes = 100;
  inspection.tensors = {entry("", Tensor::zeros(DType::f32, {100}).value())};
  const UsageReport report = disk_usage(inspection);
  EXPECT_TRUE(report.is_compressed);
  EXPECT_EQ(report.container_bytes, 0u);
  EXPECT_EQ(report.nodes.size(), 1u);
  EXPECT_EQ(report.nodes[0].tensors, 1);
}

}  // namespace
}  // namespace rushlight
