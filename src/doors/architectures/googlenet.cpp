// torchvision/models/googlenet.py
#include "doors/architectures/families.hpp"

namespace rushlight::doors {
namespace {

Edge inception(Net& net, const std::string& name, Edge x) {
  const Edge branch1 = net.basic_conv(name + ".branch1", x);
  const Edge branch2 = net.basic_conv(name + ".branch2.1", net.basic_conv(name + ".branch2.0", x), {.kernel = 3});
  const Edge branch3 = net.basic_conv(name + ".branch3.1", net.basic_conv(name + ".branch3.0", x), {.kernel = 3});
  const Edge pooled =
      net.apply(name + ".branch4.0", MaxPool2d{.kernel_size = 3, .stride = 1, .padding = 1, .ceil_mode = true}, x);
  const Edge branch4 = net.basic_conv(name + ".branch4.1", pooled);
  return net.cat(name + ".cat", {branch1, branch2, branch3, branch4});
}

}  // namespace

void googlenet(Net& net) {
  const MaxPool2d pool{.kernel_size = 3, .stride = 2, .ceil_mode = true};
  Edge x = net.transformed(net.image("conv1.conv"));
  x = net.basic_conv("conv1", x, {.kernel = 7, .stride = 2});
  x = net.apply("maxpool1", pool, x);
  x = net.basic_conv("conv2", x);
  x = net.basic_conv("conv3", x, {.kernel = 3});
  x = net.apply("maxpool2", pool, x);
  for (const char* name : {"inception3a", "inception3b"}) x = inception(net, name, x);
  x = net.apply("maxpool3", pool, x);
  for (const char* name : {"inception4a", "inception4b", "inception4c", "inception4d", "inception4e"}) {
    x = inception(net, name, x);
  }
  x = net.apply("maxpool4", MaxPool2d{.kernel_size = 2, .ceil_mode = true}, x);
  for (const char* name : {"inception5a", "inception5b"}) x = inception(net, name, x);
  net.logits(net.linear("fc", net.pooled("avgpool", x)));
  // Heads of training.
  net.graph.ignore("aux1");
  net.graph.ignore("aux2");
}

}  // namespace rushlight::doors
