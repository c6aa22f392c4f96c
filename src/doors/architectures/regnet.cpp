// torchvision/models/regnet.py
#include "doors/architectures/families.hpp"

namespace rushlight::doors {

void regnet(Net& net, Depths depths, bool squeezes) {
  Edge x = net.image("stem.0");
  x = net.conv_norm("stem", x, {.kernel = 3, .stride = 2}, ReLU{});
  for (std::size_t stage = 0; stage < depths.size(); ++stage) {
    const std::string block = "block" + std::to_string(stage + 1);
    for (int i = 0; i < depths[stage]; ++i) {
      const std::string name = "trunk_output." + block + "." + block + "-" + std::to_string(i);
      const std::int64_t stride = i == 0 ? 2 : 1;
      const Edge skip = i == 0 ? net.conv_norm(name + ".proj", x, {.stride = stride}, {}) : x;
      Edge y = net.conv_norm(name + ".f.a", x, {}, ReLU{});
      y = net.conv_norm(name + ".f.b", y, {.kernel = 3, .stride = stride, .grouped = true}, ReLU{});
      if (squeezes) y = net.squeeze_excitation(name + ".f.se", y, ReLU{}, Sigmoid{});
      y = net.conv_norm(name + ".f.c", y, {}, {});
      x = net.apply(name + ".activation", ReLU{}, net.add(name + ".add", skip, y));
    }
  }
  net.logits(net.linear("fc", net.pooled("avgpool", x)));
}

}  // namespace rushlight::doors
