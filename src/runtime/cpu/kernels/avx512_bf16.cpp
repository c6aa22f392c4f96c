// AVX512_BF16: VDPBF16PS, two products of bfloat16 added to each of 16 sums.
#include <immintrin.h>

#include "runtime/cpu/kernels/kernels.hpp"

namespace rushlight::runtime::cpu {
namespace {

#include "runtime/cpu/kernels/narrow.inc"

// Lines of a chain: the weights of four strips take 32 KiB of L1 while rows pass by.
constexpr std::size_t kChainLines = 8;
constexpr std::size_t kLinePitch = kStageRows * kLineBytes;  // of staged rows

// Written out: compilers copy sums around the intrinsic, which costs half of the speed.
RUSHLIGHT_INLINE void multiply_add(__m512& sum, __m512 a, __m512 b) {
  asm("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
}

struct Chain {
  const std::byte* weights = nullptr;  // of the first strip
  std::size_t strip_bytes = 0;
  const std::byte* rows = nullptr;  // of the group
  std::size_t lines = 0;
  bool is_first = false;
  bool is_last = false;
};

// M rows of one group and S strips: sums stay in registers through a chain, and between chains lie in `sums`.
template <int M, int S>
void tile(const NarrowCall& call, const Chain& chain, std::size_t row, std::size_t column, float* sums) {
  __m512 tile[M][S];
#pragma GCC unroll 16
  for (int m = 0; m < M; ++m) {
#pragma GCC unroll 4
    for (int s = 0; s < S; ++s) tile[m][s] = _mm512_setzero_ps();
  }
  const std::byte* weights = chain.weights;
  const std::byte* a = chain.rows + row % kStageRows * kLineBytes;
  for (std::size_t line = 0; line < chain.lines; ++line, a += kLinePitch) {
#pragma GCC unroll 2
    for (std::size_t word = 0; word < kLineWords; ++word, weights += kStripOutputs * 4) {
      __m512 b[S];
#pragma GCC unroll 4
      for (int s = 0; s < S; ++s) b[s] = _mm512_loadu_ps(weights + static_cast<std::size_t>(s) * chain.strip_bytes);
#pragma GCC unroll 16
      for (int m = 0; m < M; ++m) {
        float pair;
        __builtin_memcpy(&pair, a + static_cast<std::size_t>(m) * kLineBytes + word * 4, sizeof pair);
        const __m512 x = _mm512_set1_ps(pair);
#pragma GCC unroll 4
        for (int s = 0; s < S; ++s) multiply_add(tile[m][s], x, b[s]);
      }
    }
  }
#pragma GCC unroll 16
  for (int m = 0; m < M; ++m) {
#pragma GCC unroll 4
    for (int s = 0; s < S; ++s) {
      float* const kept = sums + (m * S + s) * 16;
      const __m512 sum = chain.is_first ? tile[m][s] : _mm512_add_ps(tile[m][s], _mm512_load_ps(kept));
      if (chain.is_last) {
        finish(call, row + static_cast<std::size_t>(m), column + static_cast<std::size_t>(s) * kStripOutputs, sum);
      } else {
        _mm512_store_ps(kept, sum);
      }
    }
  }
}

template <int M, int S>
void rest(const NarrowCall& call, const Chain& chain, std::size_t row, std::size_t column, float* sums,
          std::size_t rows) {
  if constexpr (M > 0) {
    if (rows == static_cast<std::size_t>(M)) return tile<M, S>(call, chain, row, column, sums);
    rest<M - 1, S>(call, chain, row, column, sums, rows);
  }
}

// Chain by chain, each over a block of groups: a chain's weights stay in L1 meanwhile.
template <int M, int S>
void columns(const NarrowCall& call, std::size_t column) {
  constexpr std::size_t kTile = static_cast<std::size_t>(M);
  constexpr std::size_t kWidth = static_cast<std::size_t>(S) * 16;
  constexpr std::size_t kBlock = 3 * kStageRows;
  alignas(64) float sums[kBlock * kWidth];
  Chain chain;
  chain.strip_bytes = call.lines * kStripLineBytes;
  for (std::size_t first = 0; first < call.row_count; first += kBlock) {
    const std::size_t end = call.row_count - first < kBlock ? call.row_count : first + kBlock;
    chain.is_first = true;
    for (std::size_t done = 0;;) {
      chain.lines = call.lines - done < kChainLines ? call.lines - done : kChainLines;
      chain.is_last = done + chain.lines == call.lines;
      chain.weights = call.weights + column / kStripOutputs * chain.strip_bytes + done * kStripLineBytes;
      float* kept = sums;
      for (std::size_t group = first; group < end; group += kStageRows) {
        const std::size_t stop = end - group < kStageRows ? end : group + kStageRows;
        chain.rows = call.rows + (group * call.lines + done * kStageRows) * kLineBytes;
        std::size_t row = group;
        for (; row + kTile <= stop; row += kTile, kept += kTile * kWidth) tile<M, S>(call, chain, row, column, kept);
        rest<M - 1, S>(call, chain, row, column, kept, stop - row);
        kept += (stop - row) * kWidth;
      }
      if (chain.is_last) break;
      done += chain.lines;
      chain.is_first = false;
    }
  }
}

void gemm(const NarrowCall& call) {
  std::size_t column = 0;
  for (; column + 3 * kStripOutputs < call.columns; column += 4 * kStripOutputs) columns<6, 4>(call, column);
  for (; column + kStripOutputs < call.columns; column += 2 * kStripOutputs) columns<8, 2>(call, column);
  if (column < call.columns) columns<8, 1>(call, column);
}

constexpr NarrowKernels kKernels = {.stage = &stage_bf16, .run = &gemm, .row_step = 1};

}  // namespace

const NarrowKernels& avx512_bf16_kernels() noexcept {
  return kKernels;
}

}  // namespace rushlight::runtime::cpu
