#include "bench/cuda/peak_kernels.hpp"

namespace rushlight::bench {
namespace {

__device__ long long nanoseconds_now() {
  long long now;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
  return now;
}

// Of the first thread; the others need no time.
class ClockOfBlock {
 public:
  __device__ explicit ClockOfBlock(KernelClock* out) : out_(blockIdx.x == 0 && threadIdx.x == 0 ? out : nullptr) {
    if (out_ != nullptr) {
      begin_.nanoseconds = nanoseconds_now();
      begin_.cycles = clock64();
    }
  }
  __device__ void stop() {
    if (out_ != nullptr) {
      out_->cycles = clock64() - begin_.cycles;
      out_->nanoseconds = nanoseconds_now() - begin_.nanoseconds;
    }
  }

 private:
  KernelClock* out_;
  KernelClock begin_;
};

// Never true, but the compiler cannot know: what was computed must be computed.
__device__ void keep(float value, float* sink) {
  if (value == 1.2345e-30F) *sink = value;
}

__global__ void __launch_bounds__(kPeakThreads) fma_peak(float* sink, KernelClock* out, float a, float b, int rounds) {
  ClockOfBlock clock(out);
  float chains[kFmaChains];
#pragma unroll
  for (int i = 0; i < kFmaChains; ++i) chains[i] = static_cast<float>(threadIdx.x + i);
#pragma unroll 4
  for (int round = 0; round < rounds; ++round) {
#pragma unroll
    for (int i = 0; i < kFmaChains; ++i) chains[i] = __fmaf_rn(chains[i], a, b);
  }
  float sum = 0;
#pragma unroll
  for (int i = 0; i < kFmaChains; ++i) sum += chains[i];
  keep(sum, sink);
  clock.stop();
}

template <MmaType Type>
__device__ void multiply(float (&sums)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
  if constexpr (Type == MmaType::tf32) {
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  } else if constexpr (Type == MmaType::bf16) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  } else {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  }
}

// Operands are zeros and the like: what they are does not change the time, and infinities never arise.
template <MmaType Type>
__global__ void __launch_bounds__(kPeakThreads) mma_peak(float* sink, KernelClock* out, unsigned operand, int rounds) {
  ClockOfBlock clock(out);
  const unsigned a[4] = {operand, operand, operand, operand};
  const unsigned b[2] = {operand, operand};
  float sums[kMmaChains][4];
#pragma unroll
  for (int i = 0; i < kMmaChains; ++i) {
#pragma unroll
    for (float& sum : sums[i]) sum = static_cast<float>(threadIdx.x);
  }
#pragma unroll 4
  for (int round = 0; round < rounds; ++round) {
#pragma unroll
    for (int i = 0; i < kMmaChains; ++i) multiply<Type>(sums[i], a, b);
  }
  float sum = 0;
#pragma unroll
  for (int i = 0; i < kMmaChains; ++i) sum += sums[i][0] + sums[i][1] + sums[i][2] + sums[i][3];
  keep(sum, sink);
  clock.stop();
}

__global__ void __launch_bounds__(kPeakThreads) copy(const uint4* from, uint4* to, std::size_t count) {
  const std::size_t step = std::size_t{gridDim.x} * blockDim.x;
  for (std::size_t i = std::size_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += step) to[i] = from[i];
}

}  // namespace

cudaError_t launch_fma_peak(float* sink, KernelClock* clock, int blocks, int rounds) {
  fma_peak<<<static_cast<unsigned>(blocks), kPeakThreads>>>(sink, clock, 0.5F, 1.0F, rounds);
  return cudaGetLastError();
}

cudaError_t launch_mma_peak(MmaType type, float* sink, KernelClock* clock, int blocks, int rounds) {
  const unsigned grid = static_cast<unsigned>(blocks);
  switch (type) {
    case MmaType::tf32:
      mma_peak<MmaType::tf32><<<grid, kPeakThreads>>>(sink, clock, 0U, rounds);
      break;
    case MmaType::bf16:
      mma_peak<MmaType::bf16><<<grid, kPeakThreads>>>(sink, clock, 0U, rounds);
      break;
    case MmaType::fp16:
      mma_peak<MmaType::fp16><<<grid, kPeakThreads>>>(sink, clock, 0U, rounds);
      break;
  }
  return cudaGetLastError();
}

cudaError_t launch_copy(const std::byte* from, std::byte* to, std::size_t size_bytes, int blocks) {
  copy<<<static_cast<unsigned>(blocks), kPeakThreads>>>(reinterpret_cast<const uint4*>(from),
                                                        reinterpret_cast<uint4*>(to), size_bytes / sizeof(uint4));
  return cudaGetLastError();
}

}  // namespace rushlight::bench
