// Inference through the public face: Session::run on the caller's buffers, weights made up, one row a network, batch
// and number of threads. Items a second are images or rows.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "runtime/nets.hpp"
#include "rushlight/rushlight.hpp"

namespace rl = rushlight;

namespace {

// Small numbers of both signs; variances and norm weights near 1.
rl::Tensor made_up(const std::string& name, rl::Shape shape, std::uint64_t& state) {
  std::int64_t count = 1;
  for (const std::int64_t size : shape) count *= size;
  const std::int64_t fan_in = shape.size() > 1 ? count / shape[0] : 1;
  const bool is_positive = name.ends_with("running_var") || (name.ends_with("weight") && shape.size() == 1);
  const float scale = 2.0F / static_cast<float>(fan_in);
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) {
    state = state * 6364136223846793005U + 1442695040888963407U;
    const float unit = static_cast<float>(state >> 40) / 16777216.0F;
    value = is_positive ? 0.5F + unit : (unit - 0.5F) * scale;
  }
  return rl::Tensor::from_values<float>(values, std::move(shape)).value();
}

rl::Model made_up_model(rl::Graph graph) {
  rl::StateDict state;
  std::uint64_t random = 1;
  for (const rl::ParameterSpec& parameter : graph.parameters()) {
    state.insert(parameter.name, made_up(parameter.name, parameter.shape, random));
  }
  return rl::Model::create(std::move(graph), state).value();
}

rl::Edge relu(rl::GraphBuilder& g, rl::Edge x) {
  return g.apply("", rl::ReLU{}, x);
}

rl::Graph resnet18() {
  rl::GraphBuilder g;
  const rl::Conv2d stem{
      .in_channels = 3, .out_channels = 64, .kernel_size = 7, .stride = 2, .padding = 3, .bias = false};
  rl::Edge x = g.apply("conv1", stem, g.input("image", {-1, 3, 224, 224}));
  x = relu(g, g.apply("bn1", rl::BatchNorm2d{.num_features = 64}, x));
  x = g.apply("maxpool", rl::MaxPool2d{.kernel_size = 3, .stride = 2, .padding = 1}, x);
  std::int64_t in = 64;
  for (int stage = 1; stage <= 4; ++stage) {
    const std::int64_t out = 32 << stage;
    for (int block = 0; block < 2; ++block) {
      const std::string name = "layer" + std::to_string(stage) + "." + std::to_string(block);
      x = rl::test::basic_block(g, name, x, in, out, stage > 1 && block == 0 ? 2 : 1);
      in = out;
    }
  }
  x = g.apply("", rl::Flatten{}, g.apply("avgpool", rl::AdaptiveAvgPool2d{.output_size = 1}, x));
  g.output("logits", g.apply("fc", rl::Linear{512, 1000}, x));
  return g.build().value();
}

rl::Graph vgg16() {
  std::vector<rl::Layer> layers;
  std::int64_t in = 3;
  for (const std::int64_t out : {64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0}) {
    if (out == 0) {
      layers.emplace_back(rl::MaxPool2d{.kernel_size = 2});
      continue;
    }
    layers.emplace_back(rl::test::conv3x3(in, out));
    layers.emplace_back(rl::ReLU{});
    in = out;
  }
  layers.emplace_back(rl::Flatten{});
  layers.emplace_back(rl::Linear{25088, 4096});
  layers.emplace_back(rl::ReLU{});
  layers.emplace_back(rl::Linear{4096, 4096});
  layers.emplace_back(rl::ReLU{});
  layers.emplace_back(rl::Linear{4096, 1000});
  return rl::Sequential(std::move(layers)).graph({3, 224, 224}).value();
}

// Arguments: batch, threads.
void forward(benchmark::State& state, rl::Graph (*graph)(), rl::Shape item) {
  const rl::Model model = made_up_model(graph());
  rl::SessionOptions options;
  options.threads = static_cast<unsigned>(state.range(1));
  rl::Session session = model.session(rl::Device::cpu(), options).value();
  item.insert(item.begin(), state.range(0));
  std::uint64_t random = 2;
  const rl::Tensor input = made_up("image", item, random);
  const rl::Shape output_shape = session.output_shapes(std::vector<rl::Shape>{item}).value()[0];
  rl::Tensor output = rl::Tensor::zeros(rl::DType::f32, output_shape).value();
  const rl::TensorView in{.data = input.bytes()->data(), .shape = item};
  const rl::MutableTensorView out{.data = output.mutable_bytes()->data(), .shape = output_shape};
  for (auto _ : state) {
    const rl::Status status = session.run(std::span(&in, 1), std::span(&out, 1));
    if (!status) return state.SkipWithError(to_string(status.error()).c_str());
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
  state.counters["workspace_bytes"] = static_cast<double>(session.workspace_bytes());
}

// From tensors in memory to the first result: packing and planning.
void first_result(benchmark::State& state, rl::Graph (*graph)(), rl::Shape item) {
  const rl::Model base = made_up_model(graph());
  item.insert(item.begin(), 1);
  std::uint64_t random = 2;
  const rl::Tensor input = made_up("image", item, random);
  for (auto _ : state) {
    const rl::Model model = rl::Model::create(base.graph(), base.state_dict()).value();
    rl::Session session = model.session().value();
    benchmark::DoNotOptimize(session.run(input).value());
  }
}

}  // namespace

BENCHMARK_CAPTURE(forward, mlp_784_128_10, &rl::test::mlp_net, rl::Shape{784})->Args({1, 1})->Args({64, 1});
BENCHMARK_CAPTURE(forward, fashion_cnn, &rl::test::fashion_net, rl::Shape{1, 28, 28})
    ->Args({1, 1})
    ->Args({64, 1})
    ->Args({64, 2})
    ->UseRealTime();
BENCHMARK_CAPTURE(forward, resnet18, &resnet18, rl::Shape{3, 224, 224})
    ->Args({1, 1})
    ->Args({1, 2})
    ->Args({8, 1})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(forward, vgg16, &vgg16, rl::Shape{3, 224, 224})
    ->Args({1, 1})
    ->Args({1, 2})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(first_result, fashion_cnn, &rl::test::fashion_net, rl::Shape{1, 28, 28})
    ->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(first_result, resnet18, &resnet18, rl::Shape{3, 224, 224})->Unit(benchmark::kMillisecond);
