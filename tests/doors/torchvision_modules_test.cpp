// Whole modules of torchvision 0.29 as torch.save(model) writes them: their graphs ask for exactly their state dicts,
// and compute torch's outputs from generated weights. The pickles are test data that RUSHLIGHT_TESTDATA names.
#include <gtest/gtest.h>
#include <simdjson.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "doors/module_pickle.hpp"
#include "doors/synthetic_archive.hpp"
#include "rushlight/load_model.hpp"
#include "rushlight/npy.hpp"

namespace rushlight::doors {
namespace {

constexpr const char* kModels[] = {"alexnet",
                                   "convnext_tiny",
                                   "deeplabv3_mobilenet_v3_large",
                                   "densenet121",
                                   "efficientnet_b0",
                                   "efficientnet_v2_s",
                                   "fcn_resnet50",
                                   "googlenet",
                                   "inception_v3",
                                   "lraspp_mobilenet_v3_large",
                                   "maxvit_t",
                                   "mnasnet0_5",
                                   "mobilenet_v2",
                                   "mobilenet_v3_small",
                                   "regnet_x_400mf",
                                   "regnet_y_400mf",
                                   "resnet18",
                                   "resnet50",
                                   "resnext50_32x4d",
                                   "shufflenet_v2_x0_5",
                                   "squeezenet1_1",
                                   "swin_t",
                                   "swin_v2_t",
                                   "vgg11",
                                   "vgg11_bn",
                                   "vit_b_32"};

std::vector<std::byte> file_bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::vector<char> chars{std::istreambuf_iterator<char>(file), {}};
  const auto bytes = std::as_bytes(std::span(chars));
  return {bytes.begin(), bytes.end()};
}

simdjson::dom::element parse(simdjson::dom::parser& parser, const std::string& path) {
  return parser.load(path).value();
}

Shape shape_of(simdjson::dom::element array) {
  Shape shape;
  for (const simdjson::dom::element size : array) shape.push_back(size.get_int64().value());
  return shape;
}

struct TensorRow {
  Shape shape;
  double base = 0;
  double scale = 0;
  std::string constant{};  // the file of a buffer that the constructor computes
};

// One run of a model: the input and what torch answered, by the outputs' names.
struct TorchRun {
  std::string input;
  Shape shape;
  double base;
  double scale;
  std::map<std::string, std::string> outputs;  // in double
  std::map<std::string, double> errors;        // torch's own in float32
  bool transform_input = false;                // set on the module before it ran
};

class TorchvisionModule : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const char* data = std::getenv("RUSHLIGHT_TESTDATA");
    if (data == nullptr) GTEST_SKIP() << "SKIPPED: RUSHLIGHT_TESTDATA is not set";
    folder_ = std::string(data) + "/architectures/";
    simdjson::dom::parser parser;
    const simdjson::dom::element document = parse(parser, folder_ + GetParam() + ".json");
    for (const simdjson::dom::element row : document["state_dict"]) {
      TensorRow tensor{.shape = shape_of(row.at(2))};
      if (row.get_array().value().size() == 4) {
        tensor.constant = std::string(row.at(3).get_string().value());
      } else {
        tensor.base = row.at(3).get_double().value();
        tensor.scale = row.at(4).get_double().value();
      }
      tensors_.emplace(std::string(row.at(0).get_string().value()), std::move(tensor));
    }
    add_run(document);
    simdjson::dom::array more;
    if (document["more_runs"].get_array().get(more) == simdjson::SUCCESS) {
      for (const simdjson::dom::element run : more) {
        simdjson::dom::element other;
        if (run["every"].get(other) == simdjson::SUCCESS) continue;  // only a few pixels of a large picture
        add_run(run);
        runs_.back().transform_input = run["constructor"].get(other) == simdjson::SUCCESS;
      }
    }
  }

  void add_run(simdjson::dom::element document) {
    TorchRun run{std::string(document["input"]["name"].get_string().value()),
                 shape_of(document["input"]["shape"]),
                 document["input"]["base"].get_double().value(),
                 document["input"]["scale"].get_double().value(),
                 {},
                 {}};
    for (const auto [key, file] : document["outputs64"].get_object()) {
      run.outputs.emplace(std::string(key), std::string(file.get_string().value()));
    }
    for (const auto [key, error] : document["error"].get_object()) {
      run.errors.emplace(std::string(key), error.get_double().value());
    }
    runs_.push_back(std::move(run));
  }

  // torch.save(model) with the generated weights.
  [[nodiscard]] Checkpoint checkpoint() const {
    simdjson::dom::parser parser;
    const simdjson::dom::element document = parse(parser, folder_ + GetParam() + ".module.json");
    test::SyntheticArchive archive;
    archive.add_gzip("archive/data.pkl", file_bytes(folder_ + GetParam() + ".module.pkl.gz"));
    for (const simdjson::dom::element row : document["storages"]) {
      const std::string name(row.at(3).get_string().value());
      test::SyntheticStorage storage{.size_bytes = row.at(2).get_uint64().value(), .name = name};
      const TensorRow& tensor = tensors_.at(name);
      storage.base = tensor.base;
      storage.scale = tensor.scale;
      if (!tensor.constant.empty()) {
        const Tensor constant = read_npy(folder_ + tensor.constant).value();
        const auto bytes = constant.bytes().value();
        storage.bytes.assign(bytes.begin(), bytes.end());
      } else if (row.at(1).get_string().value() == "int64") {
        storage.bytes.assign(storage.size_bytes, std::byte{0});
      }
      archive.add_storage(std::string(row.at(0).get_string().value()), std::move(storage));
    }
    return Checkpoint::open(std::move(archive).finish()).value();
  }

  std::string folder_;
  std::map<std::string, TensorRow> tensors_;
  std::vector<TorchRun> runs_;
};

// Of an output that segmentation calls "out" and "aux", and the others "output" here and "logits" there.
std::string file_key(const std::string& output) {
  return output == "output" ? "logits" : output;
}

TEST_P(TorchvisionModule, AsksForItsOwnStateDict) {
  const Result<Graph> graph = graph_of_module(checkpoint().root(), {});
  ASSERT_TRUE(graph) << graph.error().finding.message;
  std::set<std::string> named;
  for (const ParameterSpec& parameter : graph->parameters()) {
    const auto found = tensors_.find(parameter.name);
    ASSERT_NE(found, tensors_.end()) << parameter.name;
    EXPECT_EQ(parameter.shape, found->second.shape) << parameter.name;
    EXPECT_TRUE(named.insert(parameter.name).second) << parameter.name;
  }
  // What it does not ask for: counts of batches, what windows precompute, and the heads of training.
  for (const auto& [name, tensor] : tensors_) {
    if (named.contains(name)) continue;
    const bool is_head = name.starts_with("aux1.") || name.starts_with("aux2.") || name.starts_with("AuxLogits.");
    EXPECT_TRUE(is_head || name.ends_with(".num_batches_tracked") || !tensor.constant.empty()) << name;
  }
  for (const std::string& note : graph->notes()) {
    EXPECT_TRUE(note.starts_with("computed in training only, and left out: ")) << note;
  }
  for (const TorchRun& run : runs_) {
    const Result<std::vector<Shape>> shapes = graph->infer_shapes(std::vector<Shape>{run.shape});
    ASSERT_TRUE(shapes) << shapes.error().finding.message;
    ASSERT_EQ(graph->outputs().size(), run.outputs.size());
    for (const Port& output : graph->outputs()) {
      const Tensor want = read_npy(folder_ + run.outputs.at(file_key(output.name))).value();
      EXPECT_EQ((*shapes)[static_cast<std::size_t>(output.edge.index)],
                Shape(want.shape().begin(), want.shape().end()));
    }
  }
}

// With an attribute that users set after they made the module, as the published weights of GoogLeNet come with.
Result<Model> with_transform_input(const Checkpoint& checkpoint) {
  ValueEditor edit(checkpoint.root());
  edit.set("transform_input", true).value();
  Result<Graph> graph = graph_of_module(edit.value(), {});
  if (!graph) return graph.error();
  return Model::create(*std::move(graph), checkpoint.state_dict().value());
}

// By the rule of the test data: at most four times torch's own error, or 2e-5, relative to the largest output.
TEST_P(TorchvisionModule, ComputesWhatTorchComputes) {
  const Checkpoint opened = checkpoint();
  const auto model_for = [&](const TorchRun& run) {
    return run.transform_input ? with_transform_input(opened) : load_model(opened);
  };
  SessionOptions options;
  if (const Model model = load_model(opened).value(); !model.session(Device::cpu(), options)) {
    std::cout << "SKIPPED: on the CPU: " << model.session(Device::cpu(), options).error().finding.message << "\n";
    // The reference is slow: the smallest picture.
    const auto pixels = [](const TorchRun& run) { return run.shape[0] * run.shape[2] * run.shape[3]; };
    runs_ = {*std::min_element(runs_.begin(), runs_.end(),
                               [&](const TorchRun& a, const TorchRun& b) { return pixels(a) < pixels(b); })};
    options.implementation = Implementation::reference;
  }
  for (const TorchRun& run : runs_) {
    const Result<Model> model = model_for(run);
    ASSERT_TRUE(model) << model.error().finding.message;
    std::vector<float> pixels(static_cast<std::size_t>(run.shape[0] * run.shape[1] * run.shape[2] * run.shape[3]));
    const std::uint64_t seed = test::synthetic_seed(run.input);
    for (std::size_t i = 0; i < pixels.size(); ++i) {
      pixels[i] = test::synthetic_value(seed, i, run.base, run.scale);
    }
    const Tensor input = Tensor::from_values<float>(pixels, run.shape).value();
    const std::vector<Tensor> outputs =
        model->session(Device::cpu(), options).value().run(std::span(&input, 1)).value();
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      const std::string key = file_key(model->outputs()[i].name);
      const std::span<const float> have = outputs[i].values<float>().value();
      const Tensor stored = read_npy(folder_ + run.outputs.at(key)).value();
      const std::span<const double> want = stored.values<double>().value();
      ASSERT_EQ(have.size(), want.size());
      double largest = 0;
      double error = 0;
      for (std::size_t k = 0; k < want.size(); ++k) {
        ASSERT_TRUE(std::isfinite(have[k])) << k;
        largest = std::max(largest, std::abs(want[k]));
        error = std::max(error, std::abs(static_cast<double>(have[k]) - want[k]));
      }
      std::cout << GetParam() << " " << key << ": ours " << error / largest << ", torch's " << run.errors.at(key)
                << "\n";
      EXPECT_LE(error / largest, std::max(4 * run.errors.at(key), 2e-5)) << key;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(TestData, TorchvisionModule, testing::ValuesIn(kModels),
                         [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace rushlight::doors
