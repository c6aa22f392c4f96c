// Whole modules of the golden set modules-more: modules at several places and called twice, modules of several inputs,
// and those whose operators came late. Each computes what PyTorch computed, and takes its own state dict strictly.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include "rushlight/checkpoint.hpp"
#include "rushlight/load_model.hpp"
#include "rushlight/transformer.hpp"

namespace rushlight {
namespace {

const std::string kFolder = std::string(RUSHLIGHT_GOLDEN_DIR) + "/modules-more/";

Checkpoint open(const std::string& name) {
  return Checkpoint::open(kFolder + name + ".pt").value();
}

struct Sample {
  std::vector<Tensor> inputs;
  Tensor output;
};
Sample sample_of(const std::string& name) {
  const StateDict arrays = Checkpoint::open(kFolder + name + ".npz").value().state_dict().value();
  Sample sample{{}, *arrays.find("output")};
  while (const Tensor* input = arrays.find("input" + std::to_string(sample.inputs.size()))) {
    sample.inputs.push_back(*input);
  }
  return sample;
}

void expect_torchs_output(const Model& model, const Sample& sample) {
  for (const Implementation implementation : {Implementation::automatic, Implementation::reference}) {
    Session session = model.session(Device::cpu(), {.implementation = implementation}).value();
    const Result<std::vector<Tensor>> outputs = session.run(sample.inputs);
    ASSERT_TRUE(outputs) << outputs.error().finding.message;
    const Tensor& have = outputs->front();
    ASSERT_EQ(Shape(have.shape().begin(), have.shape().end()),
              Shape(sample.output.shape().begin(), sample.output.shape().end()));
    const std::span<const float> a = have.values<float>().value();
    const std::span<const float> b = sample.output.values<float>().value();
    double largest = 0;
    for (const float value : b) largest = std::max(largest, std::abs(static_cast<double>(value)));
    for (std::size_t i = 0; i < a.size(); ++i) {
      ASSERT_LE(std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])), 5e-6 * largest) << "at " << i;
    }
  }
}

// self.child(x) for each of these in turn.
Result<Graph> calls(const Value& module, std::initializer_list<const char*> children) {
  GraphBuilder graph;
  Edge x = graph.input("x");
  for (const std::string_view child : children) {
    if (child == "relu") {
      x = graph.apply("", ReLU{}, x);
      continue;
    }
    const Result<Edge> y = apply_child(graph, module, child, x);
    if (!y) return y.error();
    x = *y;
  }
  graph.output("output", x);
  return graph.build();
}

ModelOptions with_builders() {
  ModelOptions options;
  options.classes["__main__.Twice"] = [](const Value& module) {
    return calls(module, {"fc", "bn", "relu", "fc", "bn"});
  };
  options.classes["__main__.Stages"] = [](const Value& module) {
    return calls(module, {"stem", "block", "again", "head"});
  };
  return options;
}

class MoreModules : public testing::TestWithParam<const char*> {};
TEST_P(MoreModules, ComputeWhatTorchComputed) {
  const Checkpoint checkpoint = open(GetParam());
  const Result<Model> model = load_model(checkpoint, with_builders());
  ASSERT_TRUE(model) << model.error().finding.message;
  expect_torchs_output(*model, sample_of(GetParam()));
  // As model.load_state_dict(model.state_dict()), and without one of its tensors.
  const StateDict state = checkpoint.state_dict().value();
  LoadReport report;
  ASSERT_TRUE(model->with_state_dict(state, &report)) << GetParam();
  EXPECT_TRUE(report.ok());
  if (model->graph().parameters().empty()) return;
  StateDict less = state;
  const std::string name = model->graph().parameters().back().name;
  less.erase(name);
  EXPECT_FALSE(model->with_state_dict(less, &report));
  EXPECT_EQ(report.missing, (std::vector<std::string>{name}));
}
INSTANTIATE_TEST_SUITE_P(, MoreModules,
                         testing::Values("one_layer_twice", "called_twice", "one_block_twice", "transformer",
                                         "transformer_batch_first", "transformer_wrapped", "transformer_decoder",
                                         "transformer_encoder", "multihead_attention", "bilinear", "fractional2d",
                                         "fractional2d_ratio", "fractional3d", "cross_map_lrn", "sync_batch_norm_rows",
                                         "sync_batch_norm_volumes"),
                         [](const auto& each) { return std::string(each.param); });

TEST(SharedModules, HaveTheNamesOfTorchsStateDict) {
  const auto names = [](const char* file) {
    const Model model = load_model(open(file), with_builders()).value();
    std::vector<std::string> found;
    for (const ParameterSpec& parameter : model.graph().parameters()) {
      if (parameter.name.ends_with("weight")) found.push_back(parameter.name);
    }
    return found;
  };
  EXPECT_EQ(names("one_layer_twice"), (std::vector<std::string>{"0.weight", "2.weight", "3.1.weight"}));
  EXPECT_EQ(names("called_twice"), (std::vector<std::string>{"fc.weight", "bn.weight"}));
  EXPECT_EQ(names("one_block_twice"),
            (std::vector<std::string>{"stem.weight", "block.0.weight", "again.0.weight", "head.weight"}));
}

TEST(ModulesOfSeveralInputs, HaveTorchsNamesForThem) {
  const auto names = [](const char* file) {
    std::vector<std::string> found;
    const Model model = load_model(open(file)).value();
    for (const Port& port : model.inputs()) found.push_back(port.name);
    return found;
  };
  EXPECT_EQ(names("transformer"), (std::vector<std::string>{"src", "tgt"}));
  EXPECT_EQ(names("transformer_wrapped"), (std::vector<std::string>{"src", "tgt"}));
  EXPECT_EQ(names("transformer_decoder"), (std::vector<std::string>{"tgt", "memory"}));
  EXPECT_EQ(names("transformer_encoder"), (std::vector<std::string>{"input"}));
  EXPECT_EQ(names("multihead_attention"), (std::vector<std::string>{"query", "key", "value"}));
  EXPECT_EQ(names("bilinear"), (std::vector<std::string>{"input1", "input2"}));
}

TEST(FractionalMaxPool, WithoutSamplesIsRefusedWithTheRemedy) {
  const Result<Model> model = load_model(open("fractional_random"));
  ASSERT_FALSE(model);
  EXPECT_EQ(model.error().code, ErrorCode::unsupported);
  EXPECT_EQ(
      model.error().finding.message,
      "layer '0' (torch.nn.modules.pooling.FractionalMaxPool2d): it draws where its windows lie at random in every "
      "forward(), in eval mode too");
  EXPECT_EQ(model.error().finding.hint,
            "give it the samples before torch.save: FractionalMaxPool2d(..., _random_samples=torch.rand(N, C, 2))");
}

// The same networks by the C++ builder, and their sizes off the weights.
TEST(TransformerBlocks, ComputeWhatTheModulesCompute) {
  {
    GraphBuilder g;
    const Edge src = g.input("src");
    Transformer sizes{.layer = {.nhead = 2, .batch_first = true, .norm_first = true}};
    sizes.layer.activation = GELU{};
    sizes.num_encoder_layers = 2;
    sizes.num_decoder_layers = 2;
    g.output("y", transformer(g, "", sizes, src, g.input("tgt")));
    const StateDict state = open("transformer_batch_first").state_dict().value();
    expect_torchs_output(Model::create(g.build().value(), state).value(), sample_of("transformer_batch_first"));
  }
  {
    GraphBuilder g;
    const Edge tgt = g.input("tgt");
    const TransformerLayer layer{.d_model = 8, .nhead = 2, .dim_feedforward = 12};
    g.output("y", transformer_decoder(g, "", layer, 2, true, tgt, g.input("memory")));
    const StateDict state = open("transformer_decoder").state_dict().value();
    expect_torchs_output(Model::create(g.build().value(), state).value(), sample_of("transformer_decoder"));
  }
  {
    GraphBuilder g;
    const TransformerLayer layer{.nhead = 2, .batch_first = true};
    g.output("y", transformer_encoder(g, "", layer, 2, false, g.input("src")));
    const StateDict state = open("transformer_encoder").state_dict().value();
    expect_torchs_output(Model::create(g.build().value(), state).value(), sample_of("transformer_encoder"));
  }
}

}  // namespace
}  // namespace rushlight
