#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "model/load_state_dict.hpp"
#include "model/model_impl.hpp"
#include "rushlight/model.hpp"

namespace rushlight {
namespace {

Tensor ramp(Shape shape) {
  std::int64_t count = 1;
  for (const std::int64_t size : shape) count *= size;
  std::vector<float> values(static_cast<std::size_t>(count));
  std::iota(values.begin(), values.end(), 0.5F);
  return Tensor::from_values<float>(values, std::move(shape)).value();
}

StateDict state_of(std::initializer_list<std::pair<const char*, Shape>> tensors) {
  StateDict state;
  for (const auto& [name, shape] : tensors) state.insert(name, ramp(shape));
  return state;
}

Graph mlp() {
  return Sequential{Layer("fc1", Linear{784, 128}), ReLU{}, Layer("fc2", Linear{128, 10})}.graph({784}).value();
}
StateDict mlp_state() {
  return state_of({{"fc1.weight", {128, 784}}, {"fc1.bias", {128}}, {"fc2.weight", {10, 128}}, {"fc2.bias", {10}}});
}

// A network whose sizes all come from its weights.
Graph open_cnn() {
  return Sequential{Layer("conv", Conv2d{.padding = 1}), Layer("bn", BatchNorm2d{}), ReLU{}, Flatten{},
                    Layer("fc", Linear{})}
      .graph({1, 4, 4})
      .value();
}
StateDict cnn_state() {
  return state_of({{"conv.weight", {2, 1, 3, 3}},
                   {"conv.bias", {2}},
                   {"bn.weight", {2}},
                   {"bn.bias", {2}},
                   {"bn.running_mean", {2}},
                   {"bn.running_var", {2}},
                   {"fc.weight", {5, 32}},
                   {"fc.bias", {5}}});
}

struct Outcome {
  LoadReport report;
  std::string message;
  std::string hint;
  ErrorCode code = ErrorCode::io;
};

Outcome refused(const Graph& graph, const StateDict& state, Strict strict = Strict::yes) {
  Outcome outcome;
  const Result<Model> model = Model::create(graph, state, &outcome.report, strict);
  if (model) {
    ADD_FAILURE() << "the model was made";
    return outcome;
  }
  outcome.message = model.error().finding.message;
  outcome.hint = model.error().finding.hint;
  outcome.code = model.error().code;
  return outcome;
}

TEST(LoadStateDict, EveryNameThatFitsBecomesAParameterInGraphOrder) {
  StateDict state;
  const StateDict ordered = mlp_state();
  for (const char* name : {"fc2.bias", "fc1.weight", "fc2.weight", "fc1.bias"}) state.insert(name, *ordered.find(name));
  LoadReport report;
  const Model model = Model::create(mlp(), state, &report).value();
  std::vector<std::string> names;
  for (const auto& item : model.state_dict()) names.push_back(item.first);
  EXPECT_EQ(names, (std::vector<std::string>{"fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"}));
  EXPECT_TRUE(report.ok());
  EXPECT_TRUE(report.casts.empty());
  EXPECT_TRUE(report.hints.empty());
  EXPECT_TRUE(model.missing().empty());
  // Float32 in C order is taken as it is.
  EXPECT_TRUE(model.state_dict().find("fc1.weight")->shares_storage_with(*state.find("fc1.weight")));
}

TEST(LoadStateDict, SizesAreReadOffTheWeights) {
  const Model model = Model::create(open_cnn(), cnn_state()).value();
  const auto nodes = model.graph().nodes();
  EXPECT_EQ(nodes[0].op.get<Conv2d>(), (Conv2d{1, 2, 3, 1, 1}));
  EXPECT_EQ(nodes[1].op.get<BatchNorm2d>().num_features, 2);
  EXPECT_EQ(nodes[4].op.get<Linear>(), (Linear{32, 5}));
  const std::vector<Shape> inputs = {{7, 1, 4, 4}};
  EXPECT_EQ(model.graph().infer_shapes(inputs).value().back(), (Shape{7, 5}));
}

TEST(LoadStateDict, ChannelsOfAGroupedConvolutionCountAllGroups) {
  const Graph graph = Sequential{Layer("conv", Conv2d{.groups = 4, .bias = false})}.graph().value();
  const Model model = Model::create(graph, state_of({{"conv.weight", {8, 3, 1, 5}}})).value();
  EXPECT_EQ(model.graph().nodes()[0].op.get<Conv2d>(),
            (Conv2d{.in_channels = 12, .out_channels = 8, .kernel_size = IntPair(1, 5), .groups = 4, .bias = false}));
}

TEST(LoadStateDict, ListsEveryProblemInOneMessage) {
  StateDict state = state_of({{"fc1.weight", {784, 128}}, {"fc1.bias", {128}}, {"fc2.weight", {10, 128}}});
  state.insert("extra.bias", ramp({10}));
  const Outcome outcome = refused(mlp(), state);
  EXPECT_EQ(outcome.code, ErrorCode::mismatch);
  EXPECT_EQ(outcome.message,
            "load_state_dict: 3 problems: 'fc1.weight': expected [128, 784], found [784, 128]; missing 'fc2.bias'; "
            "unexpected 'extra.bias'");
  ASSERT_EQ(outcome.report.wrong_shape.size(), 1u);
  EXPECT_EQ(outcome.report.wrong_shape[0].name, "fc1.weight");
  EXPECT_EQ(outcome.report.wrong_shape[0].expected, (Shape{128, 784}));
  EXPECT_EQ(outcome.report.wrong_shape[0].found, (Shape{784, 128}));
  EXPECT_EQ(outcome.report.missing, (std::vector<std::string>{"fc2.bias"}));
  EXPECT_EQ(outcome.report.unexpected, (std::vector<std::string>{"extra.bias"}));
}

TEST(LoadStateDict, OneProblemIsNoPlural) {
  StateDict state = mlp_state();
  state.erase("fc2.bias");
  EXPECT_EQ(refused(mlp(), state).message, "load_state_dict: 1 problem: missing 'fc2.bias'");
}

TEST(LoadStateDict, SizesThatNothingTellsAreShownAsMinusOne) {
  StateDict state = cnn_state();
  state.insert("conv.weight", ramp({2, 9}));
  EXPECT_EQ(refused(open_cnn(), state).message,
            "load_state_dict: 1 problem: 'conv.weight': expected [2, -1, -1, -1], found [2, 9]");
}

TEST(LoadStateDict, ABiasMustAgreeWithItsWeight) {
  StateDict state = cnn_state();
  state.insert("fc.bias", ramp({6}));
  EXPECT_EQ(refused(open_cnn(), state).message, "load_state_dict: 1 problem: 'fc.bias': expected [5], found [6]");
}

TEST(LoadStateDict, EmptyWeightsAreNoWeights) {
  StateDict state = cnn_state();
  state.insert("fc.weight", ramp({5, 0}));
  EXPECT_EQ(refused(open_cnn(), state).message,
            "load_state_dict: 1 problem: 'fc.weight': expected [5, -1], found [5, 0]");
}

TEST(LoadStateDict, LayersMustFitEachOtherOnceTheirSizesAreKnown) {
  StateDict state = cnn_state();
  state.insert("fc.weight", ramp({5, 33}));
  EXPECT_EQ(refused(open_cnn(), state).message, "layer 'fc': expected 33 features, found 32 in [-1, 32]");
}

TEST(LoadStateDict, GroupsMustDivideWhatTheWeightsSay) {
  const Graph graph = Sequential{Layer("conv", Conv2d{.groups = 2, .bias = false})}.graph().value();
  EXPECT_EQ(refused(graph, state_of({{"conv.weight", {3, 1, 3, 3}}})).message,
            "load_state_dict: layer 'conv': out_channels: expected a multiple of groups 2, found 3");
}

TEST(LoadStateDict, LabelsMustFitTheClassesOfTheWeights) {
  GraphBuilder g;
  g.output("y", g.apply("fc", Linear{}, g.input("x", {-1, 4})));
  g.labels({"cat", "dog"});
  EXPECT_EQ(refused(g.build().value(), state_of({{"fc.weight", {3, 4}}, {"fc.bias", {3}}})).message,
            "labels: expected 3 names, found 2");
}

TEST(LoadStateDict, BatchCountsBesideBatchNormsAreIgnoredAndOthersAreNot) {
  StateDict state = cnn_state();
  state.insert("bn.num_batches_tracked", Tensor::from_values<std::int64_t>(std::vector<std::int64_t>{7}, {}).value());
  EXPECT_TRUE(Model::create(open_cnn(), state));
  state.insert("fc.num_batches_tracked", ramp({}));
  state.insert("num_batches_tracked", ramp({}));
  EXPECT_EQ(refused(open_cnn(), state).report.unexpected,
            (std::vector<std::string>{"fc.num_batches_tracked", "num_batches_tracked"}));
}

TEST(LoadStateDict, WhatAGraphIgnoresIsNotUnexpected) {
  GraphBuilder g;
  g.output("y", g.apply("fc", Linear{}, g.input("x")));
  g.ignore("aux");
  const Graph graph = g.build().value();
  EXPECT_EQ(graph.ignored(), std::vector<std::string>{"aux"});
  StateDict state = state_of({{"fc.weight", {3, 4}}, {"fc.bias", {3}}, {"aux", {1}}, {"aux.fc.weight", {5}}});
  EXPECT_TRUE(Model::create(graph, state));
  state.insert("aux1.weight", ramp({1}));
  EXPECT_EQ(refused(graph, state).report.unexpected, std::vector<std::string>{"aux1.weight"});
}

TEST(LoadStateDict, BuffersThatFollowFromTheSizeOfAWindowAreIgnored) {
  GraphBuilder g;
  const Operator attention = ShiftedWindowAttention{.window_size = 2, .num_heads = 1};
  g.output("y", g.apply("attn", attention, g.input("x")));
  const Graph graph = g.build().value();
  StateDict state = state_of({{"attn.qkv.weight", {6, 2}},
                              {"attn.qkv.bias", {6}},
                              {"attn.proj.weight", {2, 2}},
                              {"attn.proj.bias", {2}},
                              {"attn.relative_position_bias_table", {9, 1}},
                              {"attn.relative_position_index", {16}}});
  EXPECT_TRUE(Model::create(graph, state));
  // Which only the second version has.
  state.insert("attn.relative_coords_table", ramp({1, 3, 3, 2}));
  EXPECT_EQ(refused(graph, state).report.unexpected, std::vector<std::string>{"attn.relative_coords_table"});
}

TEST(LoadStateDict, WithoutStrictUnexpectedAndMissingNamesAreOnlyReported) {
  StateDict state = cnn_state();
  state.erase("fc.weight");
  state.insert("aux.weight", ramp({1}));
  LoadReport report;
  const Model model = Model::create(open_cnn(), state, &report, Strict::no).value();
  EXPECT_FALSE(report.ok());
  EXPECT_EQ(report.missing, (std::vector<std::string>{"fc.weight"}));
  EXPECT_EQ(report.unexpected, (std::vector<std::string>{"aux.weight"}));
  ASSERT_EQ(model.missing().size(), 1u);
  EXPECT_EQ(model.missing()[0], "fc.weight");
  // What the bias says is known, the rest is not.
  EXPECT_EQ(model.graph().nodes()[4].op.get<Linear>(), (Linear{.in_features = 0, .out_features = 5}));
}

TEST(LoadStateDict, WithoutStrictWrongShapesAreStillRefused) {
  StateDict state = mlp_state();
  state.erase("fc1.bias");
  state.insert("fc2.bias", ramp({11}));
  const Outcome outcome = refused(mlp(), state, Strict::no);
  EXPECT_EQ(outcome.message, "load_state_dict: 1 problem: 'fc2.bias': expected [10], found [11]");
  EXPECT_EQ(outcome.report.missing, (std::vector<std::string>{"fc1.bias"}));
}

TEST(LoadStateDict, OtherRealDtypesBecomeFloat32AndAreReported) {
  StateDict state;
  const std::vector<std::uint16_t> halves = {0x3C00, 0xC000, 0x3555, 0x0001};  // 1, -2, 1/3, 2^-24
  state.insert("fc.weight", Tensor::from_bytes(std::as_bytes(std::span(halves)), DType::f16, {2, 2}).value());
  const std::vector<std::uint16_t> brains = {0x3F80, 0x7F80};  // 1, infinity
  state.insert("fc.bias", Tensor::from_bytes(std::as_bytes(std::span(brains)), DType::bf16, {2}).value());
  const Graph graph = Sequential{Layer("fc", Linear{2, 2})}.graph().value();
  LoadReport report;
  const Model model = Model::create(graph, state, &report).value();
  const Tensor& weight = *model.state_dict().find("fc.weight");
  EXPECT_EQ(weight.dtype(), DType::f32);
  const std::span<const float> values = weight.values<float>().value();
  EXPECT_EQ(values[0], 1.0F);
  EXPECT_EQ(values[1], -2.0F);
  EXPECT_EQ(values[2], 0.333251953125F);
  EXPECT_EQ(values[3], std::ldexp(1.0F, -24));
  EXPECT_TRUE(std::isinf(model.state_dict().find("fc.bias")->values<float>().value()[1]));
  ASSERT_EQ(report.casts.size(), 2u);
  EXPECT_EQ(report.casts[0].name, "fc.weight");
  EXPECT_EQ(report.casts[0].from, DType::f16);
  EXPECT_EQ(report.casts[0].to, DType::f32);
  EXPECT_EQ(report.casts[1].from, DType::bf16);
  EXPECT_TRUE(report.ok());
}

TEST(LoadStateDict, DoublesAndIntegersBecomeFloat32) {
  StateDict state;
  state.insert("fc.weight", Tensor::from_values<double>(std::vector<double>{0.1, 1e300}, {1, 2}).value());
  state.insert("fc.bias", Tensor::from_values<std::int64_t>(std::vector<std::int64_t>{-3}, {1}).value());
  LoadReport report;
  const Model model = Model::create(Sequential{Layer("fc", Linear{2, 1})}.graph().value(), state, &report).value();
  const std::span<const float> values = model.state_dict().find("fc.weight")->values<float>().value();
  EXPECT_EQ(values[0], 0.1F);
  EXPECT_TRUE(std::isinf(values[1]));
  EXPECT_EQ(model.state_dict().find("fc.bias")->values<float>().value()[0], -3.0F);
  EXPECT_EQ(report.casts.size(), 2u);
}

TEST(LoadStateDict, ComplexNumbersAreNoParameters) {
  StateDict state = mlp_state();
  const std::vector<float> pairs(20);
  state.insert("fc2.bias", Tensor::from_bytes(std::as_bytes(std::span(pairs)), DType::c64, {10}).value());
  for (const Strict strict : {Strict::yes, Strict::no}) {
    const Outcome outcome = refused(mlp(), state, strict);
    EXPECT_EQ(outcome.message, "load_state_dict: 1 problem: 'fc2.bias': expected real numbers, found complex64");
    ASSERT_EQ(outcome.report.wrong_dtype.size(), 1u);
    EXPECT_EQ(outcome.report.wrong_dtype[0].found, DType::c64);
  }
}

TEST(LoadStateDict, StridedWeightsAreLaidOutInCOrder) {
  const Tensor dense = ramp({3, 2});
  const Tensor transposed = Tensor::view(dense.storage(), DType::f32, {2, 3}, {1, 2}, 0).value();
  StateDict state;
  state.insert("fc.weight", transposed);
  const Graph graph = Sequential{Layer("fc", Linear{.bias = false})}.graph().value();
  const Model model = Model::create(graph, state).value();
  const std::span<const float> values = model.state_dict().find("fc.weight")->values<float>().value();
  EXPECT_EQ(std::vector<float>(values.begin(), values.end()), (std::vector<float>{0.5, 2.5, 4.5, 1.5, 3.5, 5.5}));
}

// self.fc(self.fc(x)): state_dict() lists one module.
Graph called_twice() {
  GraphBuilder g;
  const Edge x = g.apply("fc", Linear{}, g.input("x"));
  g.output("y", g.apply("fc", Linear{}, x));
  return g.build().value();
}

TEST(LoadStateDict, AModuleThatIsCalledAgainWantsItsParametersOnce) {
  const Model model = Model::create(called_twice(), state_of({{"fc.weight", {4, 4}}, {"fc.bias", {4}}})).value();
  EXPECT_EQ(model.state_dict().size(), 2u);
  for (const Node& node : model.graph().nodes()) EXPECT_EQ(node.op.get<Linear>(), (Linear{4, 4}));

  const Outcome outcome = refused(called_twice(), state_of({{"fc.weight", {4, 4}}, {"fc_1.weight", {4, 4}}}));
  EXPECT_EQ(outcome.message, "load_state_dict: 2 problems: missing 'fc.bias'; unexpected 'fc_1.weight'");
  LoadReport report;
  const Model partial = Model::create(called_twice(), state_of({{"fc.weight", {4, 4}}}), &report, Strict::no).value();
  EXPECT_EQ(report.missing, (std::vector<std::string>{"fc.bias"}));
  EXPECT_EQ(std::vector<std::string>(partial.missing().begin(), partial.missing().end()), report.missing);
}

TEST(LoadStateDict, SharedParametersFitAllThatReadThem) {
  GraphBuilder g;
  const Edge x = g.input("x");
  const Edge groups[] = {g.apply("conv", Conv2d{.kernel_size = 1}, x)};
  g.output("y", g.apply_shared("other", "conv", Conv2d{.kernel_size = 1, .groups = 2}, groups).front());
  const Graph graph = g.build().value();
  EXPECT_TRUE(Model::create(graph, state_of({{"conv.weight", {4, 2, 1, 1}}, {"conv.bias", {4}}})));
  const Outcome outcome = refused(graph, state_of({{"conv.weight", {3, 2, 1, 1}}, {"conv.bias", {3}}}));
  EXPECT_EQ(outcome.message, "load_state_dict: layer 'other': out_channels: expected a multiple of groups 2, found 3");
}

TEST(LoadStateDict, TiedWeightsStayOneTensorEvenWhenConverted) {
  const std::vector<double> numbers = {1, 2, 3, 4};
  const Tensor tied = Tensor::from_values<double>(numbers, {2, 2}).value();
  const Tensor other = Tensor::view(tied.storage(), DType::f64, {2, 2}, {1, 2}, 0).value();
  StateDict state;
  state.insert("0.weight", tied);
  state.insert("1.weight", Tensor::view(tied.storage(), DType::f64, {2, 2}, {2, 1}, 0).value());
  state.insert("2.weight", other);
  const Linear layer{2, 2, false};
  const Model model = Model::create(Sequential{layer, layer, layer}.graph().value(), state).value();
  const StateDict& parameters = model.state_dict();
  EXPECT_TRUE(parameters.find("0.weight")->shares_storage_with(*parameters.find("1.weight")));
  EXPECT_FALSE(parameters.find("0.weight")->shares_storage_with(*parameters.find("2.weight")));
}

TEST(LoadStateDict, AViewThatUnfoldsAFewBytesToTerabytesMeetsABudget) {
  const Tensor one = ramp({1});
  StateDict state;
  state.insert("fc.weight", Tensor::view(one.storage(), DType::f32, {1 << 20, 1 << 20}, {0, 0}, 0).value());
  const Graph graph = Sequential{Layer("fc", Linear{.bias = false})}.graph().value();
  const Result<Model> model = Model::create(graph, state);
  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().code, ErrorCode::limit_exceeded);
  EXPECT_EQ(model.error().finding.message, "'fc.weight': a storage of 4 bytes unfolds to 1099511627776 elements");
  EXPECT_EQ(model.error().finding.tensors, (std::vector<std::string>{"fc.weight"}));
}

TEST(LoadStateDict, AThousandProblemsAreCountedNotListed) {
  std::vector<Layer> layers;
  for (int i = 0; i < 1000; ++i) layers.emplace_back(Linear{1, 1, false});
  const Outcome outcome = refused(Sequential(std::move(layers)).graph().value(), StateDict{});
  EXPECT_TRUE(outcome.message.starts_with("load_state_dict: 1000 problems: missing '0.weight'; missing '1.weight'; "));
  EXPECT_TRUE(outcome.message.ends_with("missing '99.weight'; and 900 more")) << outcome.message;
  EXPECT_EQ(outcome.report.missing.size(), 1000u);
}

StateDict prefixed(const StateDict& state, const std::string& prefix) {
  StateDict renamed;
  for (const auto& [name, tensor] : state) renamed.insert(prefix + name, tensor);
  return renamed;
}

TEST(LoadStateDict, APrefixTooManyIsHintedAt) {
  for (const std::string prefix : {"module.", "_orig_mod.", "model.", "module.model."}) {
    const Outcome outcome = refused(mlp(), prefixed(mlp_state(), prefix));
    EXPECT_EQ(outcome.hint, "without the prefix '" + prefix + "' 4 of 4 missing names would be there");
    EXPECT_EQ(outcome.report.hints.size(), 1u);
  }
}

TEST(LoadStateDict, APrefixTooFewIsHintedAt) {
  const Graph graph = Sequential{Layer("module", Sequential{Layer("fc", Linear{4, 2})})}.graph().value();
  EXPECT_EQ(refused(graph, state_of({{"fc.weight", {2, 4}}, {"fc.bias", {2}}})).hint,
            "with the prefix 'module.' 2 of 2 missing names would be there");
}

TEST(LoadStateDict, NamesThatLookAlikeAreHintedAt) {
  StateDict state = mlp_state();
  state.erase("fc2.weight");
  state.insert("fc2.wieght", ramp({10, 128}));
  EXPECT_EQ(refused(mlp(), state).hint, "'fc2.wieght' looks like 'fc2.weight'");
}

TEST(NameHints, HostileNamesCostLittle) {
  const std::string dots(1 << 20, '.');
  const std::vector<std::string> unexpected(50, dots);
  EXPECT_TRUE(model::name_hints({"a"}, unexpected).size() <= 1);
}

TEST(Model, WithStateDictKeepsTheGraphAndReplacesTheParameters) {
  const Model first = Model::create(mlp(), mlp_state()).value();
  StateDict zeros;
  for (const auto& [name, tensor] : first.state_dict()) {
    zeros.insert(name, Tensor::zeros(DType::f32, Shape(tensor.shape().begin(), tensor.shape().end())).value());
  }
  const Model second = first.with_state_dict(zeros).value();
  EXPECT_EQ(second.state_dict().find("fc1.bias")->values<float>().value()[3], 0.0F);
  EXPECT_EQ(first.state_dict().find("fc1.bias")->values<float>().value()[3], 3.5F);
  EXPECT_EQ(second.graph().nodes().size(), 3u);
}

TEST(Model, WithStateDictKeepsAbsentValuesOnlyWithoutStrict) {
  const Model first = Model::create(open_cnn(), cnn_state()).value();
  const StateDict bias = state_of({{"fc.bias", {5}}});
  LoadReport report;
  EXPECT_FALSE(first.with_state_dict(bias, &report));
  EXPECT_EQ(report.missing.size(), 7u);
  const Model second = first.with_state_dict(bias, &report, Strict::no).value();
  EXPECT_EQ(report.missing.size(), 7u);
  EXPECT_TRUE(second.missing().empty());
  EXPECT_TRUE(second.state_dict().find("conv.weight")->shares_storage_with(*first.state_dict().find("conv.weight")));
  EXPECT_TRUE(second.state_dict().find("fc.bias")->shares_storage_with(*bias.find("fc.bias")));
}

TEST(Model, AnIncompleteModelCanBeCompleted) {
  StateDict state = cnn_state();
  const Tensor weight = *state.find("fc.weight");
  state.erase("fc.weight");
  const Model first = Model::create(open_cnn(), state, nullptr, Strict::no).value();
  StateDict rest;
  rest.insert("fc.weight", weight);
  const Model second = first.with_state_dict(rest, nullptr, Strict::no).value();
  EXPECT_TRUE(second.missing().empty());
  EXPECT_EQ(second.graph().nodes()[4].op.get<Linear>(), (Linear{32, 5}));
}

TEST(PackedWeightsCache, MakesOnceAndForgetsFailures) {
  model::PackedWeightsCache cache;
  int calls = 0;
  const auto fails = [&]() -> Result<std::shared_ptr<void>> {
    ++calls;
    return Error::of({.category = Category::device, .message = "no"});
  };
  const auto works = [&]() -> Result<std::shared_ptr<void>> {
    ++calls;
    return std::shared_ptr<void>(std::make_shared<int>(calls));
  };
  EXPECT_FALSE(cache.get_or_make("cpu", fails));
  const std::shared_ptr<void> first = cache.get_or_make("cpu", works).value();
  EXPECT_EQ(cache.get_or_make("cpu", works).value(), first);
  EXPECT_EQ(calls, 2);
  EXPECT_NE(cache.get_or_make("cuda:0", works).value(), first);
}

}  // namespace
}  // namespace rushlight
