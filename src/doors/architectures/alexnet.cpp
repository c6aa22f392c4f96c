// torchvision/models/alexnet.py
#include "doors/architectures/families.hpp"

namespace rushlight::doors {

void alexnet(Net& net) {
  int index = 0;
  const auto next = [&] { return "features." + std::to_string(index++); };
  Edge x = net.image("features.0");
  const auto conv = [&](const ConvSettings& settings) {
    x = net.conv(next(), x, settings);
    x = net.apply(next(), ReLU{}, x);
  };
  const auto pool = [&] { x = net.apply(next(), MaxPool2d{.kernel_size = 3, .stride = 2}, x); };
  conv({.kernel = 11, .stride = 4, .padding = 2, .bias = true});
  pool();
  conv({.kernel = 5, .bias = true});
  pool();
  for (int i = 0; i < 3; ++i) conv({.kernel = 3, .bias = true});
  pool();
  x = net.apply("avgpool", AdaptiveAvgPool2d{.output_size = 6}, x);
  x = net.apply("flatten", Flatten{}, x);
  x = net.apply("classifier.2", ReLU{}, net.linear("classifier.1", x));
  x = net.apply("classifier.5", ReLU{}, net.linear("classifier.4", x));
  net.logits(net.linear("classifier.6", x));
}

}  // namespace rushlight::doors
