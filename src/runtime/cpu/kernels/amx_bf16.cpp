// AMX: TDPBF16PS, a tile of 16 rows and 16 words times one of 16 words and 16 outputs.
#include <immintrin.h>

#include <cstdint>

#include "runtime/cpu/kernels/kernels.hpp"

namespace rushlight::runtime::cpu {
namespace {

#include "runtime/cpu/kernels/narrow.inc"
#include "runtime/cpu/kernels/tiles.inc"

static_assert(kStageRows == 2 * kTileRows);
constexpr std::size_t kTile = kTileRows * 16;  // floats

// Lines [first, last) of the operands: those of two strips stay in L2 while tiles of rows pass by, and what is summed
// up so far waits there meanwhile. Chains of 16, whose weights would stay in L1, took a tenth longer for their sums.
constexpr std::size_t kChainLines = 256;
struct Chain {
  std::size_t first = 0;
  std::size_t last = 0;
};

// Tiles of rows whose sums wait: 48 KiB of them.
constexpr std::size_t kBlockTiles = 24;

// Where a line of operands is, seen from a row.
struct StagedLines {
  [[nodiscard]] RUSHLIGHT_INLINE std::size_t at(std::size_t line) const { return line * kStageRows * kLineBytes; }
};
struct WindowLines {
  const std::size_t* offsets;
  [[nodiscard]] RUSHLIGHT_INLINE std::size_t at(std::size_t line) const { return offsets[line]; }
};

// Whether the outputs of a strip are a cache line: only whole ones can go past the caches.
RUSHLIGHT_INLINE bool is_of_lines(const Destination& to) {
  return reinterpret_cast<std::uintptr_t>(to.output) % kLineBytes == 0 &&
         to.output_stride % (kLineBytes / sizeof(float)) == 0;
}

template <int S>
RUSHLIGHT_INLINE void load_bias(const NarrowWindowCall& call, std::size_t column, __m512 (&bias)[S]) {
  for (std::size_t s = 0; s < S; ++s) {
    bias[s] = call.bias == nullptr ? _mm512_setzero_ps() : _mm512_loadu_ps(call.bias + column + s * kStripOutputs);
  }
}

// Rows of R tiles of S strips each to their destination. Copies of what the call says, which no store can change as far
// as the compiler knows.
template <int R, int S>
void store_rows(const NarrowWindowCall& call, const WindowTile* tiles, std::size_t column, const float* sums) {
  const __mmask16 last = first_lanes(call.columns - column - (S - 1) * kStripOutputs);
  __m512 bias[S];
  load_bias(call, column, bias);
  const Bounds bounds = call.bounds;
  const std::size_t output_stride = call.output_stride;
  const std::size_t residual_stride = call.residual_stride;
  const bool adds = call.residual != nullptr;
  const bool streams = call.streams && is_of_lines(call);
  for (std::size_t r = 0; r < R; ++r, sums += S * kTile) {
    const WindowTile& tile = tiles[r];
    float* to = call.output + tile.output * output_stride + column;
    const float* residual = adds ? call.residual + tile.output * residual_stride + column : nullptr;
    for_each_output(
        call, tile, [&](std::size_t m) __attribute__((always_inline)) {
          for (std::size_t s = 0; s < S; ++s) {
            const __mmask16 mask = s + 1 < S ? __mmask16{0xFFFF} : last;
            __m512 y = _mm512_add_ps(_mm512_load_ps(sums + s * kTile + m * 16), bias[s]);
            if (adds) y = _mm512_add_ps(y, _mm512_maskz_loadu_ps(mask, residual + s * kStripOutputs));
            if (bounds.active) y = clamp(y, bounds);
            if (streams && mask == 0xFFFF) {
              _mm512_stream_ps(to + s * kStripOutputs, y);
            } else {
              _mm512_mask_storeu_ps(to + s * kStripOutputs, mask, y);
            }
          }
          to += output_stride;
          if (adds) residual += residual_stride;
        });
  }
}

// The same, rounded.
template <int R, int S>
void store_narrow_rows(const NarrowWindowCall& call, const WindowTile* tiles, std::size_t column, const float* sums) {
  const __mmask16 last = first_lanes(call.columns - column - (S - 1) * kStripOutputs);
  __m512 bias[S];
  load_bias(call, column, bias);
  const Bounds bounds = call.bounds;
  const std::size_t output_stride = call.output_stride;
  for (std::size_t r = 0; r < R; ++r, sums += S * kTile) {
    float* to = call.output + tiles[r].output * output_stride;
    for_each_output(
        call, tiles[r], [&](std::size_t m) __attribute__((always_inline)) {
          __m512 y[S];
          for (std::size_t s = 0; s < S; ++s) {
            y[s] = _mm512_add_ps(_mm512_load_ps(sums + s * kTile + m * 16), bias[s]);
            if (bounds.active) y[s] = clamp(y[s], bounds);
          }
          if (S == 2 && last == 0xFFFF) {
            _mm512_storeu_si512(reinterpret_cast<std::byte*>(to) + column * 2, to_bf16(y[0], y[S - 1]));
          } else {
            for (std::size_t s = 0; s < S; ++s) {
              store_bf16(to, column + s * kStripOutputs, s + 1 < S ? __mmask16{0xFFFF} : last, y[s]);
            }
          }
          to += output_stride;
        });
  }
}

// Sums of R tiles and S strips; tiles 0-3 are sums, 4 and 5 rows, 6 and 7 weights. `sums`: R * S tiles that wait.
template <int R, int S, class Lines>
void tiles(const NarrowWindowCall& call, const Lines& lines, const Chain& chain, const WindowTile* tile,
           std::size_t column, float* sums) {
  const std::size_t strip_bytes = call.lines * kStripLineBytes;
  const std::size_t pitch = call.row_pitch;
  const std::byte* const a = tile[0].rows;
  const std::byte* const a2 = R > 1 ? tile[1].rows : nullptr;
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
  for (std::size_t line = chain.first; line < chain.last; ++line, b += kStripLineBytes) {
    const std::size_t at = lines.at(line);
    _tile_loadd(6, b, kLineBytes);
    _tile_loadd(4, a + at, pitch);
    _tile_dpbf16ps(0, 4, 6);
    if constexpr (S > 1) {
      _tile_loadd(7, b + strip_bytes, kLineBytes);
      _tile_dpbf16ps(1, 4, 7);
    }
    if constexpr (R > 1) {
      _tile_loadd(5, a2 + at, pitch);
      _tile_dpbf16ps(2, 5, 6);
      if constexpr (S > 1) _tile_dpbf16ps(3, 5, 7);
    }
  }
  _tile_stored(0, sums, kLineBytes);
  if constexpr (S > 1) _tile_stored(1, sums + kTile, kLineBytes);
  if constexpr (R > 1) _tile_stored(2, sums + S * kTile, kLineBytes);
  if constexpr (R > 1 && S > 1) _tile_stored(3, sums + 3 * kTile, kLineBytes);
  if (chain.last < call.lines) return;
  if (call.stores_bf16) return store_narrow_rows<R, S>(call, tile, column, sums);
  store_rows<R, S>(call, tile, column, sums);
}

template <int S, class Lines>
void columns(const NarrowWindowCall& call, const Lines& lines, std::size_t column) {
  alignas(64) float sums[kBlockTiles * S * kTile];
  for (std::size_t first = 0; first < call.tile_count; first += kBlockTiles) {
    const std::size_t end = call.tile_count - first < kBlockTiles ? call.tile_count : first + kBlockTiles;
    // Chains of one length, as far as they go.
    const std::size_t chains = (call.lines + kChainLines - 1) / kChainLines;
    const std::size_t length = chains == 0 ? 0 : (call.lines + chains - 1) / chains;
    // With one chain nothing waits, and L1 keeps its lines.
    const std::size_t kept_floats = chains > 1 ? 2 * S * kTile : 0;
    Chain chain;
    do {
      chain.last = call.lines - chain.first < length ? call.lines : chain.first + length;
      float* kept = sums;
      for (std::size_t tile = first; tile < end; tile += 2, kept += kept_floats) {
        if (end - tile > 1) {
          tiles<2, S>(call, lines, chain, call.tiles + tile, column, kept);
        } else {
          tiles<1, S>(call, lines, chain, call.tiles + tile, column, kept);
        }
      }
      chain.first = chain.last;
    } while (chain.last < call.lines);
  }
}

template <class Lines>
void multiply(const NarrowWindowCall& call, const Lines& lines) {
  std::size_t column = 0;
  for (; column + kStripOutputs < call.columns; column += 2 * kStripOutputs) columns<2>(call, lines, column);
  if (column < call.columns) columns<1>(call, lines, column);
  // What went past the caches is in no order with the stores that tell other threads of it.
  if (call.streams) _mm_sfence();
}

// Staged rows are windows of a picture that is one line.
void gemm(const NarrowCall& call) {
  WindowTile tiles[kBlockTiles];
  NarrowWindowCall windows;
  static_cast<Destination&>(windows) = call;
  windows.tiles = tiles;
  windows.row_pitch = kLineBytes;
  windows.line_rows = windows.line_outputs = call.row_count;
  windows.lines = call.lines;
  windows.weights = call.weights;
  windows.bias = call.bias;
  windows.columns = call.columns;
  windows.stores_bf16 = call.stores_bf16;
  _tile_loadconfig(&kConfig);
  for (std::size_t row = 0; row < call.row_count;) {
    windows.tile_count = 0;
    for (; windows.tile_count < kBlockTiles && row < call.row_count; ++windows.tile_count, row += kTileRows) {
      WindowTile& tile = tiles[windows.tile_count];
      const std::size_t group = row / kStageRows * kStageRows;
      tile.rows = call.rows + (group * call.lines + (row - group)) * kLineBytes;
      tile.output = tile.column = row;
      tile.count = call.row_count - row < kTileRows ? call.row_count - row : kTileRows;
    }
    multiply(windows, StagedLines{});
  }
  _tile_release();
}

void windows(const NarrowWindowCall& call) {
  configure_tiles(call.line_bytes);
  multiply(call, WindowLines{call.line_offsets});
  _tile_release();
}

// A run of floats.
void convert_run(const float* from, std::size_t count, std::byte* to) {
  for (; count >= kHalves; count -= kHalves, from += kHalves, to += kLineBytes) {
    _mm512_storeu_si512(to, to_bf16(_mm512_loadu_ps(from), _mm512_loadu_ps(from + 16)));
  }
  if (count == 0) return;
  const __m512i bits = to_bf16(_mm512_maskz_loadu_ps(first_lanes(count), from),
                               _mm512_maskz_loadu_ps(first_lanes(count < 16 ? 0 : count - 16), from + 16));
  _mm512_mask_storeu_epi16(to, static_cast<__mmask32>((1U << count) - 1U), bits);
}

// Pixels of few channels, side by side: as many as a vector has room for are spread at once.
void convert_narrow_pixels(const ConvertCall& call) {
  const std::size_t operands = call.output_pitch / 2;  // of a pixel
  const std::size_t at_once = 16 / operands;
  alignas(64) std::int32_t places[16];
  unsigned filled = 0;
  for (std::size_t lane = 0; lane < 16; ++lane) {
    const std::size_t pixel = lane / operands;
    const bool is_channel = pixel < at_once && lane % operands < call.channels;
    places[lane] = is_channel ? static_cast<std::int32_t>(pixel * call.channels + lane % operands) : 0;
    filled |= is_channel ? 1U << lane : 0U;
  }
  const __m512i from = _mm512_load_si512(places);
  const auto mask = static_cast<__mmask16>(filled);
  const float* input = call.input;
  std::byte* output = call.output;
  for (std::size_t left = call.pixels; left > 0;) {
    const std::size_t count = left < at_once ? left : at_once;
    const __m512 pixels = _mm512_maskz_loadu_ps(first_lanes(count * call.channels), input);
    const __m512i bits = to_bf16(_mm512_maskz_permutexvar_ps(mask, from, pixels), _mm512_setzero_ps());
    const auto stored = static_cast<__mmask32>((1U << (count * operands)) - 1U);
    _mm512_mask_storeu_epi16(output, stored, bits);
    input += count * call.channels;
    output += count * call.output_pitch;
    left -= count;
  }
}

void convert(const ConvertCall& call) {
  const std::size_t bytes = call.channels * 2;
  if (call.input_stride == call.channels && bytes == call.output_pitch) {
    return convert_run(call.input, call.pixels * call.channels, call.output);
  }
  if (call.input_stride == call.channels && call.output_pitch <= 32) return convert_narrow_pixels(call);
  for (std::size_t pixel = 0; pixel < call.pixels; ++pixel) {
    std::byte* const to = call.output + pixel * call.output_pitch;
    convert_run(call.input + pixel * call.input_stride, call.channels, to);
    __builtin_memset(to + bytes, 0, call.output_pitch - bytes);
  }
}

constexpr NarrowKernels kKernels = {
    .stage = &stage_bf16, .run = &gemm, .row_step = kTileRows, .convert = &convert, .run_windows = &windows};

}  // namespace

const NarrowKernels& amx_bf16_kernels() noexcept {
  return kKernels;
}

}  // namespace rushlight::runtime::cpu
