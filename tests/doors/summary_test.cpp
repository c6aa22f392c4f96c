#include "rushlight/summary.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "rushlight/checkpoint.hpp"
#include "rushlight/load_model.hpp"

namespace rushlight {
namespace {

constexpr std::string_view kFashionSpec = R"({"schema": 1, "input": [1, 28, 28],
  "layers": [{"conv2d": "conv1", "padding": 1}, {"batchnorm2d": "bn1"}, "relu", {"maxpool2d": 2},
             {"conv2d": "conv2", "padding": 1}, {"batchnorm2d": "bn2"}, "relu", {"maxpool2d": 2},
             "flatten", {"linear": "fc1"}, "relu", {"linear": "fc2"}]})";

Model fashion() {
  const Checkpoint checkpoint = Checkpoint::open(RUSHLIGHT_GOLDEN_DIR "/fashion/fashion_cnn.pt").value();
  return load_model(checkpoint, {.spec = std::string(kFashionSpec)}).value();
}

// 421,834 parameters as torch counts them, 225,792 + 3,612,672 + 401,408 + 1,280 multiply-adds by hand.
TEST(Summary, CountsTheFashionNet) {
  const Summary summary = summarize(fashion()).value();
  EXPECT_EQ(summary.parameters, 421'834);
  EXPECT_EQ(summary.macs, 4'241'152);
  EXPECT_EQ(summary.inputs, (std::vector<Shape>{{1, 1, 28, 28}}));
  EXPECT_GT(summary.workspace_bytes, 0u);
  EXPECT_TRUE(summary.notes.empty());
  ASSERT_EQ(summary.rows.size(), 12u);
  const SummaryRow& conv = summary.rows[0];
  EXPECT_EQ(conv.name, "conv1");
  EXPECT_EQ(conv.type, "Conv2d");
  EXPECT_EQ(conv.detail, "1->32 k3 s1 p1");
  EXPECT_EQ(conv.output, (Shape{1, 32, 28, 28}));
  EXPECT_EQ(conv.parameters, 320);
  EXPECT_EQ(conv.macs, 225'792);
  EXPECT_EQ(conv.read, (std::vector<std::string>{"conv1.weight", "conv1.bias"}));
  const SummaryRow& norm = summary.rows[1];
  EXPECT_EQ(norm.parameters, 64);
  EXPECT_EQ(norm.read.size(), 4u);
  EXPECT_EQ(norm.macs, 0);
  EXPECT_EQ(summary.rows[3].detail, "k2 s2");
  EXPECT_EQ(summary.rows[9].detail, "3136->128");
  EXPECT_EQ(summary.rows[9].macs, 401'408);
}

TEST(Summary, TheBatchMultipliesTheWorkButNotTheParameters) {
  const Summary summary = summarize(fashion(), {{10, 1, 28, 28}}).value();
  EXPECT_EQ(summary.macs, 42'411'520);
  EXPECT_EQ(summary.parameters, 421'834);
}

TEST(Summary, ShapesThatDoNotFitNameTheInput) {
  const Result<Summary> summary = summarize(fashion(), {{1, 3, 28, 28}});
  ASSERT_FALSE(summary);
  EXPECT_EQ(summary.error().finding.message, "input 'input': expected [-1, 1, 28, 28], found [1, 3, 28, 28]");
}

std::string detail(Operator op, Shape input) {
  GraphBuilder g;
  g.output("y", g.apply("layer", std::move(op), g.input("x", std::move(input))));
  const Graph graph = g.build().value();
  StateDict state;
  for (const ParameterSpec& parameter : graph.parameters()) {
    state.insert(parameter.name, Tensor::zeros(DType::f32, parameter.shape).value());
  }
  return summarize(Model::create(graph, state).value()).value().rows[0].detail;
}

TEST(Summary, DetailsSayWhatIsNotTheDefault) {
  const Shape image = {-1, 4, 12, 12};
  EXPECT_EQ(detail(Conv2d{.in_channels = 4,
                          .out_channels = 8,
                          .kernel_size = IntPair(3, 5),
                          .stride = IntPair(2, 1),
                          .padding = {1, 2},
                          .dilation = 2,
                          .groups = 4,
                          .bias = false},
                   image),
            "4->8 k3x5 s2x1 p1x2 d2 g4 no bias");
  EXPECT_EQ(detail(Conv2d{.in_channels = 4, .out_channels = 8, .kernel_size = 3, .padding = Padding::same()}, image),
            "4->8 k3 s1 same");
  EXPECT_EQ(detail(MaxPool2d{.kernel_size = 3, .stride = 2, .padding = 1, .ceil_mode = true}, image), "k3 s2 p1 ceil");
  EXPECT_EQ(detail(AdaptiveAvgPool2d{IntPair(-1, 2)}, image), "to same x 2");
  EXPECT_EQ(detail(Linear{12, 3, false}, image), "12->3 no bias");
  EXPECT_EQ(detail(BatchNorm2d{4}, image), "4");
  EXPECT_EQ(detail(Softmax{1}, image), "dim 1");
  EXPECT_EQ(detail(ReLU{}, image), "");
}

TEST(Summary, AGroupedConvolutionMultipliesOnlyWithinItsGroups) {
  GraphBuilder g;
  const Conv2d grouped{.in_channels = 4, .out_channels = 8, .kernel_size = 3, .padding = 1, .groups = 2};
  g.output("y", g.apply("conv", grouped, g.input("x", {-1, 4, 5, 6})));
  StateDict state;
  state.insert("conv.weight", Tensor::zeros(DType::f32, {8, 2, 3, 3}).value());
  state.insert("conv.bias", Tensor::zeros(DType::f32, {8}).value());
  const Summary summary = summarize(Model::create(g.build().value(), state).value()).value();
  EXPECT_EQ(summary.macs, 8 * 5 * 6 * 2 * 9);
  EXPECT_EQ(summary.parameters, 8 * 2 * 9 + 8);
}

TEST(Summary, ConvolutionsOfEveryKindCountTheirMultiplications) {
  const auto macs = [](Operator op, const Shape& item) {
    GraphBuilder g;
    Shape shape = item;
    shape.insert(shape.begin(), -1);
    g.output("y", g.apply("layer", std::move(op), g.input("x", shape)));
    const Graph graph = g.build().value();
    StateDict state;
    for (const ParameterSpec& parameter : graph.parameters()) {
      state.insert(parameter.name, Tensor::zeros(DType::f32, parameter.shape).value());
    }
    return summarize(Model::create(graph, state).value()).value().macs;
  };
  EXPECT_EQ(macs(Conv1d{4, 8, 3}, {4, 10}), 8 * 8 * 4 * 3);
  EXPECT_EQ(macs(Conv3d{2, 6, 3}, {2, 5, 5, 5}), 27 * 6 * 2 * 27);
  // Each element of the input meets each weight of its channel once.
  EXPECT_EQ(macs(ConvTranspose1d{4, 8, 3, 2}, {4, 10}), 4 * 10 * 8 * 3);
  EXPECT_EQ(macs(ConvTranspose2d{.in_channels = 4, .out_channels = 8, .kernel_size = 2, .stride = 2, .groups = 2},
                 {4, 5, 6}),
            4 * 5 * 6 * 4 * 4);
  EXPECT_EQ(macs(ConvTranspose3d{2, 3, 2}, {2, 4, 4, 4}), 2 * 64 * 3 * 8);
}

TEST(Summary, OpenShapesMustBeGiven) {
  const Graph graph = Sequential{ReLU{}}.graph({3, -1, 8}).value();
  const Model model = Model::create(graph, {}).value();
  const Result<Summary> summary = summarize(model);
  ASSERT_FALSE(summary);
  EXPECT_EQ(summary.error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(summary.error().finding.message, "input 'input': its shape is open, declared as [-1, 3, -1, 8]");
  EXPECT_EQ(summarize(model, {{2, 3, 4, 8}}).value().rows[0].output, (Shape{2, 3, 4, 8}));
}

TEST(Summary, AModuleThatIsCalledAgainCountsOnceAndWorksTwice) {
  GraphBuilder g;
  const Edge x = g.apply("fc", Linear{3, 3}, g.input("x", {-1, 3}));
  g.output("y", g.apply("fc", Linear{3, 3}, x));
  StateDict state;
  state.insert("fc.weight", Tensor::zeros(DType::f32, {3, 3}).value());
  state.insert("fc.bias", Tensor::zeros(DType::f32, {3}).value());
  const Summary summary = summarize(Model::create(g.build().value(), state).value()).value();
  EXPECT_EQ(summary.parameters, 12);
  EXPECT_EQ(summary.macs, 18);
  EXPECT_EQ(summary.rows[1].name, "fc_1");
  EXPECT_EQ(summary.rows[1].read, (std::vector<std::string>{"fc.weight", "fc.bias"}));
}

TEST(Summary, TiedWeightsCountOnce) {
  const Linear layer{4, 4};
  const Graph graph = Sequential{layer, layer}.graph({4}).value();
  StateDict state;
  const Tensor weight = Tensor::zeros(DType::f32, {4, 4}).value();
  for (const char* name : {"0.weight", "1.weight"}) state.insert(name, weight);
  for (const char* name : {"0.bias", "1.bias"}) state.insert(name, Tensor::zeros(DType::f32, {4}).value());
  const Summary summary = summarize(Model::create(graph, state).value()).value();
  EXPECT_EQ(summary.parameters, 16 + 2 * 4);
  EXPECT_EQ(summary.rows[1].parameters, 20);
}

TEST(Summary, AnIncompleteModelIsDescribedAsFarAsItGoes) {
  const Graph graph = Sequential{Linear{}, ReLU{}}.graph({4}).value();
  const Summary summary = summarize(Model::create(graph, {}, nullptr, Strict::no).value()).value();
  EXPECT_EQ(summary.notes, (std::vector<std::string>{"2 parameters missing: it cannot run"}));
  EXPECT_EQ(summary.rows[0].output, (Shape{1, -1}));
  EXPECT_EQ(summary.rows[0].detail, "?->?");
  EXPECT_EQ(summary.rows[0].macs, 0);
  EXPECT_EQ(summary.workspace_bytes, 0u);
}

TEST(Summary, NotesOfTheDoorAreHandedOn) {
  const Checkpoint checkpoint = Checkpoint::open(RUSHLIGHT_GOLDEN_DIR "/format/modules/cnn_training_mode.pt").value();
  const Summary summary = summarize(load_model(checkpoint).value(), {{1, 1, 8, 8}}).value();
  EXPECT_EQ(summary.notes, (std::vector<std::string>{"stored in training mode; inference means eval"}));
}

}  // namespace
}  // namespace rushlight
