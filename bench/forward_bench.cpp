// Inference through the public face: Session::run on the caller's buffers, weights made up, a row for each network,
// batch and number of threads. Items a second are images or rows. The networks are those of bench/rivals/nets.py.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "runtime/nets.hpp"
#include "rushlight/rushlight.hpp"
#include "support/architecture_case.hpp"

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

// M5 of bench/rivals/nets.py on a second of sound at 8 kHz.
rl::Graph sound_cnn() {
  struct Part {
    std::int64_t kernel, stride, channels;
  };
  std::vector<rl::Layer> layers;
  std::int64_t in = 1;
  for (const Part& part : {Part{80, 4, 32}, Part{3, 1, 32}, Part{3, 1, 64}, Part{3, 1, 64}}) {
    layers.emplace_back(rl::Conv1d{
        .in_channels = in, .out_channels = part.channels, .kernel_size = part.kernel, .stride = part.stride});
    layers.emplace_back(rl::BatchNorm1d{.num_features = part.channels});
    layers.emplace_back(rl::ReLU{});
    layers.emplace_back(rl::MaxPool1d{.kernel_size = 4});
    in = part.channels;
  }
  layers.emplace_back(rl::AdaptiveAvgPool1d{.output_size = 1});
  layers.emplace_back(rl::Flatten{});
  layers.emplace_back(rl::Linear{in, 35});
  return rl::Sequential(std::move(layers)).graph({1, 8000}).value();
}

// The U-Net of bench/rivals/nets.py.
rl::Graph unet() {
  rl::GraphBuilder g;
  const auto twice = [&g](const std::string& name, rl::Edge x, std::int64_t in, std::int64_t out) {
    for (const char* const part : {".0", ".3"}) {
      x = g.apply(name + part, rl::test::conv3x3(in, out, 1, false), x);
      x = g.apply(name + part + "norm", rl::BatchNorm2d{.num_features = out}, x);
      x = g.apply("", rl::ReLU{}, x);
      in = out;
    }
    return x;
  };
  const std::vector<std::int64_t> channels = {16, 32, 64, 128};
  std::vector<rl::Edge> skips;
  rl::Edge x = g.input("image", {-1, 3, 128, 128});
  std::int64_t in = 3;
  for (std::size_t i = 0; i < channels.size(); ++i) {
    if (i > 0) x = g.apply("", rl::MaxPool2d{.kernel_size = 2}, x);
    x = twice("down." + std::to_string(i), x, in, channels[i]);
    skips.push_back(x);
    in = channels[i];
  }
  for (std::size_t i = channels.size() - 1; i-- > 0;) {
    const std::int64_t out = channels[i];
    x = g.apply("grow." + std::to_string(i),
                rl::ConvTranspose2d{.in_channels = in, .out_channels = out, .kernel_size = 2, .stride = 2}, x);
    x = g.apply("", rl::Cat{.dim = 1}, {skips[i], x});
    x = twice("up." + std::to_string(i), x, in, out);
    in = out;
  }
  g.output("mask", g.apply("last", rl::Conv2d{.in_channels = in, .out_channels = 2, .kernel_size = 1}, x));
  return g.build().value();
}

template <rl::Graph (*graph)()>
rl::Model made_up_model() {
  return made_up_model(graph());
}

// One of torchvision's, with the weights that its tests have.
rl::Model architecture(const std::string& name) {
  const std::filesystem::path folder = std::filesystem::path(RUSHLIGHT_GOLDEN_DIR) / "architectures";
  const rl::StateDict weights = rl::test::make_state_dict(rl::test::read_architecture(folder, name));
  return rl::Model::create(rl::architecture_graph(name, weights).value(), weights).value();
}

// Arguments: batch, threads.
void forward(benchmark::State& state, const rl::Model& model, rl::Shape item) {
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
void first_result(benchmark::State& state, const rl::Model& base, rl::Shape item) {
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

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  struct Net {
    std::string name;
    rl::Model (*make)();  // null: torchvision's of this name
    rl::Shape item;
  };
  const rl::Shape image = {3, 224, 224};
  const std::vector<Net> nets = {{"mlp_784_128_10", &made_up_model<rl::test::mlp_net>, {784}},
                                 {"fashion_cnn", &made_up_model<rl::test::fashion_net>, {1, 28, 28}},
                                 {"sound_cnn", &made_up_model<sound_cnn>, {1, 8000}},
                                 {"unet", &made_up_model<unet>, {3, 128, 128}},
                                 {"squeezenet1_1", nullptr, image},
                                 {"mobilenet_v2", nullptr, image},
                                 {"efficientnet_b0", nullptr, image},
                                 {"resnet18", nullptr, image},
                                 {"resnet50", nullptr, image},
                                 {"densenet121", nullptr, image},
                                 {"vgg16", nullptr, image}};
  for (const Net& net : nets) {
    // Made when its first row runs: a filter leaves out most.
    const auto model = std::make_shared<std::optional<rl::Model>>();
    const auto get = [model, net]() -> const rl::Model& {
      if (!*model) *model = net.make != nullptr ? net.make() : architecture(net.name);
      return **model;
    };
    const auto run = [get, net](benchmark::State& state) { forward(state, get(), net.item); };
    benchmark::RegisterBenchmark(("forward/" + net.name).c_str(), run)
        ->ArgNames({"batch", "threads"})
        ->ArgsProduct({{1, 8}, {1, 2}})
        ->UseRealTime()
        ->Unit(benchmark::kMillisecond);
    const auto first = [get, net](benchmark::State& state) { first_result(state, get(), net.item); };
    benchmark::RegisterBenchmark(("first_result/" + net.name).c_str(), first)
        ->UseRealTime()
        ->Unit(benchmark::kMillisecond);
  }
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
