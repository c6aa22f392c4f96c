// What the families of torchvision are built with: a graph that grows along a state dict, and the blocks that several
// families share. Nodes are named as torch's modules are, and as torchvision's feature_extraction names functions
// ("layer1.0.add"), so that what a module returns is the last node below its name.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rushlight/graph.hpp"
#include "rushlight/state_dict.hpp"

namespace rushlight::doors {

// A convolution apart from its channels, which its weight has.
struct ConvSettings {
  IntPair kernel = 1;
  IntPair stride = 1;
  std::optional<IntPair> padding{};  // not given: half the kernel, so that stride 1 keeps the size
  IntPair dilation = 1;
  bool grouped = false;  // as many groups as the weight says, with as many channels out as in
  bool bias = false;
};

// MBConv of EfficientNet, InvertedResidual of MobileNetV3.
struct MobileSettings {
  std::int64_t kernel = 3;
  std::int64_t stride = 1;
  std::int64_t dilation = 1;  // beyond 1 it stands for the stride
  bool expands = true;        // begins with a 1x1 convolution
  bool squeezes = true;
  Operator activation{};
  Operator squeeze_activation{};
  Operator gate{};
  double eps = 1e-5;
};

// A network on its way from a state dict to a Graph. Where the state dict lacks a tensor the graph is built all the
// same: the strict load then names what is missing.
class Net {
 public:
  Net(const StateDict& weights, bool transform_input) : weights_(weights), transform_input_(transform_input) {}

  GraphBuilder graph{};

  [[nodiscard]] bool has(std::string_view name) const noexcept { return weights_.find(name) != nullptr; }
  // One size of a tensor; -1 when it is not there or has fewer dimensions.
  [[nodiscard]] std::int64_t size(std::string_view name, std::size_t dim) const noexcept;
  // True when a block that starts with the convolution `first` and ends with `last` gives as many channels as it takes.
  [[nodiscard]] bool keeps_channels(const std::string& first, bool depthwise, const std::string& last) const noexcept;

  // The one input, with the channels that the first convolution takes. -1: any height or width.
  Edge image(const std::string& first_conv, IntPair size = -1);
  void logits(Edge x) { graph.output("logits", x); }

  Edge apply(std::string name, Operator op, Edge x) { return graph.apply(std::move(name), std::move(op), x); }
  Edge add(std::string name, Edge a, Edge b) { return graph.apply(std::move(name), Add{}, a, b); }
  Edge multiply(std::string name, Edge a, Edge b) { return graph.apply(std::move(name), Mul{}, a, b); }
  Edge cat(std::string name, std::initializer_list<Edge> pieces, std::int64_t dim = 1) {
    return graph.apply(std::move(name), Cat{.dim = dim}, pieces);
  }
  Edge permute(std::string name, Edge x, Shape dims) {
    return apply(std::move(name), Permute{.dims = std::move(dims)}, x);
  }
  Edge linear(std::string name, Edge x, bool bias = true) { return apply(std::move(name), Linear{.bias = bias}, x); }
  Edge layer_norm(std::string name, Edge x, double eps = 1e-5) {
    return apply(std::move(name), LayerNorm{.eps = eps}, x);
  }
  Edge batch_norm(std::string name, Edge x, double eps = 1e-5) {
    return apply(std::move(name), BatchNorm2d{.eps = eps}, x);
  }
  // A bare tensor of the state dict. A size of -1 is that of the tensor.
  Edge parameter(std::string name, Shape shape, bool integer = false);

  Edge conv(const std::string& name, Edge x, const ConvSettings& settings);
  // Conv2dNormActivation: name.0, name.1 and, unless `activation` is empty, name.2.
  Edge conv_norm(const std::string& name, Edge x, const ConvSettings& settings, const Operator& activation,
                 double eps = 1e-5);
  // BasicConv2d of GoogLeNet and Inception: name.conv, name.bn, ReLU.
  Edge basic_conv(const std::string& name, Edge x, const ConvSettings& settings = {});
  // SqueezeExcitation: name.fc1, name.fc2.
  Edge squeeze_excitation(const std::string& name, Edge x, const Operator& activation, const Operator& gate);
  Edge mobile_block(const std::string& name, Edge x, const MobileSettings& settings);
  // MLP: name.0, GELU, name.3, or other names of its two linear layers.
  Edge mlp(const std::string& name, Edge x, const std::string& first = "0", const std::string& second = "3");
  // To [N, C]: the mean of each channel.
  Edge pooled(std::string name, Edge x);
  // GoogLeNet and Inception undo ImageNet's normalisation and map pixels to -1 ... 1, when they were built to.
  Edge transformed(Edge x);

 private:
  const StateDict& weights_;
  bool transform_input_;
};

}  // namespace rushlight::doors
