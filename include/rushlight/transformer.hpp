/// \file
/// Blocks of torch.nn.Transformer for a GraphBuilder, their parameters named as in torch's state dicts.
#pragma once

#include <cstdint>
#include <string>

#include "rushlight/export.hpp"
#include "rushlight/graph.hpp"

namespace rushlight {

/// torch.nn.TransformerEncoderLayer and TransformerDecoderLayer. Sizes of 0 are read off the weights.
struct TransformerLayer {
  std::int64_t d_model = 0;
  std::int64_t nhead = 1;
  std::int64_t dim_feedforward = 0;
  Operator activation = ReLU{};
  double layer_norm_eps = 1e-5;
  bool batch_first = false;  ///< [N, length, d_model] instead of [length, N, d_model]
  bool norm_first = false;
  bool bias = true;
};

/// The layer whose parameters are name + ".self_attn.in_proj_weight" and so on, called without masks.
RUSHLIGHT_API Edge transformer_encoder_layer(GraphBuilder& graph, const std::string& name,
                                             const TransformerLayer& layer, Edge src);
RUSHLIGHT_API Edge transformer_decoder_layer(GraphBuilder& graph, const std::string& name,
                                             const TransformerLayer& layer, Edge tgt, Edge memory);

/// torch.nn.TransformerEncoder and TransformerDecoder: name + ".layers.0" and so on, then name + ".norm" if there is
/// one.
RUSHLIGHT_API Edge transformer_encoder(GraphBuilder& graph, const std::string& name, const TransformerLayer& layer,
                                       std::int64_t num_layers, bool norm, Edge src);
RUSHLIGHT_API Edge transformer_decoder(GraphBuilder& graph, const std::string& name, const TransformerLayer& layer,
                                       std::int64_t num_layers, bool norm, Edge tgt, Edge memory);

/// torch.nn.Transformer, with torch's norms behind the encoder and the decoder.
struct Transformer {
  TransformerLayer layer{};
  std::int64_t num_encoder_layers = 6;
  std::int64_t num_decoder_layers = 6;
};
RUSHLIGHT_API Edge transformer(GraphBuilder& graph, const std::string& name, const Transformer& transformer, Edge src,
                               Edge tgt);

}  // namespace rushlight
