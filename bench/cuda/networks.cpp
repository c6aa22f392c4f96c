#include "bench/cuda/networks.hpp"

#include <array>
#include <cmath>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "runtime/nets.hpp"

namespace rushlight::bench {
namespace {

constexpr std::int64_t kClasses = 1000;

// One number of splitmix64 for each index: no state to carry, so the order of filling does not matter.
float signed_unit(std::uint64_t seed, std::uint64_t index) {
  std::uint64_t z = seed + (index + 1) * 0x9E3779B97F4A7C15U;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
  z ^= z >> 31;
  return static_cast<float>(z >> 40) / 8388608.0F - 1.0F;
}

struct Convolution {
  std::int64_t in = 0;
  std::int64_t out = 0;
  std::int64_t kernel = 1;
  std::int64_t stride = 1;
  std::int64_t groups = 1;
};

// Convolution and batch norm, "conv1" and "bn1" or "0" and "1".
Edge conv_norm(GraphBuilder& g, const std::string& conv, const std::string& norm, Edge x, const Convolution& sizes) {
  x = g.apply(conv,
              Conv2d{.in_channels = sizes.in,
                     .out_channels = sizes.out,
                     .kernel_size = sizes.kernel,
                     .stride = sizes.stride,
                     .padding = sizes.kernel / 2,
                     .groups = sizes.groups,
                     .bias = false},
              x);
  return g.apply(norm, BatchNorm2d{.num_features = sizes.out}, x);
}

Edge pooled_logits(GraphBuilder& g, const std::string& name, Edge x, std::int64_t channels) {
  x = g.apply("", Flatten{}, g.apply("avgpool", AdaptiveAvgPool2d{.output_size = 1}, x));
  return g.apply(name, Linear{channels, kClasses}, x);
}

struct ResNet {
  std::array<int, 4> depths;
  bool is_bottleneck = false;
};

Edge residual_block(GraphBuilder& g, const std::string& name, Edge x, std::int64_t in, std::int64_t width,
                    std::int64_t stride, bool is_bottleneck) {
  const std::int64_t out = is_bottleneck ? 4 * width : width;
  Edge y = x;
  if (is_bottleneck) {
    y = g.apply("", ReLU{}, conv_norm(g, name + ".conv1", name + ".bn1", y, {in, width}));
    y = g.apply("", ReLU{}, conv_norm(g, name + ".conv2", name + ".bn2", y, {width, width, 3, stride}));
    y = conv_norm(g, name + ".conv3", name + ".bn3", y, {width, out});
  } else {
    y = g.apply("", ReLU{}, conv_norm(g, name + ".conv1", name + ".bn1", y, {in, width, 3, stride}));
    y = conv_norm(g, name + ".conv2", name + ".bn2", y, {width, width, 3});
  }
  if (stride != 1 || in != out) {
    x = conv_norm(g, name + ".downsample.0", name + ".downsample.1", x, {in, out, 1, stride});
  }
  return g.apply("", ReLU{}, g.apply("", Add{}, y, x));
}

Graph resnet(const ResNet& settings) {
  GraphBuilder g;
  Edge x = g.input("image", {-1, 3, 224, 224});
  x = g.apply("", ReLU{}, conv_norm(g, "conv1", "bn1", x, {3, 64, 7, 2}));
  x = g.apply("maxpool", MaxPool2d{.kernel_size = 3, .stride = 2, .padding = 1}, x);
  std::int64_t in = 64;
  std::int64_t width = 64;
  for (std::size_t layer = 0; layer < settings.depths.size(); ++layer, width *= 2) {
    for (int block = 0; block < settings.depths[layer]; ++block) {
      const std::string name = "layer" + std::to_string(layer + 1) + "." + std::to_string(block);
      x = residual_block(g, name, x, in, width, layer > 0 && block == 0 ? 2 : 1, settings.is_bottleneck);
      in = settings.is_bottleneck ? 4 * width : width;
    }
  }
  g.output("logits", pooled_logits(g, "fc", x, in));
  return g.build().value();
}

Graph resnet18() {
  return resnet({.depths = {2, 2, 2, 2}});
}
Graph resnet50() {
  return resnet({.depths = {3, 4, 6, 3}, .is_bottleneck = true});
}

Graph vgg16() {
  GraphBuilder g;
  Edge x = g.input("image", {-1, 3, 224, 224});
  std::int64_t in = 3;
  int index = 0;
  const auto next = [&] { return "features." + std::to_string(index++); };
  for (const auto& [convolutions, channels] :
       std::array<std::pair<int, std::int64_t>, 5>{{{2, 64}, {2, 128}, {3, 256}, {3, 512}, {3, 512}}}) {
    for (int i = 0; i < convolutions; ++i) {
      x = g.apply(next(), test::conv3x3(in, channels), x);
      x = g.apply(next(), ReLU{}, x);
      in = channels;
    }
    x = g.apply(next(), MaxPool2d{.kernel_size = 2}, x);
  }
  x = g.apply("", Flatten{}, g.apply("avgpool", AdaptiveAvgPool2d{.output_size = 7}, x));
  x = g.apply("", ReLU{}, g.apply("classifier.0", Linear{512 * 49, 4096}, x));
  x = g.apply("", ReLU{}, g.apply("classifier.3", Linear{4096, 4096}, x));
  g.output("logits", g.apply("classifier.6", Linear{4096, kClasses}, x));
  return g.build().value();
}

Edge inverted_residual(GraphBuilder& g, const std::string& name, Edge x, std::int64_t in, std::int64_t out,
                       std::int64_t stride, std::int64_t expansion) {
  const std::int64_t hidden = in * expansion;
  int index = 0;
  Edge y = x;
  const auto wide = [&](const Convolution& sizes) {
    const std::string part = name + ".conv." + std::to_string(index++);
    y = g.apply("", ReLU6{}, conv_norm(g, part + ".0", part + ".1", y, sizes));
  };
  if (expansion != 1) wide({in, hidden});
  wide({hidden, hidden, 3, stride, hidden});
  const std::string last = name + ".conv." + std::to_string(index);
  y = conv_norm(g, last, name + ".conv." + std::to_string(index + 1), y, {hidden, out});
  return stride == 1 && in == out ? g.apply("", Add{}, y, x) : y;
}

Graph mobilenet_v2() {
  struct Stage {
    std::int64_t expansion, channels, layers, stride;
  };
  constexpr std::array<Stage, 7> kStages = {
      {{1, 16, 1, 1}, {6, 24, 2, 2}, {6, 32, 3, 2}, {6, 64, 4, 2}, {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}}};
  GraphBuilder g;
  Edge x = g.input("image", {-1, 3, 224, 224});
  x = g.apply("", ReLU6{}, conv_norm(g, "features.0.0", "features.0.1", x, {3, 32, 3, 2}));
  std::int64_t in = 32;
  int index = 1;
  for (const Stage& stage : kStages) {
    for (std::int64_t layer = 0; layer < stage.layers; ++layer) {
      x = inverted_residual(g, "features." + std::to_string(index++), x, in, stage.channels,
                            layer == 0 ? stage.stride : 1, stage.expansion);
      in = stage.channels;
    }
  }
  x = g.apply("", ReLU6{}, conv_norm(g, "features.18.0", "features.18.1", x, {in, 1280}));
  g.output("logits", pooled_logits(g, "classifier.1", x, 1280));
  return g.build().value();
}

}  // namespace

std::span<const BenchNetwork> bench_networks() {
  static const std::vector<BenchNetwork> networks = {
      {"mlp", &test::mlp_net, {784}},         {"fashion_cnn", &test::fashion_net, {1, 28, 28}},
      {"resnet18", &resnet18, {3, 224, 224}}, {"resnet50", &resnet50, {3, 224, 224}},
      {"vgg16", &vgg16, {3, 224, 224}},       {"mobilenet_v2", &mobilenet_v2, {3, 224, 224}},
  };
  return networks;
}

StateDict made_up_weights(const Graph& graph, std::uint64_t seed) {
  StateDict state;
  for (const ParameterSpec& parameter : graph.parameters()) {
    std::int64_t count = 1;
    for (const std::int64_t size : parameter.shape) count *= size;
    const bool is_matrix = parameter.shape.size() > 1;
    const bool is_scale = parameter.name.ends_with("running_var") || parameter.name.ends_with("weight");
    // Of a uniform distribution on [-a, a): variance 2 / fan_in.
    const float scale =
        is_matrix ? std::sqrt(6.0F * static_cast<float>(parameter.shape[0]) / static_cast<float>(count)) : 0.1F;
    const float base = !is_matrix && is_scale ? 1.0F : 0.0F;
    std::vector<float> values(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = base + scale * signed_unit(seed, i);
    state.insert(parameter.name, Tensor::from_values<float>(values, parameter.shape).value());
    ++seed;
  }
  return state;
}

Tensor made_up_input(Shape shape, std::uint64_t seed) {
  std::int64_t count = 1;
  for (const std::int64_t size : shape) count *= size;
  std::vector<float> values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = signed_unit(seed, i);
  return Tensor::from_values<float>(values, std::move(shape)).value();
}

}  // namespace rushlight::bench
