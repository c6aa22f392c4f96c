#include "doors/module_pickle.hpp"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "doors/module_tree.hpp"

namespace rushlight::doors {
namespace {

constexpr std::string_view kConv = "torch.nn.modules.conv.Conv2d";
constexpr std::string_view kLinear = "torch.nn.modules.linear.Linear";
constexpr std::string_view kMaxPool = "torch.nn.modules.pooling.MaxPool2d";
constexpr std::string_view kNorm = "torch.nn.modules.batchnorm.BatchNorm2d";

class ModulePickle : public testing::Test {
 protected:
  using Attributes = std::vector<ModuleTree::Attribute>;

  Graph good(NodeId root) {
    Result<Graph> graph = graph_of_module(tree.value(root), options);
    if (graph) return *std::move(graph);
    ADD_FAILURE() << graph.error().finding.message;
    GraphBuilder builder;
    builder.output("y", builder.input("x"));
    return builder.build().value();
  }
  // Of a Sequential around one layer "0".
  Operator only(NodeId layer) {
    const Graph graph = good(tree.sequential({{"0", layer}}));
    return graph.nodes().empty() ? Operator{} : graph.nodes()[0].op;
  }
  std::string problem(NodeId root, ErrorCode code = ErrorCode::unsupported) {
    const Result<Graph> graph = graph_of_module(tree.value(root), options);
    tree = ModuleTree();
    if (graph) return "no problem";
    EXPECT_EQ(graph.error().code, code);
    hint = graph.error().finding.hint;
    return graph.error().finding.message;
  }
  std::string layer_problem(NodeId layer, ErrorCode code = ErrorCode::unsupported) {
    return problem(tree.sequential({{"0", layer}}), code);
  }

  // Attributes in torch's own form.
  Attributes conv(NodeId padding) {
    return {{"in_channels", integer(3)},
            {"out_channels", integer(8)},
            {"kernel_size", tree.pair(3, 5)},
            {"stride", tree.pair(1, 2)},
            {"padding", padding},
            {"dilation", tree.pair(1, 1)},
            {"transposed", boolean(false)},
            {"output_padding", tree.pair(0, 0)},
            {"groups", integer(1)},
            {"padding_mode", string("zeros")}};
  }
  static Attributes with(Attributes attributes, std::string_view name, NodeId value) {
    for (ModuleTree::Attribute& attribute : attributes) {
      if (attribute.first == name) {
        attribute.second = value;
        return attributes;
      }
    }
    attributes.emplace_back(name, value);
    return attributes;
  }
  static Attributes without(Attributes attributes, std::string_view name) {
    std::erase_if(attributes, [&](const ModuleTree::Attribute& attribute) { return attribute.first == name; });
    return attributes;
  }
  NodeId integer(std::int64_t value) { return tree.values().integer(value); }
  NodeId boolean(bool value) { return tree.values().boolean(value); }
  NodeId real(double value) { return tree.values().real(value); }
  NodeId string(std::string_view value) { return tree.values().string(value); }
  NodeId none() { return tree.values().none(); }
  NodeId linear(std::int64_t in, std::int64_t out) {
    return tree.module(kLinear, {{"in_features", integer(in)}, {"out_features", integer(out)}}, {},
                       {{"weight", tree.tensor({out, in})}, {"bias", tree.tensor({out})}});
  }

  ModuleTree tree;
  ModelOptions options;
  std::string hint;
};

TEST_F(ModulePickle, ASequentialIsItsChildrenInOrder) {
  const Graph graph = good(tree.sequential({{"fc1", linear(6, 8)}, {"act", tree.relu()}, {"fc2", linear(8, 2)}}));
  ASSERT_EQ(graph.nodes().size(), 3u);
  EXPECT_EQ(graph.nodes()[0].name, "fc1");
  EXPECT_EQ(graph.nodes()[0].op.get<Linear>(), (Linear{6, 8}));
  EXPECT_TRUE(graph.nodes()[1].op.is<ReLU>());
  EXPECT_EQ(graph.parameters()[3].name, "fc2.bias");
  EXPECT_TRUE(graph.notes().empty());
}

TEST_F(ModulePickle, NestedNamesAreThoseOfTheStateDict) {
  const NodeId block = tree.sequential({{"0", linear(4, 4)}, {"1", tree.relu()}});
  const NodeId inner = tree.sequential({{"block", block}});
  const Graph graph = good(tree.module("torch.nn.parallel.data_parallel.DataParallel", {}, {{"module", inner}}));
  EXPECT_EQ(graph.nodes()[0].name, "module.block.0");
  EXPECT_EQ(graph.parameters()[0].name, "module.block.0.weight");
}

TEST_F(ModulePickle, ALoneLayerHasNoPrefix) {
  const Graph graph = good(linear(4, 2));
  ASSERT_EQ(graph.nodes().size(), 1u);
  EXPECT_EQ(graph.parameters()[0].name, "weight");
}

TEST_F(ModulePickle, AttributesAreReadInTorchsForms) {
  EXPECT_EQ(only(tree.module(kConv, conv(tree.pair(1, 2)), {}, {{"bias", none()}})).get<Conv2d>(),
            (Conv2d{3, 8, IntPair(3, 5), IntPair(1, 2), {1, 2}, 1, 1, false}));
  tree = ModuleTree();
  EXPECT_EQ(
      only(tree.module(kConv, with(conv(string("same")), "stride", tree.pair(1, 1)), {}, {{"bias", tree.tensor({8})}}))
          .get<Conv2d>()
          .padding,
      Padding::same());
  tree = ModuleTree();
  EXPECT_EQ(only(tree.module(kConv, conv(string("valid")))).get<Conv2d>().padding, Padding::valid());
  tree = ModuleTree();
  EXPECT_EQ(only(tree.module(kMaxPool, {{"kernel_size", integer(3)},
                                        {"stride", tree.pair(2, 1)},
                                        {"padding", integer(1)},
                                        {"dilation", integer(1)},
                                        {"return_indices", boolean(false)},
                                        {"ceil_mode", boolean(true)}}))
                .get<MaxPool2d>(),
            (MaxPool2d{3, IntPair(2, 1), 1, 1, true}));
  tree = ModuleTree();
  EXPECT_EQ(only(tree.module(kNorm, {{"num_features", integer(4)},
                                     {"eps", real(1e-3)},
                                     {"momentum", none()},
                                     {"affine", boolean(false)},
                                     {"track_running_stats", boolean(true)}}))
                .get<BatchNorm2d>(),
            (BatchNorm2d{4, 1e-3, false}));
  tree = ModuleTree();
  const std::string_view adaptive = "torch.nn.modules.pooling.AdaptiveAvgPool2d";
  const NodeId sizes[] = {none(), integer(7)};
  EXPECT_EQ(only(tree.module(adaptive, {{"output_size", tree.values().tuple(sizes)}})).get<AdaptiveAvgPool2d>(),
            (AdaptiveAvgPool2d{IntPair(-1, 7)}));
  tree = ModuleTree();
  EXPECT_EQ(only(tree.module(adaptive, {{"output_size", integer(6)}})).get<AdaptiveAvgPool2d>(),
            (AdaptiveAvgPool2d{6}));
  tree = ModuleTree();
  EXPECT_EQ(only(tree.module("torch.nn.modules.activation.Softmax", {{"dim", integer(1)}})).get<Softmax>(), Softmax{1});
  tree = ModuleTree();
  EXPECT_EQ(only(tree.module("torch.nn.modules.pooling.AvgPool2d",
                             {{"kernel_size", integer(2)}, {"divisor_override", integer(3)}}))
                .get<AvgPool2d>(),
            (AvgPool2d{2, 2, 0, false, true, 3}));
}

// Files of old releases lack attributes that came later; torch's __setstate__ fills in the same defaults.
TEST_F(ModulePickle, AbsentAttributesAreTorchsDefaults) {
  EXPECT_EQ(only(tree.module(kConv, without(conv(tree.pair(0, 0)), "padding_mode"))).get<Conv2d>().padding, Padding(0));
  tree = ModuleTree();
  EXPECT_EQ(only(tree.module("torch.nn.modules.pooling.AvgPool2d",
                             {{"kernel_size", integer(2)}, {"divisor_override", none()}}))
                .get<AvgPool2d>(),
            (AvgPool2d{2, 2}));
}

TEST_F(ModulePickle, EveryKindOfDropoutPassesItsInputOn) {
  for (const char* name : {"Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout"}) {
    tree = ModuleTree();
    const NodeId layer = tree.module("torch.nn.modules.dropout." + std::string(name), {{"p", real(0.3)}});
    EXPECT_EQ(only(layer).get<Dropout>(), Dropout{0.3}) << name;
  }
}

TEST_F(ModulePickle, ChildrenThatAreNoneDoNotExist) {
  EXPECT_EQ(good(tree.sequential({{"0", none()}, {"1", tree.relu()}})).nodes().size(), 1u);
}

TEST_F(ModulePickle, TrainingModeIsNoted) {
  const Graph graph =
      good(tree.sequential({{"0", tree.module("torch.nn.modules.activation.ReLU", {{"training", boolean(true)}})}}));
  EXPECT_EQ(graph.notes(), (std::vector<std::string>{"stored in training mode; inference means eval"}));
}

TEST_F(ModulePickle, AnUnknownClassIsNamedWithItsPlaceAndTheRemedies) {
  EXPECT_EQ(problem(tree.sequential({{"head", tree.module("my_project.models.Head")}})),
            "layer 'head' (my_project.models.Head): what its forward() computes is not in the file");
  EXPECT_EQ(hint,
            "map 'my_project.models.Head' to a builder in ModelOptions::classes that does what forward() does "
            "(apply_child() calls a child), describe the network in a JSON spec (--spec), or name a built-in "
            "architecture (--arch)");
  EXPECT_EQ(problem(tree.module("__main__.Net", {},
                                {{"fc1", linear(4, 2)}, {"act", tree.relu()}, {"up", tree.module("__main__.Up")}})),
            "the module (__main__.Net): what its forward() computes is not in the file; its children are fc1 (Linear), "
            "act (ReLU), up (__main__.Up, not known either)");
  std::vector<ModuleTree::Attribute> many;
  for (const char* name : {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n"}) {
    many.emplace_back(name, tree.relu());
  }
  EXPECT_TRUE(problem(tree.module("__main__.Net", {}, many)).ends_with(", k (ReLU), l (ReLU) and 2 more"));
}

TEST_F(ModulePickle, TorchsAddIsNoModule) {
  EXPECT_EQ(layer_problem(tree.module("torch.add")), "layer '0' (torch.add): this class of torch is not computed here");
}

TEST_F(ModulePickle, WhatChangesTheResultAndIsNotBuiltIsRefused) {
  EXPECT_EQ(layer_problem(tree.module(kMaxPool, {{"kernel_size", integer(2)}, {"return_indices", boolean(true)}})),
            "layer '0' (torch.nn.modules.pooling.MaxPool2d): return_indices True is not built, only False");
  EXPECT_EQ(layer_problem(tree.module("torch.nn.modules.activation.Softmax", {{"dim", none()}})),
            "layer '0' (torch.nn.modules.activation.Softmax): dim None lets torch choose by the number of dimensions");
  EXPECT_EQ(hint, "save it with Softmax(dim=1)");
  EXPECT_EQ(layer_problem(tree.module(
                kLinear, {{"_forward_pre_hooks", tree.ordered({{"0", tree.values().global("my_project.hook")}})}})),
            "layer '0' (torch.nn.modules.linear.Linear): its _forward_pre_hooks change what it computes");
  EXPECT_EQ(layer_problem(tree.module(kLinear, {{"_forward_hooks", tree.ordered({{"0", integer(1)}})}})),
            "layer '0' (torch.nn.modules.linear.Linear): its _forward_hooks change what it computes");
}

TEST_F(ModulePickle, AttributesOfTheWrongTypeAreCorrupt) {
  const auto corrupt = [&](std::string_view name, NodeId value) {
    return layer_problem(tree.module(kConv, with(conv(tree.pair(1, 1)), name, value)), ErrorCode::corrupt);
  };
  const std::string where = "layer '0' (torch.nn.modules.conv.Conv2d): ";
  EXPECT_EQ(corrupt("in_channels", string("3")), where + "in_channels: expected an integer, found '3'");
  EXPECT_EQ(corrupt("in_channels", boolean(true)), where + "in_channels: expected an integer, found True");
  EXPECT_EQ(corrupt("in_channels", real(2.5)), where + "in_channels: expected an integer, found 2.5");
  EXPECT_EQ(corrupt("in_channels", tree.values().big_integer(std::string(9, '\x7f'))),
            where + "in_channels: expected an integer, found an integer beyond 64 bits");
  EXPECT_EQ(corrupt("in_channels", integer(0)), where + "in_channels: expected a size other than 0, found 0");
  EXPECT_EQ(corrupt("kernel_size", tree.values().list()),
            where + "kernel_size: expected an integer or two, found a list");
  EXPECT_EQ(corrupt("kernel_size", tree.pair(3, 0)),
            where + "kernel_size: expected a size other than 0, found a tuple");
  EXPECT_EQ(corrupt("padding", string("full")),
            where + "padding: expected an integer or two, 'same' or 'valid', found 'full'");
  EXPECT_EQ(corrupt("groups", none()), where + "groups: expected an integer, found None");
  EXPECT_EQ(layer_problem(tree.module(kMaxPool), ErrorCode::corrupt),
            "layer '0' (torch.nn.modules.pooling.MaxPool2d): kernel_size: expected an integer or two, found nothing");
  EXPECT_EQ(layer_problem(tree.module(kNorm, {{"eps", string("x")}}), ErrorCode::corrupt),
            "layer '0' (torch.nn.modules.batchnorm.BatchNorm2d): eps: expected a number, found 'x'");
  EXPECT_EQ(
      layer_problem(tree.module("torch.nn.modules.pooling.AdaptiveAvgPool2d", {{"output_size", integer(-1)}}),
                    ErrorCode::corrupt),
      "layer '0' (torch.nn.modules.pooling.AdaptiveAvgPool2d): output_size: expected sizes of at least 1, or None, "
      "found -1");
}

TEST_F(ModulePickle, AttributesThatMakeNoSenseTogetherAreRefusedByTheGraph) {
  EXPECT_EQ(
      layer_problem(tree.module(kConv, with(conv(tree.pair(1, 1)), "groups", integer(2))), ErrorCode::invalid_argument),
      "graph: layer '0': in_channels: expected a multiple of groups 2, found 3");
}

TEST_F(ModulePickle, WhatIsNoModuleIsNoLayer) {
  EXPECT_EQ(layer_problem(integer(3), ErrorCode::corrupt), "layer '0' (int): expected a module");
  EXPECT_EQ(layer_problem(tree.values().opaque(kLinear, tree.values().tuple({})), ErrorCode::corrupt),
            "layer '0' (torch.nn.modules.linear.Linear): expected a module");
  const NodeId bad = tree.values().opaque("torch.nn.modules.container.Sequential", tree.values().tuple({}));
  const NodeId state = tree.values().dict();
  tree.set(state, "_modules", integer(7));
  tree.set(state, "_parameters", integer(7));
  tree.values().set_state(bad, state);
  EXPECT_EQ(good(bad).nodes().size(), 0u);  // an int has no children
  tree = ModuleTree();
  EXPECT_EQ(problem(tree.module("torch.nn.parallel.data_parallel.DataParallel"), ErrorCode::corrupt),
            "the module (torch.nn.parallel.data_parallel.DataParallel): module: expected a module, found nothing");
}

TEST_F(ModulePickle, KeysOfModulesAreNames) {
  const NodeId modules = tree.values().dict();
  ASSERT_TRUE(tree.values().set_item(modules, integer(0), tree.relu()));
  EXPECT_EQ(
      problem(tree.module("torch.nn.modules.container.Sequential", {{"_modules", modules}}), ErrorCode::corrupt),
      "the module (torch.nn.modules.container.Sequential): _modules: expected names without dots as keys, found 0");
}

// A module inside itself: pickle's memo makes it possible.
TEST_F(ModulePickle, ACycleEndsAtTheDepthLimit) {
  const NodeId outer = tree.sequential({});
  const NodeId state = tree.values().dict();
  tree.set(state, "_parameters", tree.ordered({}));
  tree.set(state, "_modules", tree.ordered({{"a", outer}}));
  tree.values().set_state(outer, state);
  options.limits.pickle_depth = 5;
  EXPECT_EQ(problem(outer, ErrorCode::limit_exceeded), "layer 'a.a.a.a.a': modules nest deeper than 5");
}

// Ten children that are one object, ten levels deep: ten thousand million layers.
TEST_F(ModulePickle, AMemoBombEndsAtTheNodeLimit) {
  NodeId level = tree.relu();
  for (int i = 0; i < 10; ++i) {
    level = tree.sequential({{"0", level},
                             {"1", level},
                             {"2", level},
                             {"3", level},
                             {"4", level},
                             {"5", level},
                             {"6", level},
                             {"7", level},
                             {"8", level},
                             {"9", level}});
  }
  options.limits.graph_nodes = 20000;
  const std::string message = problem(level, ErrorCode::limit_exceeded);
  EXPECT_TRUE(message.ends_with(": more than 20000 modules")) << message;
}

TEST_F(ModulePickle, HugeNamesMeetALimit) {
  EXPECT_TRUE(problem(tree.sequential({{std::string(5000, 'x'), tree.relu()}}), ErrorCode::limit_exceeded)
                  .ends_with("...': its name has 5000 bytes, the limit is 4096"));
}

TEST_F(ModulePickle, NamesAreEscapedInMessages) {
  EXPECT_EQ(problem(tree.sequential({{"a\nb", tree.module("evil\x1b[31m.Class")}})),
            "layer 'a\\nb' (evil\\x1b[31m.Class): what its forward() computes is not in the file");
}

Result<Graph> build_block(const Value& module) {
  const std::int64_t width = module.attr("width").as_int().value_or(0);
  GraphBuilder g;
  const Edge x = g.input("x");
  const Edge y = g.apply("fc", Linear{width, width}, x);
  g.output("y", g.apply("", Add{}, g.apply("", ReLU{}, y), x));
  g.note("a block of width " + std::to_string(width));
  return g.build();
}

TEST_F(ModulePickle, AClassOfTheCallersIsBuiltByTheCaller) {
  options.classes["my_project.Block"] = build_block;
  const Graph graph = good(tree.module("my_project.Block", {{"width", integer(4)}}));
  EXPECT_EQ(graph.inputs()[0].name, "x");
  EXPECT_EQ(graph.parameters()[0].name, "fc.weight");
}

TEST_F(ModulePickle, ItsGraphIsInlinedInsideStockContainers) {
  options.classes["my_project.Block"] = build_block;
  const NodeId block = tree.module("my_project.Block", {{"width", integer(4)}});
  const Graph graph = good(tree.sequential({{"0", linear(8, 4)}, {"body", block}, {"head", linear(4, 2)}}));
  ASSERT_EQ(graph.nodes().size(), 5u);
  EXPECT_EQ(graph.nodes()[1].name, "body.fc");
  EXPECT_EQ(graph.nodes()[3].inputs, (std::vector<Edge>{graph.nodes()[2].output(), graph.nodes()[0].output()}));
  EXPECT_EQ(graph.nodes()[4].inputs, (std::vector<Edge>{graph.nodes()[3].output()}));
  EXPECT_EQ(graph.parameters()[2].name, "body.fc.weight");
  EXPECT_EQ(graph.notes(), (std::vector<std::string>{"a block of width 4"}));
}

std::vector<std::string> names_read(const Graph& graph) {
  std::vector<std::string> names;
  for (const Node& node : graph.nodes()) {
    if (node.op.is<Linear>() || node.op.is<BatchNorm1d>()) names.push_back(node.name + ": " + node.parameter("weight"));
  }
  return names;
}

// net = nn.Sequential(fc, nn.ReLU(), fc): state_dict() has it under both names.
TEST_F(ModulePickle, OneModuleAtTwoPlacesHasTwoNames) {
  const NodeId fc = linear(4, 4);
  const Graph graph = good(tree.sequential({{"0", fc}, {"1", tree.relu()}, {"2", fc}}));
  EXPECT_EQ(names_read(graph), (std::vector<std::string>{"0: 0.weight", "2: 2.weight"}));
}

// def forward(self, x): return self.fc(relu(self.fc(x)))
TEST_F(ModulePickle, AModuleThatForwardCallsTwiceReadsItsParametersTwice) {
  options.classes["__main__.Twice"] = [](const Value& module) -> Result<Graph> {
    GraphBuilder graph;
    Edge x = graph.input("x", {-1, 4});
    for (const char* child : {"fc", "bn", "fc", "bn"}) {
      const Result<Edge> y = apply_child(graph, module, child, x);
      if (!y) return y.error();
      x = *y;
    }
    graph.output("y", x);
    return graph.build();
  };
  const NodeId norm = tree.module("torch.nn.modules.batchnorm.BatchNorm1d", {{"num_features", integer(4)}}, {},
                                  {{"weight", tree.tensor({4})}, {"bias", tree.tensor({4})}});
  const NodeId twice = tree.module("__main__.Twice", {}, {{"fc", linear(4, 4)}, {"bn", norm}});
  // Within a module that is itself at two places.
  const Graph graph = good(tree.sequential({{"a", twice}, {"b", twice}}));
  EXPECT_EQ(names_read(graph),
            (std::vector<std::string>{"a.fc: a.fc.weight", "a.bn: a.bn.weight", "a.fc_1: a.fc.weight",
                                      "a.bn_1: a.bn.weight", "b.fc: b.fc.weight", "b.bn: b.bn.weight",
                                      "b.fc_1: b.fc.weight", "b.bn_1: b.bn.weight"}));
  EXPECT_EQ(graph.parameters().size(), 12u);
}

TEST_F(ModulePickle, OneNameOfTwoModulesIsRefused) {
  const NodeId inner = tree.sequential({{"b", linear(4, 4)}});
  EXPECT_EQ(problem(tree.sequential({{"a", inner}, {"a.b", linear(4, 4)}}), ErrorCode::corrupt),
            "the module (torch.nn.modules.container.Sequential): _modules: expected names without dots as keys, found "
            "'a.b'");
  EXPECT_EQ(problem(tree.sequential({{"", linear(4, 4)}}), ErrorCode::corrupt),
            "the module (torch.nn.modules.container.Sequential): _modules: expected names without dots as keys, found "
            "''");
}

TEST_F(ModulePickle, ErrorsOfTheCallersBuilderComeThrough) {
  options.classes["my_project.Block"] = [](const Value&) -> Result<Graph> {
    return Error::of({.category = Category::argument, .code = "MINE", .message = "no width"});
  };
  EXPECT_EQ(problem(tree.sequential({{"0", tree.module("my_project.Block")}}), ErrorCode::invalid_argument),
            "no width");
}

TEST_F(ModulePickle, AnInlinedGraphHasOneInputAndOneOutput) {
  options.classes["my_project.Two"] = [](const Value&) -> Result<Graph> {
    GraphBuilder g;
    const Edge a = g.input("a");
    g.output("y", g.apply("", Add{}, a, g.input("b")));
    return g.build();
  };
  EXPECT_EQ(problem(tree.sequential({{"0", tree.module("my_project.Two")}})),
            "layer '0' (my_project.Two): a graph inside a Sequential has one input and one output, found 2 and 1");
}

TEST_F(ModulePickle, StockClassesCanBeReplacedByTheCaller) {
  options.classes[std::string(kLinear)] = [](const Value&) { return Sequential{ReLU{}}.graph(); };
  const Graph graph = good(tree.sequential({{"0", linear(4, 2)}}));
  EXPECT_TRUE(graph.nodes()[0].op.is<ReLU>());
}

NodeId function(ModuleTree& tree, std::string_view name) {
  return tree.values().global(name);
}

// --- what classes of torch keep elsewhere, or by other names

TEST_F(ModulePickle, WhetherThereIsAWeightDecidesWhatTheAttributesSaid) {
  const std::string_view norm = "torch.nn.modules.normalization.LayerNorm";
  const NodeId three[] = {integer(3)};
  const Attributes attributes = {{"normalized_shape", tree.values().tuple(three)},
                                 {"elementwise_affine", boolean(true)}};
  EXPECT_EQ(only(tree.module(norm, attributes, {}, {{"weight", tree.tensor({3})}, {"bias", none()}})).get<LayerNorm>(),
            (LayerNorm{{3}, 1e-5, true, false}));
  tree = ModuleTree();
  EXPECT_EQ(only(tree.module(norm, {{"normalized_shape", integer(3)}}, {}, {{"weight", none()}, {"bias", none()}}))
                .get<LayerNorm>(),
            (LayerNorm{{3}, 1e-5, false, false}));
  tree = ModuleTree();
  EXPECT_EQ(layer_problem(tree.module(kNorm, {{"num_features", integer(2)}}, {},
                                      {{"weight", tree.tensor({2})}, {"bias", none()}})),
            "layer '0' (torch.nn.modules.batchnorm.BatchNorm2d): a weight without a bias is not built");
}

TEST_F(ModulePickle, PaddingsAreOneOperator) {
  const NodeId four[] = {integer(1), integer(2), integer(3), integer(4)};
  EXPECT_EQ(only(tree.module("torch.nn.modules.padding.ReflectionPad2d", {{"padding", tree.values().tuple(four)}}))
                .get<Pad>(),
            (Pad{{1, 2, 3, 4}, PadMode::reflect}));
  tree = ModuleTree();
  EXPECT_EQ(
      only(tree.module("torch.nn.modules.padding.ConstantPad1d", {{"padding", tree.pair(0, 2)}, {"value", real(1.5)}}))
          .get<Pad>(),
      (Pad{{0, 2}, PadMode::constant, 1.5}));
  tree = ModuleTree();
  EXPECT_EQ(only(tree.module("torch.nn.modules.padding.ZeroPad3d", {{"padding", integer(1)}})).get<Pad>(),
            (Pad{{1, 1, 1, 1, 1, 1}}));
  tree = ModuleTree();
  EXPECT_EQ(layer_problem(tree.module("torch.nn.modules.padding.CircularPad2d", {{"padding", tree.pair(1, 1)}}),
                          ErrorCode::corrupt),
            "layer '0' (torch.nn.modules.padding.CircularPad2d): padding: expected 4 integers, found a tuple");
}

TEST_F(ModulePickle, UpsamplingsAreOneOperator) {
  EXPECT_EQ(only(tree.module("torch.nn.modules.upsampling.UpsamplingBilinear2d", {{"size", none()},
                                                                                  {"scale_factor", real(2)},
                                                                                  {"mode", string("bilinear")},
                                                                                  {"align_corners", boolean(true)},
                                                                                  {"recompute_scale_factor", none()}}))
                .get<Upsample>(),
            (Upsample{{}, {2.0}, InterpolationMode::bilinear, true}));
  tree = ModuleTree();
  const NodeId factors[] = {real(2), real(1.5)};
  EXPECT_EQ(only(tree.module("torch.nn.modules.upsampling.Upsample",
                             {{"scale_factor", tree.values().tuple(factors)}, {"align_corners", none()}}))
                .get<Upsample>(),
            (Upsample{{}, {2.0, 1.5}}));
  tree = ModuleTree();
  EXPECT_EQ(layer_problem(tree.module("torch.nn.modules.upsampling.Upsample", {{"mode", string("lanczos")}}),
                          ErrorCode::corrupt),
            "layer '0' (torch.nn.modules.upsampling.Upsample): mode: expected 'nearest', 'nearest-exact', 'linear', "
            "'bilinear', 'bicubic', 'trilinear', 'area', found 'lanczos'");
}

TEST_F(ModulePickle, TheModeOfAnRnnIsItsNonlinearity) {
  const Attributes attributes = {{"input_size", integer(3)}, {"hidden_size", integer(2)}, {"mode", string("RNN_RELU")}};
  const Graph graph = good(tree.module("torch.nn.modules.rnn.RNN", attributes));
  EXPECT_EQ(graph.nodes()[0].op.get<RNN>().nonlinearity, RnnNonlinearity::relu);
  ASSERT_EQ(graph.outputs().size(), 2u);
  EXPECT_EQ(graph.outputs()[1].name, "h_n");
  tree = ModuleTree();
  EXPECT_EQ(problem(tree.module("torch.nn.modules.rnn.RNN",
                                {{"input_size", integer(3)}, {"hidden_size", integer(2)}, {"mode", string("LSTM")}}),
                    ErrorCode::corrupt),
            "the module (torch.nn.modules.rnn.RNN): mode: expected 'RNN_TANH' or 'RNN_RELU', found 'LSTM'");
}

TEST_F(ModulePickle, ASyncBatchNormTakesAnyNumberOfDimensions) {
  const auto sync = [&] {
    return tree.module("torch.nn.modules.batchnorm.SyncBatchNorm",
                       {{"num_features", integer(8)}, {"process_group", none()}});
  };
  const Graph graph = good(tree.sequential({{"0", tree.module(kConv, conv(tree.pair(1, 1)))},
                                            {"1", tree.relu()},
                                            {"2", sync()},
                                            {"3", tree.module("torch.nn.modules.flatten.Flatten")},
                                            {"4", sync()}}));
  EXPECT_EQ(graph.nodes()[2].op.get<SyncBatchNorm>().num_features, 8);
  EXPECT_EQ(graph.nodes()[4].op.get<SyncBatchNorm>().num_features, 8);
  EXPECT_TRUE(graph.notes().empty());
}

TEST_F(ModulePickle, IndicesComeFirstWhereALayerLooksThemUp) {
  const NodeId embedding =
      tree.module("torch.nn.modules.sparse.Embedding", {{"num_embeddings", integer(9)}, {"embedding_dim", integer(2)}});
  EXPECT_EQ(good(tree.sequential({{"0", tree.sequential({{"e", embedding}})}})).inputs()[0].dtype, DType::i64);
}

// --- what is refused, word for word

TEST_F(ModulePickle, WeightsThatHooksComputeAreRefusedWithTheirRemedy) {
  const auto hooked = [&](std::string_view hook) {
    const NodeId object = tree.values().opaque(hook, tree.values().tuple({}));
    return tree.module(kLinear, {{"_forward_pre_hooks", tree.ordered({{"0", object}})}});
  };
  EXPECT_EQ(
      layer_problem(hooked("torch.nn.utils.spectral_norm.SpectralNorm")),
      "layer '0' (torch.nn.modules.linear.Linear): torch.nn.utils.spectral_norm computes its weight anew in every "
      "forward()");
  EXPECT_EQ(hint, "call torch.nn.utils.remove_spectral_norm(layer) before torch.save");
  EXPECT_EQ(layer_problem(hooked("torch.nn.utils.prune.L1Unstructured")),
            "layer '0' (torch.nn.modules.linear.Linear): torch.nn.utils.prune computes its weight anew in every "
            "forward()");
  EXPECT_EQ(hint, "call torch.nn.utils.prune.remove(layer, 'weight') before torch.save");
  EXPECT_EQ(layer_problem(tree.module("torch.nn.utils.parametrize.ParametrizedLinear")),
            "layer '0' (torch.nn.utils.parametrize.ParametrizedLinear): torch.nn.utils.parametrize computes its weight "
            "anew in every forward()");
  EXPECT_EQ(layer_problem(tree.module(kLinear, {},
                                      {{"parametrizations", tree.module("torch.nn.modules.container."
                                                                        "ModuleDict")}})),
            "layer '0' (torch.nn.modules.linear.Linear): torch.nn.utils.parametrize computes its weight anew in every "
            "forward()");
  EXPECT_EQ(hint, "call torch.nn.utils.parametrize.remove_parametrizations(layer, 'weight') before torch.save");
  EXPECT_EQ(layer_problem(tree.module(kLinear, {{"forward", tree.values().global("my_project.forward")}})),
            "layer '0' (torch.nn.modules.linear.Linear): its forward was replaced");
  // Containers have hooks too.
  EXPECT_EQ(problem(tree.module("torch.nn.modules.container.Sequential",
                                {{"_forward_hooks", tree.ordered({{"0", integer(1)}})}})),
            "the module (torch.nn.modules.container.Sequential): its _forward_hooks change what it computes");
}

TEST_F(ModulePickle, WhatIsComputedWithSeveralInputsOrReturnsATupleIsNoLayerAmongOthers) {
  EXPECT_EQ(layer_problem(tree.module("torch.nn.modules.distance.CosineSimilarity")),
            "layer '0' (torch.nn.modules.distance.CosineSimilarity): it takes 2 inputs, and here it gets 1");
  EXPECT_EQ(hint, "map the class around it to a builder in ModelOptions::classes");
  const NodeId lstm =
      tree.module("torch.nn.modules.rnn.LSTM", {{"input_size", integer(3)}, {"hidden_size", integer(2)}});
  EXPECT_EQ(problem(tree.sequential({{"0", lstm}, {"1", tree.relu()}})),
            "layer '0' (torch.nn.modules.rnn.LSTM): it returns a tuple (output, h_n, c_n), and what follows it takes a "
            "tensor");
}

TEST_F(ModulePickle, ClassesOfTorchThatAreNotComputedSaySo) {
  EXPECT_EQ(layer_problem(tree.module("torch.nn.modules.adaptive.AdaptiveLogSoftmaxWithLoss")),
            "layer '0' (torch.nn.modules.adaptive.AdaptiveLogSoftmaxWithLoss): this class of torch is not computed "
            "here");
  EXPECT_EQ(layer_problem(tree.module("torchvision.models.video.resnet.VideoResNet")),
            "layer '0' (torchvision.models.video.resnet.VideoResNet): this class of torchvision is not computed here");
  EXPECT_EQ(layer_problem(tree.module("torch.nn.modules.container.ModuleList")),
            "layer '0' (torch.nn.modules.container.ModuleList): it has no forward() of its own");
  EXPECT_EQ(layer_problem(tree.module("torch.nn.modules.conv.LazyConv2d")),
            "layer '0' (torch.nn.modules.conv.LazyConv2d): it was saved before its first forward(), and has no "
            "parameters yet");
  EXPECT_EQ(hint, "call the model once before torch.save");
}

// --- what is told

TEST_F(ModulePickle, WhatTheBatchDecidesIsNoted) {
  const auto norm = [&] {
    return tree.module(kNorm, {{"num_features", integer(2)}, {"track_running_stats", boolean(false)}});
  };
  const Graph graph =
      good(tree.sequential({{"a", norm()}, {"b", norm()}, {"c", norm()}, {"d", norm()}, {"e", norm()}}));
  EXPECT_EQ(graph.notes(), (std::vector<std::string>{"without running statistics, so that each batch is normalised by "
                                                     "its own: 'a', 'b', 'c', 'd' and 1 more"}));
  EXPECT_FALSE(graph.nodes()[0].op.get<BatchNorm2d>().track_running_stats);
}

// F.batch_norm in eval mode asks for the buffers, InstanceNorm for its flag.
TEST_F(ModulePickle, RunningStatisticsCountWhereTheyAre) {
  const NodeId buffers = tree.ordered({{"running_mean", tree.tensor({2})}, {"running_var", tree.tensor({2})}});
  const Attributes attributes = {
      {"num_features", integer(2)}, {"track_running_stats", boolean(false)}, {"_buffers", buffers}};
  EXPECT_TRUE(only(tree.module(kNorm, attributes)).get<BatchNorm2d>().track_running_stats);
  tree = ModuleTree();
  const NodeId unread = tree.ordered({{"running_mean", tree.tensor({2})}, {"running_var", none()}});
  const Graph graph = good(tree.sequential(
      {{"0",
        tree.module("torch.nn.modules.instancenorm.InstanceNorm2d",
                    {{"num_features", integer(2)}, {"track_running_stats", boolean(false)}, {"_buffers", unread}})}}));
  EXPECT_FALSE(graph.nodes()[0].op.get<InstanceNorm2d>().track_running_stats);
  EXPECT_EQ(graph.ignored(), (std::vector<std::string>{"0.running_mean"}));
}

TEST_F(ModulePickle, AttributesThatNobodyKnowsAreNotedOnce) {
  const auto odd = [&] { return tree.module(kLinear, {{"temperature", real(2)}, {"_private", integer(1)}}); };
  EXPECT_EQ(good(tree.sequential({{"0", odd()}, {"1", odd()}})).notes(),
            (std::vector<std::string>{"an attribute that torch's classes do not have, or not yet, is ignored: "
                                      "torch.nn.modules.linear.Linear.temperature"}));
}

// --- torchvision and other known classes

NodeId resnet(ModuleTree& tree, NodeId head) {
  const auto layer = [&] { return tree.sequential({}); };
  const auto identity = [&] { return tree.module("torch.nn.modules.linear.Identity"); };
  return tree.module("torchvision.models.resnet.ResNet", {},
                     {{"conv1", identity()},
                      {"bn1", identity()},
                      {"relu", tree.relu()},
                      {"maxpool", identity()},
                      {"layer1", layer()},
                      {"layer2", layer()},
                      {"layer3", layer()},
                      {"layer4", layer()},
                      {"avgpool", identity()},
                      {"fc", head}});
}

TEST_F(ModulePickle, AHeadThatTheUserReplacedIsCalledAsItIs) {
  const Graph graph =
      good(resnet(tree, tree.sequential({{"0", linear(4, 3)}, {"1", tree.relu()}, {"2", linear(3, 2)}})));
  EXPECT_EQ(graph.parameters()[2].name, "fc.2.weight");
  EXPECT_EQ(graph.nodes()[5].name, "flatten");
  tree = ModuleTree();
  EXPECT_EQ(problem(resnet(tree, tree.module("__main__.Head"))),
            "layer 'fc' (__main__.Head): what its forward() computes is not in the file");
  options.classes["__main__.Head"] = [](const Value&) { return Sequential{{"out", Linear{4, 2}}}.graph(); };
  tree = ModuleTree();
  EXPECT_EQ(good(resnet(tree, tree.module("__main__.Head"))).parameters()[0].name, "fc.out.weight");
}

TEST_F(ModulePickle, ChildrenThatAreMissingAreNamed) {
  EXPECT_EQ(problem(tree.module("torchvision.models.resnet.ResNet"), ErrorCode::corrupt),
            "the module (torchvision.models.resnet.ResNet): conv1: expected a module, found nothing");
  EXPECT_EQ(
      problem(tree.module("torchvision.models.shufflenetv2.InvertedResidual"), ErrorCode::corrupt),
      "the module (torchvision.models.shufflenetv2.InvertedResidual): stride: expected an integer, found nothing");
  EXPECT_EQ(
      problem(tree.module("torchvision.models.vision_transformer.Encoder"), ErrorCode::corrupt),
      "the module (torchvision.models.vision_transformer.Encoder): pos_embedding: expected a tensor, found nothing");
  EXPECT_EQ(problem(tree.module("torchvision.ops.misc.Permute", {{"dims", string("nchw")}}), ErrorCode::corrupt),
            "the module (torchvision.ops.misc.Permute): dims: expected integers, found 'nchw'");
}

TEST_F(ModulePickle, ModulesNestOnlySoDeep) {
  NodeId module = tree.relu();
  for (int i = 0; i < 70; ++i) module = tree.sequential({{"0", module}});
  EXPECT_TRUE(problem(module, ErrorCode::limit_exceeded).ends_with("': modules nest deeper than 64"));
}

TEST_F(ModulePickle, WhatForwardDoesNotAskForIsIgnored) {
  const NodeId model = tree.module("torch.optim.swa_utils.AveragedModel",
                                   {{"_buffers", tree.ordered({{"n_averaged", tree.tensor({1})}})}},
                                   {{"module", linear(4, 2)}, {"other", linear(3, 3)}, {"act", tree.relu()}});
  const Graph graph = good(model);
  EXPECT_EQ(graph.parameters()[0].name, "module.weight");
  EXPECT_EQ(graph.ignored(), (std::vector<std::string>{"n_averaged", "other"}));
}

TEST_F(ModulePickle, ATransformerLayersActivationIsAFunctionOrAModule) {
  const auto layer = [&](NodeId activation) {
    const NodeId norm = tree.module("torch.nn.modules.normalization.LayerNorm", {{"normalized_shape", integer(4)}});
    const NodeId attention = tree.module("torch.nn.modules.activation.MultiheadAttention",
                                         {{"embed_dim", integer(4)}, {"num_heads", integer(2)}});
    return tree.module("torch.nn.modules.transformer.TransformerEncoderLayer", {{"activation", activation}},
                       {{"self_attn", attention},
                        {"linear1", linear(4, 8)},
                        {"linear2", linear(8, 4)},
                        {"norm1", norm},
                        {"norm2", norm}});
  };
  EXPECT_TRUE(good(layer(function(tree, "torch._C._nn.gelu"))).nodes()[4].op.is<GELU>());
  tree = ModuleTree();
  EXPECT_EQ(problem(layer(function(tree, "torch.nn.functional.silu")), ErrorCode::corrupt),
            "the module (torch.nn.modules.transformer.TransformerEncoderLayer): activation: expected relu, gelu or a "
            "module, found a torch.nn.functional.silu");
}

// --- apply_child

TEST_F(ModulePickle, WhatSeveralChildrenHaveToSayIsSaidOnce) {
  options.classes["__main__.Net"] = [](const Value& module) -> Result<Graph> {
    GraphBuilder graph;
    const Edge x = apply_child(graph, module, "a", graph.input("x")).value();
    graph.output("y", apply_child(graph, module, "b", x).value());
    return graph.build();
  };
  const NodeId act = tree.module("torch.nn.modules.activation.ReLU", {{"training", boolean(true)}});
  EXPECT_EQ(good(tree.module("__main__.Net", {}, {{"a", act}, {"b", act}})).notes(),
            (std::vector<std::string>{"stored in training mode; inference means eval"}));
}

TEST_F(ModulePickle, ABuilderCallsChildrenOfKnownClasses) {
  options.classes["__main__.Net"] = [](const Value& module) -> Result<Graph> {
    GraphBuilder graph;
    const Edge x = graph.input("x", {-1, 4});
    const Result<Edge> y = apply_child(graph, module, "body.1", x);
    if (!y) return y.error();
    graph.output("y", graph.apply("", Add{}, x, *y));
    return graph.build();
  };
  const NodeId body = tree.sequential({{"0", tree.relu()}, {"1", linear(4, 4)}});
  EXPECT_EQ(good(tree.module("__main__.Net", {}, {{"body", body}})).parameters()[0].name, "body.1.weight");
  tree = ModuleTree();
  EXPECT_EQ(problem(tree.module("__main__.Net"), ErrorCode::corrupt),
            "the module (__main__.Net): body.1: expected a module, found nothing");
}

}  // namespace
}  // namespace rushlight::doors
