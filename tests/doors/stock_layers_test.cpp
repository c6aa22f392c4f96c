// Every layer of torch.nn, pickled by PyTorch with its attributes and its output: the golden set's modules/*.pt are
// Sequentials whose children each took the same input.
#include <gtest/gtest.h>

#include <cmath>
#include <iostream>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "doors/forward.hpp"
#include "doors/module_pickle.hpp"
#include "rushlight/checkpoint.hpp"
#include "rushlight/load_model.hpp"
#include "rushlight/npy.hpp"

namespace rushlight::doors {
namespace {

const std::string kModules = std::string(RUSHLIGHT_GOLDEN_DIR) + "/format/modules/";

struct Family {
  const char* file;
  // Children that are refused (RefusedModules in load_model_test.cpp says why).
  std::set<std::string> refused{};
};
void PrintTo(const Family& family, std::ostream* out) {
  *out << family.file;
}

class StockLayers : public testing::TestWithParam<Family> {};

StateDict below(const StateDict& all, const std::string& prefix) {
  StateDict part;
  for (const auto& [name, tensor] : all) {
    if (name.starts_with(prefix)) part.insert(name.substr(prefix.size()), tensor);
  }
  return part;
}

// What torch gave: "3", or "3.0", "3.1" and so on for a tuple.
std::vector<Tensor> torch_outputs(const StateDict& outputs, const std::string& child) {
  if (const Tensor* one = outputs.find(child)) return {*one};
  std::vector<Tensor> items;
  while (const Tensor* item = outputs.find(child + "." + std::to_string(items.size()))) items.push_back(*item);
  return items;
}

void expect_close(const Tensor& have, const Tensor& want, const std::string& what) {
  ASSERT_EQ(Shape(have.shape().begin(), have.shape().end()), Shape(want.shape().begin(), want.shape().end())) << what;
  if (want.dtype() != DType::f32) return;
  const std::span<const float> a = have.values<float>().value();
  const std::span<const float> b = want.values<float>().value();
  double largest = 0;
  for (const float value : b) {
    if (std::isfinite(value)) largest = std::max(largest, std::abs(static_cast<double>(value)));
  }
  for (std::size_t i = 0; i < a.size(); ++i) {
    ASSERT_EQ(std::isnan(a[i]), std::isnan(b[i])) << what << " at " << i;
    if (std::isnan(b[i])) continue;  // a power of a negative mean
    ASSERT_LE(std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])), 5e-6 * std::max(largest, 1e-3))
        << what << " at " << i;
  }
}

TEST_P(StockLayers, ComputeWhatTorchComputed) {
  const std::string stem = kModules + GetParam().file;
  const Checkpoint checkpoint = Checkpoint::open(stem + ".pt").value();
  const StateDict outputs = Checkpoint::open(stem + ".outputs.npz").value().state_dict().value();
  const Tensor input = read_npy(stem + ".input.npy").value();
  const StateDict weights = checkpoint.state_dict().value();
  const Value children = checkpoint.root().attr("_modules");
  std::set<std::string> not_run;
  std::size_t checked = 0;
  for (std::size_t i = 0; i < children.size(); ++i) {
    const std::string child(children.entry(i).first.as_string().value());
    const std::vector<Tensor> want = torch_outputs(outputs, child);
    if (want.empty()) continue;  // torch refuses this input, or gives something random
    const Result<Graph> graph = graph_of_module(children.entry(i).second, {});
    if (GetParam().refused.contains(child)) {
      EXPECT_FALSE(graph) << child;
      continue;
    }
    ASSERT_TRUE(graph) << child << ": " << graph.error().finding.message;
    for (const std::string& note : graph->notes()) {
      EXPECT_EQ(note, "without running statistics, so that each batch is normalised by its own: ''");
    }
    ASSERT_EQ(graph->outputs().size(), want.size()) << child;
    const Result<Model> model = Model::create(*graph, below(weights, child + "."));
    ASSERT_TRUE(model) << child << ": " << model.error().finding.message;
    const Shape shape(input.shape().begin(), input.shape().end());
    const Result<std::vector<Shape>> shapes = model->graph().infer_shapes(std::vector<Shape>{shape});
    ASSERT_TRUE(shapes) << child << ": " << shapes.error().finding.message;
    for (std::size_t k = 0; k < want.size(); ++k) {
      EXPECT_EQ((*shapes)[static_cast<std::size_t>(graph->outputs()[k].edge.index)],
                Shape(want[k].shape().begin(), want[k].shape().end()))
          << child;
    }
    ++checked;
    for (const Implementation implementation : {Implementation::automatic, Implementation::reference}) {
      Result<Session> session = model->session(Device::cpu(), {.implementation = implementation});
      if (!session && session.error().code == ErrorCode::unsupported) {
        not_run.insert(session.error().finding.message);
        continue;
      }
      ASSERT_TRUE(session) << child << ": " << session.error().finding.message;
      const Result<std::vector<Tensor>> have = session->run(std::span(&input, 1));
      ASSERT_TRUE(have) << child << ": " << have.error().finding.message;
      for (std::size_t k = 0; k < want.size(); ++k) {
        expect_close((*have)[k], want[k], std::string(GetParam().file) + " " + child);
      }
    }
  }
  EXPECT_GT(checked, 0u);
  for (const std::string& why : not_run) std::cout << "SKIPPED: not run: " << why << "\n";
}

// Two inputs: the door gives one to a root, a module that has them inside calls its child with both.
TEST(StockLayersOfTwoInputs, ComputeWhatTorchComputed) {
  for (const char* file : {"transformer_decoder", "bilinear"}) {
    const std::string stem = kModules + file;
    const Checkpoint checkpoint = Checkpoint::open(stem + ".pt").value();
    const StateDict outputs = Checkpoint::open(stem + ".outputs.npz").value().state_dict().value();
    const Tensor inputs[] = {read_npy(stem + ".input0.npy").value(), read_npy(stem + ".input1.npy").value()};
    const StateDict weights = checkpoint.state_dict().value();
    const Value children = checkpoint.root().attr("_modules");
    for (std::size_t i = 0; i < children.size(); ++i) {
      const std::string child = std::to_string(i);
      GraphBuilder builder;
      const ModelOptions options;
      ModuleCaller caller(builder, options);
      const Edge edges[] = {builder.input("a"), builder.input("b")};
      const Result<Returned> returned = caller.call(children[child], "", edges);
      ASSERT_TRUE(returned) << returned.error().finding.message;
      builder.output("y", returned->items.front().second);
      const Model model = Model::create(builder.build().value(), below(weights, child + ".")).value();
      const std::vector<Shape> shapes = {Shape(inputs[0].shape().begin(), inputs[0].shape().end()),
                                         Shape(inputs[1].shape().begin(), inputs[1].shape().end())};
      const std::vector<Shape> inferred = model.graph().infer_shapes(shapes).value();
      const Tensor& want = *outputs.find(child);
      EXPECT_EQ(inferred[static_cast<std::size_t>(model.outputs()[0].edge.index)],
                Shape(want.shape().begin(), want.shape().end()));
      for (const Implementation implementation : {Implementation::automatic, Implementation::reference}) {
        Result<Session> session = model.session(Device::cpu(), {.implementation = implementation});
        if (!session && session.error().code == ErrorCode::unsupported) {
          std::cout << "SKIPPED: not run: " << session.error().finding.message << "\n";
          continue;
        }
        ASSERT_TRUE(session) << session.error().finding.message;
        expect_close(session->run(inputs).value()[0], want, std::string(file) + " " + child);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Golden, StockLayers,
                         testing::Values(Family{"activations"}, Family{"conv1d"}, Family{"conv2d"}, Family{"conv3d"},
                                         Family{"convtranspose1d"}, Family{"convtranspose2d"},
                                         Family{"convtranspose3d"}, Family{"dropout"}, Family{"embedding", {"2"}},
                                         Family{"fold"}, Family{"linear"}, Family{"norm1d"}, Family{"norm2d"},
                                         Family{"norm3d"}, Family{"padding1d"}, Family{"padding2d"},
                                         Family{"padding3d"}, Family{"pool1d", {"7"}}, Family{"pool2d", {"2", "11"}},
                                         Family{"pool3d"}, Family{"rnn"}, Family{"rnn_cells"}, Family{"shape"},
                                         Family{"transformer_encoder"}, Family{"upsample"}),
                         [](const auto& test) { return std::string(test.param.file); });

}  // namespace
}  // namespace rushlight::doors
