// Constant: weights as kernels want them, described by how they come from a model's parameters.
//
// A description is cheap, comparable, and says everything: equal descriptions give equal bytes. Backends keep what they
// packed under it, so that each form of a layer's weights is made once a model, whatever the number of plans.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "runtime/backend.hpp"
#include "rushlight/graph.hpp"
#include "rushlight/result.hpp"
#include "rushlight/tensor.hpp"

namespace rushlight::runtime {

enum class Form : std::uint8_t {
  conv_weight,        // [out][kh][kw][in / groups]; of a Conv1d kh is 1, a Conv3d has kd before
  linear_weight,      // [out][in]
  bias,               // [out] of a convolution or Linear
  norm_mean,          // [c] each: the three vectors of a NormStep
  norm_scale,         // weight / sqrt(var + eps)
  norm_shift,         // bias
  transposed_weight,  // [out][kd * kh * kw][in / groups] of a transposed convolution
  value,              // what a Parameter or Constant node gives, float32 or int64
  parameter,          // the parameter `name` of the node, as it is
};

inline constexpr std::size_t kNoNode = std::numeric_limits<std::size_t>::max();

struct Constant {
  Form form = Form::bias;
  std::size_t node = 0;              // whose parameters, an index into Graph::nodes()
  std::size_t batch_norm = kNoNode;  // the batch norm folded in, computed in double
  // linear_weight: the columns come in the order of a flattened [channels][pixels]; where pixels > 1 they are put into
  // the order [pixels][channels] in which the data lie.
  std::int64_t channels = 0;
  std::int64_t pixels = 1;
  std::string name = {};  // Form::parameter: its short name, "in_proj_weight"

  friend auto operator<=>(const Constant&, const Constant&) = default;
};

// The dtype and shape of materialise()'s tensor, without making it or reading a parameter. Errors as there.
[[nodiscard]] Result<EdgeType> type_of(const Constant& constant, const Network& network);

// The values: float32 (Form::value: as the node says), in C order. The parameter itself, without a copy, where nothing
// has to be done. ErrorCode::out_of_memory; ::mismatch when a parameter is absent.
[[nodiscard]] Result<Tensor> materialise(const Constant& constant, const Network& network);

// What a conv_weight or linear_weight is made of, for packings that need no copy in between: element (output, channel,
// pixel) is values[(output * channels + channel) * pixels + pixel], times scales[output] where there are scales. For a
// convolution the channels are those of one group and the pixels are the window's taps.
struct WeightSource {
  Tensor tensor;  // holds the values
  std::span<const float> values;
  std::vector<double> scales;  // of a folded batch norm; empty without one
  std::size_t outputs = 0;
  std::size_t channels = 0;
  std::size_t pixels = 0;

  [[nodiscard]] float at(std::size_t output, std::size_t channel, std::size_t pixel) const noexcept {
    const float value = values[(output * channels + channel) * pixels + pixel];
    return scales.empty() ? value : static_cast<float>(static_cast<double>(value) * scales[output]);
  }
};
// Errors as materialise().
[[nodiscard]] Result<WeightSource> find_weight(const Constant& constant, const Network& network);

}  // namespace rushlight::runtime
