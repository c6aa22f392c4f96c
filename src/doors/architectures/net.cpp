#include "doors/architectures/net.hpp"

#include <span>
#include <utility>

namespace rushlight::doors {

std::int64_t Net::size(std::string_view name, std::size_t dim) const noexcept {
  const Tensor* tensor = weights_.find(name);
  return tensor == nullptr || dim >= tensor->shape().size() ? -1 : tensor->shape()[dim];
}

bool Net::keeps_channels(const std::string& first, bool depthwise, const std::string& last) const noexcept {
  return size(first + ".weight", depthwise ? 0 : 1) == size(last + ".weight", 0);
}

Edge Net::image(const std::string& first_conv, IntPair size_in) {
  const std::int64_t channels = size(first_conv + ".weight", 1);
  return graph.input("input", {-1, channels < 1 ? -1 : channels, size_in.h, size_in.w});
}

Edge Net::parameter(std::string name, Shape shape, bool integer) {
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == -1) shape[i] = size(name, i);
    // Not there: without a shape any tensor passes, and this one is reported as missing.
    if (shape[i] < 1) return graph.apply(std::move(name), Parameter{.integer = integer}, {});
  }
  return graph.apply(std::move(name), Parameter{.shape = std::move(shape), .integer = integer}, {});
}

Edge Net::conv(const std::string& name, Edge x, const ConvSettings& settings) {
  std::int64_t groups = 1;
  if (settings.grouped) {
    const std::int64_t out = size(name + ".weight", 0);
    const std::int64_t in_each = size(name + ".weight", 1);
    if (out > 0 && in_each > 0 && out % in_each == 0) groups = out / in_each;
  }
  const IntPair half{(settings.kernel.h - 1) / 2 * settings.dilation.h,
                     (settings.kernel.w - 1) / 2 * settings.dilation.w};
  return apply(name,
               Conv2d{.kernel_size = settings.kernel,
                      .stride = settings.stride,
                      .padding = settings.padding.value_or(half),
                      .dilation = settings.dilation,
                      .groups = groups,
                      .bias = settings.bias},
               x);
}

Edge Net::conv_norm(const std::string& name, Edge x, const ConvSettings& settings, const Operator& activation,
                    double eps) {
  x = conv(name + ".0", x, settings);
  x = batch_norm(name + ".1", x, eps);
  return activation.kind() == OperatorKind::nothing ? x : apply(name + ".2", activation, x);
}

Edge Net::basic_conv(const std::string& name, Edge x, const ConvSettings& settings) {
  x = conv(name + ".conv", x, settings);
  x = batch_norm(name + ".bn", x, 1e-3);
  return apply(name + ".relu", ReLU{}, x);
}

Edge Net::squeeze_excitation(const std::string& name, Edge x, const Operator& activation, const Operator& gate) {
  Edge scale = apply(name + ".avgpool", AdaptiveAvgPool2d{.output_size = 1}, x);
  scale = conv(name + ".fc1", scale, {.bias = true});
  scale = apply(name + ".activation", activation, scale);
  scale = conv(name + ".fc2", scale, {.bias = true});
  scale = apply(name + ".scale_activation", gate, scale);
  return multiply(name + ".mul", scale, x);
}

Edge Net::mobile_block(const std::string& name, Edge x, const MobileSettings& settings) {
  int index = 0;
  const auto next = [&] { return name + ".block." + std::to_string(index++); };
  Edge y = x;
  if (settings.expands) y = conv_norm(next(), y, {}, settings.activation, settings.eps);
  y = conv_norm(next(), y,
                {.kernel = settings.kernel,
                 .stride = settings.dilation > 1 ? 1 : settings.stride,
                 .dilation = settings.dilation,
                 .grouped = true},
                settings.activation, settings.eps);
  if (settings.squeezes) y = squeeze_excitation(next(), y, settings.squeeze_activation, settings.gate);
  const std::string last = next();
  y = conv_norm(last, y, {}, {}, settings.eps);
  const bool residual = settings.stride == 1 && keeps_channels(name + ".block.0.0", !settings.expands, last + ".0");
  return residual ? add(name + ".add", y, x) : y;
}

Edge Net::mlp(const std::string& name, Edge x, const std::string& first, const std::string& second) {
  x = linear(name + "." + first, x);
  x = apply(name + ".1", GELU{}, x);
  return linear(name + "." + second, x);
}

Edge Net::pooled(std::string name, Edge x) {
  return apply("flatten", Flatten{}, apply(std::move(name), AdaptiveAvgPool2d{.output_size = 1}, x));
}

Edge Net::transformed(Edge x) {
  if (!transform_input_) {
    graph.note(
        "transform_input is off, as in a net trained from the start; torchvision's published weights want it on");
    return x;
  }
  const Shape channels{1, 3, 1, 1};
  const Edge scale = graph.apply("transform_input.scale",
                                 Constant{.shape = channels, .values = {0.229 / 0.5, 0.224 / 0.5, 0.225 / 0.5}}, {});
  const Edge shift = graph.apply(
      "transform_input.shift",
      Constant{.shape = channels, .values = {(0.485 - 0.5) / 0.5, (0.456 - 0.5) / 0.5, (0.406 - 0.5) / 0.5}}, {});
  return add("transform_input.add", multiply("transform_input.mul", x, scale), shift);
}

}  // namespace rushlight::doors
