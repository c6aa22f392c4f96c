// The weights of a convolution as the model has them, for the few outputs that a minimal filtering must not compute:
// those whose window has infinities, NaN or enormous values in it, or lies beside one that has. By the definition each
// value reaches the outputs it belongs to and no others. Rare, so that simple code does.
#pragma once

#include <cstddef>
#include <span>

#include "runtime/cpu/kernels/kernels.hpp"
#include "runtime/cpu/op.hpp"
#include "runtime/plan.hpp"
#include "rushlight/result.hpp"
#include "rushlight/tensor.hpp"

namespace rushlight::runtime::cpu {

class PlainWeights {
 public:
  // Of one group.
  Status init(const ConvStep& step, const OpContext& context);

  // Operands of an output: [in][kh][kw].
  [[nodiscard]] std::size_t window_floats() const noexcept { return window_; }
  // One pixel's outputs of this range: those of `pixel` and `bias`, which may be null, begin with output 0.
  void compute(const float* window, Range outputs, const float* bias, const Destination& pixel) const noexcept;

 private:
  std::size_t window_ = 0;
  Tensor weights_;  // [out][in][kh][kw]
  std::span<const float> values_;
  Tensor scale_;  // of a folded batch norm
  std::span<const float> scales_;
};

}  // namespace rushlight::runtime::cpu
