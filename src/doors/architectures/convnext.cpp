// torchvision/models/convnext.py
#include "doors/architectures/families.hpp"

namespace rushlight::doors {
namespace {

constexpr double kEps = 1e-6;

// LayerNorm2d: over the channels of each pixel.
Edge layer_norm_2d(Net& net, const std::string& name, Edge x) {
  x = net.permute(name + ".permute", x, {0, 2, 3, 1});
  x = net.layer_norm(name, x, kEps);
  return net.permute(name + ".permute_1", x, {0, 3, 1, 2});
}

Edge block(Net& net, const std::string& name, Edge x) {
  Edge y = net.conv(name + ".block.0", x, {.kernel = 7, .grouped = true, .bias = true});
  y = net.permute(name + ".block.1", y, {0, 2, 3, 1});
  y = net.linear(name + ".block.3", net.layer_norm(name + ".block.2", y, kEps));
  y = net.linear(name + ".block.5", net.apply(name + ".block.4", GELU{}, y));
  y = net.permute(name + ".block.6", y, {0, 3, 1, 2});
  y = net.multiply(name + ".mul", net.parameter(name + ".layer_scale", {-1, 1, 1}), y);
  return net.add(name + ".add", y, x);
}

}  // namespace

void convnext(Net& net, Depths depths) {
  Edge x = net.image("features.0.0");
  x = net.conv("features.0.0", x, {.kernel = 4, .stride = 4, .padding = 0, .bias = true});
  x = layer_norm_2d(net, "features.0.1", x);
  for (std::size_t stage = 0; stage < depths.size(); ++stage) {
    const std::string name = "features." + std::to_string(2 * stage + 1) + ".";
    for (int i = 0; i < depths[stage]; ++i) x = block(net, name + std::to_string(i), x);
    if (stage + 1 == depths.size()) break;
    const std::string downsample = "features." + std::to_string(2 * stage + 2);
    x = layer_norm_2d(net, downsample + ".0", x);
    x = net.conv(downsample + ".1", x, {.kernel = 2, .stride = 2, .padding = 0, .bias = true});
  }
  x = net.apply("avgpool", AdaptiveAvgPool2d{.output_size = 1}, x);
  x = net.apply("classifier.1", Flatten{}, layer_norm_2d(net, "classifier.0", x));
  net.logits(net.linear("classifier.2", x));
}

}  // namespace rushlight::doors
