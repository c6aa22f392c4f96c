// Which of an instruction set's products to use.
#pragma once

#include <algorithm>
#include <cstddef>
#include <iterator>

#include "runtime/cpu/kernels/kernels.hpp"
#include "runtime/cpu/packed_weights.hpp"

namespace rushlight::runtime::cpu {

struct GemmChoice {
  GemmKernel kernel;
  GemmKernel last;  // of the last panel: narrower where few outputs are left
};

// The panels that take the least time, padding included. Narrow tiles do less for each load: measured with AVX-512,
// where the widths are 64, 32 and 16.
[[nodiscard]] inline GemmChoice choose_gemm(const Kernels& kernels, std::size_t outputs,
                                            bool may_end_narrower) noexcept {
  constexpr double kCost[] = {1.0, 1.15, 1.4};
  GemmChoice best;
  double best_cost = 0;
  const auto offer = [&](std::size_t i, std::size_t panels, std::size_t last) {
    const GemmKernel& kernel = kernels.gemm[i];
    const double cost = kCost[i] * static_cast<double>((panels - 1) * kernel.width) +
                        kCost[last] * static_cast<double>(kernels.gemm[last].width);
    if (best.kernel.run != nullptr && cost >= best_cost) return;
    best = {kernel, kernels.gemm[last]};
    best_cost = cost;
  };
  for (std::size_t i = 0; i < std::size(kernels.gemm); ++i) {
    const GemmKernel& kernel = kernels.gemm[i];
    if (kernel.run == nullptr) continue;
    const std::size_t panels = std::max<std::size_t>(1, panels_for(outputs, kernel.width));
    const std::size_t left = outputs - (panels - 1) * kernel.width;
    offer(i, panels, i);
    for (std::size_t last = i + 1; may_end_narrower && last < std::size(kernels.gemm); ++last) {
      if (kernels.gemm[last].run != nullptr && left <= kernels.gemm[last].width) offer(i, panels, last);
    }
  }
  return best;
}

}  // namespace rushlight::runtime::cpu
