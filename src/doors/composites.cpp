#include "doors/composites.hpp"

#include <utility>

#include "doors/forward.hpp"
#include "model/operator_table.hpp"
#include "rushlight/transformer.hpp"

namespace rushlight::doors {
namespace {

Edge feed_forward(const BlockCalls& block, Edge x) {
  return block.call("linear2", {block.call("activation", {block.call("linear1", {x})})});
}

Edge plus(const BlockCalls& block, Edge x, Edge y) {
  return block.apply(Add{}, {x, y});
}

LayerNorm norm_of(const TransformerLayer& layer) {
  LayerNorm norm{.eps = layer.layer_norm_eps, .bias = layer.bias};
  if (layer.d_model != kFromWeights) norm.normalized_shape = {layer.d_model};
  return norm;
}

// Children by name, from the attributes of a layer.
BlockCalls transformer_calls(GraphBuilder& graph, const std::string& name, const TransformerLayer& layer) {
  const auto call = [&graph, name, layer](std::string_view child, std::initializer_list<Edge> inputs) {
    const std::string full = joined(name, child);
    if (child == "activation") return graph.apply(full, layer.activation, inputs);
    if (child == "linear1") return graph.apply(full, Linear{layer.d_model, layer.dim_feedforward, layer.bias}, inputs);
    if (child == "linear2") return graph.apply(full, Linear{layer.dim_feedforward, layer.d_model, layer.bias}, inputs);
    if (child.starts_with("norm")) return graph.apply(full, norm_of(layer), inputs);
    return graph.apply(full,
                       MultiheadAttention{.embed_dim = layer.d_model,
                                          .num_heads = layer.nhead,
                                          .bias = layer.bias,
                                          .batch_first = layer.batch_first,
                                          .need_weights = false},
                       inputs);
  };
  const auto apply = [&graph, name](Operator op, std::initializer_list<Edge> inputs) {
    const std::string full = joined(name, model::info(op)->spec_name);
    return graph.apply(full, std::move(op), inputs);
  };
  return {call, apply};
}

}  // namespace

Edge transformer_encoder_layer(const BlockCalls& block, bool norm_first, Edge src) {
  const auto attend = [&](Edge x) { return block.call("self_attn", {x, x, x}); };
  if (norm_first) {
    const Edge x = plus(block, src, attend(block.call("norm1", {src})));
    return plus(block, x, feed_forward(block, block.call("norm2", {x})));
  }
  const Edge x = block.call("norm1", {plus(block, src, attend(src))});
  return block.call("norm2", {plus(block, x, feed_forward(block, x))});
}

Edge transformer_decoder_layer(const BlockCalls& block, bool norm_first, Edge tgt, Edge memory) {
  const auto attend = [&](Edge x) { return block.call("self_attn", {x, x, x}); };
  const auto look_up = [&](Edge x) { return block.call("multihead_attn", {x, memory, memory}); };
  if (norm_first) {
    Edge x = plus(block, tgt, attend(block.call("norm1", {tgt})));
    x = plus(block, x, look_up(block.call("norm2", {x})));
    return plus(block, x, feed_forward(block, block.call("norm3", {x})));
  }
  Edge x = block.call("norm1", {plus(block, tgt, attend(tgt))});
  x = block.call("norm2", {plus(block, x, look_up(x))});
  return block.call("norm3", {plus(block, x, feed_forward(block, x))});
}

Edge squeeze_excitation(const BlockCalls& block, Edge x) {
  Edge scale = block.call("fc1", {block.call("avgpool", {x})});
  scale = block.call("fc2", {block.call("activation", {scale})});
  return block.apply(Mul{}, {block.call("scale_activation", {scale}), x});
}

Edge squeeze_excitation(GraphBuilder& graph, const std::string& name, const SqueezeExcitation& block, Edge x) {
  const auto call = [&](std::string_view child, std::initializer_list<Edge> inputs) {
    const std::string full = joined(name, child);
    if (child == "avgpool") return graph.apply(full, AdaptiveAvgPool2d{1}, inputs);
    if (child == "fc1") return graph.apply(full, Conv2d{block.input_channels, block.squeeze_channels, 1}, inputs);
    if (child == "fc2") return graph.apply(full, Conv2d{block.squeeze_channels, block.input_channels, 1}, inputs);
    return graph.apply(full, child == "activation" ? block.activation : block.scale_activation, inputs);
  };
  const auto apply = [&](Operator op, std::initializer_list<Edge> inputs) {
    return graph.apply(joined(name, "mul"), std::move(op), inputs);
  };
  return squeeze_excitation({call, apply}, x);
}

Edge layer_norm_2d(GraphBuilder& graph, const std::string& name, const LayerNorm& norm, Edge x) {
  x = graph.apply(joined(name, "permute"), Permute{{0, 2, 3, 1}}, x);
  x = graph.apply(name, norm, x);
  return graph.apply(joined(name, "permute_1"), Permute{{0, 3, 1, 2}}, x);
}

Edge conv_2d_norm_activation(GraphBuilder& graph, const std::string& name, const Conv2dNormActivation& block, Edge x) {
  x = graph.apply(joined(name, "0"), block.conv, x);
  std::int64_t next = 1;
  for (const Operator& op : {block.norm, block.activation}) {
    if (op.kind() != OperatorKind::nothing) x = graph.apply(joined(name, std::to_string(next++)), op, x);
  }
  return x;
}

}  // namespace rushlight::doors

namespace rushlight {

Edge transformer_encoder_layer(GraphBuilder& graph, const std::string& name, const TransformerLayer& layer, Edge src) {
  return doors::transformer_encoder_layer(doors::transformer_calls(graph, name, layer), layer.norm_first, src);
}

Edge transformer_decoder_layer(GraphBuilder& graph, const std::string& name, const TransformerLayer& layer, Edge tgt,
                               Edge memory) {
  return doors::transformer_decoder_layer(doors::transformer_calls(graph, name, layer), layer.norm_first, tgt, memory);
}

Edge transformer_encoder(GraphBuilder& graph, const std::string& name, const TransformerLayer& layer,
                         std::int64_t num_layers, bool norm, Edge src) {
  for (std::int64_t i = 0; i < num_layers; ++i) {
    src = transformer_encoder_layer(graph, doors::joined(name, "layers." + std::to_string(i)), layer, src);
  }
  return norm ? graph.apply(doors::joined(name, "norm"), doors::norm_of(layer), src) : src;
}

Edge transformer_decoder(GraphBuilder& graph, const std::string& name, const TransformerLayer& layer,
                         std::int64_t num_layers, bool norm, Edge tgt, Edge memory) {
  for (std::int64_t i = 0; i < num_layers; ++i) {
    tgt = transformer_decoder_layer(graph, doors::joined(name, "layers." + std::to_string(i)), layer, tgt, memory);
  }
  return norm ? graph.apply(doors::joined(name, "norm"), doors::norm_of(layer), tgt) : tgt;
}

Edge transformer(GraphBuilder& graph, const std::string& name, const Transformer& transformer, Edge src, Edge tgt) {
  const TransformerLayer& layer = transformer.layer;
  const Edge memory =
      transformer_encoder(graph, doors::joined(name, "encoder"), layer, transformer.num_encoder_layers, true, src);
  return transformer_decoder(graph, doors::joined(name, "decoder"), layer, transformer.num_decoder_layers, true, tgt,
                             memory);
}

}  // namespace rushlight
