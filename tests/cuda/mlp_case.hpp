// Cases of several steps that one kernel computes: Linears one after the other, and a softmax.
#pragma once

#include <cstdint>
#include <vector>

#include "cuda/step_case.hpp"

namespace rushlight::cuda {

struct MlpShape {
  std::int64_t rows = 1;
  std::vector<std::int64_t> features;  // of the input, and of each layer's output
  bool softmax = false;
  runtime::Activation::Kind kind = runtime::Activation::Kind::relu;  // of all layers but the last
  std::int64_t input_gap = 0;
};

StepCase mlp_case(const MlpShape& shape, std::uint64_t seed);

}  // namespace rushlight::cuda
