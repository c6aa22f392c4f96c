// The families of torchvision.models, one file each. What differs between the members of a family are the arguments.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "doors/architectures/net.hpp"

namespace rushlight::doors {

using Depths = std::array<int, 4>;

void alexnet(Net& net);
// Convolutions before each of the five pools.
void vgg(Net& net, std::array<int, 5> convolutions, bool batch_norm);
// After the first pool: a Fire module for each F, a pool for each P.
void squeezenet(Net& net, std::int64_t kernel, std::string_view layers);

struct ResNetSettings {
  bool bottleneck = true;
  Depths depths{};
  bool dilated = false;  // layer3 and layer4 keep the size: replace_stride_with_dilation=[False, True, True]
};
struct ResNetFeatures {
  Edge layer3{};
  Edge layer4{};
};
// `prefix` is empty or ends with a dot.
ResNetFeatures resnet_features(Net& net, const std::string& prefix, const ResNetSettings& settings, Edge x);
// Also ResNeXt and Wide ResNet: their weights have the groups and the widths.
void resnet(Net& net, const ResNetSettings& settings);

void densenet(Net& net, Depths layers);
void googlenet(Net& net);
void inception_v3(Net& net);
void mobilenet_v2(Net& net);

struct MobileNetV3Features {
  Edge low{};   // features.4
  Edge high{};  // the last
};
// Those of the large one, as the segmentation models have it.
MobileNetV3Features mobilenet_v3_large_features(Net& net, const std::string& prefix, Edge x, bool dilated);
void mobilenet_v3_large(Net& net);
void mobilenet_v3_small(Net& net);

void mnasnet(Net& net);
void shufflenet_v2(Net& net);
void efficientnet(Net& net, double depth_mult, double eps);
enum class EfficientNetV2 : std::uint8_t { s, m, l };
void efficientnet_v2(Net& net, EfficientNetV2 size);
void regnet(Net& net, Depths depths, bool squeezes);
void convnext(Net& net, Depths depths);
void swin(Net& net, Depths depths, std::int64_t window, bool v2);
void vit(Net& net, std::int64_t patch, int layers, std::int64_t heads);
void maxvit(Net& net);

void fcn_resnet(Net& net, Depths depths);
void deeplabv3_resnet(Net& net, Depths depths);
void deeplabv3_mobilenet_v3_large(Net& net);
void lraspp_mobilenet_v3_large(Net& net);

}  // namespace rushlight::doors
