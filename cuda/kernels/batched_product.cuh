// output[batch][m][n] = alpha * sum over k of a[batch][m][k] * b[batch][k][n] + beta * addend[batch][m][n], with any
// strides on the right: MatMul, Bmm, AddMM, Einsum of two operands.
//
// One block makes a 64 x 64 tile of one product, one thread 4 x 4 outputs of it; slabs of 16 k go through shared memory
// and are loaded along the dimension that lies densest. Bytes moved: 4 * k * (64 + 64) a tile in, 4 an output out.
// Accuracy: fp32 sums of 256 products, then a sum of sums, in an order that depends on k alone.
// Tests: GeneralIndices.TilesOfAProductCoverItOnce, operator_emulation_test.cpp.
#pragma once

#include <cstdint>

#include "cuda/kernels/strided.cuh"

namespace rushlight::cuda {

struct MatrixView {
  const float* first = nullptr;
  std::int64_t row = 0;     // distance of rows, in floats
  std::int64_t column = 0;  // and of columns
};

struct BatchedProductArguments {
  MatrixView a;
  MatrixView b;
  MatrixView addend;  // first null: there is none
  float* output = nullptr;
  std::int64_t output_row = 0;
  std::int64_t output_column = 0;
  std::int64_t m = 0;
  std::int64_t n = 0;
  std::int64_t k = 0;
  double alpha = 1;
  double beta = 1;
  Divisor64 tiles;          // of one product
  Divisor64 column_tiles;   // of a row of tiles
  StridedShape<4> batches;  // output, a, b, addend
};

inline constexpr int kProductTile = 64;
inline constexpr int kProductSlab = 16;
inline constexpr int kProductThreads = 256;
inline constexpr int kProductShare = 4;    // 4 x 4 outputs a thread
inline constexpr int kProductChain = 256;  // products of one fp32 sum

struct BatchedProductShared {
  // Of a the rows, of b the columns, that a slab holds for each k. Four more, so that banks differ.
  float a[kProductSlab][kProductTile + 4];
  float b[kProductSlab][kProductTile + 4];
};

RUSHLIGHT_HOST_DEVICE inline Grid grid_of(const BatchedProductArguments& a) {
  const std::int64_t blocks = a.batches.elements * a.tiles.divisor();
  return {a.m == 0 || a.n == 0 ? 0 : blocks, kProductThreads};
}

struct ProductTilePlace {
  std::int64_t batch = 0;
  std::int64_t row = 0;  // of the tile's first output
  std::int64_t column = 0;
};
RUSHLIGHT_HOST_DEVICE inline ProductTilePlace product_tile(const BatchedProductArguments& a, std::int64_t block) {
  ProductTilePlace place;
  place.batch = a.tiles.quotient(block);
  const std::int64_t tile = a.tiles.remainder(block, place.batch);
  const std::int64_t row_of_tiles = a.column_tiles.quotient(tile);
  place.row = row_of_tiles * kProductTile;
  place.column = a.column_tiles.remainder(tile, row_of_tiles) * kProductTile;
  return place;
}

// Element `i` of a slab as (line, depth): neighbours walk the depth where that is adjacent in memory, else the lines.
struct SlabPlace {
  int line;
  int depth;
};
RUSHLIGHT_HOST_DEVICE inline SlabPlace slab_place(int i, bool depth_is_adjacent) {
  if (depth_is_adjacent) return {i / kProductSlab, i % kProductSlab};
  return {i % kProductTile, i / kProductTile};
}

template <class Block>
RUSHLIGHT_KERNEL void batched_product_kernel(Block& block, BatchedProductShared& shared,
                                             const BatchedProductArguments& a) {
  const ProductTilePlace tile = product_tile(a, block.index());
  const StridedPlaces<4> batch = places_of(a.batches, tile.batch);
  const float* const a_first = a.a.first + batch.at[1];
  const float* const b_first = a.b.first + batch.at[2];
  constexpr int kSlabFloats = kProductSlab * kProductTile;
  const int own_row = block.thread() / (kProductTile / kProductShare) * kProductShare;
  const int own_column = block.thread() % (kProductTile / kProductShare) * kProductShare;
  float totals[kProductShare][kProductShare] = {};
  float sums[kProductShare][kProductShare] = {};
  for (std::int64_t first = 0; first < a.k; first += kProductSlab) {
    for (int i = block.thread(); i < kSlabFloats; i += kProductThreads) {
      const SlabPlace in_a = slab_place(i, a.a.column == 1);
      const std::int64_t row = tile.row + in_a.line;
      const std::int64_t a_depth = first + in_a.depth;
      shared.a[in_a.depth][in_a.line] =
          row < a.m && a_depth < a.k ? a_first[row * a.a.row + a_depth * a.a.column] : 0.0F;
      const SlabPlace in_b = slab_place(i, a.b.row == 1 && a.b.column != 1);
      const std::int64_t column = tile.column + in_b.line;
      const std::int64_t b_depth = first + in_b.depth;
      shared.b[in_b.depth][in_b.line] =
          column < a.n && b_depth < a.k ? b_first[b_depth * a.b.row + column * a.b.column] : 0.0F;
    }
    block.sync();
    const int depth = a.k - first < kProductSlab ? static_cast<int>(a.k - first) : kProductSlab;
    for (int k = 0; k < depth; ++k) {
      RUSHLIGHT_UNROLL
      for (int r = 0; r < kProductShare; ++r) {
        RUSHLIGHT_UNROLL
        for (int c = 0; c < kProductShare; ++c) {
          sums[r][c] = fused(shared.a[k][own_row + r], shared.b[k][own_column + c], sums[r][c]);
        }
      }
    }
    block.sync();
    if ((first / kProductSlab + 1) % (kProductChain / kProductSlab) != 0 && first + kProductSlab < a.k) continue;
    for (int r = 0; r < kProductShare; ++r) {
      for (int c = 0; c < kProductShare; ++c) {
        totals[r][c] += sums[r][c];
        sums[r][c] = 0.0F;
      }
    }
  }
  for (int r = 0; r < kProductShare; ++r) {
    for (int c = 0; c < kProductShare; ++c) {
      const std::int64_t row = tile.row + own_row + r;
      const std::int64_t column = tile.column + own_column + c;
      if (row >= a.m || column >= a.n) continue;
      float value = totals[r][c];
      if (a.alpha != 1 || a.addend.first != nullptr) {
        double scaled = a.alpha * static_cast<double>(value);
        if (a.addend.first != nullptr) {
          const float added = a.addend.first[batch.at[3] + row * a.addend.row + column * a.addend.column];
          scaled += a.beta * static_cast<double>(added);
        }
        value = static_cast<float>(scaled);
      }
      a.output[batch.at[0] + row * a.output_row + column * a.output_column] = value;
    }
  }
}

}  // namespace rushlight::cuda
