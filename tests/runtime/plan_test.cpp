#include "runtime/plan.hpp"

#include <gtest/gtest.h>

#include <random>

#include "runtime/nets.hpp"
#include "runtime/networks.hpp"

namespace rushlight::test {
namespace {

using runtime::Place;
using runtime::Plan;
using runtime::PlannedBuffer;
using runtime::PlannedTensor;
using runtime::StepTensors;

Plan plan_of(const Graph& graph, std::vector<Shape> shapes) {
  const StateDict none;  // plans look at no values
  return runtime::make_plan({graph, none}, shapes, {}).value();
}
std::string text_of(const Graph& graph, std::vector<Shape> shapes) {
  return to_string(plan_of(graph, std::move(shapes)));
}

// What every plan must keep.
void expect_sound(const Plan& plan) {
  std::vector<bool> written(plan.buffers.size(), false);
  for (const runtime::TensorId input : plan.inputs) written[plan.tensors[input].buffer] = true;
  for (std::size_t i = 0; i < plan.steps.size(); ++i) {
    const StepTensors used = tensors_of(plan.steps[i]);
    for (const runtime::TensorId input : used.inputs) {
      EXPECT_TRUE(written[plan.tensors[input].buffer]) << "step " << i << " reads what nobody wrote";
    }
    for (const runtime::TensorId output : used.outputs) {
      EXPECT_NE(Place::input, plan.tensors[output].place) << "step " << i << " writes an input";
      EXPECT_NE(Place::constant, plan.tensors[output].place) << "step " << i << " writes a constant";
      written[plan.tensors[output].buffer] = true;
    }
  }
  for (const PlannedTensor& tensor : plan.tensors) {
    const PlannedBuffer& buffer = plan.buffers[tensor.buffer];
    EXPECT_EQ(buffer.place, tensor.place);
    EXPECT_EQ(buffer.offset_bytes + tensor.begin_bytes, tensor.offset_bytes);
    EXPECT_LE(static_cast<std::uint64_t>(tensor.elements()) * sizeof(float) + tensor.begin_bytes, buffer.size_bytes);
  }
  // Backends read the sizes of ports off their tensors.
  for (const auto& ports : {plan.inputs, plan.outputs}) {
    for (const runtime::TensorId port : ports) {
      const PlannedTensor& tensor = plan.tensors[port];
      EXPECT_EQ(plan.buffers[tensor.buffer].size_bytes, static_cast<std::uint64_t>(tensor.elements()) * sizeof(float));
    }
  }
  std::vector<const PlannedBuffer*> live;
  std::vector<bool> used(plan.buffers.size(), false);
  for (const PlannedTensor& tensor : plan.tensors) used[tensor.buffer] = true;
  for (std::size_t id = 0; id < plan.buffers.size(); ++id) {
    const PlannedBuffer& buffer = plan.buffers[id];
    if (!used[id] || buffer.place != Place::arena) continue;
    EXPECT_LE(buffer.offset_bytes + buffer.size_bytes, plan.arena_bytes);
    for (const PlannedBuffer* other : live) {
      if (buffer.last_step < other->first_step || other->last_step < buffer.first_step) continue;
      EXPECT_TRUE(buffer.offset_bytes + buffer.size_bytes <= other->offset_bytes ||
                  other->offset_bytes + other->size_bytes <= buffer.offset_bytes)
          << "two buffers that live at once share memory";
    }
    live.push_back(&buffer);
  }
}

TEST(Plan, FashionNetIsSixSteps) {
  // Batch norms and ReLUs are gone, the flattened image is not moved, the last layer writes to the caller.
  EXPECT_EQ(
      "conv1 conv 2x28x28x1 -> 2x28x28x32 k3x3 s1x1 p1x1 +relu\n"
      "3 maxpool 2x28x28x32 -> 2x14x14x32 k2x2 s2x2 p0x0\n"
      "conv2 conv 2x14x14x32 -> 2x14x14x64 k3x3 s1x1 p1x1 +relu\n"
      "7 maxpool 2x14x14x64 -> 2x7x7x64 k2x2 s2x2 p0x0\n"
      "fc1 linear 2x1x1x3136 -> 2x1x1x128 +relu\n"
      "fc2 linear 2x1x1x128 -> 2x1x1x10 (output)\n",
      text_of(fashion_net(), {{2, 1, 28, 28}}));
}

TEST(Plan, ResidualBlocksAddInTheConvolutionThatRunsLast) {
  const std::string text = text_of(resnet_net(), {{1, 3, 32, 32}});
  EXPECT_NE(std::string::npos, text.find("conv1 layout 96x1x1x32 -> 1x32x32x3\n")) << text;
  EXPECT_EQ(std::string::npos, text.find(" add ")) << text;
  EXPECT_EQ(std::string::npos, text.find(" norm ")) << text;
  EXPECT_NE(std::string::npos, text.find("layer1.0.conv2 conv 1x8x8x8 -> 1x8x8x8 k3x3 s1x1 p1x1 +residual +relu\n"))
      << text;
  // The branch without a projection is computed first; the projection adds it.
  EXPECT_NE(std::string::npos, text.find("layer2.0.conv2 conv 1x4x4x20 -> 1x4x4x20 k3x3 s1x1 p1x1\n")) << text;
  EXPECT_NE(std::string::npos,
            text.find("layer2.0.downsample.0 conv 1x8x8x8 -> 1x4x4x20 k1x1 s2x2 p0x0 +residual +relu\n"))
      << text;
}

TEST(Plan, ConcatenatedChannelsAreWrittenWhereTheyBelong) {
  // Three layers of a dense block: each reads all that was there before it.
  GraphBuilder g;
  Edge x = g.apply("first", conv3x3(3, 8), g.input("x"));
  for (int layer = 0; layer < 3; ++layer) {
    const std::string name = "layer" + std::to_string(layer);
    x = g.apply(name + ".cat", Cat{.dim = 1}, x, g.apply(name, conv3x3(8 + 4 * layer, 4), x));
  }
  g.output("y", g.apply("last", conv3x3(20, 2), x));
  const Graph graph = g.build().value();
  const std::string text = text_of(graph, {{2, 3, 6, 6}});
  EXPECT_EQ(std::string::npos, text.find("cat")) << text;
  EXPECT_NE(std::string::npos, text.find("layer2 conv 2x6x6x16 -> 2x6x6x4 k3x3")) << text;
  expect_sound(plan_of(graph, {{2, 3, 6, 6}}));
  expect_cpu_fits_reference(made_up_model(graph), made_up("x", {2, 3, 6, 6}), 1e-5);
}

TEST(Plan, GrownPicturesAreWrittenWhereTheyBelong) {
  for (const std::int64_t kernel : {2, 4}) {  // the second kind's windows overlap: sums are made where they are stored
    GraphBuilder g;
    const Edge x = g.apply("first", conv3x3(3, 8), g.input("x"));
    const Edge small = g.apply("small", conv3x3(8, 6), g.apply("pool", MaxPool2d{.kernel_size = 2}, x));
    const Edge grown = g.apply("grow", ConvTranspose2d{6, 5, kernel, 2, kernel / 2 - 1}, small);
    const Edge larger = g.apply("larger", Upsample{.scale_factor = {2.0}, .mode = InterpolationMode::bilinear}, small);
    g.output("y", g.apply("last", conv3x3(19, 2), g.apply("cat", Cat{.dim = 1}, {grown, x, larger})));
    const Graph graph = g.build().value();
    const std::string text = text_of(graph, {{2, 3, 6, 4}});
    EXPECT_EQ(std::string::npos, text.find("cat")) << text;
    expect_sound(plan_of(graph, {{2, 3, 6, 4}}));
    expect_cpu_fits_reference(made_up_model(graph), made_up("x", {2, 3, 6, 4}), 1e-5);
  }
  GraphBuilder g;
  const Edge x = g.apply("first", Conv1d{.in_channels = 3, .out_channels = 4, .kernel_size = 1}, g.input("x"));
  const Edge grown = g.apply("grow", ConvTranspose1d{4, 5, 3, 1, 1}, x);
  g.output("y", g.apply("", ReLU{}, g.apply("cat", Cat{.dim = 1}, {x, grown})));
  const Graph graph = g.build().value();
  EXPECT_EQ(std::string::npos, text_of(graph, {{2, 3, 7}}).find("cat"));
  expect_cpu_fits_reference(made_up_model(graph), made_up("x", {2, 3, 7}), 1e-5);
}

TEST(Plan, AdditionsOfSlicesAddTheirElementsAlone) {
  GraphBuilder g;
  const Edge conv = g.apply("conv", conv3x3(3, 8), g.input("x"));
  const std::vector<Edge> halves = g.apply("halves", Chunk{.chunks = 2, .dim = 1}, std::span(&conv, 1), 2);
  g.output("y", g.apply("relu", ReLU{}, g.apply("sum", Add{}, halves[0], halves[1])));
  expect_cpu_fits_reference(made_up_model(g.build().value()), made_up("x", {2, 3, 6, 5}));
}

TEST(Plan, WhatCannotBeWrittenInPlaceIsCopiedIntoAConcatenation) {
  // The graph's own input, a value twice, one that is an output, and one that lies in torch's order.
  GraphBuilder g;
  const Edge x = g.input("x");
  const Edge y = g.apply("conv", conv3x3(3, 4), x);
  const Edge z = g.apply("other", conv3x3(3, 5), x);
  const Edge rows = g.apply("softmax", Softmax{.dim = 3}, x);
  g.output("y", g.apply("cat", Cat{.dim = 1}, {x, y, y, z, rows}));
  g.output("z", z);
  const Graph graph = g.build().value();
  expect_sound(plan_of(graph, {{2, 3, 6, 5}}));
  expect_cpu_fits_reference(made_up_model(graph), made_up("x", {2, 3, 6, 5}), 1e-5);
}

// Two images lie one behind the other as channels, and are joined by rows and by columns too; what joins columns is
// itself a part of channels that are there already.
TEST(Plan, WhatJoinsRowsIsNoConcatenationOfChannels) {
  GraphBuilder g;
  const Edge x = g.input("x");
  const Edge a = g.apply("a", conv3x3(3, 4), x);
  const Edge b = g.apply("b", conv3x3(3, 4), x);
  g.output("channels", g.apply("", ReLU{}, g.apply("channels", Cat{.dim = 1}, a, b)));
  g.output("rows", g.apply("", ReLU{}, g.apply("rows", Cat{.dim = 2}, a, b)));
  g.output("columns", g.apply("", ReLU{}, g.apply("columns", Cat{.dim = -1}, a, b)));
  const Edge wide = g.apply("wide", conv3x3(3, 2), g.apply("x twice", Cat{.dim = 3}, x, x));
  const Edge twice = g.apply("twice", Cat{.dim = 3}, a, a);
  g.output("nested", g.apply("", ReLU{}, g.apply("nested", Cat{.dim = 1}, wide, twice)));
  const Graph graph = g.build().value();
  expect_sound(plan_of(graph, {{2, 3, 6, 5}}));
  expect_cpu_fits_reference(made_up_model(graph), made_up("x", {2, 3, 6, 5}), 1e-5);
}

TEST(Plan, ABatchNormWithAnotherReaderOfItsInputStays) {
  GraphBuilder g;
  const Edge conv = g.apply("conv", conv3x3(2, 4), g.input("x"));
  const Edge norm = g.apply("bn", BatchNorm2d{.num_features = 4}, conv);
  g.output("both", g.apply("", Add{}, norm, g.apply("", ReLU{}, conv)));
  const std::string text = text_of(g.build().value(), {{1, 2, 4, 4}});
  EXPECT_NE(std::string::npos, text.find("bn norm")) << text;
}

TEST(Plan, ASyncBatchNormIsFoldedAsOthersAre) {
  GraphBuilder g;
  const Edge x = g.apply("conv", Conv2d{3, 4, 3}, g.input("x"));
  g.output("y", g.apply("fc", Linear{}, g.apply("", Flatten{}, g.apply("bn", SyncBatchNorm{4}, x))));
  EXPECT_EQ(std::string::npos, text_of(g.build().value(), {{1, 3, 5, 5}}).find("bn "));
}

// A crop shows other places of the same memory; what grows is copied once.
TEST(Plan, ACropToAnotherSizeIsAView) {
  const auto steps = [](std::int64_t size) {
    GraphBuilder g;
    const Edge x = g.apply("act", Sigmoid{}, g.input("x"));
    g.output("y", g.apply("", Neg{}, g.apply("fit", PadAs{}, x, g.input("like"))));
    return text_of(g.build().value(), {{1, 3, 8, 8}, {1, 1, size, size}});
  };
  EXPECT_EQ(std::string::npos, steps(5).find("fit")) << steps(5);
  EXPECT_EQ(std::string::npos, steps(8).find("fit")) << steps(8);
  EXPECT_NE(std::string::npos, steps(9).find("fit pad")) << steps(9);
}

TEST(Plan, ABatchNormOfAnOutputStays) {
  GraphBuilder g;
  const Edge conv = g.apply("conv", conv3x3(2, 4), g.input("x"));
  g.output("raw", conv);
  g.output("normed", g.apply("bn", BatchNorm2d{.num_features = 4}, conv));
  const Graph graph = g.build().value();
  EXPECT_NE(std::string::npos, text_of(graph, {{1, 2, 4, 4}}).find("bn norm"));
}

TEST(Plan, ASecondBatchNormIsNotFoldedIntoTheSameLayer) {
  GraphBuilder g;
  Edge x = g.apply("conv", conv3x3(2, 4), g.input("x"));
  x = g.apply("bn1", BatchNorm2d{.num_features = 4}, x);
  g.output("y", g.apply("bn2", BatchNorm2d{.num_features = 4}, x));
  const std::string text = text_of(g.build().value(), {{1, 2, 4, 4}});
  EXPECT_EQ(std::string::npos, text.find("bn1")) << text;
  EXPECT_NE(std::string::npos, text.find("bn2 norm")) << text;
}

TEST(Plan, ABatchNormOverAnotherDimensionThanALinearsOutputsIsNotFolded) {
  GraphBuilder g;
  const Edge linear = g.apply("fc", Linear{5, 6}, g.input("x"));
  g.output("y", g.apply("bn", BatchNorm1d{.num_features = 3}, linear));
  const Graph graph = g.build().value();
  EXPECT_NE(std::string::npos, text_of(graph, {{2, 3, 5}}).find("bn norm"));
  expect_cpu_fits_reference(made_up_model(graph), made_up("input", {2, 3, 5}));
}

TEST(Plan, WhatNoOutputNeedsIsNotComputed) {
  GraphBuilder g;
  const Edge x = g.input("x", {-1, 4});
  const Edge trunk = g.apply("trunk", Linear{4, 4}, x);
  g.apply("auxiliary", Linear{4, 9}, trunk);
  g.output("y", g.apply("head", Linear{4, 2}, trunk));
  EXPECT_EQ("trunk linear 1x1x1x4 -> 1x1x1x4\nhead linear 1x1x1x4 -> 1x1x1x2 (output)\n",
            text_of(g.build().value(), {{1, 4}}));
}

TEST(Plan, IdentitiesAndDropoutsVanishEvenAtTheBorders) {
  GraphBuilder g;
  const Edge x = g.apply("", Identity{}, g.apply("", Dropout{}, g.input("x")));
  const Edge y = g.apply("fc", Linear{4, 2}, x);
  g.output("y", g.apply("", Dropout{}, g.apply("", Identity{}, y)));
  EXPECT_EQ("fc linear 1x1x1x4 -> 1x1x1x2 (output)\n", text_of(g.build().value(), {{1, 4}}));
}

TEST(Plan, AnInputThatIsAnOutputIsCopied) {
  GraphBuilder g;
  const Edge x = g.input("x");
  g.output("same", x);
  g.output("again", g.apply("", Identity{}, x));
  const Graph graph = g.build().value();
  EXPECT_EQ("output 'same' copy 2x1x1x3 -> 2x1x1x3 (output)\noutput 'again' copy 2x1x1x3 -> 2x1x1x3 (output)\n",
            text_of(graph, {{2, 3}}));
  expect_cpu_fits_reference(Model::create(graph, {}).value(), made_up("x", {2, 3}), 0.0);
}

TEST(Plan, ImagesOfOneChannelOrOnePixelAreNeverMoved) {
  EXPECT_EQ("op conv 1x5x5x1 -> 1x5x5x1 k3x3 s1x1 p1x1 (output)\n", text_of(graph_of(conv3x3(1, 1)), {{1, 1, 5, 5}}));
  EXPECT_EQ("op adaptiveavgpool 2x1x1x7 -> 2x1x1x7 (output)\n",
            text_of(graph_of(AdaptiveAvgPool2d{.output_size = 1}), {{2, 7, 1, 1}}));
}

TEST(Plan, AFlattenBehindElementwiseOperatorsStillMovesNothing) {
  GraphBuilder g;
  Edge x = g.apply("pool", MaxPool2d{.kernel_size = 2}, g.input("x"));
  x = g.apply("relu", ReLU{}, g.apply("", Flatten{}, x));
  g.output("y", g.apply("fc", Linear{12, 3}, x));
  const Graph graph = g.build().value();
  EXPECT_EQ(
      "pool layout 24x1x1x4 -> 2x4x4x3\n"
      "pool maxpool 2x4x4x3 -> 2x2x2x3 k2x2 s2x2 p0x0\n"
      "relu relu 2x2x2x3 -> 2x2x2x3\n"
      "fc linear 2x1x1x12 -> 2x1x1x3 (output)\n",
      text_of(graph, {{2, 3, 4, 4}}));
  expect_cpu_fits_reference(made_up_model(graph), made_up("x", {2, 3, 4, 4}));
}

TEST(Plan, InPlaceStepsUseNoMemoryOfTheirOwn) {
  GraphBuilder g;
  Edge x = g.apply("pool", MaxPool2d{.kernel_size = 1}, g.input("x"));
  x = g.apply("bn", BatchNorm2d{.num_features = 16}, x);
  x = g.apply("", MaxPool2d{.kernel_size = 1}, g.apply("", ReLU{}, x));
  g.output("y", g.apply("", AdaptiveAvgPool2d{.output_size = 1}, x));
  // One image of 16 x 8 x 8 that is read and one that is written: 4 KiB each.
  EXPECT_EQ(8192U, plan_of(g.build().value(), {{1, 16, 8, 8}}).arena_bytes);
}

TEST(Plan, AConvolutionNeverWritesOverItsOwnInput) {
  GraphBuilder g;
  const Edge x = g.apply("pool", MaxPool2d{.kernel_size = 1}, g.input("x"));
  const Edge y = g.apply("", Add{}, g.apply("conv", conv3x3(4, 4), x), x);
  g.output("y", g.apply("last", MaxPool2d{.kernel_size = 1}, y));
  const Graph graph = g.build().value();
  const Plan plan = plan_of(graph, {{1, 4, 6, 6}});
  expect_sound(plan);
  for (const runtime::Step& step : plan.steps) {
    const auto* conv = std::get_if<runtime::ConvStep>(&step.work);
    if (conv == nullptr) continue;
    EXPECT_NE(runtime::kNone, conv->epilogue.residual);
    EXPECT_NE(plan.tensors[conv->input].buffer, plan.tensors[conv->output].buffer);
  }
  expect_cpu_fits_reference(made_up_model(graph), made_up("x", {1, 4, 6, 6}));
}

TEST(Plan, TheArenaIsBounded) {
  const Graph graph = fashion_net();
  const StateDict none;
  const Shape shape{64, 1, 28, 28};
  Limits limits;
  limits.arena_bytes = 1'000'000;
  const auto plan = runtime::make_plan({graph, none}, std::span(&shape, 1), limits);
  ASSERT_FALSE(plan);
  EXPECT_EQ(ErrorCode::limit_exceeded, plan.error().code);
  EXPECT_EQ("LIMIT-ARENA-BYTES", plan.error().finding.code);
  EXPECT_EQ(
      "activations need more memory than limits.arena_bytes allows, expected at most 1000000 bytes, found 8028160",
      plan.error().finding.message);
}

// A random network of image operators, with branches, unused values and several outputs.
Graph random_graph(std::mt19937& random) {
  const auto pick = [&](std::size_t count) { return static_cast<std::size_t>(random() % count); };
  GraphBuilder g;
  constexpr std::int64_t kChannels = 3;
  std::vector<Edge> images{g.input("a", {-1, kChannels, 6, 6}), g.input("b", {-1, kChannels, 6, 6})};
  const std::size_t count = 3 + pick(12);
  for (std::size_t i = 0; i < count; ++i) {
    const std::string name = "n" + std::to_string(i);
    const Edge x = images[pick(images.size())];
    const Edge last = images.back();
    switch (pick(11)) {
      case 0:
      case 1:
        images.push_back(g.apply(name, conv3x3(kChannels, kChannels), last));
        break;
      case 2:
        images.push_back(g.apply(name, BatchNorm2d{.num_features = kChannels}, last));
        break;
      case 3:
        images.push_back(g.apply(name, ReLU{}, last));
        break;
      case 4:
      case 5:
        images.push_back(g.apply(name, Add{}, last, x));
        break;
      case 6:
        images.push_back(g.apply(name, MaxPool2d{.kernel_size = 3, .stride = 1, .padding = 1}, x));
        break;
      case 7:
        images.push_back(g.apply(name, Softmax{.dim = static_cast<std::int64_t>(pick(4))}, x));
        break;
      case 8: {
        const Edge joined = g.apply(name + ".cat", Cat{.dim = 1}, {last, x, images[pick(images.size())]});
        images.push_back(g.apply(name, conv3x3(3 * kChannels, kChannels), joined));
        break;
      }
      case 9: {
        // A dense block: all values so far, then one more.
        const Edge one = g.apply(name + ".one", conv3x3(kChannels, kChannels), x);
        const Edge two = g.apply(name + ".cat2", Cat{.dim = 1}, {x, one});
        const Edge new_one = g.apply(name + ".two", conv3x3(2 * kChannels, kChannels), two);
        const bool nested = pick(2) == 0;
        const Edge three = g.apply(name + ".cat3", Cat{.dim = 1}, {nested ? two : x, new_one});
        const Edge end = pick(2) == 0 ? g.apply(name + ".relu", ReLU{}, three) : three;
        images.push_back(g.apply(name, conv3x3((nested ? 3 : 2) * kChannels, kChannels), end));
        break;
      }
      default:
        images.push_back(g.apply(name, Dropout{}, x));
    }
  }
  g.output("image", images.back());
  if (pick(2) == 0) g.output("other", images[pick(images.size())]);
  Edge flat = g.apply("flatten", Flatten{}, images[pick(images.size())]);
  if (pick(2) == 0) flat = g.apply("flat_relu", ReLU{}, flat);
  if (pick(3) == 0) flat = g.apply("flat_norm", BatchNorm1d{.num_features = kChannels * 36}, flat);
  if (pick(3) == 0) g.output("flat", flat);
  Edge scores = g.apply("fc1", Linear{kChannels * 36, 5}, flat);
  scores = g.apply("norm", BatchNorm1d{.num_features = 5}, scores);
  scores = g.apply("sum", Add{}, g.apply("fc2", Linear{kChannels * 36, 5}, flat), scores);
  g.output("scores", g.apply("relu", ReLU{}, scores));
  return g.build().value();
}

TEST(Plan, RandomGraphsAreSoundAndComputeWhatTheyDidUnplanned) {
  for (std::uint32_t seed = 0; seed < 300; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    const Graph graph = random_graph(random);
    const Shape shape{2, 3, 6, 6};
    expect_sound(plan_of(graph, {shape, shape}));
    const Tensor inputs[] = {made_up("a", shape), made_up("b", shape)};
    expect_cpu_fits_reference(made_up_model(graph), inputs, 1e-4);
    if (HasFailure()) {
      ADD_FAILURE() << text_of(graph, {shape, shape});
      return;
    }
  }
}

TEST(Plan, AVeryLongChainIsPlannedInLinearTime) {
  GraphBuilder g;
  Edge x = g.input("x");
  for (int i = 0; i < 50'000; ++i) x = g.apply("", i % 2 == 0 ? Operator(Softmax{}) : Operator(ReLU{}), x);
  g.output("y", x);
  expect_sound(plan_of(g.build().value(), {{1, 4}}));
}

// A concatenation is written by several steps: none of them may work in place of an operand that lies over what
// another one has written, or reads.
TEST(Plan, NothingIsComputedInPlaceOfWhatOthersOfAConcatenationNeed) {
  const Conv2d same{.in_channels = 32, .out_channels = 32, .kernel_size = 3, .padding = 1};
  const auto halves_of = [](GraphBuilder& g) {
    const Edge wide = g.apply("wide", Conv2d{.in_channels = 3, .out_channels = 64, .kernel_size = 1}, g.input("x"));
    return g.apply("halves", Chunk{.chunks = 2, .dim = 1}, std::span(&wide, 1), 2);
  };
  const auto judge = [](GraphBuilder& g, const Edge& result) {
    g.output("y", g.apply("after", Conv2d{.in_channels = 64, .out_channels = 5, .kernel_size = 1}, result));
    const Graph graph = g.build().value();
    expect_sound(plan_of(graph, {{2, 3, 9, 7}}));
    expect_cpu_fits_reference(made_up_model(graph), made_up("input", {2, 3, 9, 7}), 1e-5);
  };
  for (const bool swapped : {false, true}) {
    SCOPED_TRACE(swapped);
    GraphBuilder norms;
    const std::vector<Edge> halves = halves_of(norms);
    const Edge conv = norms.apply("conv", same, halves[0]);
    const Edge norm = norms.apply("norm", BatchNorm2d{.num_features = 32}, halves[1]);
    judge(norms,
          swapped ? norms.apply("cat", Cat{.dim = 1}, norm, conv) : norms.apply("cat", Cat{.dim = 1}, conv, norm));

    // A reversible block.
    GraphBuilder couplings;
    const std::vector<Edge> parts = halves_of(couplings);
    const Edge first = couplings.apply("add1", Add{}, couplings.apply("conv1", same, parts[1]), parts[0]);
    const Edge second = couplings.apply("add2", Add{}, couplings.apply("conv2", same, first), parts[1]);
    judge(couplings, swapped ? couplings.apply("cat", Cat{.dim = 1}, second, first)
                             : couplings.apply("cat", Cat{.dim = 1}, first, second));
  }
}

}  // namespace
}  // namespace rushlight::test
