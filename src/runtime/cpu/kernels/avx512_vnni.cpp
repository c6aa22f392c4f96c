// AVX-512 with VNNI: products of bytes. Everything else is avx512.cpp's.
#define RUSHLIGHT_INT8_ROWS {6, 8, 8}
#include <immintrin.h>

#include "runtime/cpu/kernels/kernels.hpp"

namespace rushlight::runtime::cpu {
namespace {

constexpr std::size_t kLanes = 16;

// clang-format off
#include "runtime/cpu/kernels/vector.inc"
#include "runtime/cpu/kernels/gemm.inc"
#include "runtime/cpu/kernels/int8.inc"
// clang-format on

}  // namespace

const Int8Kernels& avx512_vnni_kernels() noexcept {
  return kInt8Kernels;
}

}  // namespace rushlight::runtime::cpu
