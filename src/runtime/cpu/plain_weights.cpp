#include "runtime/cpu/plain_weights.hpp"

#include "base/fail.hpp"

namespace rushlight::runtime::cpu {
namespace {

float dot(const float* a, const float* b, std::size_t count) noexcept {
  constexpr std::size_t kSums = 8;
  float sums[kSums] = {};
  std::size_t i = 0;
  for (; i + kSums <= count; i += kSums) {
    for (std::size_t k = 0; k < kSums; ++k) sums[k] += a[i + k] * b[i + k];
  }
  float sum = 0;
  for (; i < count; ++i) sum += a[i] * b[i];
  for (const float part : sums) sum += part;
  return sum;
}

}  // namespace

Status PlainWeights::init(const ConvStep& step, const OpContext& context) {
  const Constant& weights = context.plan.constants[step.weights];
  RUSHLIGHT_TRY_ASSIGN(weights_,
                       materialise({.form = Form::parameter, .node = weights.node, .name = "weight"}, context.network));
  RUSHLIGHT_TRY_ASSIGN(values_, weights_.values<float>());
  window_ = values_.size() / static_cast<std::size_t>(context.tensor(step.output).c);
  if (weights.batch_norm == kNoNode) return {};
  RUSHLIGHT_TRY_ASSIGN(scale_, materialise({.form = Form::norm_scale, .node = weights.batch_norm}, context.network));
  RUSHLIGHT_TRY_ASSIGN(scales_, scale_.values<float>());
  return {};
}

void PlainWeights::compute(const float* window, Range outputs, const float* bias,
                           const Destination& pixel) const noexcept {
  for (std::size_t o = outputs.first; o < outputs.last; ++o) {
    float value = dot(values_.data() + o * window_, window, window_);
    if (!scales_.empty()) value *= scales_[o];
    if (bias != nullptr) value += bias[o];
    if (pixel.residual != nullptr) value += pixel.residual[o];
    if (pixel.bounds.active) {
      value = value < pixel.bounds.low ? pixel.bounds.low : value;
      value = value > pixel.bounds.high ? pixel.bounds.high : value;
    }
    pixel.output[o] = value;
  }
}

}  // namespace rushlight::runtime::cpu
