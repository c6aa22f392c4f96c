#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "rushlight/graph.hpp"

namespace rushlight {
namespace {

std::string problem(GraphBuilder& builder, ErrorCode code = ErrorCode::invalid_argument) {
  const Result<Graph> graph = builder.build();
  if (graph) return "no problem";
  EXPECT_EQ(graph.error().code, code);
  return graph.error().finding.message;
}

TEST(GraphBuilder, MakesARunnableListOfNodes) {
  GraphBuilder g;
  const Edge x = g.input("image", {-1, 1, 28, 28});
  const Edge y = g.apply("conv1", Conv2d{.padding = 1}, x);
  g.output("sum", g.apply("", Add{}, y, x));
  const Graph graph = g.build().value();
  ASSERT_EQ(graph.nodes().size(), 2u);
  EXPECT_EQ(graph.nodes()[0].name, "conv1");
  EXPECT_EQ(graph.nodes()[1].name, "add_1");
  EXPECT_EQ(graph.nodes()[1].inputs, (std::vector<Edge>{y, x}));
  EXPECT_EQ(graph.edge_count(), 3u);
  EXPECT_EQ(graph.inputs()[0].shape, (Shape{-1, 1, 28, 28}));
  EXPECT_EQ(graph.outputs()[0].name, "sum");
  EXPECT_EQ(graph.outputs()[0].edge, graph.nodes()[1].output());
}

TEST(GraphBuilder, TellsWhichParametersAStateDictMustHold) {
  GraphBuilder g;
  Edge x = g.input("x");
  x = g.apply("conv", Conv2d{.out_channels = 8, .kernel_size = IntPair(3, 5), .groups = 2}, x);
  x = g.apply("bn", BatchNorm2d{8}, x);
  x = g.apply("relu", ReLU{}, x);
  g.output("y", g.apply("fc", Linear{.in_features = 4, .out_features = 2, .bias = false}, x));
  const Graph graph = g.build().value();
  const std::vector<ParameterSpec> parameters = graph.parameters();
  std::vector<std::string> lines;
  for (const ParameterSpec& parameter : parameters) {
    lines.push_back(parameter.name + " " + testing::PrintToString(parameter.shape) + " of " +
                    std::to_string(parameter.node));
  }
  EXPECT_EQ(lines, (std::vector<std::string>{"conv.weight { 8, -1, 3, 5 } of 0", "conv.bias { 8 } of 0",
                                             "bn.weight { 8 } of 1", "bn.bias { 8 } of 1", "bn.running_mean { 8 } of 1",
                                             "bn.running_var { 8 } of 1", "fc.weight { 2, 4 } of 3"}));
}

TEST(GraphBuilder, ALoneLayerWithoutANameHasParametersWithoutAPrefix) {
  GraphBuilder g;
  g.output("y", g.apply("", Linear{4, 2}, g.input("x")));
  const Graph graph = g.build().value();
  EXPECT_EQ(graph.nodes()[0].name, "");
  EXPECT_EQ(graph.parameters()[0].name, "weight");
  EXPECT_EQ(graph.parameters()[1].name, "bias");
}

TEST(GraphBuilder, KeepsLabelsPreprocessingAndNotes) {
  GraphBuilder g;
  g.output("y", g.apply("", ReLU{}, g.input("x")));
  g.labels({"cat", "dog"});
  g.preprocessing({.scale = 255, .mean = {0.5}, .std = {0.25}});
  g.note("a remark");
  const Graph graph = g.build().value();
  EXPECT_EQ(graph.labels(), (std::vector<std::string>{"cat", "dog"}));
  EXPECT_EQ(graph.preprocessing().scale, 255);
  EXPECT_EQ(graph.notes(), (std::vector<std::string>{"a remark"}));
}

TEST(GraphBuilder, FillsInThePoolsStride) {
  GraphBuilder g;
  g.output("y", g.apply("", MaxPool2d{2}, g.input("x")));
  EXPECT_EQ(g.build().value().nodes()[0].op.get<MaxPool2d>().stride, IntPair(2));
}

TEST(GraphBuilder, IsEmptyAfterBuild) {
  GraphBuilder g;
  g.output("y", g.apply("fc", Linear{4, 2}, g.input("x")));
  ASSERT_TRUE(g.build());
  EXPECT_EQ(problem(g), "graph: it has no inputs");
  g.output("y", g.apply("fc", Linear{4, 2}, g.input("x")));
  EXPECT_TRUE(g.build());
}

TEST(GraphBuilder, ACopyOfTheInputIsAGraph) {
  GraphBuilder g;
  g.output("y", g.input("x", {-1, 3}));
  const Graph graph = g.build().value();
  EXPECT_TRUE(graph.nodes().empty());
  EXPECT_EQ(graph.infer_shapes({{Shape{5, 3}}}).value()[0], (Shape{5, 3}));
}

TEST(GraphBuilder, RefusesWhatIsNoGraph) {
  GraphBuilder g;
  EXPECT_EQ(problem(g), "graph: it has no inputs");
  g.input("x");
  EXPECT_EQ(problem(g), "graph: it has no outputs");
}

std::vector<std::string> parameter_names(const Graph& graph) {
  std::vector<std::string> names;
  for (const ParameterSpec& parameter : graph.parameters()) names.push_back(parameter.name);
  return names;
}

// self.fc(self.fc(x))
TEST(GraphBuilder, AModuleThatIsCalledAgainReadsTheSameParameters) {
  GraphBuilder g;
  Edge x = g.input("x");
  for (int i = 0; i < 3; ++i) x = g.apply("fc", Linear{4, 4}, x);
  g.output("y", g.apply("fc_1", Linear{4, 2}, x));  // a layer of its own, though a call has that name
  const Graph graph = g.build().value();
  std::vector<std::string> nodes;
  for (const Node& node : graph.nodes()) nodes.push_back(node.name + " reads " + node.parameter("weight"));
  EXPECT_EQ(nodes, (std::vector<std::string>{"fc reads fc.weight", "fc_1 reads fc.weight", "fc_2 reads fc.weight",
                                             "fc_1 reads fc_1.weight"}));
  EXPECT_FALSE(graph.nodes()[0].module);
  EXPECT_EQ(graph.nodes()[1].module, "fc");
  EXPECT_EQ(parameter_names(graph), (std::vector<std::string>{"fc.weight", "fc.bias", "fc_1.weight", "fc_1.bias"}));
  const std::string second[] = {"fc_2"};
  EXPECT_EQ(graph.with_outputs(second).value().outputs()[0].edge, graph.nodes()[2].output());
}

TEST(GraphBuilder, ALoneLayerWithoutANameIsCalledAgain) {
  GraphBuilder g;
  const Edge x = g.apply("", Linear{4, 4}, g.input("x"));
  g.output("y", g.apply("", Linear{4, 4}, x));
  const Graph graph = g.build().value();
  EXPECT_EQ(graph.nodes()[1].name, "_1");
  EXPECT_EQ(parameter_names(graph), (std::vector<std::string>{"weight", "bias"}));
}

TEST(GraphBuilder, CallsHaveNamesThatNoLayerBeforeThemHas) {
  GraphBuilder g;
  Edge x = g.apply("fc_1", ReLU{}, g.apply("fc", Linear{4, 4}, g.input("x")));
  g.output("y", g.apply("fc", Linear{4, 4}, x));
  EXPECT_EQ(g.build().value().nodes()[2].name, "fc_2");
}

TEST(GraphBuilder, RefusesTwoLayersWithParametersUnderOneName) {
  GraphBuilder g;
  const Edge x = g.apply("fc", Linear{4, 4}, g.input("x"));
  g.output("y", g.apply("fc", Linear{4, 2}, x));
  EXPECT_EQ(problem(g),
            "graph: layer 'fc': another layer has this name and other attributes: a module that is called again has "
            "the same ones");
  g.output("y", g.apply("fc", BatchNorm1d{4}, g.apply("fc", Linear{4, 4}, g.input("x"))));
  EXPECT_EQ(problem(g), "graph: layer 'fc': another layer has this name and is a linear");
}

TEST(GraphBuilder, ParametersOfAnotherLayerAreSharedOnRequest) {
  GraphBuilder g;
  const Edge x = g.input("x");
  const Edge near = g.apply("conv", Conv2d{.padding = 1}, x);
  const Edge far = g.apply_shared("far", "conv", Conv2d{.padding = 2, .dilation = 2}, {&x, 1}).front();
  const Edge again = g.apply_shared("", "conv", Conv2d{.padding = 1}, {&near, 1}).front();
  g.output("y", g.apply("sum", Add{}, again, far));
  const Graph graph = g.build().value();
  EXPECT_EQ(graph.nodes()[1].parameter("weight"), "conv.weight");
  EXPECT_EQ(graph.nodes()[2].name, "conv_1");
  EXPECT_EQ(parameter_names(graph), (std::vector<std::string>{"conv.weight", "conv.bias"}));
}

TEST(GraphBuilder, TheFirstLayerMayHaveANameApartFromItsParameters) {
  GraphBuilder g;
  const Edge x = g.input("x");
  const Edge first = g.apply_shared("first", "fc", Linear{}, {&x, 1}).front();
  g.output("y", g.apply("fc", Linear{}, first));
  const Graph graph = g.build().value();
  EXPECT_EQ(graph.nodes()[0].name, "first");
  EXPECT_EQ(graph.nodes()[1].name, "fc");
  EXPECT_EQ(parameter_names(graph), (std::vector<std::string>{"fc.weight", "fc.bias"}));
}

TEST(GraphBuilder, RefusesToShareWhatDoesNotFit) {
  GraphBuilder g;
  const Edge x = g.input("x");
  g.apply("fc", Linear{4, 4}, x);
  g.apply_shared("a", "fc", Linear{4, 2}, {&x, 1});
  g.apply_shared("b", "fc", Embedding{}, {&x, 1});
  g.apply_shared("c", "fc", ReLU{}, {&x, 1});
  EXPECT_EQ(problem(g),
            "graph: 3 problems: layer 'a': another layer has these parameters and other shapes for them; "
            "layer 'b': another layer has these parameters and is a linear; "
            "layer 'c': it has no parameters to be shared");
}

TEST(GraphBuilder, LetsLayersWithoutParametersShareAName) {
  GraphBuilder g;
  Edge x = g.apply("relu", ReLU{}, g.input("x"));
  x = g.apply("relu", ReLU{}, x);
  g.output("y", g.apply("bn", BatchNorm1d{}, x));
  EXPECT_TRUE(g.build());
}

// 0 is a number of places like others, where torch takes it; only what was not given is missing.
TEST(GraphBuilder, NoneAtAllMayBeAskedFor) {
  GraphBuilder g;
  const Edge x = g.input("x", {-1, 4});
  g.output("none", g.apply("", TopK{.k = 0}, x));
  g.output("empty", g.apply("", Narrow{.dim = 1, .start = 2, .length = 0}, x));
  const Graph graph = g.build().value();
  const std::vector<Shape> shapes = graph.infer_shapes({{Shape{3, 4}}}).value();
  EXPECT_EQ(shapes[1], (Shape{3, 0}));
  EXPECT_EQ(shapes[2], (Shape{3, 0}));
  const Edge y = g.input("x");
  g.apply("", TopK{}, y);
  g.apply("", Narrow{}, y);
  g.apply("", TopK{.k = -1}, y);
  g.apply("", Narrow{.length = -2}, y);
  g.output("y", y);
  EXPECT_EQ(problem(g),
            "graph: 4 problems: layer 'topk_0': k is missing; layer 'narrow_0': length is missing; layer 'topk_0': k: "
            "expected at least 0, found -1; layer 'narrow_0': length: expected at least 0, found -2");
}

TEST(GraphBuilder, RefusesEdgesThatDoNotExist) {
  GraphBuilder g;
  const Edge x = g.input("x");
  g.output("y", g.apply("relu", ReLU{}, Edge{7}));
  EXPECT_EQ(problem(g), "graph: layer 'relu': its input, edge 7, does not exist");
  g.input("x");
  g.output("y", Edge{});
  EXPECT_EQ(problem(g), "graph: output 'y': edge -1 does not exist");
  static_cast<void>(x);
}

// An edge exists only after the call that makes it, so no graph can refer forward.
TEST(GraphBuilder, CannotMakeACycle) {
  GraphBuilder g;
  const Edge x = g.input("x");
  const Edge later{x.index + 2};
  const Edge sum = g.apply("sum", Add{}, x, later);
  g.output("y", g.apply("relu", ReLU{}, sum));
  EXPECT_EQ(problem(g), "graph: layer 'sum': its input, edge 2, does not exist");
}

TEST(GraphBuilder, RefusesTheWrongNumberOfInputs) {
  GraphBuilder g;
  const Edge x = g.input("x");
  g.output("y", g.apply("sum", Maximum{}, x));
  EXPECT_EQ(problem(g), "graph: layer 'sum': expected 2 inputs, found 1");
  const Edge a = g.input("a");
  g.output("y", g.apply("act", ReLU{}, a, a));
  EXPECT_EQ(problem(g), "graph: layer 'act': expected 1 input, found 2");
}

TEST(GraphBuilder, RefusesALayerWithoutAnOperator) {
  GraphBuilder g;
  g.output("y", g.apply("what", Operator{}, g.input("x")));
  EXPECT_EQ(problem(g), "graph: layer 'what': it has no operator");
}

TEST(GraphBuilder, RefusesPortsWithBadNamesSizesOrTypes) {
  GraphBuilder g;
  g.output("y", g.input(""));
  EXPECT_EQ(problem(g), "graph: an input has no name");
  g.output("", g.input("x"));
  EXPECT_EQ(problem(g), "graph: an output has no name");
  g.input("x");
  g.output("y", g.input("x"));
  EXPECT_EQ(problem(g), "graph: input 'x': another input has this name");
  const Edge x = g.input("x");
  g.output("y", x);
  g.output("y", x);
  EXPECT_EQ(problem(g), "graph: output 'y': another output has this name");
  g.output("y", g.input("x", {-1, 0}));
  EXPECT_EQ(problem(g), "graph: input 'x': expected sizes of at least 1, or -1, found [-1, 0]");
  g.output("y", g.input("x", {-1, 3}, DType::f64));
  EXPECT_EQ(problem(g), "graph: input 'x': expected float32, int64, int32 or bool, found float64");
}

TEST(GraphBuilder, RefusesPreprocessingThatCannotBeComputed) {
  const auto problem_with = [](Preprocessing preprocessing) {
    GraphBuilder g;
    g.output("y", g.input("x"));
    g.preprocessing(std::move(preprocessing));
    return problem(g);
  };
  EXPECT_EQ(problem_with({.scale = 0}), "graph: preprocessing: scale: expected a number other than 0");
  EXPECT_EQ(problem_with({.mean = {1, 2, 3}, .std = {1}}),
            "graph: preprocessing: mean and std: expected as many of one as of the other, found 3 and 1");
  EXPECT_EQ(problem_with({.mean = {__builtin_nan("")}}), "graph: preprocessing: mean: expected finite numbers");
  EXPECT_EQ(problem_with({.std = {0}}), "graph: preprocessing: std: expected numbers other than 0");
}

TEST(GraphBuilder, ReportsAllMistakesButNotTheirConsequences) {
  GraphBuilder g;
  Edge x = g.input("x");
  x = g.apply("pool", MaxPool2d{}, x);
  x = g.apply("relu", ReLU{}, x);
  x = g.apply("conv", Conv2d{.groups = -1}, g.input("z"));
  g.output("y", x);
  EXPECT_EQ(
      problem(g),
      "graph: 2 problems: layer 'pool': kernel_size is missing; layer 'conv': groups: expected at least 1, found -1");
}

TEST(GraphBuilder, CountsMistakesBeyondTheFirstFifty) {
  GraphBuilder g;
  for (int i = 0; i < 60; ++i) g.input("");
  const std::string message = problem(g);
  EXPECT_TRUE(message.starts_with("graph: 60 problems: an input has no name; ")) << message;
  EXPECT_TRUE(message.ends_with("an input has no name; and 10 more")) << message;
}

TEST(GraphBuilder, NamesTheLayerWhoseShapesDoNotFit) {
  GraphBuilder g;
  Edge x = g.input("image", {-1, 1, 28, 28});
  x = g.apply("conv1", Conv2d{1, 32, 3, 1, 1}, x);
  x = g.apply("conv2", Conv2d{16, 64, 3, 1, 1}, x);
  g.output("y", x);
  EXPECT_EQ(problem(g, ErrorCode::mismatch), "layer 'conv2': expected 16 channels, found 32 in [-1, 32, 28, 28]");
}

TEST(GraphBuilder, LabelsMustFitTheClasses) {
  GraphBuilder g;
  g.output("y", g.apply("fc", Linear{4, 3}, g.input("x", {-1, 4})));
  g.labels({"a", "b"});
  EXPECT_EQ(problem(g, ErrorCode::mismatch), "labels: expected 3 names, found 2");
}

TEST(GraphBuilder, NamesFromStrangersAreEscaped) {
  GraphBuilder g;
  g.output("y", g.apply("a\n\x1b[31m", Linear{-1, 2}, g.input("x")));
  const std::string message = problem(g);
  EXPECT_EQ(message.find('\n'), std::string::npos);
  EXPECT_EQ(message.find('\x1b'), std::string::npos);
}

class InferShapes : public testing::Test {
 protected:
  Graph two_inputs() {
    GraphBuilder g;
    const Edge a = g.input("a", {-1, 8});
    const Edge b = g.input("b");
    const Edge sum = g.apply("sum", Add{}, a, b);
    g.output("y", g.apply("fc", Linear{8, 2}, sum));
    g.output("sum", sum);
    return g.build().value();
  }
  std::string problem(const std::vector<Shape>& shapes, ErrorCode code) {
    const auto result = two_inputs().infer_shapes(shapes);
    if (result) return "no problem";
    EXPECT_EQ(result.error().code, code);
    return result.error().finding.message;
  }
};

TEST_F(InferShapes, GivesEveryEdge) {
  const std::vector<Shape> inputs = {{5, 8}, {1}};
  const Graph graph = two_inputs();
  const std::vector<Shape> shapes = graph.infer_shapes(inputs).value();
  ASSERT_EQ(shapes.size(), 4u);
  EXPECT_EQ(shapes[static_cast<std::size_t>(graph.outputs()[0].edge.index)], (Shape{5, 2}));
  EXPECT_EQ(shapes[static_cast<std::size_t>(graph.outputs()[1].edge.index)], (Shape{5, 8}));
}

TEST_F(InferShapes, ABatchMayBeEmpty) {
  EXPECT_EQ(two_inputs().infer_shapes(std::vector<Shape>{{0, 8}, {1}}).value()[3], (Shape{0, 2}));
}

TEST_F(InferShapes, NamesTheInputThatDoesNotFit) {
  EXPECT_EQ(problem({{5, 9}, {1}}, ErrorCode::mismatch), "input 'a': expected [-1, 8], found [5, 9]");
  EXPECT_EQ(problem({{8}, {1}}, ErrorCode::mismatch), "input 'a': expected [-1, 8], found [8]");
  EXPECT_EQ(problem({{5, 8}, {3}}, ErrorCode::mismatch), "layer 'sum': shapes [5, 8] and [3] do not broadcast");
  EXPECT_EQ(problem({{5, 8}}, ErrorCode::invalid_argument), "expected 2 input shapes, found 1");
  EXPECT_EQ(problem({{5, 8}, {-2}}, ErrorCode::invalid_argument),
            "input 'b': expected sizes of at least 0, or -1, found [-2]");
  EXPECT_EQ(problem({{5, 8}, Shape(3, std::int64_t{1} << 40)}, ErrorCode::mismatch),
            "input 'b': output [1099511627776, 1099511627776, 1099511627776] overflows 64 bits");
}

TEST(Graph, WithOutputsTakesOutputsNodesAndModules) {
  GraphBuilder g;
  const Edge x = g.input("x", {-1, 4});
  const Edge a = g.apply("block.0.fc", Linear{4, 4}, x);
  const Edge b = g.apply("block.0.act", ReLU{}, a);
  const Edge c = g.apply("head", Linear{4, 2}, b);
  g.labels({"cat", "dog"});
  g.output("scores", c);
  const Graph graph = g.build().value();
  const std::vector<std::string> names = {"block.0", "block.0.fc", "scores", "scores"};
  const Graph other = graph.with_outputs(names).value();
  ASSERT_EQ(other.outputs().size(), 3u);
  EXPECT_EQ(other.outputs()[0].edge, b);
  EXPECT_EQ(other.outputs()[1].edge, a);
  EXPECT_EQ(other.outputs()[2].edge, c);
  EXPECT_TRUE(other.labels().empty());
  const Result<Graph> none = graph.with_outputs(std::vector<std::string>{"haed"});
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::not_found);
  EXPECT_EQ(none.error().finding.message, "there is no layer 'haed' in the network");
  EXPECT_EQ(none.error().finding.hint, "did you mean 'head'");
  EXPECT_FALSE(graph.with_outputs({}));
}

}  // namespace
}  // namespace rushlight
