// torchvision/models/resnet.py
#include "doors/architectures/families.hpp"

namespace rushlight::doors {
namespace {

struct Block {
  std::int64_t stride = 1;
  std::int64_t dilation = 1;
  bool downsamples = false;
};

Edge skip(Net& net, const std::string& name, Edge x, const Block& block) {
  return block.downsamples ? net.conv_norm(name + ".downsample", x, {.stride = block.stride}, {}) : x;
}

Edge basic_block(Net& net, const std::string& name, Edge x, const Block& block) {
  Edge y = net.conv(name + ".conv1", x, {.kernel = 3, .stride = block.stride});
  y = net.apply(name + ".relu", ReLU{}, net.batch_norm(name + ".bn1", y));
  y = net.conv(name + ".conv2", y, {.kernel = 3});
  y = net.batch_norm(name + ".bn2", y);
  y = net.add(name + ".add", y, skip(net, name, x, block));
  return net.apply(name + ".relu_1", ReLU{}, y);
}

Edge bottleneck(Net& net, const std::string& name, Edge x, const Block& block) {
  Edge y = net.conv(name + ".conv1", x, {});
  y = net.apply(name + ".relu", ReLU{}, net.batch_norm(name + ".bn1", y));
  y = net.conv(name + ".conv2", y, {.kernel = 3, .stride = block.stride, .dilation = block.dilation, .grouped = true});
  y = net.apply(name + ".relu_1", ReLU{}, net.batch_norm(name + ".bn2", y));
  y = net.conv(name + ".conv3", y, {});
  y = net.batch_norm(name + ".bn3", y);
  y = net.add(name + ".add", y, skip(net, name, x, block));
  return net.apply(name + ".relu_2", ReLU{}, y);
}

}  // namespace

ResNetFeatures resnet_features(Net& net, const std::string& prefix, const ResNetSettings& settings, Edge x) {
  x = net.conv(prefix + "conv1", x, {.kernel = 7, .stride = 2});
  x = net.apply(prefix + "relu", ReLU{}, net.batch_norm(prefix + "bn1", x));
  x = net.apply(prefix + "maxpool", MaxPool2d{.kernel_size = 3, .stride = 2, .padding = 1}, x);
  ResNetFeatures features;
  std::int64_t dilation = 1;
  for (std::size_t layer = 0; layer < settings.depths.size(); ++layer) {
    const std::string name = prefix + "layer" + std::to_string(layer + 1) + ".";
    const bool dilates = settings.dilated && layer >= 2;
    for (int i = 0; i < settings.depths[layer]; ++i) {
      Block block{.dilation = dilation};
      if (i == 0) {
        // A dilated layer begins with the dilation of the one before.
        block.stride = layer == 0 || dilates ? 1 : 2;
        block.downsamples = layer > 0 || settings.bottleneck;
        if (dilates) dilation *= 2;
      }
      x = settings.bottleneck ? bottleneck(net, name + std::to_string(i), x, block)
                              : basic_block(net, name + std::to_string(i), x, block);
    }
    if (layer == 2) features.layer3 = x;
  }
  features.layer4 = x;
  return features;
}

void resnet(Net& net, const ResNetSettings& settings) {
  const Edge x = resnet_features(net, "", settings, net.image("conv1")).layer4;
  net.logits(net.linear("fc", net.pooled("avgpool", x)));
}

}  // namespace rushlight::doors
