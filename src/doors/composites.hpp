// Blocks of torch.nn and torchvision as functions over a GraphBuilder: what the pickled classes compute, for whoever
// has their attributes and not their pickle. A block of a pickle is computed by the same code with the pickle's
// children. Those of torch.nn are public (rushlight/transformer.hpp).
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>

#include "rushlight/graph.hpp"

namespace rushlight::doors {

// torchvision.ops.SqueezeExcitation.
struct SqueezeExcitation {
  std::int64_t input_channels = 0;
  std::int64_t squeeze_channels = 0;
  Operator activation = ReLU{};
  Operator scale_activation = Sigmoid{};
};
Edge squeeze_excitation(GraphBuilder& graph, const std::string& name, const SqueezeExcitation& block, Edge x);

// torchvision.models.convnext.LayerNorm2d: a LayerNorm over the channels of [N, C, H, W].
Edge layer_norm_2d(GraphBuilder& graph, const std::string& name, const LayerNorm& norm, Edge x);

// torchvision.ops.Conv2dNormActivation: children "0", "1", "2". Without `norm` and `activation` (kinds of nothing) as
// torchvision's None.
struct Conv2dNormActivation {
  Conv2d conv{};
  Operator norm = BatchNorm2d{};
  Operator activation = ReLU{};
};
Edge conv_2d_norm_activation(GraphBuilder& graph, const std::string& name, const Conv2dNormActivation& block, Edge x);

// The structure alone: `call` computes a child of the block ("self_attn", "linear1", "activation"), `apply` an operator
// of the block itself. An attention is called with query, key and value.
struct BlockCalls {
  std::function<Edge(std::string_view child, std::initializer_list<Edge> inputs)> call;
  std::function<Edge(Operator op, std::initializer_list<Edge> inputs)> apply;
};
Edge transformer_encoder_layer(const BlockCalls& block, bool norm_first, Edge src);
Edge transformer_decoder_layer(const BlockCalls& block, bool norm_first, Edge tgt, Edge memory);
Edge squeeze_excitation(const BlockCalls& block, Edge x);

}  // namespace rushlight::doors
