#include "rushlight/load_model.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "doors/module_pickle.hpp"
#include "model/operator_table.hpp"
#include "rushlight/checkpoint.hpp"
#include "rushlight/npy.hpp"
#include "rushlight/save.hpp"
#include "rushlight/source.hpp"
#include "support/architecture_case.hpp"
#include "support/test_sink.hpp"
#include "zip/archive.hpp"

namespace rushlight {
namespace {

const std::string kGolden = RUSHLIGHT_GOLDEN_DIR;
const std::string kModules = kGolden + "/format/modules/";

constexpr std::string_view kFashionSpec = R"({"schema": 1, "input": [1, 28, 28], "normalise": {"scale": 255},
  "layers": [{"conv2d": "conv1", "padding": 1}, {"batchnorm2d": "bn1"}, "relu", {"maxpool2d": 2},
             {"conv2d": "conv2", "padding": 1}, {"batchnorm2d": "bn2"}, "relu", {"maxpool2d": 2},
             "flatten", {"linear": "fc1"}, "relu", {"linear": "fc2"}]})";

Checkpoint open(const std::string& path) {
  return Checkpoint::open(path).value();
}

// Weights of a squeezenet, in a file without the structure.
Checkpoint open_squeezenet(const std::string& version) {
  const auto architecture = test::read_architecture(kGolden + "/architectures", "squeezenet" + version);
  test::TestSink sink;
  EXPECT_TRUE(save(test::make_state_dict(architecture), sink));
  const auto text = std::make_shared<const std::string>(sink.text());
  return Checkpoint::open(Source::from_memory(std::as_bytes(std::span(*text)), "squeezenet.pt", text)).value();
}

struct Refusal {
  ErrorCode code = ErrorCode::io;
  std::string message;
  std::string hint;
};
Refusal refusal(const std::string& path, const ModelOptions& options = {}) {
  const Result<Model> model = load_model(open(path), options);
  if (model) return {ErrorCode::io, "no refusal", ""};
  return {model.error().code, model.error().finding.message, model.error().finding.hint};
}

// Tolerance of format-spec's parity: relative to the largest output, 5e-6 a layer and 2e-5 end to end.
void expect_close(const Tensor& have, const Tensor& want, double tolerance) {
  ASSERT_EQ(Shape(have.shape().begin(), have.shape().end()), Shape(want.shape().begin(), want.shape().end()));
  const std::span<const float> a = have.values<float>().value();
  const std::span<const float> b = want.values<float>().value();
  double largest = 0;
  for (const float value : b) {
    if (!std::isnan(value)) largest = std::max(largest, std::abs(static_cast<double>(value)));
  }
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (std::isnan(a[i]) && std::isnan(b[i])) continue;  // the root of a negative sum in LPPool2d
    ASSERT_TRUE(std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])) <= tolerance * largest) << i;
  }
}

TEST(LoadModel, WeightsAndASpecAreAModel) {
  const Model model =
      load_model(open(kGolden + "/fashion/fashion_cnn.pt"), {.spec = std::string(kFashionSpec)}).value();
  EXPECT_EQ(model.graph().nodes()[4].op.get<Conv2d>(), (Conv2d{32, 64, 3, 1, 1}));
  EXPECT_EQ(model.graph().nodes()[9].op.get<Linear>(), (Linear{3136, 128}));
  EXPECT_EQ(model.state_dict().size(), 16u);
}

TEST(LoadModel, TheStateDictOfATrainingCheckpointIsFound) {
  LoadReport report;
  const Model model =
      load_model(open(kGolden + "/fashion/fashion_ckpt.pt"), {.spec = std::string(kFashionSpec), .report = &report})
          .value();
  EXPECT_EQ(model.state_dict().path(), "model_state_dict");
  EXPECT_TRUE(report.ok());
}

TEST(LoadModel, TheStateDictCanBeNamed) {
  EXPECT_TRUE(load_model(open(kGolden + "/fashion/fashion_ckpt.pt"),
                         {.spec = std::string(kFashionSpec), .state_dict = "model_state_dict"}));
  const Refusal none = refusal(kGolden + "/fashion/fashion_ckpt.pt",
                               {.spec = std::string(kFashionSpec), .state_dict = "model_state_dcit"});
  EXPECT_EQ(none.code, ErrorCode::not_found);
}

TEST(LoadModel, WeightsAloneSayNotHowToComputeWithThem) {
  const Refusal refused = refusal(kGolden + "/fashion/fashion_cnn.pt");
  EXPECT_EQ(refused.code, ErrorCode::unsupported);
  EXPECT_EQ(refused.message, "the file holds weights, and nothing that says how to compute with them");
  EXPECT_EQ(refused.hint,
            "give the structure: a named architecture (ModelOptions::arch, --arch), a JSON spec (ModelOptions::spec, "
            "--spec), or a whole module saved with torch.save(model), its own classes mapped by ModelOptions::classes");
}

TEST(LoadModel, AnArchitectureIsBuiltForTheWeights) {
  const Refusal refused = refusal(kGolden + "/fashion/fashion_cnn.pt", {.arch = "resnet19"});
  EXPECT_EQ(refused.code, ErrorCode::invalid_argument);
  EXPECT_EQ(refused.message, "architecture 'resnet19' is none of the 86 that are built in");
  EXPECT_EQ(refusal(kGolden + "/fashion/fashion_cnn.pt", {.arch = "resnet18", .spec = "{}"}).message,
            "give one of arch and spec, not both");

  const Checkpoint small = open_squeezenet("1_1");
  EXPECT_EQ(load_model(small, {.arch = "squeezenet1_1"})->outputs()[0].name, "logits");
  const test::ArchitectureCase large = test::read_architecture(kGolden + "/architectures", "squeezenet1_0");
  EXPECT_TRUE(load_model(small, test::make_state_dict(large), {.arch = "squeezenet1_0"}));
}

// A guess is named and never run.
TEST(LoadModel, AnArchitectureThatFitsBetterIsNamed) {
  const Checkpoint checkpoint = open_squeezenet("1_0");
  LoadReport report;
  const Result<Model> model = load_model(checkpoint, {.arch = "squeezenet1_1", .report = &report});
  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().code, ErrorCode::mismatch);
  EXPECT_FALSE(report.ok());
  EXPECT_TRUE(model.error().finding.hint.ends_with("the names look like those of squeezenet1_0"))
      << model.error().finding.hint;
  const Result<Model> bare = load_model(checkpoint);
  ASSERT_FALSE(bare);
  EXPECT_TRUE(bare.error().finding.hint.starts_with(
      "the names look like those of squeezenet1_0 (--arch); or give the structure: a named architecture"));
}

TEST(LoadModel, ABadSpecComesBeforeTheWeights) {
  EXPECT_EQ(refusal(kGolden + "/fashion/fashion_cnn.pt", {.spec = "{}"}).message, "spec: key 'schema' is missing");
}

TEST(LoadModel, ASpecThatDoesNotFitIsReportedWhole) {
  LoadReport report;
  const Refusal refused =
      refusal(kGolden + "/fashion/fashion_cnn.pt",
              {.spec = R"({"schema": 1, "layers": [{"linear": "fc1"}, {"linear": "fc3"}]})", .report = &report});
  EXPECT_EQ(refused.code, ErrorCode::mismatch);
  EXPECT_EQ(report.missing, (std::vector<std::string>{"fc3.weight", "fc3.bias"}));
  EXPECT_EQ(report.unexpected.size(), 16u);  // the batch counts of norms that are not there are unexpected too
}

// __main__.Net with conv1, bn1, conv2, bn2, fc1, fc2; what lies between them was written in forward().
Result<Graph> build_fashion_net(const Value& module) {
  EXPECT_EQ(module.class_name(), "__main__.Net");
  EXPECT_EQ(module.attr("_modules")["fc1"].attr("in_features").as_int(), 3136);
  return Sequential{Layer("conv1", Conv2d{.padding = 1}),
                    Layer("bn1", BatchNorm2d{}),
                    ReLU{},
                    MaxPool2d{2},
                    Layer("conv2", Conv2d{.padding = 1}),
                    Layer("bn2", BatchNorm2d{}),
                    ReLU{},
                    MaxPool2d{2},
                    Flatten{},
                    Layer("fc1", Linear{}),
                    ReLU{},
                    Layer("fc2", Linear{})}
      .graph({1, 28, 28});
}

TEST(LoadModel, APickledUserClassIsBuiltByTheCaller) {
  const Model model =
      load_model(open(kGolden + "/fashion/fashion_module.pt"), {.classes = {{"__main__.Net", build_fashion_net}}})
          .value();
  EXPECT_EQ(model.state_dict().size(), 16u);
  EXPECT_EQ(model.graph().nodes()[1].op.get<BatchNorm2d>().num_features, 32);
}

TEST(LoadModel, WithoutABuilderTheUserClassIsNamed) {
  const Refusal refused = refusal(kGolden + "/fashion/fashion_module.pt");
  EXPECT_EQ(refused.code, ErrorCode::unsupported);
  EXPECT_EQ(refused.message,
            "the module (__main__.Net): what its forward() computes is not in the file; its children are conv1 "
            "(Conv2d), bn1 (BatchNorm2d), conv2 (Conv2d), bn2 (BatchNorm2d), fc1 (Linear), fc2 (Linear)");
  EXPECT_EQ(refused.hint,
            "map '__main__.Net' to a builder in ModelOptions::classes that does what forward() does (apply_child() "
            "calls a child), describe the network in a JSON spec (--spec), or name a built-in architecture (--arch)");
}

TEST(LoadModel, AModuleTakesASpecToo) {
  EXPECT_TRUE(load_model(open(kGolden + "/fashion/fashion_module.pt"), {.spec = std::string(kFashionSpec)}));
}

TEST(LoadModel, TheWeightsMayComeFromAnotherFile) {
  const Checkpoint structure = open(kGolden + "/fashion/fashion_module.pt");
  const StateDict weights = open(kGolden + "/fashion/fashion_ckpt.pt").state_dict("model_state_dict").value();
  const Model model = load_model(structure, weights, {.classes = {{"__main__.Net", build_fashion_net}}}).value();
  EXPECT_TRUE(model.state_dict().find("fc1.weight")->shares_storage_with(*weights.find("fc1.weight")));
}

// Sequential trees of stock layers: torch's own files, with torch's inputs and outputs.
TEST(LoadModel, APickledSequentialRunsAsTorchRanIt) {
  const Model model = load_model(open(kModules + "cnn.pt")).value();
  EXPECT_TRUE(model.graph().notes().empty());
  Session session = model.session().value();
  const Tensor output = session.run(read_npy(kModules + "cnn.input.npy").value()).value();
  expect_close(output, read_npy(kModules + "cnn.output.npy").value(), 2e-5);
}

TEST(LoadModel, StridesOfTheWeightsDoNotMatter) {
  const Model model = load_model(open(kModules + "channels_last.pt")).value();
  Session session = model.session().value();
  const Tensor output = session.run(read_npy(kModules + "cnn.input.npy").value()).value();
  expect_close(output, read_npy(kModules + "cnn.output.npy").value(), 2e-5);
}

TEST(LoadModel, TrainingModeIsNoted) {
  EXPECT_EQ(load_model(open(kModules + "cnn_training_mode.pt")).value().graph().notes(),
            (std::vector<std::string>{"stored in training mode; inference means eval"}));
}

TEST(LoadModel, SharedLayersAndTiedWeightsShareOneTensor) {
  const Model shared = load_model(open(kModules + "shared_layers.pt")).value();
  const StateDict& parameters = shared.state_dict();
  EXPECT_TRUE(parameters.find("0.weight")->shares_storage_with(*parameters.find("2.weight")));
  EXPECT_TRUE(parameters.find("0.weight")->shares_storage_with(*parameters.find("3.0.weight")));
  const Model tied = load_model(open(kModules + "tied_weights.pt")).value();
  EXPECT_TRUE(tied.state_dict().find("0.weight")->shares_storage_with(*tied.state_dict().find("1.weight")));
}

struct Refused {
  const char* file;
  const char* message;
};
void PrintTo(const Refused& refused, std::ostream* out) {
  *out << refused.file;
}

class RefusedModules : public testing::TestWithParam<Refused> {};
TEST_P(RefusedModules, SayWhy) {
  const Refusal refused = refusal(kModules + GetParam().file);
  EXPECT_EQ(refused.code, ErrorCode::unsupported);
  EXPECT_EQ(refused.message, GetParam().message);
}
INSTANTIATE_TEST_SUITE_P(
    Golden, RefusedModules,
    testing::Values(
        Refused{"pool2d.pt",
                "layer '2' (torch.nn.modules.pooling.MaxPool2d): return_indices True is not built, only False"},
        Refused{"embedding.pt",
                "layer '2' (torch.nn.modules.sparse.Embedding): max_norm 1 is not built, only None: it changes the "
                "weights when it looks up"},
        Refused{"rnn.pt",
                "layer '0' (torch.nn.modules.rnn.RNN): it returns a tuple (output, h_n), and what follows it takes a "
                "tensor"},
        Refused{"rnn_cells.pt",
                "layer '2' (torch.nn.modules.rnn.LSTMCell): it returns a tuple (h_1, c_1), and what follows it takes a "
                "tensor"},
        Refused{"attention.pt",
                "layer '0' (torch.nn.modules.activation.MultiheadAttention): it takes 3 inputs, and here it gets 1"},
        Refused{"bilinear.pt", "layer '0' (torch.nn.modules.linear.Bilinear): it takes 2 inputs, and here it gets 1"},
        Refused{"transformer_decoder.pt",
                "layer '0' (torch.nn.modules.transformer.TransformerDecoderLayer): it takes 2 inputs, and here it gets "
                "1"},
        Refused{"unpool.pt", "layer '0' (torch.nn.modules.pooling.MaxUnpool1d): it takes 2 inputs, and here it gets 1"},
        Refused{"losses.pt", "the module (torch.nn.modules.container.ModuleList): it has no forward() of its own"},
        Refused{"quantized_dynamic.pt",
                "layer '0' (torch.ao.nn.quantized.dynamic.modules.linear.Linear): this class of torch is not computed "
                "here"},
        Refused{"user_class.pt",
                "the module (my_project.models.TinyNet): what its forward() computes is not in the file; its children "
                "are stem (my_project.models.Block, not known either), body (Sequential), head (Linear)"},
        Refused{"containers.pt", "the module (torch.nn.modules.module.Module): it has no forward() of its own"},
        Refused{"lazy.pt",
                "layer '0' (torch.nn.modules.linear.LazyLinear): it was saved before its first forward(), and has no "
                "parameters yet"},
        Refused{"weight_norm_old.pt",
                "the module (torch.nn.modules.linear.Linear): torch.nn.utils.weight_norm computes its weight anew in "
                "every forward()"},
        Refused{"list_of_modules.pt", "the file holds weights, and nothing that says how to compute with them"}),
    [](const auto& test) {
      const std::string file = test.param.file;
      return file.substr(0, file.find('.'));
    });

// my_project.models: a Block is conv, bn, act; TinyNet is stem, body, the mean of all pixels, head.
Layer block_of(const std::string& name, const Value& module) {
  const Value conv = module.attr("_modules")["conv"];
  const std::int64_t stride = conv.attr("stride").item(0).as_int().value_or(0);
  const std::int64_t padding = conv.attr("padding").item(0).as_int().value_or(0);
  return Layer(name, Sequential{Layer("conv", Conv2d{.stride = stride, .padding = padding, .bias = false}),
                                Layer("bn", BatchNorm2d{}), ReLU{}});
}
Result<Graph> build_tiny_net(const Value& module) {
  const Value children = module.attr("_modules");
  const Value blocks = children["body"].attr("_modules");
  return Sequential{block_of("stem", children["stem"]),
                    Layer("body", Sequential{block_of("0", blocks["0"]), block_of("1", blocks["1"])}),
                    AdaptiveAvgPool2d{1}, Flatten{}, Layer("head", Linear{})}
      .graph();
}

TEST(LoadModel, ANestedUserClassRunsAsTorchRanIt) {
  const ModelOptions options{.classes = {{"my_project.models.TinyNet", build_tiny_net}}};
  const Model model = load_model(open(kModules + "user_class.pt"), options).value();
  EXPECT_EQ(model.state_dict().find("anchor"), nullptr);  // a buffer that is not persistent
  const Tensor input = read_npy(kModules + "user_class.input.npy").value();
  std::vector<float> values;
  for (const float value : input.values<float>().value()) values.push_back(value - 0.5F);  // forward() does
  Session session = model.session().value();
  const Shape shape(input.shape().begin(), input.shape().end());
  const Tensor output = session.run(Tensor::from_values<float>(values, shape).value()).value();
  expect_close(output, read_npy(kModules + "user_class.output.npy").value(), 2e-5);
}

// Files of many layers, each of which torch applied by itself to one input: every one whose class is in our table must
// compute what torch computed. A max pool that gives its indices as well has two outputs: no layer of a sequence.
struct Family {
  const char* name;
  std::size_t computed;
  std::size_t refused = 0;
};
void PrintTo(const Family& family, std::ostream* out) {
  *out << family.name;
}

std::optional<Tensor> find_array(const std::string& npz, const std::string& name) {
  std::vector<Finding> oddities;
  const auto archive = zip::Archive::open(open_file(npz).value(), {}, oddities).value();
  const zip::Entry* entry = archive->find(name + ".npy");
  if (entry == nullptr) return std::nullopt;
  const zip::RecordBytes bytes = archive->read(*entry, std::uint64_t{1} << 20).value();
  return read_npy(Source::from_memory(bytes.span(), name, bytes.owner())).value();
}

class Families : public testing::TestWithParam<Family> {};
TEST_P(Families, ComputeWhatTorchComputed) {
  const std::string path = kModules + GetParam().name;
  const Checkpoint checkpoint = open(path + ".pt");
  const StateDict all = checkpoint.state_dict().value();
  const Tensor input = read_npy(path + ".input.npy").value();
  std::size_t computed = 0;
  std::size_t refused = 0;
  const Value layers = checkpoint.root().attr("_modules");
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const auto [key, layer] = layers.entry(i);
    const std::string name(key.as_string().value());
    SCOPED_TRACE(name);
    if (model::find_torch_class(layer.class_name()) == nullptr) continue;
    if (name == "6" && std::string_view(GetParam().name) == "norm2d") continue;  // CrossMapLRN2d: in modules-more
    const Result<Graph> graph = doors::graph_of_module(layer, {});
    if (!graph) {
      EXPECT_EQ(graph.error().code, ErrorCode::unsupported);
      ++refused;
      continue;
    }
    StateDict own;
    for (const auto& [full, tensor] : all) {
      if (full.starts_with(name + ".")) own.insert(full.substr(name.size() + 1), tensor);
    }
    const Model model = Model::create(*graph, own).value();
    for (const Implementation implementation : {Implementation::automatic, Implementation::reference}) {
      Session session = model.session(Device::cpu(), {.implementation = implementation}).value();
      expect_close(session.run(input).value(), find_array(path + ".outputs.npz", name).value(), 5e-6);
    }
    ++computed;
  }
  EXPECT_EQ(computed, GetParam().computed);
  EXPECT_EQ(refused, GetParam().refused);
}
INSTANTIATE_TEST_SUITE_P(Golden, Families,
                         testing::Values(Family{"conv2d", 12}, Family{"pool2d", 10, 2}, Family{"norm1d", 15},
                                         Family{"norm2d", 7}, Family{"linear", 4}, Family{"activations", 32},
                                         Family{"dropout", 1}, Family{"shape", 10}),
                         [](const auto& test) { return std::string(test.param.name); });

}  // namespace
}  // namespace rushlight
