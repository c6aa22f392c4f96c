// AMX: TDPBF16PS, a tile of 16 rows and 16 words times one of 16 words and 16 outputs.
#include <immintrin.h>

#include "runtime/cpu/kernels/kernels.hpp"

namespace rushlight::runtime::cpu {
namespace {

#include "runtime/cpu/kernels/narrow.inc"
#include "runtime/cpu/kernels/tiles.inc"

constexpr std::size_t kTileRows = 16;
static_assert(kStageRows == 2 * kTileRows);

// Lines [first, last) of the operands: those of two strips stay in L1 while groups of rows pass by, and what is summed
// up so far waits in L2 meanwhile.
constexpr std::size_t kChainLines = 16;
struct Chain {
  std::size_t first = 0;
  std::size_t last = 0;
};

// Rows whose sums wait: 48 KiB of them.
constexpr std::size_t kBlockRows = 12 * kStageRows;

// Rows of S tiles each to their destination. Copies of what the call says, which no store can change as far as the
// compiler knows.
template <int S>
void store_rows(const NarrowCall& call, std::size_t row, std::size_t rows, std::size_t column, const float* sums) {
  constexpr std::size_t kTile = kTileRows * 16;
  const __mmask16 last = first_lanes(call.columns - column - (S - 1) * kStripOutputs);
  __m512 bias[S];
  for (std::size_t s = 0; s < S; ++s) {
    bias[s] = call.bias == nullptr ? _mm512_setzero_ps() : _mm512_loadu_ps(call.bias + column + s * kStripOutputs);
  }
  const Bounds bounds = call.bounds;
  const std::size_t output_stride = call.output_stride;
  const std::size_t residual_stride = call.residual_stride;
  const bool adds = call.residual != nullptr;
  float* to = call.output + row * output_stride + column;
  const float* residual = adds ? call.residual + row * residual_stride + column : nullptr;
  for (std::size_t m = 0; m < rows; ++m) {
    const float* const from = sums + m / kTileRows * S * kTile + m % kTileRows * 16;
    for (std::size_t s = 0; s < S; ++s) {
      const __mmask16 mask = s + 1 < S ? __mmask16{0xFFFF} : last;
      __m512 y = _mm512_add_ps(_mm512_load_ps(from + s * kTile), bias[s]);
      if (adds) y = _mm512_add_ps(y, _mm512_maskz_loadu_ps(mask, residual + s * kStripOutputs));
      if (bounds.active) y = clamp(y, bounds);
      _mm512_mask_storeu_ps(to + s * kStripOutputs, mask, y);
    }
    to += output_stride;
    if (adds) residual += residual_stride;
  }
}

// Sums of R tiles of a group, from `row` on, and S strips; tiles 0-3 are sums, 4 and 5 rows, 6 and 7 weights. `sums`:
// R * S tiles that wait.
template <int R, int S>
void tiles(const NarrowCall& call, const Chain& chain, std::size_t row, std::size_t column, float* sums) {
  constexpr std::size_t kTile = kTileRows * 16;  // floats
  const std::size_t strip_bytes = call.lines * kStripLineBytes;
  const std::byte* a = call.rows + (row * call.lines + chain.first * kStageRows) * kLineBytes;
  const std::byte* b = call.weights + column / kStripOutputs * strip_bytes + chain.first * kStripLineBytes;
  if (chain.first == 0) {
    _tile_zero(0);
    if constexpr (S > 1) _tile_zero(1);
    if constexpr (R > 1) _tile_zero(2);
    if constexpr (R > 1 && S > 1) _tile_zero(3);
  } else {
    _tile_loadd(0, sums, kLineBytes);
    if constexpr (S > 1) _tile_loadd(1, sums + kTile, kLineBytes);
    if constexpr (R > 1) _tile_loadd(2, sums + S * kTile, kLineBytes);
    if constexpr (R > 1 && S > 1) _tile_loadd(3, sums + 3 * kTile, kLineBytes);
  }
  for (std::size_t line = chain.first; line < chain.last; ++line, a += kStageRows * kLineBytes, b += kStripLineBytes) {
    _tile_loadd(6, b, kLineBytes);
    _tile_loadd(4, a, kLineBytes);
    _tile_dpbf16ps(0, 4, 6);
    if constexpr (S > 1) {
      _tile_loadd(7, b + strip_bytes, kLineBytes);
      _tile_dpbf16ps(1, 4, 7);
    }
    if constexpr (R > 1) {
      _tile_loadd(5, a + kTileRows * kLineBytes, kLineBytes);
      _tile_dpbf16ps(2, 5, 6);
      if constexpr (S > 1) _tile_dpbf16ps(3, 5, 7);
    }
  }
  _tile_stored(0, sums, kLineBytes);
  if constexpr (S > 1) _tile_stored(1, sums + kTile, kLineBytes);
  if constexpr (R > 1) _tile_stored(2, sums + S * kTile, kLineBytes);
  if constexpr (R > 1 && S > 1) _tile_stored(3, sums + 3 * kTile, kLineBytes);
  if (chain.last < call.lines) return;
  const std::size_t left = call.row_count - row;
  const std::size_t rows = left < R * kTileRows ? left : R * kTileRows;
  store_rows<S>(call, row, rows, column, sums);
}

template <int S>
void columns(const NarrowCall& call, std::size_t column) {
  alignas(64) float sums[kBlockRows * S * 16];
  for (std::size_t first = 0; first < call.row_count; first += kBlockRows) {
    const std::size_t end = call.row_count - first < kBlockRows ? call.row_count : first + kBlockRows;
    // Chains of one length, as far as they go.
    const std::size_t chains = (call.lines + kChainLines - 1) / kChainLines;
    const std::size_t length = chains == 0 ? 0 : (call.lines + chains - 1) / chains;
    Chain chain;
    do {
      chain.last = call.lines - chain.first < length ? call.lines : chain.first + length;
      float* kept = sums;
      for (std::size_t row = first; row < end; row += kStageRows, kept += kStageRows * S * 16) {
        if (end - row > kTileRows) {
          tiles<2, S>(call, chain, row, column, kept);
        } else {
          tiles<1, S>(call, chain, row, column, kept);
        }
      }
      chain.first = chain.last;
    } while (chain.last < call.lines);
  }
}

void gemm(const NarrowCall& call) {
  _tile_loadconfig(&kConfig);
  std::size_t column = 0;
  for (; column + kStripOutputs < call.columns; column += 2 * kStripOutputs) columns<2>(call, column);
  if (column < call.columns) columns<1>(call, column);
  _tile_release();
}

constexpr NarrowKernels kKernels = {.stage = &stage_bf16, .run = &gemm, .row_step = kTileRows};

}  // namespace

const NarrowKernels& amx_bf16_kernels() noexcept {
  return kKernels;
}

}  // namespace rushlight::runtime::cpu
