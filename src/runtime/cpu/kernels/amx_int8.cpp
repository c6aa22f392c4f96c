// AMX: TDPBUSD, a tile of 16 rows of 64 codes times one of 64 weights for each of 16 outputs.
#include <immintrin.h>

#include "runtime/cpu/kernels/kernels.hpp"

namespace rushlight::runtime::cpu {
namespace {

typedef std::int32_t SignedVec __attribute__((vector_size(64)));

#define RUSHLIGHT_INLINE inline __attribute__((always_inline))

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

// From the sums of a tile and 16 outputs to their places: rounded one by one, as in int8.inc.
void finish(const Int8TileCall& call, const WindowTile& tile, std::size_t column, const std::int32_t (*sums)[16]) {
  const __mmask16 mask = first_lanes(call.columns - column);
  const __m512i start = _mm512_loadu_si512(call.start + column);
  const __m512 scale = _mm512_loadu_ps(call.scale + column);
  const __m512 bias = call.bias == nullptr ? _mm512_setzero_ps() : _mm512_loadu_ps(call.bias + column);
  const Bounds bounds = call.bounds;
  const std::size_t output_stride = call.output_stride;
  const std::size_t residual_stride = call.residual_stride;
  const bool adds = call.residual != nullptr;
  float* to = call.output + tile.output * output_stride + column;
  const float* residual = adds ? call.residual + tile.output * residual_stride + column : nullptr;
  for_each_output(
      call, tile, [&](std::size_t m) __attribute__((always_inline)) {
        const __m512i sum = _mm512_add_epi32(_mm512_load_si512(sums[m]), start);
        const __m512 value = __builtin_convertvector(reinterpret_cast<SignedVec>(sum), __m512);
        __m512 y = _mm512_add_ps(_mm512_mul_ps(value, scale), bias);
        if (adds) {
          y = _mm512_add_ps(y, _mm512_maskz_loadu_ps(mask, residual));
          residual += residual_stride;
        }
        if (bounds.active) y = clamp(y, bounds);
        _mm512_mask_storeu_ps(to, mask, y);
        to += output_stride;
      });
}

// Sums of R tiles and S strips; tiles 0-3 are sums, 4 and 5 rows, 6 and 7 weights.
template <int R, int S>
void tiles(const Int8TileCall& call, const WindowTile* tile, std::size_t column) {
  const std::size_t strip_bytes = call.lines * kStripLineBytes;
  const std::size_t pitch = call.row_pitch;
  const std::byte* const a = tile[0].rows;
  const std::byte* const a2 = R > 1 ? tile[1].rows : nullptr;
  const std::byte* b = call.weights + column / kStripOutputs * strip_bytes;
  _tile_zero(0);
  if constexpr (S > 1) _tile_zero(1);
  if constexpr (R > 1) _tile_zero(2);
  if constexpr (R > 1 && S > 1) _tile_zero(3);
  for (std::size_t line = 0; line < call.lines; ++line, b += kStripLineBytes) {
    const std::size_t at = call.line_offsets[line];
    _tile_loadd(6, b, kLineBytes);
    _tile_loadd(4, a + at, pitch);
    _tile_dpbusd(0, 4, 6);
    if constexpr (S > 1) {
      _tile_loadd(7, b + strip_bytes, kLineBytes);
      _tile_dpbusd(1, 4, 7);
    }
    if constexpr (R > 1) {
      _tile_loadd(5, a2 + at, pitch);
      _tile_dpbusd(2, 5, 6);
      if constexpr (S > 1) _tile_dpbusd(3, 5, 7);
    }
  }
  alignas(64) std::int32_t sums[R * S][kTileRows][16];
  _tile_stored(0, sums[0], kLineBytes);
  if constexpr (S > 1) _tile_stored(1, sums[1], kLineBytes);
  if constexpr (R > 1) _tile_stored(2, sums[S], kLineBytes);
  if constexpr (R > 1 && S > 1) _tile_stored(3, sums[3], kLineBytes);
  for (std::size_t r = 0; r < R; ++r) {
    for (std::size_t s = 0; s < S; ++s) finish(call, tile[r], column + s * kStripOutputs, sums[r * S + s]);
  }
}

template <int S>
void columns(const Int8TileCall& call, std::size_t column) {
  std::size_t tile = 0;
  for (; tile + 1 < call.tile_count; tile += 2) tiles<2, S>(call, call.tiles + tile, column);
  if (tile < call.tile_count) tiles<1, S>(call, call.tiles + tile, column);
}

void gemm(const Int8TileCall& call) {
  configure_tiles(call.line_bytes);
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
