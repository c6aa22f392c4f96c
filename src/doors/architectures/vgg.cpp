// torchvision/models/vgg.py
#include "doors/architectures/families.hpp"

namespace rushlight::doors {

void vgg(Net& net, std::array<int, 5> convolutions, bool batch_norm) {
  int index = 0;
  const auto next = [&] { return "features." + std::to_string(index++); };
  Edge x = net.image("features.0");
  for (const int count : convolutions) {
    for (int i = 0; i < count; ++i) {
      x = net.conv(next(), x, {.kernel = 3, .bias = true});
      if (batch_norm) x = net.batch_norm(next(), x);
      x = net.apply(next(), ReLU{}, x);
    }
    x = net.apply(next(), MaxPool2d{.kernel_size = 2}, x);
  }
  x = net.apply("avgpool", AdaptiveAvgPool2d{.output_size = 7}, x);
  x = net.apply("flatten", Flatten{}, x);
  x = net.apply("classifier.1", ReLU{}, net.linear("classifier.0", x));
  x = net.apply("classifier.4", ReLU{}, net.linear("classifier.3", x));
  net.logits(net.linear("classifier.6", x));
}

}  // namespace rushlight::doors
