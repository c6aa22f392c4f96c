// torchvision/models/mnasnet.py. The stem of its first version differs in width only.
#include "doors/architectures/families.hpp"

namespace rushlight::doors {
namespace {

Edge inverted_residual(Net& net, const std::string& block, Edge x, std::int64_t kernel, std::int64_t stride) {
  const std::string name = block + ".layers.";
  Edge y = net.conv(name + "0", x, {});
  y = net.apply(name + "2", ReLU{}, net.batch_norm(name + "1", y));
  y = net.conv(name + "3", y, {.kernel = kernel, .stride = stride, .grouped = true});
  y = net.apply(name + "5", ReLU{}, net.batch_norm(name + "4", y));
  y = net.batch_norm(name + "7", net.conv(name + "6", y, {}));
  return stride == 1 && net.keeps_channels(name + "0", false, name + "6") ? net.add(block + ".add", y, x) : y;
}

struct Stack {
  std::int64_t kernel;
  std::int64_t stride;
  int repeats;
};
constexpr Stack kStacks[] = {{3, 2, 3}, {5, 2, 3}, {5, 2, 3}, {3, 1, 2}, {5, 2, 4}, {3, 1, 1}};

}  // namespace

void mnasnet(Net& net) {
  Edge x = net.image("layers.0");
  x = net.conv("layers.0", x, {.kernel = 3, .stride = 2});
  x = net.apply("layers.2", ReLU{}, net.batch_norm("layers.1", x));
  x = net.conv("layers.3", x, {.kernel = 3, .grouped = true});
  x = net.apply("layers.5", ReLU{}, net.batch_norm("layers.4", x));
  x = net.batch_norm("layers.7", net.conv("layers.6", x, {}));
  int index = 8;
  for (const Stack& stack : kStacks) {
    const std::string name = "layers." + std::to_string(index++) + ".";
    for (int i = 0; i < stack.repeats; ++i) {
      x = inverted_residual(net, name + std::to_string(i), x, stack.kernel, i == 0 ? stack.stride : 1);
    }
  }
  x = net.conv("layers.14", x, {});
  x = net.apply("layers.16", ReLU{}, net.batch_norm("layers.15", x));
  x = net.apply("mean", Mean{.dim = {2, 3}}, x);
  net.logits(net.linear("classifier.1", x));
}

}  // namespace rushlight::doors
