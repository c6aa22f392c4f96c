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
            "layer 'head' (my_project.models.Head): this class has no meaning here");
  EXPECT_EQ(
      hint,
      "map 'my_project.models.Head' to a builder in ModelOptions::classes, or describe the network in a JSON spec "
      "(--spec)");
  EXPECT_EQ(problem(tree.module("__main__.Net")), "the module (__main__.Net): this class has no meaning here");
}

TEST_F(ModulePickle, TorchsAddIsNoModule) {
  EXPECT_EQ(layer_problem(tree.module("torch.add")), "layer '0' (torch.add): this class has no meaning here");
}

TEST_F(ModulePickle, WhatChangesTheResultAndIsNotBuiltIsRefused) {
  const std::string conv_text = "layer '0' (torch.nn.modules.conv.Conv2d): ";
  EXPECT_EQ(layer_problem(tree.module(kConv, with(conv(tree.pair(1, 1)), "padding_mode", string("circular")))),
            conv_text + "padding_mode 'circular' is not built, only 'zeros'");
  EXPECT_EQ(layer_problem(tree.module(kConv, with(conv(tree.pair(1, 1)), "transposed", boolean(true)))),
            conv_text + "transposed True is not built, only False");
  EXPECT_EQ(layer_problem(tree.module(kMaxPool, {{"kernel_size", integer(2)}, {"return_indices", boolean(true)}})),
            "layer '0' (torch.nn.modules.pooling.MaxPool2d): return_indices True is not built, only False");
  EXPECT_EQ(layer_problem(tree.module(kNorm, {{"num_features", integer(2)}, {"track_running_stats", boolean(false)}})),
            "layer '0' (torch.nn.modules.batchnorm.BatchNorm2d): track_running_stats False is not built, only True");
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
  EXPECT_EQ(problem(tree.module("torch.nn.modules.container.Sequential", {{"_modules", modules}}), ErrorCode::corrupt),
            "the module (torch.nn.modules.container.Sequential): _modules: expected names as keys, found 0");
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
            "layer 'a\\nb' (evil\\x1b[31m.Class): this class has no meaning here");
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

}  // namespace
}  // namespace rushlight::doors
