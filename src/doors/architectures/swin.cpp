// torchvision/models/swin_transformer.py
#include <algorithm>

#include "doors/architectures/families.hpp"

namespace rushlight::doors {
namespace {

struct Settings {
  std::int64_t window;
  bool v2;
};

Edge attention(Net& net, const std::string& name, Edge x, const Settings& settings, bool shifts) {
  const std::int64_t heads =
      settings.v2 ? net.size(name + ".logit_scale", 0) : net.size(name + ".relative_position_bias_table", 1);
  return net.apply(name,
                   ShiftedWindowAttention{.window_size = settings.window,
                                          .shift_size = shifts ? settings.window / 2 : 0,
                                          .num_heads = std::max<std::int64_t>(heads, 1),
                                          .v2 = settings.v2},
                   x);
}

Edge block(Net& net, const std::string& name, Edge x, const Settings& settings, bool shifts) {
  // The second version norms what a branch gives, the first what it takes.
  Edge y = settings.v2 ? x : net.layer_norm(name + ".norm1", x);
  y = attention(net, name + ".attn", y, settings, shifts);
  if (settings.v2) y = net.layer_norm(name + ".norm1", y);
  x = net.add(name + ".add", x, y);
  y = settings.v2 ? x : net.layer_norm(name + ".norm2", x);
  y = net.mlp(name + ".mlp", y);
  if (settings.v2) y = net.layer_norm(name + ".norm2", y);
  return net.add(name + ".add_1", x, y);
}

// Every second row or column from `start` on. A map of odd size is padded by one, at its end: what starts at 0 has as
// many either way, and what starts at 1 has as many of an even map that is padded as of one that is not. So no step
// depends on the size.
Edge every_second(Net& net, const std::string& name, Edge x, std::int64_t dim, std::int64_t start) {
  if (start == 1) x = net.apply(name + ".pad", Pad{.pad = dim == 1 ? Shape{0, 0, 0, 0, 0, 1} : Shape{0, 0, 0, 1}}, x);
  return net.apply(name + ".slice", Slice{.dim = dim, .start = start, .step = 2}, x);
}

Edge patch_merging(Net& net, const std::string& name, Edge x, bool v2) {
  const Edge even = every_second(net, name + ".even", x, 1, 0);
  const Edge odd = every_second(net, name + ".odd", x, 1, 1);
  x = net.cat(name + ".cat",
              {every_second(net, name + ".even_even", even, 2, 0), every_second(net, name + ".odd_even", odd, 2, 0),
               every_second(net, name + ".even_odd", even, 2, 1), every_second(net, name + ".odd_odd", odd, 2, 1)},
              -1);
  if (!v2) x = net.layer_norm(name + ".norm", x);
  x = net.linear(name + ".reduction", x, false);
  return v2 ? net.layer_norm(name + ".norm", x) : x;
}

}  // namespace

void swin(Net& net, Depths depths, std::int64_t window, bool v2) {
  const Settings settings{window, v2};
  Edge x = net.image("features.0.0");
  x = net.conv("features.0.0", x, {.kernel = 4, .stride = 4, .padding = 0, .bias = true});
  x = net.layer_norm("features.0.2", net.permute("features.0.1", x, {0, 2, 3, 1}));
  for (std::size_t stage = 0; stage < depths.size(); ++stage) {
    const std::string name = "features." + std::to_string(2 * stage + 1) + ".";
    for (int i = 0; i < depths[stage]; ++i) x = block(net, name + std::to_string(i), x, settings, i % 2 == 1);
    if (stage + 1 < depths.size()) x = patch_merging(net, "features." + std::to_string(2 * stage + 2), x, v2);
  }
  x = net.permute("permute", net.layer_norm("norm", x), {0, 3, 1, 2});
  net.logits(net.linear("head", net.pooled("avgpool", x)));
}

}  // namespace rushlight::doors
