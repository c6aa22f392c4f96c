// torchvision/models/segmentation: FCN, DeepLabV3, LRASPP
#include "doors/architectures/families.hpp"

namespace rushlight::doors {
namespace {

Edge resized_to(Net& net, std::string name, Edge x, Edge like) {
  return net.graph.apply(std::move(name), Upsample{.mode = InterpolationMode::bilinear}, x, like);
}

Edge fcn_head(Net& net, const std::string& name, Edge x) {
  x = net.conv_norm(name, x, {.kernel = 3}, ReLU{});
  return net.conv(name + ".4", x, {.bias = true});
}

Edge deeplab_head(Net& net, const std::string& name, Edge x) {
  const std::string aspp = name + ".0.convs.";
  std::vector<Edge> pieces = {net.conv_norm(aspp + "0", x, {}, ReLU{})};
  constexpr std::int64_t kRates[] = {12, 24, 36};
  for (const std::int64_t rate : kRates) {
    pieces.push_back(net.conv_norm(aspp + std::to_string(pieces.size()), x, {.kernel = 3, .dilation = rate}, ReLU{}));
  }
  Edge mean = net.apply(aspp + "4.0", AdaptiveAvgPool2d{.output_size = 1}, x);
  mean = net.batch_norm(aspp + "4.2", net.conv(aspp + "4.1", mean, {}));
  mean = net.apply(aspp + "4.3", ReLU{}, mean);
  pieces.push_back(resized_to(net, aspp + "4.interpolate", mean, x));
  x = net.graph.apply(name + ".0.cat", Cat{.dim = 1}, pieces);
  x = net.conv_norm(name + ".0.project", x, {}, ReLU{});
  x = net.conv(name + ".1", x, {.kernel = 3});
  x = net.apply(name + ".3", ReLU{}, net.batch_norm(name + ".2", x));
  return net.conv(name + ".4", x, {.bias = true});
}

using Head = Edge (*)(Net& net, const std::string& name, Edge x);

// `aux` is an output where the state dict has its head.
void segment(Net& net, Edge image, Head head, Edge features, Edge aux_features) {
  net.graph.output("out", resized_to(net, "interpolate", head(net, "classifier", features), image));
  if (!net.has("aux_classifier.0.weight")) return;
  const Edge aux = fcn_head(net, "aux_classifier", aux_features);
  net.graph.output("aux", resized_to(net, "interpolate_1", aux, image));
}

void segment_resnet(Net& net, Depths depths, Head head) {
  const Edge image = net.image("backbone.conv1");
  const ResNetFeatures features = resnet_features(net, "backbone.", {.depths = depths, .dilated = true}, image);
  segment(net, image, head, features.layer4, features.layer3);
}

}  // namespace

void fcn_resnet(Net& net, Depths depths) {
  segment_resnet(net, depths, fcn_head);
}

void deeplabv3_resnet(Net& net, Depths depths) {
  segment_resnet(net, depths, deeplab_head);
}

void deeplabv3_mobilenet_v3_large(Net& net) {
  const Edge image = net.image("backbone.0.0");
  const MobileNetV3Features features = mobilenet_v3_large_features(net, "backbone.", image, true);
  segment(net, image, deeplab_head, features.high, features.low);
}

void lraspp_mobilenet_v3_large(Net& net) {
  const Edge image = net.image("backbone.0.0");
  const MobileNetV3Features features = mobilenet_v3_large_features(net, "backbone.", image, true);
  Edge x = net.conv_norm("classifier.cbr", features.high, {}, ReLU{});
  Edge scale = net.apply("classifier.scale.0", AdaptiveAvgPool2d{.output_size = 1}, features.high);
  scale = net.apply("classifier.scale.2", Sigmoid{}, net.conv("classifier.scale.1", scale, {}));
  x = resized_to(net, "classifier.interpolate", net.multiply("classifier.mul", x, scale), features.low);
  const Edge low = net.conv("classifier.low_classifier", features.low, {.bias = true});
  x = net.add("classifier.add", low, net.conv("classifier.high_classifier", x, {.bias = true}));
  net.graph.output("out", resized_to(net, "interpolate", x, image));
}

}  // namespace rushlight::doors
