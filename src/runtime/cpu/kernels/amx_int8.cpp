// AMX: TDPBUSD, a tile of 16 rows of 64 codes times one of 64 weights for each of 16 outputs.
#include <immintrin.h>

#include "runtime/cpu/kernels/kernels.hpp"

namespace rushlight::runtime::cpu {
namespace {

typedef std::int32_t SignedVec __attribute__((vector_size(64)));

constexpr std::size_t kTileRows = 16;

#include "runtime/cpu/kernels/tiles.inc"

__mmask16 first_lanes(std::size_t count) {
  return static_cast<__mmask16>(count >= 16 ? 0xFFFFU : (1U << count) - 1U);
}

__m512 clamp(__m512 x, const Bounds& bounds) {
  const __m512 low = _mm512_set1_ps(bounds.low);
  const __m512 high = _mm512_set1_ps(bounds.high);
  const __m512 raised = _mm512_mask_mov_ps(x, _mm512_cmp_ps_mask(x, low, _CMP_LT_OQ), low);
  return _mm512_mask_mov_ps(raised, _mm512_cmp_ps_mask(raised, high, _CMP_GT_OQ), high);
}

// From the sums of some rows and 16 outputs to their places: rounded one by one, as in int8.inc.
void finish(const Int8TileCall& call, std::size_t row, std::size_t rows, std::size_t column,
            const std::int32_t (*sums)[16]) {
  const __mmask16 mask = first_lanes(call.columns - column);
  const __m512i start = _mm512_loadu_si512(call.start + column);
  const __m512 scale = _mm512_loadu_ps(call.scale + column);
  const __m512 bias = call.bias == nullptr ? _mm512_setzero_ps() : _mm512_loadu_ps(call.bias + column);
  float* to = call.output + row * call.output_stride + column;
  const float* residual = call.residual == nullptr ? nullptr : call.residual + row * call.residual_stride + column;
  for (std::size_t m = 0; m < rows; ++m, to += call.output_stride) {
    const __m512i sum = _mm512_add_epi32(_mm512_load_si512(sums[m]), start);
    const __m512 value = __builtin_convertvector(reinterpret_cast<SignedVec>(sum), __m512);
    __m512 y = _mm512_add_ps(_mm512_mul_ps(value, scale), bias);
    if (residual != nullptr) {
      y = _mm512_add_ps(y, _mm512_maskz_loadu_ps(mask, residual));
      residual += call.residual_stride;
    }
    if (call.bounds.active) y = clamp(y, call.bounds);
    _mm512_mask_storeu_ps(to, mask, y);
  }
}

// Sums of R tiles of rows (from `row` on) and S strips; tiles 0-3 are sums, 4 and 5 rows, 6 and 7 weights.
template <int R, int S>
void tiles(const Int8TileCall& call, std::size_t row, std::size_t column) {
  const std::size_t strip_bytes = call.lines * kStripLineBytes;
  const std::byte* a = call.rows + row * call.row_bytes;
  const std::byte* b = call.weights + column / kStripOutputs * strip_bytes;
  _tile_zero(0);
  if constexpr (S > 1) _tile_zero(1);
  if constexpr (R > 1) _tile_zero(2);
  if constexpr (R > 1 && S > 1) _tile_zero(3);
  for (std::size_t line = 0; line < call.lines; ++line, a += call.line_bytes, b += kStripLineBytes) {
    _tile_loadd(6, b, kLineBytes);
    _tile_loadd(4, a, call.row_bytes);
    _tile_dpbusd(0, 4, 6);
    if constexpr (S > 1) {
      _tile_loadd(7, b + strip_bytes, kLineBytes);
      _tile_dpbusd(1, 4, 7);
    }
    if constexpr (R > 1) {
      _tile_loadd(5, a + kTileRows * call.row_bytes, call.row_bytes);
      _tile_dpbusd(2, 5, 6);
      if constexpr (S > 1) _tile_dpbusd(3, 5, 7);
    }
  }
  alignas(64) std::int32_t sums[R * S][kTileRows][16];
  _tile_stored(0, sums[0], kLineBytes);
  if constexpr (S > 1) _tile_stored(1, sums[1], kLineBytes);
  if constexpr (R > 1) _tile_stored(2, sums[S], kLineBytes);
  if constexpr (R > 1 && S > 1) _tile_stored(3, sums[3], kLineBytes);
  for (std::size_t r = 0; r < R && row + r * kTileRows < call.row_count; ++r) {
    const std::size_t left = call.row_count - row - r * kTileRows;
    const std::size_t rows = left < kTileRows ? left : kTileRows;
    for (std::size_t s = 0; s < S; ++s) {
      finish(call, row + r * kTileRows, rows, column + s * kStripOutputs, sums[r * S + s]);
    }
  }
}

template <int S>
void columns(const Int8TileCall& call, std::size_t column) {
  std::size_t row = 0;
  for (; row + kTileRows < call.row_count; row += 2 * kTileRows) tiles<2, S>(call, row, column);
  if (row < call.row_count) tiles<1, S>(call, row, column);
}

void gemm(const Int8TileCall& call) {
  _tile_loadconfig(&kConfig);
  std::size_t column = 0;
  for (; column + kStripOutputs < call.columns; column += 2 * kStripOutputs) columns<2>(call, column);
  if (column < call.columns) columns<1>(call, column);
  _tile_release();
}

}  // namespace

Int8TileKernel amx_int8_kernels() noexcept {
  return &gemm;
}

}  // namespace rushlight::runtime::cpu
