// AMX: TDPBF16PS, a tile of 16 rows and 16 words times one of 16 words and 16 outputs.
#include <immintrin.h>

#include "runtime/cpu/kernels/kernels.hpp"

namespace rushlight::runtime::cpu {
namespace {

#include "runtime/cpu/kernels/narrow.inc"

constexpr std::size_t kTileRows = 16;

// Palette 1: eight tiles of 16 rows of 64 bytes (Intel SDM vol. 1, 18.2).
struct alignas(64) TileConfig {
  unsigned char palette;
  unsigned char start_row;
  unsigned char reserved[14];
  unsigned short row_bytes[16];
  unsigned char rows[16];
};
constexpr TileConfig kConfig = {1, 0, {}, {64, 64, 64, 64, 64, 64, 64, 64}, {16, 16, 16, 16, 16, 16, 16, 16}};

// Sums of R tiles of rows (0, 1: from `row` on) and S strips; tiles 0-3 are sums, 4 and 5 rows, 6 and 7 weights.
template <int R, int S>
void tiles(const NarrowCall& call, std::size_t row, std::size_t column) {
  const std::size_t strip_bytes = call.lines * kStripLineBytes;
  const std::size_t line_bytes = call.row_pitch * kLineBytes;
  const std::byte* a = call.rows + row * kLineBytes;
  const std::byte* b = call.weights + column / kStripOutputs * strip_bytes;
  _tile_zero(0);
  if constexpr (S > 1) _tile_zero(1);
  if constexpr (R > 1) _tile_zero(2);
  if constexpr (R > 1 && S > 1) _tile_zero(3);
  for (std::size_t line = 0; line < call.lines; ++line, a += line_bytes, b += kStripLineBytes) {
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
  alignas(64) float sums[R * S][kTileRows][16];
  _tile_stored(0, sums[0], kLineBytes);
  if constexpr (S > 1) _tile_stored(1, sums[1], kLineBytes);
  if constexpr (R > 1) _tile_stored(2, sums[S], kLineBytes);
  if constexpr (R > 1 && S > 1) _tile_stored(3, sums[3], kLineBytes);
  const std::size_t left = call.row_count - row;
  const std::size_t rows = left < R * kTileRows ? left : R * kTileRows;
  for (std::size_t m = 0; m < rows; ++m) {
    for (std::size_t s = 0; s < S; ++s) {
      finish(call, row + m, column + s * kStripOutputs, _mm512_load_ps(sums[m / kTileRows * S + s][m % kTileRows]));
    }
  }
}

template <int S>
void columns(const NarrowCall& call, std::size_t column) {
  std::size_t row = 0;
  for (; row + kTileRows < call.row_count; row += 2 * kTileRows) tiles<2, S>(call, row, column);
  if (row < call.row_count) tiles<1, S>(call, row, column);
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
