// What the tensor cores of compute capability 9.0 multiply: wgmma, of a warpgroup's four warps together.
//
// wgmma.mma_async multiplies a 64 x k matrix by a k x n matrix (n = 64 here) and adds to a 64 x n matrix of floats.
// Rows 16 w .. 16 w + 15 of A and of the sums are warp w's, held as mma.sync's a 16 x k matrix and n / 8 sums beside
// each other (operands.cuh; PTX ISA, "asynchronous warpgroup level matrix register fragment"). B stays in shared
// memory, where a descriptor says how it lies:
//
//   bits 0-13   address / 16        bits 16-29  unused here: of swizzled rows along k
//   bits 32-45  bytes from eight columns to the next eight / 16
//   bits 49-51  0: patterns begin at multiples of their size        bits 62-63  swizzle: 1, 2, 3 for rows of 128, 64,
//   32
//
// A row of memory holds k of one column: 128 or 64 bytes, of which an instruction takes 32. Swizzled means that chunks
// of 16 bytes change places with the row, so that eight rows of one chunk meet every bank once: bits 4.. of an address
// are xored with bits 7.., three of them for rows of 128 bytes, two for 64.
//
// The instruction reads through the async proxy, as bulk copies write, so that who waited for these needs no fence
// between; and it runs on by itself: wgmma.fence orders it behind registers that were written; nobody may touch A's
// registers, the sums or B before a wait.
//
// Tests: WarpgroupOperands.*
#pragma once

#include <cstdint>

#include "cuda/kernels/operands.cuh"
#include "cuda/kernels/qualifiers.cuh"

namespace rushlight::cuda {

inline constexpr int kWarpgroupThreads = 128;
inline constexpr int kWarpgroupRows = 64;
inline constexpr int kWarpgroupColumns = 64;    // of one instruction; they may be 8 to 256
inline constexpr int kWarpgroupStepBytes = 32;  // of k: 16 numbers of 16 bits, or 8 of TF32

// The byte where a chunk of 16 lies in a matrix of such rows that begins at a multiple of eight of them.
template <int RowBytes>
RUSHLIGHT_HOST_DEVICE constexpr int swizzled_byte(int row, int chunk) {
  static_assert(RowBytes == 64 || RowBytes == 128);
  const int places = RowBytes == 128 ? row % 8 : row / 2 % 4;
  return row * RowBytes + (chunk ^ places) * 16;
}

// Of the 64 columns whose rows begin at `address` of the window of shared memory.
template <int RowBytes>
RUSHLIGHT_HOST_DEVICE constexpr std::uint64_t matrix_descriptor(std::uint32_t address) {
  static_assert(RowBytes == 64 || RowBytes == 128);
  constexpr std::uint64_t kSwizzle = RowBytes == 128 ? 1 : 2;
  constexpr std::uint64_t kEightColumns = RowBytes * 8 / 16;
  return kSwizzle << 62 | kEightColumns << 32 | std::uint64_t{address & 0x3FFFFU} / 16;
}
// That of a place so many bytes further on.
RUSHLIGHT_HOST_DEVICE constexpr std::uint64_t moved_descriptor(std::uint64_t descriptor, int bytes) {
  return descriptor + static_cast<std::uint64_t>(bytes / 16);
}

#if defined(__CUDACC__)
// Sums of fragments first .. first + 7. The last operands: nothing is multiplied by -1, and B is not transposed.
#define RUSHLIGHT_WGMMA(kInstruction, kEnd)                                                                           \
  asm volatile(kInstruction                                                                                           \
               " {%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26," \
               "%27,%28,%29,%30,%31}, {%32,%33,%34,%35}, %36, 1, " kEnd ";"                                           \
               : RUSHLIGHT_FOUR_SUMS(0), RUSHLIGHT_FOUR_SUMS(1), RUSHLIGHT_FOUR_SUMS(2), RUSHLIGHT_FOUR_SUMS(3),      \
                 RUSHLIGHT_FOUR_SUMS(4), RUSHLIGHT_FOUR_SUMS(5), RUSHLIGHT_FOUR_SUMS(6), RUSHLIGHT_FOUR_SUMS(7)       \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(weights)                                             \
               : "memory")
#define RUSHLIGHT_FOUR_SUMS(n) \
  "+f"(sums[first + n][0]), "+f"(sums[first + n][1]), "+f"(sums[first + n][2]), "+f"(sums[first + n][3])

template <Operand kOperand, int N>
__device__ __forceinline__ void multiply_by_warpgroup(float (&sums)[N][4], int first, const std::uint32_t (&a)[4],
                                                      std::uint64_t weights) {
  if constexpr (kOperand == Operand::bf16) {
    RUSHLIGHT_WGMMA("wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16", "1, 1, 0");
  } else if constexpr (kOperand == Operand::fp16) {
    RUSHLIGHT_WGMMA("wgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16", "1, 1, 0");
  } else {
    RUSHLIGHT_WGMMA("wgmma.mma_async.sync.aligned.m64n64k8.f32.tf32.tf32", "1, 1");
  }
}
#undef RUSHLIGHT_FOUR_SUMS
#undef RUSHLIGHT_WGMMA
#endif

}  // namespace rushlight::cuda
