// Whole modules of torchvision 0.29 as torch.save(model) writes them: their graphs ask for exactly their state dicts,
// and compute PyTorch's outputs from generated weights. The quick runs are golden files; RUSHLIGHT_TESTDATA names the
// others.
#include <gtest/gtest.h>
#include <simdjson.h>

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "architectures/compare.hpp"
#include "doors/module_pickle.hpp"
#include "doors/synthetic_archive.hpp"
#include "rushlight/load_model.hpp"
#include "support/architecture_case.hpp"

namespace rushlight::doors {
namespace {

using test::ArchitectureCase;
using test::ArchitectureRun;
using test::Recipe;

const std::string kModules = RUSHLIGHT_GOLDEN_DIR "/torchvision-modules/";

std::filesystem::path architectures_folder() {
  const char* data = std::getenv("RUSHLIGHT_TESTDATA");
  return data == nullptr ? std::filesystem::path(RUSHLIGHT_GOLDEN_DIR) / "architectures"
                         : std::filesystem::path(data) / "architectures";
}

std::string file_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// What torch.save(model) writes, with the generated weights.
Checkpoint saved_module(const ArchitectureCase& architecture) {
  std::map<std::string, const Recipe*> recipes;
  for (const Recipe& recipe : architecture.state_dict) recipes.emplace(recipe.name, &recipe);
  test::SyntheticArchive archive;
  archive.add_bytes("archive/data.pkl", file_text(kModules + architecture.name + ".pkl"));
  simdjson::dom::parser parser;
  const simdjson::dom::element document = parser.load(kModules + architecture.name + ".json").value();
  for (const simdjson::dom::element row : document["storages"]) {
    const std::string name(row.at(3).get_string().value());
    const Recipe& recipe = *recipes.at(name);
    test::SyntheticStorage storage{
        .size_bytes = row.at(2).get_uint64().value(), .name = name, .base = recipe.base, .scale = recipe.scale};
    if (!recipe.file.empty() || recipe.dtype != DType::f32) {
      const Tensor constant = test::make_tensor(recipe, architecture.folder);
      const auto bytes = constant.bytes().value();
      storage.bytes.assign(bytes.begin(), bytes.end());
    }
    archive.add_storage(std::string(row.at(0).get_string().value()), std::move(storage));
  }
  return Checkpoint::open(std::move(archive).finish()).value();
}

bool transforms_input(const ArchitectureRun& run) {
  return run.arch.ends_with(":transform_input");
}

// GoogLeNet's and Inception's flag, set on the module after it was made: the published weights come with it.
Graph graph_for(const ArchitectureRun& run, const Checkpoint& checkpoint) {
  if (!transforms_input(run)) return graph_of_module(checkpoint.root(), {}).value();
  ValueEditor edit(checkpoint.root());
  edit.set("transform_input", true).value();
  return graph_of_module(edit.value(), {}).value();
}

class TorchvisionModule : public testing::TestWithParam<const char*> {};

TEST_P(TorchvisionModule, AsksForItsOwnStateDict) {
  const ArchitectureCase architecture = test::read_architecture(architectures_folder(), GetParam());
  const Checkpoint checkpoint = saved_module(architecture);
  const Result<Graph> graph = graph_of_module(checkpoint.root(), {});
  ASSERT_TRUE(graph) << graph.error().finding.message;
  std::map<std::string, Shape> shapes;
  for (const Recipe& recipe : architecture.state_dict) shapes.emplace(recipe.name, recipe.shape);
  std::set<std::string> asked_for;
  for (const ParameterSpec& parameter : graph->parameters()) {
    ASSERT_TRUE(shapes.contains(parameter.name)) << parameter.name;
    EXPECT_EQ(parameter.shape, shapes.at(parameter.name)) << parameter.name;
    EXPECT_TRUE(asked_for.insert(parameter.name).second) << parameter.name;
  }
  // What it does not ask for: counts of batches, what windows precompute, and the heads of training.
  for (const Recipe& recipe : architecture.state_dict) {
    if (asked_for.contains(recipe.name)) continue;
    const bool is_head = recipe.name.starts_with("aux") || recipe.name.starts_with("AuxLogits.");
    EXPECT_TRUE(is_head || recipe.name.ends_with(".num_batches_tracked") || !recipe.file.empty()) << recipe.name;
  }
  for (const std::string& note : graph->notes()) {
    EXPECT_TRUE(note.starts_with("computed in training only, and left out: ")) << note;
  }
  for (const ArchitectureRun& run : architecture.runs) {
    const Graph run_graph = graph_for(run, checkpoint);
    const Result<std::vector<Shape>> inferred = run_graph.infer_shapes(std::vector<Shape>{run.input.shape});
    ASSERT_TRUE(inferred) << inferred.error().finding.message;
    for (const Port& output : run_graph.outputs()) {
      Shape shape = {run.input.shape[0], 1000};
      if (output.name != "output") shape = {run.input.shape[0], 21, run.input.shape[2], run.input.shape[3]};
      EXPECT_EQ((*inferred)[static_cast<std::size_t>(output.edge.index)], shape);
    }
  }
}

TEST_P(TorchvisionModule, ComputesWhatPyTorchComputes) {
  const ArchitectureCase architecture = test::read_architecture(architectures_folder(), GetParam());
  const Checkpoint checkpoint = saved_module(architecture);
  std::size_t compared = 0;
  for (const ArchitectureRun& run : architecture.runs) {
    if (!test::has_outputs(run)) continue;
    // Opened as users open it, but for the flag.
    const Model model = transforms_input(run)
                            ? Model::create(graph_for(run, checkpoint), checkpoint.state_dict().value()).value()
                            : load_model(checkpoint).value();
    const Tensor input = test::make_tensor(run.input, architecture.folder);
    const Result<std::vector<Tensor>> outputs = model.session().value().run(std::span(&input, 1));
    ASSERT_TRUE(outputs) << outputs.error().finding.message;
    for (const test::ExpectedOutput& expected : run.outputs) {
      // One tensor is "output" to the door and "logits" to the data; segmentation has names.
      std::size_t place = 0;
      while (model.outputs()[place].name != "output" && model.outputs()[place].name != expected.name) ++place;
      const Result<test::OutputVerdict> verdict = test::judge_output(expected, run, (*outputs)[place]);
      ASSERT_TRUE(verdict) << verdict.error().finding.message;
      EXPECT_TRUE(verdict->problem.empty()) << run.arch << " " << verdict->name << " " << verdict->problem;
      std::cout << run.arch << " " << verdict->name << ": ours " << verdict->error << ", PyTorch's "
                << verdict->torch_error << "\n";
      ++compared;
    }
  }
  EXPECT_GT(compared, 0u);
}

INSTANTIATE_TEST_SUITE_P(Golden, TorchvisionModule,
                         testing::Values("alexnet", "convnext_tiny", "deeplabv3_mobilenet_v3_large", "densenet121",
                                         "efficientnet_b0", "efficientnet_v2_s", "fcn_resnet50", "googlenet",
                                         "inception_v3", "lraspp_mobilenet_v3_large", "maxvit_t", "mnasnet0_5",
                                         "mobilenet_v2", "mobilenet_v3_small", "regnet_x_400mf", "regnet_y_400mf",
                                         "resnet18", "resnet50", "resnext50_32x4d", "shufflenet_v2_x0_5",
                                         "squeezenet1_1", "swin_t", "swin_v2_t", "vgg11", "vgg11_bn", "vit_b_32"),
                         [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace rushlight::doors
