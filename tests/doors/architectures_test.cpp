// Every architecture against torchvision's own state dict: all names, all shapes, the shapes of the outputs. Their
// values are compared by architecture_values_test.cpp.
#include "rushlight/architectures.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "rushlight/model.hpp"
#include "support/architecture_case.hpp"

namespace rushlight {
namespace {

using test::ArchitectureCase;
using test::ArchitectureRun;
using test::Recipe;

const std::filesystem::path kFolder = RUSHLIGHT_GOLDEN_DIR "/architectures";

// Zeros of any shape in the same memory, whose pages nobody touches: names and shapes of gigabytes of weights for free.
Tensor zeros(DType dtype, const Shape& shape) {
  std::uint64_t bytes = info(dtype).size_bytes;
  for (const std::int64_t size : shape) bytes *= static_cast<std::uint64_t>(size);
  constexpr std::uint64_t kMost = std::uint64_t{1} << 29;
  static void* const memory = std::calloc(1, kMost);
  EXPECT_LE(bytes, kMost);
  return Tensor::from_blob(memory, bytes, dtype, shape).value();
}

StateDict zeros_of(const ArchitectureCase& architecture) {
  StateDict state;
  for (const Recipe& recipe : architecture.state_dict) state.insert(recipe.name, zeros(recipe.dtype, recipe.shape));
  return state;
}

StateDict zeros_of(const std::string& name) {
  return zeros_of(test::read_architecture(kFolder, name));
}

// The same network with other sizes of some tensors.
StateDict resized(StateDict state, const std::vector<std::pair<std::string, Shape>>& changes) {
  for (const auto& [name, shape] : changes) {
    EXPECT_NE(state.find(name), nullptr) << name;
    state.insert(name, zeros(DType::f32, shape));
  }
  return state;
}

Shape output_shape(const Model& model, const Shape& input, std::size_t output = 0) {
  const std::vector<Shape> shapes = model.graph().infer_shapes({&input, 1}).value();
  return shapes[static_cast<std::size_t>(model.outputs()[output].edge.index)];
}

std::string message(const Result<Model>& model) {
  return model ? "none" : model.error().finding.message;
}

class EachArchitecture : public testing::TestWithParam<std::string> {};

TEST_P(EachArchitecture, HasTheNamesAndShapesOfTorchvisionsStateDict) {
  const ArchitectureCase architecture = test::read_architecture(kFolder, GetParam());
  const StateDict state = zeros_of(architecture);
  for (const ArchitectureRun& run : architecture.runs) {
    Result<Graph> graph = architecture_graph(run.arch, state);
    ASSERT_TRUE(graph) << graph.error().finding.message;
    LoadReport report;
    const Result<Model> model = Model::create(*graph, state, &report);
    ASSERT_TRUE(model) << model.error().finding.message;
    EXPECT_TRUE(report.ok());
    std::set<std::string> read;
    for (const ParameterSpec& parameter : model->graph().parameters()) EXPECT_TRUE(read.insert(parameter.name).second);
    for (const auto& [name, tensor] : state) {
      if (read.contains(name)) continue;
      EXPECT_TRUE(name.ends_with("num_batches_tracked") || name.ends_with("relative_position_index") ||
                  name.ends_with("relative_coords_table") || name.starts_with("aux") || name.starts_with("AuxLogits"))
          << name;
    }
    // Those that are recorded; some runs leave out "aux".
    ASSERT_GE(model->outputs().size(), run.outputs.size());
    for (std::size_t i = 0; i < run.outputs.size(); ++i) {
      EXPECT_EQ(model->outputs()[i].name, run.outputs[i].name);
      Shape expected = {run.input.shape[0], 1000};
      if (run.outputs[i].name != "logits") expected = {run.input.shape[0], 21, run.input.shape[2], run.input.shape[3]};
      EXPECT_EQ(output_shape(*model, run.input.shape, i), expected);
    }
  }
}

TEST_P(EachArchitecture, LooksLikeItself) {
  std::vector<std::string_view> names;
  for (const ArchitectureInfo* info : architectures_like(zeros_of(GetParam()))) names.push_back(info->name);
  EXPECT_NE(std::find(names.begin(), names.end(), GetParam()), names.end()) << testing::PrintToString(names);
}

INSTANTIATE_TEST_SUITE_P(Architectures, EachArchitecture, testing::ValuesIn(test::architecture_names(kFolder)),
                         [](const auto& named) { return named.param; });

TEST(Architectures, AreThoseOfTheVectorsAndThreeMore) {
  std::set<std::string> described;
  for (const std::string& name : test::architecture_names(kFolder)) described.insert(name);
  EXPECT_EQ(described.size(), 83u);
  for (const char* deeper : {"fcn_resnet101", "deeplabv3_resnet50", "deeplabv3_resnet101"}) described.insert(deeper);
  std::set<std::string> built_in;
  for (const ArchitectureInfo& info : architectures()) built_in.insert(std::string(info.name));
  EXPECT_EQ(built_in, described);
}

TEST(Architectures, TheInputSizeIsThatOfThePublishedWeights) {
  for (const ArchitectureInfo& info : architectures()) {
    EXPECT_EQ(find_architecture(info.name), &info);
    if (info.family == "fcn" || info.family == "deeplabv3" || info.family == "lraspp") {
      EXPECT_EQ(info.input_size, IntPair(520));
      continue;
    }
    const Shape shape = test::read_architecture(kFolder, std::string(info.name)).runs[0].input.shape;
    EXPECT_EQ(info.input_size, IntPair(shape[2], shape[3])) << info.name;
  }
  EXPECT_EQ(find_architecture("resnet19"), nullptr);
}

// The three that no vectors describe have the names of another's backbone and of another's head.
TEST(Architectures, ASummaryNeedsNoSizeToBeGiven) {
  const auto shapes = [](const std::string& arch, const StateDict& state) {
    return architecture_input_shapes(arch, architecture_graph(arch, state).value());
  };
  const StateDict inception = zeros_of("inception_v3");
  EXPECT_EQ(shapes("inception_v3", inception), (std::vector<Shape>{{1, 3, 299, 299}}));
  EXPECT_EQ(shapes("inception_v3:transform_input", inception), (std::vector<Shape>{{1, 3, 299, 299}}));
  // What the weights say comes first: grey pictures, a ViT's positions.
  const StateDict grey = resized(zeros_of("resnet18"), {{"conv1.weight", {64, 1, 7, 7}}});
  EXPECT_EQ(shapes("resnet18", grey), (std::vector<Shape>{{1, 1, 224, 224}}));
  const StateDict vit = resized(zeros_of("vit_b_16"), {{"encoder.pos_embedding", {1, 1 + 24 * 24, 768}}});
  EXPECT_EQ(shapes("vit_b_16", vit), (std::vector<Shape>{{1, 3, 384, 384}}));
  EXPECT_TRUE(architecture_input_shapes("resnet19", architecture_graph("resnet18", grey).value()).empty());
}

TEST(Architectures, DeeperBackbonesOfSegmentationModels) {
  const StateDict fcn = zeros_of("fcn_resnet50");
  const StateDict resnet = zeros_of("resnet101");
  StateDict deeper;
  for (const auto& [name, tensor] : resnet) {
    if (!name.starts_with("fc.")) deeper.insert("backbone." + name, tensor);
  }
  for (const auto& [name, tensor] : fcn) {
    if (name.starts_with("aux_classifier.")) deeper.insert(name, tensor);
  }
  StateDict deeplab = deeper;
  for (const auto& [name, tensor] : fcn) {
    if (name.starts_with("classifier.")) deeper.insert(name, tensor);
  }
  const Model model = Model::create(architecture_graph("fcn_resnet101", deeper).value(), deeper).value();
  EXPECT_EQ(output_shape(model, {1, 3, 40, 48}), (Shape{1, 21, 40, 48}));
  for (const auto& [name, tensor] : zeros_of("deeplabv3_mobilenet_v3_large")) {
    if (name.starts_with("classifier.")) deeplab.insert(name, tensor);
  }
  for (const std::string branch : {"0.0", "1.0", "2.0", "3.0", "4.1"}) {
    const std::string name = "classifier.0.convs." + branch + ".weight";
    Shape shape(deeplab.at(name)->shape().begin(), deeplab.at(name)->shape().end());
    shape[1] = 2048;
    deeplab = resized(std::move(deeplab), {{name, shape}});
  }
  EXPECT_EQ(message(Model::create(architecture_graph("deeplabv3_resnet101", deeplab).value(), deeplab)), "none");
}

TEST(Architectures, ClassesChannelsAndWidthAreReadOffTheWeights) {
  const StateDict grey =
      resized(zeros_of("resnet18"), {{"conv1.weight", {64, 1, 7, 7}}, {"fc.weight", {10, 512}}, {"fc.bias", {10}}});
  const Model model = Model::create(architecture_graph("resnet18", grey).value(), grey).value();
  EXPECT_EQ(model.inputs()[0].shape, (Shape{-1, 1, -1, -1}));
  EXPECT_EQ(output_shape(model, {5, 1, 28, 28}), (Shape{5, 10}));
  // The wide and the grouped ones differ from it in their weights only.
  const StateDict wide = zeros_of("wide_resnet50_2");
  EXPECT_EQ(message(Model::create(architecture_graph("resnet50", wide).value(), wide)), "none");
  const StateDict grouped = zeros_of("resnext50_32x4d");
  const Graph graph = architecture_graph("resnet50", grouped).value();
  const auto node = std::find_if(graph.nodes().begin(), graph.nodes().end(),
                                 [](const Node& n) { return n.name == "layer1.0.conv2"; });
  EXPECT_EQ(node->op.get<Conv2d>().groups, 32);
}

TEST(Architectures, AuxiliaryHeadsMayBeAbsent) {
  StateDict googlenet;
  for (const auto& [name, tensor] : zeros_of("googlenet")) {
    if (!name.starts_with("aux")) googlenet.insert(name, tensor);
  }
  EXPECT_EQ(message(Model::create(architecture_graph("googlenet", googlenet).value(), googlenet)), "none");
  StateDict fcn;
  for (const auto& [name, tensor] : zeros_of("fcn_resnet50")) {
    if (!name.starts_with("aux")) fcn.insert(name, tensor);
  }
  const Model model = Model::create(architecture_graph("fcn_resnet50", fcn).value(), fcn).value();
  ASSERT_EQ(model.outputs().size(), 1u);
  EXPECT_EQ(model.outputs()[0].name, "out");
}

TEST(Architectures, AViTTakesTheSizeOfItsPositions) {
  const StateDict large = resized(zeros_of("vit_b_16"), {{"encoder.pos_embedding", {1, 577, 768}}});
  const Model model = Model::create(architecture_graph("vit_b_16", large).value(), large).value();
  EXPECT_EQ(model.inputs()[0].shape, (Shape{-1, 3, 384, 384}));
  EXPECT_EQ(output_shape(model, {1, 3, 384, 384}), (Shape{1, 1000}));
  const Shape wrong = {1, 3, 224, 224};
  EXPECT_EQ(model.graph().infer_shapes({&wrong, 1}).error().finding.message,
            "input 'input': expected [-1, 3, 384, 384], found [1, 3, 224, 224]");
}

TEST(Architectures, NamesOfOldFilesAreKnown) {
  StateDict vit;
  for (const auto& [old_name, tensor] : zeros_of("vit_b_32")) {
    std::string name = old_name;
    if (const std::size_t at = name.find(".mlp.0."); at != std::string::npos) name.replace(at, 7, ".mlp.linear_1.");
    if (const std::size_t at = name.find(".mlp.3."); at != std::string::npos) name.replace(at, 7, ".mlp.linear_2.");
    vit.insert(name, tensor);
  }
  EXPECT_NE(vit.find("encoder.layers.encoder_layer_11.mlp.linear_2.bias"), nullptr);
  EXPECT_EQ(message(Model::create(architecture_graph("vit_b_32", vit).value(), vit)), "none");
  StateDict densenet;
  for (const auto& [new_name, tensor] : zeros_of("densenet121")) {
    if (new_name.ends_with("num_batches_tracked")) continue;
    std::string name = new_name;
    for (const std::string part : {"norm1", "norm2", "conv1", "conv2"}) {
      const std::size_t at = name.find("." + part + ".");
      if (name.find("denselayer") != std::string::npos && at != std::string::npos) name.insert(at + part.size(), ".");
    }
    densenet.insert(name, tensor);
  }
  EXPECT_NE(densenet.find("features.denseblock4.denselayer16.conv.2.weight"), nullptr);
  EXPECT_EQ(message(Model::create(architecture_graph("densenet121", densenet).value(), densenet)), "none");
  // The first version of MNASNet had the same stem at every width.
  StateDict mnasnet = zeros_of("mnasnet1_0");
  mnasnet = resized(zeros_of("mnasnet0_5"), {{"layers.0.weight", {32, 3, 3, 3}},
                                             {"layers.1.weight", {32}},
                                             {"layers.1.bias", {32}},
                                             {"layers.1.running_mean", {32}},
                                             {"layers.1.running_var", {32}},
                                             {"layers.3.weight", {32, 1, 3, 3}},
                                             {"layers.4.weight", {32}},
                                             {"layers.4.bias", {32}},
                                             {"layers.4.running_mean", {32}},
                                             {"layers.4.running_var", {32}},
                                             {"layers.6.weight", {8, 32, 1, 1}}});
  EXPECT_EQ(message(Model::create(architecture_graph("mnasnet0_5", mnasnet).value(), mnasnet)), "none");
}

TEST(Architectures, UnknownNamesAndOptionsAreRefused) {
  const Error unknown = architecture_graph("resnet19", {}).error();
  EXPECT_EQ(unknown.code, ErrorCode::invalid_argument);
  EXPECT_EQ(unknown.finding.message, "architecture 'resnet19' is none of the 86 that are built in");
  EXPECT_EQ(unknown.finding.hint, "nearest: resnet18, resnet34, resnet50");
  EXPECT_EQ(architecture_graph("list", {}).error().finding.hint.substr(0, 40),
            "there are alexnet, convnext_base, convne");
  const Error option = architecture_graph("googlenet:aux", {}).error();
  EXPECT_EQ(option.code, ErrorCode::invalid_argument);
  EXPECT_EQ(option.finding.message, "architecture 'googlenet' has no option 'aux'");
  EXPECT_EQ(option.finding.hint, "googlenet:transform_input");
  EXPECT_EQ(architecture_graph("resnet18:transform_input", {}).error().finding.message,
            "architecture 'resnet18' has no option 'transform_input'");
}

TEST(Architectures, WhatTheInputIsLeftAsIsSaid) {
  const StateDict state = zeros_of("inception_v3");
  EXPECT_EQ(architecture_graph("inception_v3", state)->notes().size(), 1u);
  EXPECT_TRUE(architecture_graph("inception_v3:transform_input", state)->notes().empty());
}

TEST(Architectures, WeightsOfAnotherArchitectureAreRefusedWithItsName) {
  const StateDict deeper = zeros_of("resnet34");
  const Result<Model> model = Model::create(architecture_graph("resnet18", deeper).value(), deeper);
  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().code, ErrorCode::mismatch);
  ASSERT_EQ(architectures_like(deeper).size(), 1u);
  EXPECT_EQ(architectures_like(deeper)[0]->name, "resnet34");
  // Names of vit_b_16 and vit_b_32 are the same, their kernels are not.
  ASSERT_EQ(architectures_like(zeros_of("vit_b_32")).size(), 1u);
  // With another head it still is one.
  StateDict headless;
  for (const auto& [name, tensor] : deeper) {
    if (!name.starts_with("fc.")) headless.insert(name, tensor);
  }
  EXPECT_EQ(architectures_like(headless).size(), 1u);
  EXPECT_TRUE(architectures_like({}).empty());
  StateDict other;
  other.insert("fc1.weight", zeros(DType::f32, {2, 3}));
  EXPECT_TRUE(architectures_like(other).empty());
}

// Whatever shapes a file claims, there is a graph that misfits them, or a clear refusal.
TEST(Architectures, OddShapesOfWeightsDoNoHarm) {
  constexpr std::int64_t kHuge = std::int64_t{1} << 40;
  for (const ArchitectureInfo& info : architectures()) {
    const Result<Graph> bare = architecture_graph(info.name, {});
    ASSERT_TRUE(bare) << info.name << ": " << bare.error().finding.message;
    EXPECT_EQ(Model::create(*bare, {}).error().code, ErrorCode::mismatch) << info.name;
    const Storage storage = zeros(DType::f32, {1}).storage();
    for (const Shape& shape : {Shape{}, Shape{0}, Shape{0, 0, 0, 0}, Shape{1, 1, 1, 1}, Shape{kHuge, 1, 1, 1},
                               Shape{1, kHuge, 1, 1}, Shape{3, 2, 1, 1}}) {
      StateDict state;
      for (const ParameterSpec& parameter : bare->parameters()) {
        state.insert(parameter.name, Tensor::view(storage, DType::f32, shape, Strides(shape.size(), 0), 0).value());
      }
      const Result<Graph> graph = architecture_graph(info.name, state);
      if (!graph) continue;
      EXPECT_FALSE(Model::create(*graph, state)) << info.name << testing::PrintToString(shape);
    }
  }
}

}  // namespace
}  // namespace rushlight
