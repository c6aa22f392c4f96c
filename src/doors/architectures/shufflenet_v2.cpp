// torchvision/models/shufflenetv2.py
#include "doors/architectures/families.hpp"

namespace rushlight::doors {
namespace {

// A 1x1 convolution, its norm and a ReLU from `name`.`index` on.
Edge pointwise(Net& net, const std::string& name, int index, Edge x) {
  x = net.conv(name + std::to_string(index), x, {});
  x = net.batch_norm(name + std::to_string(index + 1), x);
  return net.apply(name + std::to_string(index + 2), ReLU{}, x);
}

Edge depthwise(Net& net, const std::string& name, int index, Edge x, std::int64_t stride) {
  x = net.conv(name + std::to_string(index), x, {.kernel = 3, .stride = stride, .grouped = true});
  return net.batch_norm(name + std::to_string(index + 1), x);
}

Edge inverted_residual(Net& net, const std::string& name, Edge x, std::int64_t stride) {
  Edge left;
  Edge right = x;
  if (stride == 1) {
    const std::vector<Edge> halves = net.graph.apply(name + ".chunk", Chunk{.chunks = 2, .dim = 1}, {&x, 1}, 2);
    left = halves[0];
    right = halves[1];
  } else {
    left = depthwise(net, name + ".branch1.", 0, x, stride);
    left = pointwise(net, name + ".branch1.", 2, left);
  }
  right = pointwise(net, name + ".branch2.", 0, right);
  right = depthwise(net, name + ".branch2.", 3, right, stride);
  right = pointwise(net, name + ".branch2.", 5, right);
  x = net.cat(name + ".cat", {left, right});
  return net.apply(name + ".channel_shuffle", ChannelShuffle{.groups = 2}, x);
}

}  // namespace

void shufflenet_v2(Net& net) {
  Edge x = net.image("conv1.0");
  x = net.conv_norm("conv1", x, {.kernel = 3, .stride = 2}, ReLU{});
  x = net.apply("maxpool", MaxPool2d{.kernel_size = 3, .stride = 2, .padding = 1}, x);
  constexpr int kRepeats[] = {4, 8, 4};
  int stage = 2;
  for (const int repeats : kRepeats) {
    const std::string name = "stage" + std::to_string(stage++) + ".";
    for (int i = 0; i < repeats; ++i) x = inverted_residual(net, name + std::to_string(i), x, i == 0 ? 2 : 1);
  }
  x = net.conv_norm("conv5", x, {}, ReLU{});
  x = net.apply("mean", Mean{.dim = {2, 3}}, x);
  net.logits(net.linear("fc", x));
}

}  // namespace rushlight::doors
