// torchvision/models/densenet.py
#include "doors/architectures/families.hpp"

namespace rushlight::doors {

void densenet(Net& net, Depths layers) {
  Edge x = net.image("features.conv0");
  x = net.conv("features.conv0", x, {.kernel = 7, .stride = 2});
  x = net.apply("features.relu0", ReLU{}, net.batch_norm("features.norm0", x));
  x = net.apply("features.pool0", MaxPool2d{.kernel_size = 3, .stride = 2, .padding = 1}, x);
  // The published files are older than torch 0.4, which took the dot out of names: torchvision renames them on loading.
  const std::string dot = net.has("features.denseblock1.denselayer1.norm.1.weight") ? "." : "";
  for (std::size_t block = 0; block < layers.size(); ++block) {
    const std::string number = std::to_string(block + 1);
    for (int i = 0; i < layers[block]; ++i) {
      const std::string name = "features.denseblock" + number + ".denselayer" + std::to_string(i + 1) + ".";
      Edge y = net.batch_norm(name + "norm" + dot + "1", x);
      y = net.conv(name + "conv" + dot + "1", net.apply(name + "relu1", ReLU{}, y), {});
      y = net.batch_norm(name + "norm" + dot + "2", y);
      y = net.conv(name + "conv" + dot + "2", net.apply(name + "relu2", ReLU{}, y), {.kernel = 3});
      x = net.cat("features.denseblock" + number + ".cat_" + std::to_string(i + 1), {x, y});
    }
    if (block + 1 == layers.size()) break;
    const std::string name = "features.transition" + number + ".";
    x = net.apply(name + "relu", ReLU{}, net.batch_norm(name + "norm", x));
    x = net.conv(name + "conv", x, {});
    x = net.apply(name + "pool", AvgPool2d{.kernel_size = 2}, x);
  }
  x = net.apply("relu", ReLU{}, net.batch_norm("features.norm5", x));
  net.logits(net.linear("classifier", net.pooled("adaptive_avg_pool2d", x)));
}

}  // namespace rushlight::doors
