// torchvision/models/maxvit.py
#include <algorithm>
#include <cmath>

#include "doors/architectures/families.hpp"

namespace rushlight::doors {
namespace {

constexpr double kMaxVitEps = 1e-3;  // of the batch norms
constexpr std::int64_t kImage = 224;
constexpr std::int64_t kPartition = 7;
constexpr std::int64_t kPositions = kPartition * kPartition;
constexpr std::int64_t kHead = 32;

Edge mb_conv(Net& net, const std::string& name, Edge x, std::int64_t stride) {
  Edge skip = x;
  if (stride == 2) {
    skip = net.apply(name + ".proj.0", AvgPool2d{.kernel_size = 3, .stride = 2, .padding = 1}, x);
    skip = net.conv(name + ".proj.1", skip, {.bias = true});
  }
  Edge y = net.batch_norm(name + ".layers.pre_norm", x, kMaxVitEps);
  y = net.conv_norm(name + ".layers.conv_a", y, {}, GELU{}, kMaxVitEps);
  y = net.conv_norm(name + ".layers.conv_b", y, {.kernel = 3, .stride = stride, .grouped = true}, GELU{}, kMaxVitEps);
  y = net.squeeze_excitation(name + ".layers.squeeze_excitation", y, SiLU{}, Sigmoid{});
  y = net.conv(name + ".layers.conv_c", y, {.bias = true});
  return net.add(name + ".add", skip, y);
}

// Of [N, groups, positions, channels], within each group.
Edge attention(Net& net, const std::string& name, Edge x, std::int64_t channels, std::int64_t groups) {
  const std::int64_t heads = std::max<std::int64_t>(channels / kHead, 1);
  const Edge qkv = net.linear(name + ".to_qkv", x);
  std::vector<Edge> parts = net.graph.apply(name + ".chunk", Chunk{.chunks = 3, .dim = -1}, {&qkv, 1}, 3);
  constexpr const char* kNames[] = {".query", ".key", ".value"};
  for (std::size_t i = 0; i < parts.size(); ++i) {
    parts[i] =
        net.apply(name + kNames[i] + ".reshape", Reshape{.shape = {-1, groups, kPositions, heads, kHead}}, parts[i]);
    parts[i] = net.permute(name + kNames[i], parts[i], {0, 1, 3, 2, 4});
  }
  const Edge table = net.parameter(name + ".relative_position_bias_table", {-1, heads});
  Edge index = net.parameter(name + ".relative_position_index", {kPositions, kPositions}, true);
  index = net.apply(name + ".relative_position_index.view", Flatten{.start_dim = 0}, index);
  Edge bias = net.graph.apply(name + ".relative_position_bias", IndexSelect{.dim = 0}, table, index);
  bias = net.apply(name + ".relative_position_bias.view", Reshape{.shape = {kPositions, kPositions, heads}}, bias);
  bias = net.permute(name + ".relative_position_bias.permute", bias, {2, 0, 1});
  // Scaled by the number of all channels, not of a head's.
  const double scale = 1 / std::sqrt(static_cast<double>(channels));
  Edge y = net.graph.apply(name + ".attention", ScaledDotProductAttention{.scale = scale},
                           {parts[0], parts[1], parts[2], bias});
  y = net.permute(name + ".permute", y, {0, 1, 3, 2, 4});
  y = net.apply(name + ".reshape", Reshape{.shape = {-1, groups, kPositions, heads * kHead}}, y);
  return net.linear(name + ".merge", y);
}

// Windows of `side` pixels, or with `grid` the pixels that lie `side` windows apart.
Edge partition_attention(Net& net, const std::string& name, Edge x, std::int64_t channels, std::int64_t map,
                         bool grid) {
  const std::int64_t windows = map / kPartition;  // along each side
  const std::int64_t p = grid ? windows : kPartition;
  const std::int64_t g = map / p;
  x = net.apply(name + ".partition_op.reshape", Reshape{.shape = {-1, channels, g, p, g, p}}, x);
  x = net.permute(name + ".partition_op.permute", x, {0, 2, 4, 3, 5, 1});
  x = net.apply(name + ".partition_op", Reshape{.shape = {-1, g * g, p * p, channels}}, x);
  if (grid) x = net.apply(name + ".partition_swap", Transpose{.dim0 = -2, .dim1 = -3}, x);
  Edge y = net.layer_norm(name + ".attn_layer.0", x);
  y = attention(net, name + ".attn_layer.1", y, channels, windows * windows);
  x = net.add(name + ".add", x, y);
  y = net.layer_norm(name + ".mlp_layer.0", x);
  y = net.apply(name + ".mlp_layer.2", GELU{}, net.linear(name + ".mlp_layer.1", y));
  x = net.add(name + ".add_1", x, net.linear(name + ".mlp_layer.3", y));
  if (grid) x = net.apply(name + ".departition_swap", Transpose{.dim0 = -2, .dim1 = -3}, x);
  x = net.apply(name + ".departition_op.reshape", Reshape{.shape = {-1, g, g, p, p, channels}}, x);
  x = net.permute(name + ".departition_op.permute", x, {0, 5, 1, 3, 2, 4});
  return net.apply(name + ".departition_op", Reshape{.shape = {-1, channels, map, map}}, x);
}

}  // namespace

void maxvit(Net& net) {
  Edge x = net.image("stem.0.0", kImage);
  x = net.conv_norm("stem.0", x, {.kernel = 3, .stride = 2}, GELU{}, kMaxVitEps);
  x = net.conv("stem.1.0", x, {.kernel = 3, .bias = true});
  std::int64_t map = kImage / 2;
  constexpr Depths kLayers{2, 2, 5, 2};
  constexpr std::int64_t kChannels[] = {64, 128, 256, 512};
  for (std::size_t block = 0; block < kLayers.size(); ++block) {
    map /= 2;
    for (int i = 0; i < kLayers[block]; ++i) {
      const std::string name = "blocks." + std::to_string(block) + ".layers." + std::to_string(i) + ".layers.";
      const std::int64_t found = net.size(name + "window_attention.attn_layer.1.to_qkv.weight", 1);
      const std::int64_t channels = found >= kHead && found % kHead == 0 ? found : kChannels[block];
      x = mb_conv(net, name + "MBconv", x, i == 0 ? 2 : 1);
      x = partition_attention(net, name + "window_attention", x, channels, map, false);
      x = partition_attention(net, name + "grid_attention", x, channels, map, true);
    }
  }
  x = net.apply("classifier.1", Flatten{}, net.apply("classifier.0", AdaptiveAvgPool2d{.output_size = 1}, x));
  x = net.linear("classifier.3", net.layer_norm("classifier.2", x));
  x = net.apply("classifier.4", Tanh{}, x);
  net.logits(net.linear("classifier.5", x, false));
}

}  // namespace rushlight::doors
