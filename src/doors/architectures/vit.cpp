// torchvision/models/vision_transformer.py
#include <cmath>

#include "doors/architectures/families.hpp"

namespace rushlight::doors {
namespace {

constexpr double kEps = 1e-6;

// The side of the square image that these positions are for; -1 when they are for none.
std::int64_t image_size(std::int64_t positions, std::int64_t patch) {
  constexpr std::int64_t kMost = 1 << 30;
  const std::int64_t patches = positions - 1;  // the class token has one
  if (patches < 1 || patches > kMost) return -1;
  const auto side = static_cast<std::int64_t>(std::lround(std::sqrt(static_cast<double>(patches))));
  return side * side == patches ? side * patch : -1;
}

}  // namespace

void vit(Net& net, std::int64_t patch, int layers, std::int64_t heads) {
  Edge x = net.image("conv_proj", image_size(net.size("encoder.pos_embedding", 1), patch));
  x = net.conv("conv_proj", x, {.kernel = patch, .stride = patch, .padding = 0, .bias = true});
  x = net.permute("permute", net.apply("reshape", Flatten{.start_dim = 2}, x), {0, 2, 1});
  const Edge token = net.parameter("class_token", {1, 1, -1});
  x = net.cat("cat", {net.graph.apply("expand", ExpandAs{.dims = {0}}, token, x), x});
  x = net.add("encoder.add", x, net.parameter("encoder.pos_embedding", {1, -1, -1}));
  // Files of the first releases, the published ones among them, name the layers of an MLP so; torchvision renames them.
  const bool linear_names = net.has("encoder.layers.encoder_layer_0.mlp.linear_1.weight");
  for (int i = 0; i < layers; ++i) {
    const std::string name = "encoder.layers.encoder_layer_" + std::to_string(i);
    Edge y = net.layer_norm(name + ".ln_1", x, kEps);
    y = net.graph.apply(name + ".self_attention",
                        MultiheadAttention{.num_heads = heads, .batch_first = true, .need_weights = false}, {y, y, y});
    x = net.add(name + ".add", y, x);
    y = net.layer_norm(name + ".ln_2", x, kEps);
    y = linear_names ? net.mlp(name + ".mlp", y, "linear_1", "linear_2") : net.mlp(name + ".mlp", y);
    x = net.add(name + ".add_1", x, y);
  }
  x = net.layer_norm("encoder.ln", x, kEps);
  x = net.apply("getitem", Select{.dim = 1, .index = 0}, x);
  if (net.has("heads.pre_logits.weight")) {  // representation_size
    x = net.apply("heads.act", Tanh{}, net.linear("heads.pre_logits", x));
  }
  net.logits(net.linear("heads.head", x));
}

}  // namespace rushlight::doors
