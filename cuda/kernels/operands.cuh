// What tensor cores multiply: numbers of 16 or 19 bits, and how a warp's threads hold them.
//
// mma.sync multiplies a 16 x k matrix by a k x 8 matrix and adds the products to a 16 x 8 matrix of floats. With
// g = lane / 4 and t = lane % 4 (PTX ISA, "matrix fragments for mma.m16n8k16" and ".m16n8k8"):
//
//   16-bit operands, k = 16: a register holds two neighbours of k, the lower one in its lower half
//     a[r]: row g + 8 * (r % 2), k = 2 t + 8 * (r / 2)          b[r]: k = 2 t + 8 * r, column g
//   TF32, k = 8: a register holds one number
//     a[r]: row g + 8 * (r % 2), k = t + 4 * (r / 2)            b[r]: k = t + 4 * r, column g
//   sums[i]: row g + 8 * (i / 2), column 2 t + i % 2
//
// Tests: MmaOperands.*
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "cuda/kernels/qualifiers.cuh"
#if !defined(__CUDA_ARCH__)
#include "base/float_codes.hpp"
#endif

namespace rushlight::cuda {

enum class Operand : std::uint8_t { bf16, fp16, tf32 };

// --- rounding
// ---------------------------------------------------------------------------------------------------------

// To nearest, ties to even; half precision has infinity beyond 65504.
RUSHLIGHT_HOST_DEVICE inline std::uint32_t pack_bf16(float low, float high) {
#if defined(__CUDA_ARCH__)
  std::uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
#else
  return f32_to_bf16(low) | static_cast<std::uint32_t>(f32_to_bf16(high)) << 16;
#endif
}
RUSHLIGHT_HOST_DEVICE inline std::uint32_t pack_fp16(float low, float high) {
#if defined(__CUDA_ARCH__)
  std::uint32_t pair;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
#else
  return f32_to_f16(low) | static_cast<std::uint32_t>(f32_to_f16(high)) << 16;
#endif
}
// The bits of a float with 10 bits of mantissa: to nearest, ties away from zero. There is no other rounding to TF32. A NaN
// that is one by the bits that are dropped alone becomes infinity,
RUSHLIGHT_HOST_DEVICE inline std::uint32_t convert_tf32(float value) {
  std::uint32_t bits = 0;
#if defined(__CUDA_ARCH__)
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(value));
  return bits;
#else
  std::memcpy(&bits, &value, sizeof(bits));
  return (std::isfinite(value) ? bits + 0x1000U : bits) & 0xFFFFE000U;
#endif
}
// or stays one.
RUSHLIGHT_HOST_DEVICE inline std::uint32_t round_tf32(float value) {
  return value != value ? 0x7FFFFFFFU : convert_tf32(value);
}

RUSHLIGHT_HOST_DEVICE inline float float_of(std::uint32_t bits) {
#if defined(__CUDA_ARCH__)
  return __uint_as_float(bits);
#else
  float value = 0;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
#endif
}

// The two numbers of a pair, exactly.
template <Operand kOperand>
RUSHLIGHT_HOST_DEVICE float low_number(std::uint32_t pair) {
  static_assert(kOperand != Operand::tf32);
  if constexpr (kOperand == Operand::bf16) return float_of(pair << 16);
#if defined(__CUDA_ARCH__)
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(static_cast<std::uint16_t>(pair & 0xFFFFU)));
  return value;
#else
  return f16_to_f32(static_cast<std::uint16_t>(pair & 0xFFFFU));
#endif
}
template <Operand kOperand>
RUSHLIGHT_HOST_DEVICE float high_number(std::uint32_t pair) {
  if constexpr (kOperand == Operand::bf16) return float_of(pair & 0xFFFF0000U);
  return low_number<kOperand>(pair >> 16);
}

// A float as the sum of two TF32 numbers: all but the last of its 24 bits, below 2^-114 all but what is less than half
// of 2^-136. One part at least of what is not finite, and of what rounds to infinity (beyond 3.4012e38), is not finite
// either: no product with it is. A part of a NaN is NaN: what is left of it by the infinity that it may be converted to.
struct SplitFloat {
  std::uint32_t big = 0;
  std::uint32_t small = 0;
};
RUSHLIGHT_HOST_DEVICE inline SplitFloat split_tf32(float value) {
  SplitFloat split;
  split.big = convert_tf32(value);
  split.small = convert_tf32(value - float_of(split.big));
  return split;
}

// The same of a weight, on the host, and so that nothing is lost: `small` is all of the rest, of which tensor cores see
// 11 bits. What rounds to no number is whole in `big`, beside a NaN that makes products of NaN.
struct WeightParts {
  float big = 0;
  float small = 0;
};
inline WeightParts weight_parts(float value) {
  const float big = float_of(round_tf32(value));
  if (std::isfinite(big)) return {big, value - big};
  return {value, std::numeric_limits<float>::quiet_NaN()};
}
RUSHLIGHT_HOST_DEVICE inline float whole(const WeightParts& parts) {
  return parts.small == parts.small ? parts.big + parts.small : parts.big;
}

// --- multiplying
// ------------------------------------------------------------------------------------------------------

#if defined(__CUDACC__)
template <Operand kOperand>
__device__ void multiply_fragments(float (&sums)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  if constexpr (kOperand == Operand::bf16) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  } else if constexpr (kOperand == Operand::fp16) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  } else {
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  }
}
#endif

}  // namespace rushlight::cuda
