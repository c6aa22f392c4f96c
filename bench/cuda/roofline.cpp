#include "bench/cuda/roofline.hpp"

#include <algorithm>

namespace rushlight::bench {

double product_flops(const DevicePeaks& peaks, Precision precision) noexcept {
  switch (precision) {
    case Precision::tf32:
      return std::max(peaks.fma_flops, peaks.tf32_flops);
    case Precision::bf16:
      return std::max(peaks.fma_flops, peaks.bf16_flops);
    case Precision::fp16:
      return std::max(peaks.fma_flops, peaks.fp16_flops);
    default:
      return std::max(peaks.fma_flops, peaks.tf32_flops / 3);
  }
}

std::size_t weight_bytes(Precision precision) noexcept {
  return precision == Precision::bf16 || precision == Precision::fp16 ? 2 : sizeof(float);
}

Roofline roofline(std::span<const runtime::TimedStep> steps, const DevicePeaks& peaks, Precision precision) noexcept {
  Roofline result;
  for (const runtime::TimedStep& step : steps) {
    const bool is_product = step.kind == "linear" || (step.kind == "conv" && step.algorithm != "depthwise");
    const double flops = is_product ? product_flops(peaks, precision) : peaks.fma_flops;
    const double compute = 2 * static_cast<double>(step.macs) / flops;
    const double memory = static_cast<double>(step.bytes) / peaks.memory_bytes;
    (compute > memory ? result.compute_seconds : result.memory_seconds) += std::max(compute, memory);
    result.macs += step.macs;
    result.bytes += step.bytes;
  }
  result.seconds = result.compute_seconds + result.memory_seconds;
  return result;
}

}  // namespace rushlight::bench
