// Between torch's NCHW and our NHWC: output[image][column][row] = input[image][row][column].
//
// Two kernels. Large matrices go through a 32 x 32 tile in shared memory, 256 threads moving four rows of it each, so
// that both sides see whole lines; the tile has 33 columns, so that neither direction meets bank conflicts. Where one
// side is short (three colours), tiles would be nearly empty: there one thread makes one output, writes are whole
// lines, and reads come from a few streams that the cache holds. Bytes moved: 4 in and 4 out an element.
// Accuracy: exact.
// Tests: CudaLayout.TilesCoverAllImages, CudaElements.*
#pragma once

#include <cstdint>

#include "cuda/kernels/divisor.cuh"
#include "cuda/kernels/execution.cuh"

namespace rushlight::cuda {

struct LayoutArguments {
  const float* input = nullptr;
  float* output = nullptr;
  std::int64_t images = 0;
  Divisor64 rows;     // of the input
  Divisor64 columns;  // of the input
};

inline constexpr int kLayoutTile = 32;
inline constexpr int kLayoutThreads = 256;
inline constexpr int kLayoutRowStep = kLayoutThreads / kLayoutTile;

struct LayoutShared {
  float tile[kLayoutTile][kLayoutTile + 1];
};

RUSHLIGHT_HOST_DEVICE inline bool layout_uses_tiles(const LayoutArguments& a) {
  return a.rows.divisor() >= kLayoutTile / 2 && a.columns.divisor() >= kLayoutTile / 2;
}
RUSHLIGHT_HOST_DEVICE inline std::int64_t elements_of(const LayoutArguments& a) {
  return a.images * a.rows.divisor() * a.columns.divisor();
}
RUSHLIGHT_HOST_DEVICE inline std::int64_t layout_tile_count(const LayoutArguments& a) {
  return a.images * ceil_div<std::int64_t>(a.rows.divisor(), kLayoutTile) *
         ceil_div<std::int64_t>(a.columns.divisor(), kLayoutTile);
}
RUSHLIGHT_HOST_DEVICE inline Grid grid_of(const LayoutArguments& a) {
  if (!layout_uses_tiles(a)) return grid_for_elements(elements_of(a));
  const std::int64_t tiles = layout_tile_count(a);
  return {tiles < kMaxBlocks ? tiles : kMaxBlocks, kLayoutThreads};
}

struct LayoutTile {
  std::int64_t image = 0;
  std::int64_t row = 0;
  std::int64_t column = 0;
};
RUSHLIGHT_HOST_DEVICE inline LayoutTile layout_tile(const LayoutArguments& a, std::int64_t tile) {
  const std::int64_t across = ceil_div<std::int64_t>(a.columns.divisor(), kLayoutTile);
  const std::int64_t down = ceil_div<std::int64_t>(a.rows.divisor(), kLayoutTile);
  return {tile / across / down, tile / across % down * kLayoutTile, tile % across * kLayoutTile};
}

template <class Block>
RUSHLIGHT_KERNEL void layout_tiles_kernel(Block& block, LayoutShared& shared, const LayoutArguments& a) {
  const std::int64_t rows = a.rows.divisor();
  const std::int64_t columns = a.columns.divisor();
  const int across = block.thread() % kLayoutTile;
  const int down = block.thread() / kLayoutTile;
  const std::int64_t tiles = layout_tile_count(a);
  for (std::int64_t number = block.index(); number < tiles; number += block.count()) {
    const LayoutTile tile = layout_tile(a, number);
    const float* const input = a.input + tile.image * rows * columns;
    float* const output = a.output + tile.image * rows * columns;
    for (int i = down; i < kLayoutTile; i += kLayoutRowStep) {
      const std::int64_t row = tile.row + i;
      const std::int64_t column = tile.column + across;
      if (row < rows && column < columns) shared.tile[i][across] = load_constant(input + row * columns + column);
    }
    block.sync();
    for (int i = down; i < kLayoutTile; i += kLayoutRowStep) {
      const std::int64_t row = tile.row + across;
      const std::int64_t column = tile.column + i;
      if (row < rows && column < columns) output[column * rows + row] = shared.tile[across][i];
    }
    block.sync();
  }
}

template <class Block>
RUSHLIGHT_KERNEL void layout_elements_kernel(Block& block, const LayoutArguments& a) {
  for_each_element(block, elements_of(a), [&](std::int64_t element) {
    const std::int64_t line = a.rows.quotient(element);  // image * columns + column
    const std::int64_t row = a.rows.remainder(element, line);
    const std::int64_t image = a.columns.quotient(line);
    const std::int64_t column = a.columns.remainder(line, image);
    a.output[element] = load_constant(a.input + (image * a.rows.divisor() + row) * a.columns.divisor() + column);
  });
}

}  // namespace rushlight::cuda
