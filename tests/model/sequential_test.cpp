#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "rushlight/graph.hpp"

namespace rushlight {
namespace {

std::vector<std::string> node_names(const Graph& graph) {
  std::vector<std::string> names;
  for (const Node& node : graph.nodes()) names.push_back(node.name);
  return names;
}

TEST(Sequential, NamesLayersByPositionAsTorchDoes) {
  const Graph graph = Sequential{Linear{784, 128}, ReLU{}, Linear{128, 10}}.graph({784}).value();
  EXPECT_EQ(node_names(graph), (std::vector<std::string>{"0", "1", "2"}));
  EXPECT_EQ(graph.parameters()[0].name, "0.weight");
  EXPECT_EQ(graph.parameters()[3].name, "2.bias");
  EXPECT_EQ(graph.inputs()[0].name, "input");
  EXPECT_EQ(graph.inputs()[0].shape, (Shape{-1, 784}));
  EXPECT_EQ(graph.outputs()[0].name, "output");
}

TEST(Sequential, NestedNamesAreJoinedWithDots) {
  const Sequential features{Conv2d{.padding = 1}, Layer("act", ReLU{})};
  const Sequential net{Layer("features", features), Flatten{}, Sequential{Linear{}, Sequential{ReLU{}}}};
  const Graph graph = net.graph().value();
  EXPECT_EQ(node_names(graph), (std::vector<std::string>{"features.0", "features.act", "1", "2.0", "2.1.0"}));
  EXPECT_TRUE(graph.inputs()[0].shape.empty());
}

TEST(Sequential, ShapesAreCheckedAtOnce) {
  const Result<Graph> graph = Sequential{Linear{784, 128}, ReLU{}, Linear{64, 10}}.graph({784});
  ASSERT_FALSE(graph);
  EXPECT_EQ(graph.error().finding.message, "layer '2': expected 64 features, found 128 in [-1, 128]");
}

TEST(Sequential, OfNothingPassesItsInputOn) {
  const Graph graph = Sequential(std::vector<Layer>{}).graph({3}).value();
  EXPECT_TRUE(graph.nodes().empty());
  EXPECT_EQ(graph.outputs()[0].edge, graph.inputs()[0].edge);
}

TEST(Sequential, NestingCostsNoStack) {
  Sequential net{ReLU{}};
  for (int i = 0; i < 2000; ++i) net = Sequential(std::vector<Layer>{Layer(std::move(net))});
  EXPECT_EQ(net.graph().value().nodes().size(), 1u);
}

TEST(Sequential, TheSameNameTwiceIsRefused) {
  const Result<Graph> graph = Sequential{Layer("fc", Linear{4, 4}), Layer("fc", Linear{4, 4})}.graph();
  ASSERT_FALSE(graph);
  EXPECT_EQ(graph.error().finding.message, "graph: layer 'fc': another layer has this name, and both have parameters");
}

}  // namespace
}  // namespace rushlight
