// torchvision/models/mobilenetv3.py
#include "doors/architectures/families.hpp"

namespace rushlight::doors {
namespace {

constexpr double kEps = 1e-3;

struct MobileBlock {
  std::int64_t kernel;
  bool expands;
  bool squeezes;
  bool hardswish;  // or ReLU
  std::int64_t stride;
};
constexpr MobileBlock kLarge[] = {
    {3, false, false, false, 1}, {3, true, false, false, 2}, {3, true, false, false, 1}, {5, true, true, false, 2},
    {5, true, true, false, 1},   {5, true, true, false, 1},  {3, true, false, true, 2},  {3, true, false, true, 1},
    {3, true, false, true, 1},   {3, true, false, true, 1},  {3, true, true, true, 1},   {3, true, true, true, 1},
    {5, true, true, true, 2},    {5, true, true, true, 1},   {5, true, true, true, 1},
};
constexpr MobileBlock kSmall[] = {
    {3, false, true, false, 2}, {3, true, false, false, 2}, {3, true, false, false, 1}, {5, true, true, true, 2},
    {5, true, true, true, 1},   {5, true, true, true, 1},   {5, true, true, true, 1},   {5, true, true, true, 1},
    {5, true, true, true, 2},   {5, true, true, true, 1},   {5, true, true, true, 1},
};
constexpr std::size_t kDilatedBlocks = 3;  // the last

MobileNetV3Features features(Net& net, const std::string& prefix, Edge x, std::span<const MobileBlock> blocks,
                             bool dilated) {
  int index = 0;
  const auto next = [&] { return prefix + std::to_string(index++); };
  MobileNetV3Features found;
  x = net.conv_norm(next(), x, {.kernel = 3, .stride = 2}, Hardswish{}, kEps);
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    const MobileBlock& block = blocks[i];
    x = net.mobile_block(next(), x,
                         {.kernel = block.kernel,
                          .stride = block.stride,
                          .dilation = dilated && i + kDilatedBlocks >= blocks.size() ? 2 : 1,
                          .expands = block.expands,
                          .squeezes = block.squeezes,
                          .activation = block.hardswish ? Operator(Hardswish{}) : Operator(ReLU{}),
                          .squeeze_activation = ReLU{},
                          .gate = Hardsigmoid{},
                          .eps = kEps});
    if (index == 5) found.low = x;
  }
  found.high = net.conv_norm(next(), x, {}, Hardswish{}, kEps);
  return found;
}

void classify(Net& net, std::span<const MobileBlock> blocks) {
  Edge x = features(net, "features.", net.image("features.0.0"), blocks, false).high;
  x = net.linear("classifier.0", net.pooled("avgpool", x));
  x = net.apply("classifier.1", Hardswish{}, x);
  net.logits(net.linear("classifier.3", x));
}

}  // namespace

MobileNetV3Features mobilenet_v3_large_features(Net& net, const std::string& prefix, Edge x, bool dilated) {
  return features(net, prefix, x, kLarge, dilated);
}
void mobilenet_v3_large(Net& net) {
  classify(net, kLarge);
}
void mobilenet_v3_small(Net& net) {
  classify(net, kSmall);
}

}  // namespace rushlight::doors
