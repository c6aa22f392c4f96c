// torchvision/models/mobilenetv2.py
#include "doors/architectures/families.hpp"

namespace rushlight::doors {
namespace {

Edge inverted_residual(Net& net, const std::string& name, Edge x, std::int64_t stride, bool expands) {
  int index = 0;
  const auto next = [&] { return name + ".conv." + std::to_string(index++); };
  Edge y = x;
  if (expands) y = net.conv_norm(next(), y, {}, ReLU6{});
  y = net.conv_norm(next(), y, {.kernel = 3, .stride = stride, .grouped = true}, ReLU6{});
  const std::string last = next();
  y = net.conv(last, y, {});
  y = net.batch_norm(next(), y);
  return stride == 1 && net.keeps_channels(name + ".conv.0.0", !expands, last) ? net.add(name + ".add", y, x) : y;
}

struct Stage {
  bool expands;
  int layers;
  std::int64_t stride;
};
constexpr Stage kStages[] = {{false, 1, 1}, {true, 2, 2}, {true, 3, 2}, {true, 4, 2},
                             {true, 3, 1},  {true, 3, 2}, {true, 1, 1}};

}  // namespace

void mobilenet_v2(Net& net) {
  int index = 0;
  const auto next = [&] { return "features." + std::to_string(index++); };
  Edge x = net.image("features.0.0");
  x = net.conv_norm(next(), x, {.kernel = 3, .stride = 2}, ReLU6{});
  for (const Stage& stage : kStages) {
    for (int i = 0; i < stage.layers; ++i) {
      x = inverted_residual(net, next(), x, i == 0 ? stage.stride : 1, stage.expands);
    }
  }
  x = net.conv_norm(next(), x, {}, ReLU6{});
  net.logits(net.linear("classifier.1", net.pooled("adaptive_avg_pool2d", x)));
}

}  // namespace rushlight::doors
