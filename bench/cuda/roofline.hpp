// The roofline of a network on one GPU: how long its layers take at least, whoever computes them.
//
// A layer takes the longer of two times: that of its multiply-adds at the peak of the unit that may do them, and that
// of its bytes (operands, results and parameters, each once) at the bandwidth of memory. Layers run one after the
// other, so their times add up. Peaks are what small kernels of ours reached on the same device (peaks.hpp), not what a
// data sheet says. Where a whole network fits the L2 cache and is run again, its bytes never reach memory: shares above
// 100 % are possible there, and mean just that; as do those of products by wgmma, since the peak is mma.sync's.
#pragma once

#include <cstdint>
#include <span>

#include "runtime/step_times.hpp"
#include "rushlight/precision.hpp"

namespace rushlight::bench {

struct DevicePeaks {
  double fma_flops = 0;   // floating-point operations a second: float32 multiply-adds count as two
  double tf32_flops = 0;  // the same on tensor cores, sums in float32
  double bf16_flops = 0;
  double fp16_flops = 0;
  double memory_bytes = 0;  // a second, reads and writes together
};

// Of a layer that tensor cores can take. Strict float32 may be made of three products of TF32.
[[nodiscard]] double product_flops(const DevicePeaks& peaks, Precision precision) noexcept;

// What a weight takes in memory as the kernels read it.
[[nodiscard]] std::size_t weight_bytes(Precision precision) noexcept;

struct Roofline {
  double seconds = 0;
  double compute_seconds = 0;  // of the layers that arithmetic bounds
  double memory_seconds = 0;   // of those that memory bounds
  std::int64_t macs = 0;
  std::uint64_t bytes = 0;
};
// `steps` as describe_steps() counts them with weight_bytes(precision). Depthwise convolutions, and whatever is no
// convolution and no Linear, multiply on the units for floats.
[[nodiscard]] Roofline roofline(std::span<const runtime::TimedStep> steps, const DevicePeaks& peaks,
                                Precision precision) noexcept;

}  // namespace rushlight::bench
