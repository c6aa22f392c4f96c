// Kernels that find a GPU's limits.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

namespace rushlight::bench {

inline constexpr int kPeakThreads = 256;

// What block 0 saw while it ran.
struct KernelClock {
  long long cycles = 0;
  long long nanoseconds = 0;
};

// Multiply-adds on registers: each thread has so many independent chains, as many as hide the latency of one.
inline constexpr int kFmaChains = 16;
constexpr double fma_flops_of(int blocks, int rounds) {
  return 2.0 * kFmaChains * kPeakThreads * rounds * blocks;
}
cudaError_t launch_fma_peak(float* sink, KernelClock* clock, int blocks, int rounds);

// mma.sync on registers, sums in float32: m16n8k8 of TF32, m16n8k16 of the 16-bit types.
enum class MmaType : std::uint8_t { tf32, bf16, fp16 };
inline constexpr int kMmaChains = 8;
constexpr double mma_flops_of(MmaType type, int blocks, int rounds) {
  return 2.0 * 16 * 8 * (type == MmaType::tf32 ? 8 : 16) * kMmaChains * (kPeakThreads / 32) * rounds * blocks;
}
cudaError_t launch_mma_peak(MmaType type, float* sink, KernelClock* clock, int blocks, int rounds);

// 16 bytes a thread and step, each read once and written once.
cudaError_t launch_copy(const std::byte* from, std::byte* to, std::size_t size_bytes, int blocks);

}  // namespace rushlight::bench
