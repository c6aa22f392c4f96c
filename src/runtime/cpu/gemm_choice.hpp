// Which of an instruction set's products to use.
#pragma once

#include <cstddef>
#include <iterator>

#include "runtime/cpu/kernels/kernels.hpp"
#include "runtime/cpu/packed_weights.hpp"

namespace rushlight::runtime::cpu {

// The widest panels, unless narrower ones waste less on padding. Narrow tiles do a little less for each load.
[[nodiscard]] inline const GemmKernel& choose_gemm(const Kernels& kernels, std::size_t outputs) noexcept {
  constexpr double kCost[] = {1.0, 1.02, 1.15};
  const GemmKernel* best = nullptr;
  double best_cost = 0;
  for (std::size_t i = 0; i < std::size(kernels.gemm); ++i) {
    const GemmKernel& kernel = kernels.gemm[i];
    if (kernel.run == nullptr) continue;
    const double cost = kCost[i] * static_cast<double>(panels_for(outputs, kernel.width) * kernel.width);
    if (best == nullptr || cost < best_cost) {
      best = &kernel;
      best_cost = cost;
    }
  }
  return *best;
}

}  // namespace rushlight::runtime::cpu
