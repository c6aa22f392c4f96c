// How kernels are written here: once, for the GPU and for its emulation on the host.
//
// A kernel's body is a template over Block, its view of the machine. nvcc compiles it with DeviceBlock; the tests
// compile it with the host compiler and an emulated block that runs the same threads one after the other, from barrier
// to barrier, under whatever sanitizers the build has. A body therefore uses nothing of CUDA's but what Block offers:
//
//   block.index(), block.count()      the number of this block, and of all blocks
//   block.thread()                    0 .. threads - 1; every grid and every block is one-dimensional
//   block.sync()                      all threads of the block meet; shared memory written before is seen after
//   block.any_of_block(value)         sync(), and whether some thread of the block said true
//   block.shuffle_xor(value, mask)    the value of the thread whose lane is lane ^ mask, float or double; a whole warp
//                                     calls it
//   block.copy16_async(to, from, exists), copy4_async
//                                     begins to copy 16 or 4 bytes from global to shared memory, or zeros
//   block.commit_copies()             closes the group of copies begun since the last time; it may be empty
//   block.wait_copies<N>()            all but the last N groups of this thread have arrived: it sees them, others do
//                                     after sync()
//   block.multiply<operand>(...)      a warp's fragments on tensor cores: see operands.cuh
//   block.make_barriers(barriers)     one thread makes barriers of shared memory, each for one arrival and the bytes of
//                                     bulk copies; others may wait at them after sync()
//   block.expect_bytes(barrier, bytes)
//                                     one thread arrives: the barrier opens once so many bytes have come
//   block.copy_bulk(to, from, bytes, barrier)
//                                     begins to copy multiples of 16 bytes from global to shared memory
//   block.wait_bytes(barrier, phase, patience)
//                                     waits until the barrier opens for the 1st, 3rd, .. time (phase 0) or the 2nd,
//                                     4th, .. (1): then this thread and its products see what came
//   block.shared_address(pointer)     where it lies in the block's window of shared memory
//   block.begin_multiply(), multiply_async<operand>(...), commit_multiply(), finish_multiply(sums)
//                                     a warpgroup's products on tensor cores, which run on by themselves until
//                                     finish_multiply(): see warpgroup_operands.cuh
//   block.arrives_last(ticket)        true in all threads of the block that calls it last of the grid, once what the
//                                     others wrote before their calls can be read; *ticket is 0 before and after
//   block.load_written(from)          what another block wrote before it arrived
//
// Products are added with fused(); nvcc is told not to contract on its own (--fmad=false). So GPU and emulation agree
// bit for bit, exp() and tensor cores aside: in which order, and with how many bits, these add is not specified.
// Tests: CudaElements.*, CudaEmulator.*
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "cuda/kernels/operands.cuh"
#include "cuda/kernels/qualifiers.cuh"
#include "cuda/kernels/warpgroup_operands.cuh"

namespace rushlight::cuda {

inline constexpr int kWarpThreads = 32;

// What wait_bytes() does where bytes do not come for longer than any copy takes: ends the kernel with an error, or goes
// on after a moment, with whatever lies there.
enum class Patience : std::uint8_t { traps, gives_up };

// How many blocks of how many threads. `blocks` may be 0: then there is nothing to do.
struct Grid {
  std::int64_t blocks = 0;
  int threads = 0;
};

// What CUDA allows in a grid's first dimension.
inline constexpr std::int64_t kMaxBlocks = 2'147'483'647;

template <class T>
RUSHLIGHT_HOST_DEVICE constexpr T ceil_div(T a, T b) {
  return a / b + (a % b != 0 ? 1 : 0);
}

// Kernels that take one element a thread, and step on by the grid where there are more elements than threads.
inline constexpr int kElementThreads = 256;
inline constexpr std::int64_t kElementBlocks = 65536;
RUSHLIGHT_HOST_DEVICE constexpr Grid grid_for_elements(std::int64_t elements) {
  const std::int64_t wanted = ceil_div<std::int64_t>(elements, kElementThreads);
  return {wanted < kElementBlocks ? wanted : kElementBlocks, kElementThreads};
}
// Calls f(i) for this thread's share of [0, elements).
template <class Block, class F>
RUSHLIGHT_KERNEL void for_each_element(const Block& block, std::int64_t elements, F&& f) {
  const std::int64_t step = block.count() * kElementThreads;
  for (std::int64_t i = block.index() * kElementThreads + block.thread(); i < elements; i += step) f(i);
}

RUSHLIGHT_HOST_DEVICE inline float fused(float a, float b, float sum) {
#if defined(__CUDA_ARCH__)
  return fmaf(a, b, sum);
#else
  return std::fma(a, b, sum);
#endif
}

// A variable, since nvcc takes constants, and not functions, of the host's.
inline constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();
inline constexpr double kInfiniteDouble = std::numeric_limits<double>::infinity();

RUSHLIGHT_HOST_DEVICE inline bool is_finite(float x) {
  return x - x == 0.0F;
}

// Four neighbours, moved by one instruction. `from` and `to` are multiples of 16 bytes.
struct alignas(16) Float4 {
  float at[4];
};
struct alignas(16) Words4 {
  std::uint32_t at[4];
};
RUSHLIGHT_HOST_DEVICE inline bool is_aligned16(const void* pointer) {
  return reinterpret_cast<std::uintptr_t>(pointer) % alignof(Float4) == 0;
}
#if defined(__CUDA_ARCH__)
__device__ inline Float4 load4(const float* from) {
  const float4 four = *reinterpret_cast<const float4*>(from);
  return {{four.x, four.y, four.z, four.w}};
}
__device__ inline Words4 load_words4(const void* from) {
  const uint4 four = *static_cast<const uint4*>(from);
  return {{four.x, four.y, four.z, four.w}};
}
// Through the read-only path: nothing writes there while the kernel runs.
__device__ inline Float4 load4_constant(const float* from) {
  const float4 four = __ldg(reinterpret_cast<const float4*>(from));
  return {{four.x, four.y, four.z, four.w}};
}
__device__ inline float load_constant(const float* from) {
  return __ldg(from);
}
__device__ inline void store4(float* to, const Float4& four) {
  *reinterpret_cast<float4*>(to) = make_float4(four.at[0], four.at[1], four.at[2], four.at[3]);
}
#else
// Set by the emulation's tests when an access that the GPU would refuse is seen.
inline bool& misaligned_access_seen() {
  static bool seen = false;
  return seen;
}
inline Float4 load4(const float* from) {
  if (!is_aligned16(from)) misaligned_access_seen() = true;
  Float4 four;
  std::memcpy(&four, from, sizeof(four));
  return four;
}
inline Words4 load_words4(const void* from) {
  if (!is_aligned16(from)) misaligned_access_seen() = true;
  Words4 four;
  std::memcpy(&four, from, sizeof(four));
  return four;
}
inline Float4 load4_constant(const float* from) {
  return load4(from);
}
inline float load_constant(const float* from) {
  return *from;
}
inline void store4(float* to, const Float4& four) {
  if (!is_aligned16(to)) misaligned_access_seen() = true;
  std::memcpy(to, &four, sizeof(four));
}
#endif

// The sum, and the maximum, over the 32 threads of a warp: the same bits in each of them.
template <class Block>
RUSHLIGHT_KERNEL float warp_sum(Block& block, float value) {
  for (int mask = kWarpThreads / 2; mask > 0; mask /= 2) value += block.shuffle_xor(value, mask);
  return value;
}
template <class Block>
RUSHLIGHT_KERNEL float warp_max(Block& block, float value) {
  for (int mask = kWarpThreads / 2; mask > 0; mask /= 2) {
    const float other = block.shuffle_xor(value, mask);
    value = other > value ? other : value;
  }
  return value;
}

#if defined(__CUDACC__)
class DeviceBlock {
 public:
  // A kernel may have come to the GPU before the one in front of it has ended (start.cuh): here its threads wait until
  // that one has, and what it and all before it wrote is seen. Then the next one may come. Who this thread is passes
  // through the wait, so that no compiler can move a load in front of it whose address depends on that, not even one by
  // the read-only path (tests/cuda/early_start_test.py reads what it makes of each kernel).
  __device__ DeviceBlock() : index_(blockIdx.x), thread_(threadIdx.x) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" : "+r"(index_), "+r"(thread_)::"memory");
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
  }

  __device__ std::int64_t index() const { return index_; }
  __device__ std::int64_t count() const { return gridDim.x; }
  __device__ int thread() const {
    __builtin_assume(thread_ < 1024);
    return static_cast<int>(thread_);
  }
  __device__ void sync() { __syncthreads(); }
  __device__ bool any_of_block(bool value) { return __syncthreads_or(value ? 1 : 0) != 0; }
  __device__ float shuffle_xor(float value, int mask) { return __shfl_xor_sync(0xffffffffU, value, mask); }
  __device__ double shuffle_xor(double value, int mask) { return __shfl_xor_sync(0xffffffffU, value, mask); }

  // What does not exist is not read, but `from` is an address of global memory all the same. Past L1: nobody reads a
  // slab twice in one block.
  __device__ void copy16_async(void* to, const void* from, bool exists) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from),
                 "r"(exists ? 16 : 0)
                 : "memory");
  }
  __device__ void copy4_async(void* to, const void* from, bool exists) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(shared_address(to)), "l"(from),
                 "r"(exists ? 4 : 0)
                 : "memory");
  }
  __device__ void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
  template <int Groups>
  __device__ void wait_copies() {
    asm volatile("cp.async.wait_group %0;" ::"n"(Groups) : "memory");
  }

  template <Operand kOperand, int M, int N>
  __device__ void multiply(float (&sums)[M][N][4], const std::uint32_t (&a)[M][4], const std::uint32_t (&b)[N][2]) {
#pragma unroll
    for (int n = 0; n < N; ++n) {
#pragma unroll
      for (int m = 0; m < M; ++m) multiply_fragments<kOperand>(sums[m][n], a[m], b[n]);
    }
  }

  // Machine code of sm_90a alone knows what follows.
  template <int N>
  __device__ void make_barriers(std::uint64_t (&barriers)[N]) {
#pragma unroll
    for (int i = 0; i < N; ++i) {
      asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(shared_address(&barriers[i])) : "memory");
    }
    // The copies come to the barriers through the async proxy.
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
  }
  __device__ void expect_bytes(std::uint64_t* barrier, int bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)), "r"(bytes)
                 : "memory");
  }
  __device__ void copy_bulk(void* to, const void* from, int bytes, std::uint64_t* barrier) {
    asm volatile(
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
            shared_address(to)),
        "l"(from), "r"(bytes), "r"(shared_address(barrier))
        : "memory");
  }
  __device__ void wait_bytes(const std::uint64_t* barrier, std::uint32_t phase, Patience patience) {
    const std::uint32_t address = shared_address(barrier);
    if (!is_open(address, phase)) {
      const long long begin = clock64();
      const long long most = patience == Patience::gives_up ? 1LL << 30 : 1LL << 35;  // 0.6 and 20 seconds at 1.7 GHz
      while (!is_open(address, phase)) {
        if (clock64() - begin < most) continue;
        if (patience == Patience::gives_up) break;
        __trap();
      }
    }
    __syncwarp();  // all of a warp begin the instructions that follow
  }
  __device__ static std::uint32_t shared_address(const void* pointer) {
    return static_cast<std::uint32_t>(__cvta_generic_to_shared(pointer));
  }
  __device__ void begin_multiply() {
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
  }
  template <Operand kOperand, int N>
  __device__ void multiply_async(float (&sums)[N][4], int first, const std::uint32_t (&a)[4], std::uint64_t weights) {
    multiply_by_warpgroup<kOperand>(sums, first, a, weights);
  }
  __device__ void commit_multiply() {
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
  }
  // The compiler, which knows nothing of products that run on, must not read sums before the wait.
  template <int N>
  __device__ void finish_multiply(float (&sums)[N][4]) {
    asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
#pragma unroll
    for (int n = 0; n < N; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) asm volatile("" : "+f"(sums[n][i])::"memory");
    }
  }

  // Writes of the block's threads happen before the barrier, the fence makes them visible before the ticket is taken,
  // and so all writes of all blocks are visible to the one that takes the last. atomicInc() begins again at 0 by
  // itself.
  __device__ bool arrives_last(std::uint32_t* ticket) {
    __syncthreads();
    bool last = false;
    if (thread_ == 0) {
      __threadfence();
      last = atomicInc(ticket, gridDim.x - 1) == gridDim.x - 1;
      __threadfence();
    }
    return __syncthreads_or(last ? 1 : 0) != 0;
  }
  // Past L1, which knows nothing of other multiprocessors' writes.
  __device__ float load_written(const float* from) const {
    return __ldcg(from);
  }

 private:
  // It may wait a little itself.
  __device__ static bool is_open(std::uint32_t barrier, std::uint32_t phase) {
    std::uint32_t open = 0;
    asm volatile(
        "{.reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2; selp.u32 %0, 1, 0, p;}"
        : "=r"(open)
        : "r"(barrier), "r"(phase)
        : "memory");
    return open != 0;
  }

  std::uint32_t index_;
  std::uint32_t thread_;
};
#endif

}  // namespace rushlight::cuda
