// Small networks that between them have every operator and every pass: for the emulation and for GPUs.
#pragma once

#include <string>
#include <vector>

#include "rushlight/model.hpp"

namespace rushlight::cuda {

struct NetworkCase {
  std::string name;
  Model model;
  std::vector<Tensor> inputs;
};

std::vector<NetworkCase> network_cases();

// Of outputs, relative to the largest one; the bar for one layer, and networks of a few layers stay within it.
inline constexpr double kNetworkTolerance = 5e-6;
// Of operands rounded to bfloat16, half or TF32.
inline constexpr double kRoundedNetworkTolerance = 2e-2;

}  // namespace rushlight::cuda
