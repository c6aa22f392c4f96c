#include "bench/cuda/peaks.hpp"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstddef>
#include <utility>

#include "base/fail.hpp"
#include "bench/cuda/event.hpp"
#include "bench/cuda/peak_kernels.hpp"
#include "cuda/check.hpp"
#include "cuda/device_memory.hpp"

namespace rushlight::bench {
namespace {

constexpr int kSamples = 9;
constexpr std::size_t kCopyBytes = std::size_t{512} << 20;  // many times what any L2 holds

// Runs `launch` once unmeasured and then kSamples times; `work` is what one launch does.
template <class Launch>
Result<PeakSamples> sample(std::string_view name, double work, const cuda::DeviceBuffer& clock, const Launch& launch) {
  PeakSamples samples{.name = name, .per_second = {}};
  RUSHLIGHT_TRY_ASSIGN(const Event begin, Event::make());
  RUSHLIGHT_TRY_ASSIGN(const Event end, Event::make());
  for (int i = -1; i < kSamples; ++i) {
    RUSHLIGHT_CUDA_TRY(cudaMemset, clock.data(), 0, sizeof(KernelClock));
    RUSHLIGHT_CUDA_TRY(cudaEventRecord, begin.get(), nullptr);
    RUSHLIGHT_CUDA_TRY(launch);
    RUSHLIGHT_CUDA_TRY(cudaEventRecord, end.get(), nullptr);
    RUSHLIGHT_CUDA_TRY(cudaEventSynchronize, end.get());
    if (i < 0) continue;
    float milliseconds = 0;
    RUSHLIGHT_CUDA_TRY(cudaEventElapsedTime, &milliseconds, begin.get(), end.get());
    samples.per_second.push_back(work / (static_cast<double>(milliseconds) / 1e3));
    KernelClock seen;
    RUSHLIGHT_CUDA_TRY(cudaMemcpy, &seen, clock.data(), sizeof(seen), cudaMemcpyDeviceToHost);
    if (seen.nanoseconds > 0) {
      const double hz = static_cast<double>(seen.cycles) * 1e9 / static_cast<double>(seen.nanoseconds);
      samples.sm_clock_hz = samples.sm_clock_hz == 0 ? hz : std::min(samples.sm_clock_hz, hz);
    }
  }
  return samples;
}

}  // namespace

Result<std::vector<PeakSamples>> measure_peaks() {
  int device = 0;
  int processors = 0;
  RUSHLIGHT_CUDA_TRY(cudaGetDevice, &device);
  RUSHLIGHT_CUDA_TRY(cudaDeviceGetAttribute, &processors, cudaDevAttrMultiProcessorCount, device);
  RUSHLIGHT_TRY_ASSIGN(const cuda::DeviceBuffer small, cuda::DeviceBuffer::allocate(device, 256, "a measurement"));
  RUSHLIGHT_TRY_ASSIGN(const cuda::DeviceBuffer from, cuda::DeviceBuffer::allocate(device, kCopyBytes, "a copy"));
  RUSHLIGHT_TRY_ASSIGN(const cuda::DeviceBuffer to, cuda::DeviceBuffer::allocate(device, kCopyBytes, "a copy"));
  RUSHLIGHT_CUDA_TRY(cudaMemset, from.data(), 0, kCopyBytes);
  auto* const clock = reinterpret_cast<KernelClock*>(small.data());
  auto* const sink = reinterpret_cast<float*>(small.data() + sizeof(KernelClock));
  // Eight blocks of 256 threads fill a processor; rounds for some milliseconds, so that starting them does not count.
  const int blocks = 8 * processors;
  constexpr int kFmaRounds = 20'000;
  constexpr int kMmaRounds = 20'000;

  std::vector<PeakSamples> all;
  RUSHLIGHT_TRY_ASSIGN(PeakSamples fma, sample("fma", fma_flops_of(blocks, kFmaRounds), small,
                                               [&] { return launch_fma_peak(sink, clock, blocks, kFmaRounds); }));
  all.push_back(std::move(fma));
  constexpr std::pair<std::string_view, MmaType> kTypes[] = {
      {"tf32", MmaType::tf32}, {"bf16", MmaType::bf16}, {"fp16", MmaType::fp16}};
  for (const auto& [name, type] : kTypes) {
    RUSHLIGHT_TRY_ASSIGN(PeakSamples mma, sample(name, mma_flops_of(type, blocks, kMmaRounds), small, [&, kind = type] {
                           return launch_mma_peak(kind, sink, clock, blocks, kMmaRounds);
                         }));
    all.push_back(std::move(mma));
  }
  RUSHLIGHT_TRY_ASSIGN(PeakSamples copied, sample("copy", 2.0 * static_cast<double>(kCopyBytes), small, [&] {
                         return launch_copy(from.data(), to.data(), kCopyBytes, blocks);
                       }));
  all.push_back(std::move(copied));
  return all;
}

DevicePeaks peaks_of(const std::vector<PeakSamples>& samples) {
  DevicePeaks peaks;
  for (const PeakSamples& one : samples) {
    double* const peak = one.name == "fma"    ? &peaks.fma_flops
                         : one.name == "tf32" ? &peaks.tf32_flops
                         : one.name == "bf16" ? &peaks.bf16_flops
                         : one.name == "fp16" ? &peaks.fp16_flops
                                              : &peaks.memory_bytes;
    for (const double value : one.per_second) *peak = std::max(*peak, value);
  }
  return peaks;
}

}  // namespace rushlight::bench
