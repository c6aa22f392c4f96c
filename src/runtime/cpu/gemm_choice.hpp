// Which of an instruction set's products to use.
#pragma once

#include <algorithm>
#include <cstddef>
#include <iterator>

#include "runtime/cpu/conv_choice.hpp"
#include "runtime/cpu/kernels/kernels.hpp"
#include "runtime/cpu/packed_weights.hpp"
#include "rushlight/precision.hpp"

namespace rushlight::runtime::cpu {

// Rows a task takes at most: a whole number of every tile's rows, and few enough that the runs they read stay in L1 or
// L2 while panel after panel passes by.
inline constexpr std::size_t kBlockRows = 96;
// Pointers of one block stay within a part of L1.
inline constexpr std::size_t kBlockPointers = 4096;
// With fewer blocks than this, panels are cut too, so that more threads find work.
inline constexpr std::size_t kEnoughTasks = 16;

// Products in a chain. Shorter ones round less, and take up to a hundredth more time.
[[nodiscard]] constexpr std::size_t gemm_chain(Precision precision) noexcept {
  return takes_fast_ways(precision) ? kGemmChain : kGemmChain / 2;
}

template <class Kernel>
struct GemmChoice {
  Kernel kernel;
  Kernel last;  // of the last panel: narrower where few outputs are left
};

// The panels that take the least time, padding included. Narrow tiles do less for each load: measured with AVX-512,
// where the widths are 64, 32 and 16.
template <class Kernel>
[[nodiscard]] GemmChoice<Kernel> choose_gemm(const Kernel (&kernels)[3], std::size_t outputs,
                                             bool may_end_narrower) noexcept {
  constexpr double kCost[] = {1.0, 1.15, 1.4};
  GemmChoice<Kernel> best;
  double best_cost = 0;
  const auto offer = [&](std::size_t i, std::size_t panels, std::size_t last) {
    const Kernel& kernel = kernels[i];
    const double cost = kCost[i] * static_cast<double>((panels - 1) * kernel.width) +
                        kCost[last] * static_cast<double>(kernels[last].width);
    if (best.kernel.run != nullptr && cost >= best_cost) return;
    best = {kernel, kernels[last]};
    best_cost = cost;
  };
  for (std::size_t i = 0; i < std::size(kernels); ++i) {
    const Kernel& kernel = kernels[i];
    if (kernel.run == nullptr) continue;
    const std::size_t panels = std::max<std::size_t>(1, panels_for(outputs, kernel.width));
    const std::size_t left = outputs - (panels - 1) * kernel.width;
    offer(i, panels, i);
    for (std::size_t last = i + 1; may_end_narrower && last < std::size(kernels); ++last) {
      if (kernels[last].run != nullptr && left <= kernels[last].width) offer(i, panels, last);
    }
  }
  return best;
}

[[nodiscard]] inline GemmChoice<GemmKernel> choose_gemm(const Kernels& kernels, std::size_t outputs,
                                                        bool may_end_narrower) noexcept {
  return choose_gemm(kernels.gemm, outputs, may_end_narrower);
}

}  // namespace rushlight::runtime::cpu
