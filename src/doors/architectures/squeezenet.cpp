// torchvision/models/squeezenet.py
#include "doors/architectures/families.hpp"

namespace rushlight::doors {
namespace {

Edge fire(Net& net, const std::string& name, Edge x) {
  x = net.apply(name + ".squeeze_activation", ReLU{}, net.conv(name + ".squeeze", x, {.bias = true}));
  const Edge narrow = net.conv(name + ".expand1x1", x, {.bias = true});
  const Edge wide = net.conv(name + ".expand3x3", x, {.kernel = 3, .bias = true});
  return net.cat(name + ".cat", {net.apply(name + ".expand1x1_activation", ReLU{}, narrow),
                                 net.apply(name + ".expand3x3_activation", ReLU{}, wide)});
}

}  // namespace

void squeezenet(Net& net, std::int64_t kernel, std::string_view layers) {
  const MaxPool2d pool{.kernel_size = 3, .stride = 2, .ceil_mode = true};
  Edge x = net.image("features.0");
  x = net.conv("features.0", x, {.kernel = kernel, .stride = 2, .padding = 0, .bias = true});
  x = net.apply("features.1", ReLU{}, x);
  x = net.apply("features.2", pool, x);
  int index = 3;
  for (const char layer : layers) {
    const std::string name = "features." + std::to_string(index++);
    x = layer == 'F' ? fire(net, name, x) : net.apply(name, pool, x);
  }
  x = net.apply("classifier.2", ReLU{}, net.conv("classifier.1", x, {.bias = true}));
  net.logits(net.pooled("classifier.3", x));
}

}  // namespace rushlight::doors
