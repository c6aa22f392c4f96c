// Matrix products and convolutions: one tile kernel for both.
//
//   output[m][n] = activation(sum over k of A[m][k] * weights[n][k] + bias[n] + residual[m][n])
//
// m numbers output pixels (or rows of a matrix), n output channels, k = (tap, input channel). For a Linear and a 1x1
// convolution of stride 1, A is the input itself; for other convolutions A[m][k] is gathered from the NHWC input while
// the tile is loaded (an implicit GEMM: no column matrix exists). Groups are independent products side by side.
//
// One block makes kRows x kColumns outputs of one group; one thread makes quads of 4 x 4, of which neighbouring threads
// hold neighbouring columns. The loop over k goes in slabs of 16: while a slab in shared memory is multiplied, each
// thread already has its part of the next one in registers on the way to the other half of the buffer, so that there is
// one barrier a slab.
//
// Bytes moved from global memory by a block: 4 * depth * (kRows + kColumns) in, 4 * kRows * kColumns out (as much again
// for a residual). A 128 x 64 tile thus does 21 operations a byte, before the caches.
//
// Accuracy: products are fused into fp32 sums in the order of k, whatever the tile. After every 256 of them the sum is
// moved to a total, so that errors grow with sqrt(256) + sqrt(k / 256), and not with sqrt(k).
// Tests: CudaTile.* for tiles and slabs, CudaWindow.* for what is gathered
#pragma once

#include <cstdint>

#include "cuda/kernels/activation.cuh"
#include "cuda/kernels/execution.cuh"
#include "cuda/kernels/lanes.cuh"
#include "cuda/kernels/window.cuh"

namespace rushlight::cuda {

struct GemmArguments {
  const float* input = nullptr;
  const float* weights = nullptr;   // [groups * columns][depth]
  const float* bias = nullptr;      // [groups * columns], or null
  const float* residual = nullptr;  // or null; may be the output's memory
  float* output = nullptr;
  std::int64_t input_stride = 0;  // floats from pixel to pixel, all groups included
  std::int64_t residual_stride = 0;
  std::int64_t output_stride = 0;
  std::int64_t rows = 0;     // output pixels
  std::int32_t columns = 0;  // output channels of one group
  std::int32_t depth = 0;    // taps * input channels of one group
  std::int32_t groups = 1;
  Activation activation;
  bool stores_quads = false;  // four neighbouring outputs may be stored at once: see allows_quads()
  // Of convolutions that gather.
  Window window;
  Divisor32 channels;      // input channels of one group
  Divisor32 kernel_width;  // window.kernel.w
};

// How a thread gets at A: see GemmInput below.
enum class GemmAccess : std::uint8_t {
  rows,            // four neighbours of a row at once
  window,          // four neighbouring channels of a tap at once
  window_singles,  // one value at a time: any geometry, rows included
};
enum class GemmTile : std::uint8_t { rows128_columns64, rows64_columns64, rows64_columns32 };

struct GemmCall {
  GemmArguments arguments;
  GemmAccess access = GemmAccess::window_singles;
  GemmTile tile = GemmTile::rows64_columns64;
};

template <int ThreadRows, int ThreadColumns, int RowQuads, int ColumnQuads>
struct TileShape {
  static constexpr int kThreadColumns = ThreadColumns;
  static constexpr int kThreads = ThreadRows * ThreadColumns;
  static constexpr int kRowQuads = RowQuads;
  static constexpr int kColumnQuads = ColumnQuads;
  static constexpr int kRows = ThreadRows * 4 * RowQuads;
  static constexpr int kColumns = ThreadColumns * 4 * ColumnQuads;
  static constexpr int kDepth = 16;  // of a slab
  // Slabs lie in shared memory as [k][row]; 4 more floats a line halve the bank conflicts of the transposing stores and
  // keep the lines of quads aligned.
  static constexpr int kRowPitch = kRows + 4;
  static constexpr int kColumnPitch = kColumns + 4;
  static constexpr int kSlabsInASum = 256 / kDepth;
};
using Tile128x64 = TileShape<16, 16, 2, 1>;
using Tile64x64 = TileShape<16, 16, 1, 1>;
using Tile64x32 = TileShape<16, 8, 1, 1>;

template <class Tile>
struct GemmShared {
  alignas(16) float input[2][Tile::kDepth * Tile::kRowPitch];
  alignas(16) float weights[2][Tile::kDepth * Tile::kColumnPitch];
};

// --- indices
// ----------------------------------------------------------------------------------------------------------

// The upper left corner of a block's tile. Column tiles follow each other, so that blocks that run together read the
// same rows of the input.
struct TileOrigin {
  std::int64_t row = 0;
  std::int32_t column = 0;  // within the group
  std::int32_t group = 0;
};

template <class Tile>
RUSHLIGHT_HOST_DEVICE std::int64_t column_tiles(const GemmArguments& a) {
  return ceil_div<std::int64_t>(a.columns, Tile::kColumns);
}
template <class Tile>
RUSHLIGHT_HOST_DEVICE Grid gemm_grid(const GemmArguments& a) {
  return {ceil_div<std::int64_t>(a.rows, Tile::kRows) * column_tiles<Tile>(a) * a.groups, Tile::kThreads};
}
template <class Tile>
RUSHLIGHT_HOST_DEVICE TileOrigin tile_origin(const GemmArguments& a, std::int64_t block) {
  const std::int64_t tiles = column_tiles<Tile>(a);
  const std::int64_t tile_column = block % tiles;
  block /= tiles;
  return {block / a.groups * Tile::kRows, static_cast<std::int32_t>(tile_column) * Tile::kColumns,
          static_cast<std::int32_t>(block % a.groups)};
}

// Which four rows, or columns, of the tile quad number `quad` of a thread covers.
template <class Tile>
RUSHLIGHT_HOST_DEVICE constexpr int quad_row(int thread, int quad) {
  return quad * (Tile::kRows / Tile::kRowQuads) + thread / Tile::kThreadColumns * 4;
}
template <class Tile>
RUSHLIGHT_HOST_DEVICE constexpr int quad_column(int thread, int quad) {
  return quad * (Tile::kColumns / Tile::kColumnQuads) + thread % Tile::kThreadColumns * 4;
}

// What a thread carries into shared memory: in each pass `Width` neighbours of k, in one row of the slab.
template <class Tile, int Width>
struct SlabShare {
  static constexpr int kThreadsPerRow = Tile::kDepth / Width;
  static constexpr int kRowsPerPass = Tile::kThreads / kThreadsPerRow;
  static constexpr int kInputPasses = Tile::kRows / kRowsPerPass;
  static constexpr int kWeightPasses = Tile::kColumns / kRowsPerPass;
  static_assert(Tile::kRows % kRowsPerPass == 0 && Tile::kColumns % kRowsPerPass == 0);

  RUSHLIGHT_HOST_DEVICE static constexpr int k(int thread) { return thread % kThreadsPerRow * Width; }
  RUSHLIGHT_HOST_DEVICE static constexpr int row(int thread, int pass) {
    return pass * kRowsPerPass + thread / kThreadsPerRow;
  }
};

// What k stands for in a convolution.
struct Tap {
  std::int32_t h = 0;  // distance from the window's first tap, in input pixels
  std::int32_t w = 0;
  std::int32_t channel = 0;  // within the group
};
RUSHLIGHT_HOST_DEVICE inline Tap tap_of(const GemmArguments& a, std::int32_t k) {
  const std::int32_t tap = a.channels.quotient(k);
  const std::int32_t row = a.kernel_width.quotient(tap);
  const std::int32_t column = a.kernel_width.remainder(tap, row);
  return {row * a.window.dilation.h, column * a.window.dilation.w, a.channels.remainder(k, tap)};
}

// --- loading
// ----------------------------------------------------------------------------------------------------------

// One thread's rows of A. load(pass, k) gives A[row][k .. k + Width), zeros outside.
template <class Tile, GemmAccess Access>
class GemmInput;

template <class Tile>
class GemmInput<Tile, GemmAccess::rows> {
 public:
  static constexpr int kWidth = 4;
  using Share = SlabShare<Tile, kWidth>;

  RUSHLIGHT_KERNEL GemmInput(const GemmArguments& a, const TileOrigin& origin, int thread) : depth_(a.depth) {
    RUSHLIGHT_UNROLL
    for (int pass = 0; pass < Share::kInputPasses; ++pass) {
      const std::int64_t row = origin.row + Share::row(thread, pass);
      rows_[pass] = row < a.rows ? a.input + row * a.input_stride + std::int64_t{origin.group} * a.depth : nullptr;
    }
  }
  RUSHLIGHT_KERNEL void load(std::int32_t k, Lanes<kWidth> (&lanes)[Share::kInputPasses]) const {
    RUSHLIGHT_UNROLL
    for (int pass = 0; pass < Share::kInputPasses; ++pass) {
      const bool inside = rows_[pass] != nullptr && k < depth_;
      lanes[pass] = inside ? load_lanes<kWidth>(rows_[pass] + k) : Lanes<kWidth>{};
    }
  }

 private:
  const float* rows_[Share::kInputPasses];
  std::int32_t depth_;
};

template <class Tile, int Width>
class WindowInput {
 public:
  static constexpr int kWidth = Width;
  using Share = SlabShare<Tile, kWidth>;

  RUSHLIGHT_KERNEL WindowInput(const GemmArguments& a, const TileOrigin& origin, int thread)
      : a_(a), group_channel_(std::int64_t{origin.group} * a.channels.divisor()) {
    RUSHLIGHT_UNROLL
    for (int pass = 0; pass < Share::kInputPasses; ++pass) {
      const std::int64_t row = origin.row + Share::row(thread, pass);
      exists_[pass] = row < a.rows;
      if (exists_[pass]) origins_[pass] = window_origin(a.window, row);
    }
  }
  RUSHLIGHT_KERNEL void load(std::int32_t k, Lanes<kWidth> (&lanes)[Share::kInputPasses]) const {
    // Beyond the depth no tap is asked for: k may be past the last one by less than a slab.
    const bool within = k < a_.depth;
    const Tap tap = within ? tap_of(a_, k) : Tap{};
    RUSHLIGHT_UNROLL
    for (int pass = 0; pass < Share::kInputPasses; ++pass) {
      const WindowOrigin& origin = origins_[pass];
      const std::int32_t h = origin.h + tap.h;
      const std::int32_t w = origin.w + tap.w;
      const bool inside = within && exists_[pass] && is_inside(a_.window, h, w);
      lanes[pass] = inside ? load_lanes<kWidth>(a_.input + pixel_number(a_.window, origin, h, w) * a_.input_stride +
                                                group_channel_ + tap.channel)
                           : Lanes<kWidth>{};
    }
  }

 private:
  const GemmArguments& a_;
  std::int64_t group_channel_;
  WindowOrigin origins_[Share::kInputPasses] = {};
  bool exists_[Share::kInputPasses];
};
template <class Tile>
class GemmInput<Tile, GemmAccess::window> : public WindowInput<Tile, 4> {
  using WindowInput<Tile, 4>::WindowInput;
};
template <class Tile>
class GemmInput<Tile, GemmAccess::window_singles> : public WindowInput<Tile, 1> {
  using WindowInput<Tile, 1>::WindowInput;
};

// One thread's rows of the weights.
template <class Tile, int Width>
class GemmWeights {
 public:
  using Share = SlabShare<Tile, Width>;

  RUSHLIGHT_KERNEL GemmWeights(const GemmArguments& a, const TileOrigin& origin, int thread) : depth_(a.depth) {
    RUSHLIGHT_UNROLL
    for (int pass = 0; pass < Share::kWeightPasses; ++pass) {
      const std::int32_t column = origin.column + Share::row(thread, pass);
      const std::int64_t row = std::int64_t{origin.group} * a.columns + column;
      rows_[pass] = column < a.columns ? a.weights + row * a.depth : nullptr;
    }
  }
  RUSHLIGHT_KERNEL void load(std::int32_t k, Lanes<Width> (&lanes)[Share::kWeightPasses]) const {
    RUSHLIGHT_UNROLL
    for (int pass = 0; pass < Share::kWeightPasses; ++pass) {
      const bool inside = rows_[pass] != nullptr && k < depth_;
      lanes[pass] = inside ? load_lanes<Width>(rows_[pass] + k) : Lanes<Width>{};
    }
  }

 private:
  const float* rows_[Share::kWeightPasses];
  std::int32_t depth_;
};

// Writes a thread's part of a slab, transposed: neighbours of k go to different lines.
template <class Share, int Pitch, int Width, int Passes>
RUSHLIGHT_KERNEL void store_slab(float* slab, int thread, const Lanes<Width> (&lanes)[Passes]) {
  RUSHLIGHT_UNROLL
  for (int pass = 0; pass < Passes; ++pass) {
    RUSHLIGHT_UNROLL
    for (int i = 0; i < Width; ++i) {
      slab[(Share::k(thread) + i) * Pitch + Share::row(thread, pass)] = lanes[pass].at[i];
    }
  }
}

// --- multiplying
// ------------------------------------------------------------------------------------------------------

// One thread's outputs.
template <class Tile>
struct Sums {
  float at[Tile::kRowQuads * 4][Tile::kColumnQuads * 4] = {};
};

template <class Tile>
RUSHLIGHT_KERNEL void multiply_slab(const float* input, const float* weights, int thread, Sums<Tile>& sums) {
  RUSHLIGHT_UNROLL
  for (int k = 0; k < Tile::kDepth; ++k) {
    Float4 a[Tile::kRowQuads];
    Float4 b[Tile::kColumnQuads];
    RUSHLIGHT_UNROLL
    for (int q = 0; q < Tile::kRowQuads; ++q) {
      a[q] = load4(input + k * Tile::kRowPitch + quad_row<Tile>(thread, q));
    }
    RUSHLIGHT_UNROLL
    for (int q = 0; q < Tile::kColumnQuads; ++q) {
      b[q] = load4(weights + k * Tile::kColumnPitch + quad_column<Tile>(thread, q));
    }
    RUSHLIGHT_UNROLL
    for (int i = 0; i < Tile::kRowQuads * 4; ++i) {
      RUSHLIGHT_UNROLL
      for (int j = 0; j < Tile::kColumnQuads * 4; ++j) {
        sums.at[i][j] = fused(a[i / 4].at[i % 4], b[j / 4].at[j % 4], sums.at[i][j]);
      }
    }
  }
}

template <class Tile>
RUSHLIGHT_KERNEL void move_into(Sums<Tile>& totals, Sums<Tile>& sums) {
  RUSHLIGHT_UNROLL
  for (int i = 0; i < Tile::kRowQuads * 4; ++i) {
    RUSHLIGHT_UNROLL
    for (int j = 0; j < Tile::kColumnQuads * 4; ++j) {
      totals.at[i][j] += sums.at[i][j];
      sums.at[i][j] = 0.0F;
    }
  }
}

// --- storing
// ----------------------------------------------------------------------------------------------------------

// True when every group of four neighbouring channels that starts at a multiple of four can be moved at once.
RUSHLIGHT_HOST_DEVICE inline bool allows_quads(const GemmArguments& a) {
  return a.columns % 4 == 0 && a.output_stride % 4 == 0 && is_aligned16(a.output) &&
         (a.bias == nullptr || is_aligned16(a.bias)) &&
         (a.residual == nullptr || (a.residual_stride % 4 == 0 && is_aligned16(a.residual)));
}

// `residual` is 0 where there is none.
RUSHLIGHT_HOST_DEVICE inline float finish(float sum, float bias, float residual, const Activation& activation) {
  return activate(activation, sum + bias + residual);
}

// Stores four neighbouring outputs of one row, or those of them that exist.
RUSHLIGHT_KERNEL inline void store_quad(const GemmArguments& a, std::int64_t row, std::int32_t group,
                                        std::int32_t column, const float* sums) {
  const std::int64_t channel = std::int64_t{group} * a.columns + column;
  float* const output = a.output + row * a.output_stride + channel;
  const float* const residual = a.residual == nullptr ? nullptr : a.residual + row * a.residual_stride + channel;
  if (a.stores_quads) {
    Float4 values;
    const Float4 bias = a.bias == nullptr ? Float4{} : load4_constant(a.bias + channel);
    const Float4 added = residual == nullptr ? Float4{} : load4(residual);
    RUSHLIGHT_UNROLL
    for (int j = 0; j < 4; ++j) {
      values.at[j] = finish(sums[j], bias.at[j], added.at[j], a.activation);
    }
    store4(output, values);
    return;
  }
  RUSHLIGHT_UNROLL
  for (int j = 0; j < 4; ++j) {
    if (column + j >= a.columns) return;
    const float bias = a.bias == nullptr ? 0.0F : load_constant(a.bias + channel + j);
    output[j] = finish(sums[j], bias, residual == nullptr ? 0.0F : residual[j], a.activation);
  }
}

// --- the kernel
// -------------------------------------------------------------------------------------------------------

template <class Tile, GemmAccess Access, class Block>
RUSHLIGHT_KERNEL void gemm_kernel(Block& block, GemmShared<Tile>& shared, const GemmArguments& a) {
  using Input = GemmInput<Tile, Access>;
  constexpr int kWidth = Input::kWidth;
  using Share = SlabShare<Tile, kWidth>;
  const int thread = block.thread();
  const TileOrigin origin = tile_origin<Tile>(a, block.index());
  const Input input(a, origin, thread);
  const GemmWeights<Tile, kWidth> weights(a, origin, thread);

  Lanes<kWidth> input_lanes[Share::kInputPasses];
  Lanes<kWidth> weight_lanes[Share::kWeightPasses];
  const auto load = [&](std::int32_t slab) {
    const std::int32_t k = slab * Tile::kDepth + Share::k(thread);
    input.load(k, input_lanes);
    weights.load(k, weight_lanes);
  };
  const auto store = [&](int half) {
    store_slab<Share, Tile::kRowPitch>(shared.input[half], thread, input_lanes);
    store_slab<Share, Tile::kColumnPitch>(shared.weights[half], thread, weight_lanes);
  };

  Sums<Tile> totals;
  Sums<Tile> sums;
  const std::int32_t slabs = ceil_div<std::int32_t>(a.depth, Tile::kDepth);
  if (slabs > 0) {
    load(0);
    store(0);
  }
  block.sync();
  for (std::int32_t slab = 0; slab < slabs; ++slab) {
    const bool has_next = slab + 1 < slabs;
    if (has_next) load(slab + 1);
    multiply_slab<Tile>(shared.input[slab % 2], shared.weights[slab % 2], thread, sums);
    if ((slab + 1) % Tile::kSlabsInASum == 0) move_into<Tile>(totals, sums);
    // The other half was last read before the barrier that ended the previous round.
    if (has_next) store((slab + 1) % 2);
    block.sync();
  }
  move_into<Tile>(totals, sums);

  RUSHLIGHT_UNROLL
  for (int i = 0; i < Tile::kRowQuads * 4; ++i) {
    const std::int64_t row = origin.row + quad_row<Tile>(thread, i / 4) + i % 4;
    if (row >= a.rows) continue;
    RUSHLIGHT_UNROLL
    for (int q = 0; q < Tile::kColumnQuads; ++q) {
      const std::int32_t column = origin.column + quad_column<Tile>(thread, q);
      if (column < a.columns) store_quad(a, row, origin.group, column, &totals.at[i][q * 4]);
    }
  }
}

}  // namespace rushlight::cuda
