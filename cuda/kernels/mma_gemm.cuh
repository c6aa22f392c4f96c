// Matrix products and convolutions on tensor cores: what gemm.cuh computes, of operands rounded to fewer bits.
//
//   output[m][n] = activation(sum over k of A[m][k] * weights[n][k] + bias[n] + residual[m][n])
//
// with m, n, k, A and groups as there. One block makes kRows x kColumns outputs of one group, each warp kM x kN
// fragments of 16 x 8 of them, each thread four neighbouring columns in two rows of every pair of fragments. The loop
// over k goes in slabs of 32, of which kStages are on their way or being multiplied: cp.async brings them to shared
// memory, zeros for what lies outside the image or the matrix, and there is one barrier a slab.
//
// Activations lie as float32 in global and in shared memory, since all other kernels read and write them so; they are
// rounded when fragments are built. That costs shared memory's bandwidth twice what 16-bit copies would, but no pass
// over memory to make such copies, and 3xTF32 wants all bits anyway. Weights come rounded to 16 bits from the host
// (WeightForm), so that the larger part of a small batch's traffic is halved; for TF32 they are rounded here.
//
// Which k a thread's registers stand for is ours to choose, as long as both operands agree: thread t of four takes the
// eight neighbours 8 t .. 8 t + 7 of a slab, so that everything is read from shared memory 16 bytes at a time. In the
// same way columns are dealt so that a thread's sums of two fragments are four neighbours of a row.
//
// tf32x3 computes floats from TF32 products: with a = big + small and b = big + small, small * big + big * small + big
// * big, of which the tensor cores round nothing but sums. These are truncated (Fasi et al., "Numerical behavior of
// NVIDIA tensor cores", 2021), so that errors of a long sum would all have one sign: each slab's sum is added to a
// total in ordinary arithmetic.
//
// NaN, infinities, and floats so large that they round to infinity, make outputs of tf32x3 that are not finite, most
// of them wrongly NaN: infinity times the zero that is a small part. Nothing else does but a sum that overflows. So a
// block with such outputs goes through its slabs once more, in ordinary arithmetic, for them alone: each output depends
// on nothing but its own operands. With such inputs a product takes several times as long.
//
// Few tiles, as small maps have, leave most of a GPU idle: their depth may be split among blocks. Each then stores its
// part of the sums, and split_sum.cuh adds them in a fixed order.
//
// Bytes moved from global memory by a block: depth * (4 * kRows + 2 or 4 * kColumns) in, 4 * kRows * kColumns out (as
// much again for a residual).
// Accuracy: one rounding of each operand to 8 (bf16) or 11 (fp16, TF32) bits, 23 for tf32x3, which also leaves out
// small * small, below 2^-22 of a product; sums in float32. Of an operand below 2^-114 tf32x3 loses up to 2^-137. What
// is not finite tf32x3 has where gemm.cuh has it. Tests: MmaTiles.* for tiles, slabs and shared memory's banks,
// CudaWindow.* for what is gathered, EmulatedTf32x3.* for numbers at the ends of their range
#pragma once

#include <cstdint>

#include "cuda/kernels/execution.cuh"
#include "cuda/kernels/gemm.cuh"

namespace rushlight::cuda {

// How operands are multiplied: by a warp's mma.sync, here, or by a warpgroup's wgmma (warpgroup_gemm.cuh).
enum class ProductKind : std::uint8_t { bf16, fp16, tf32, tf32x3, wgmma_bf16, wgmma_fp16, wgmma_tf32, wgmma_tf32x3 };
RUSHLIGHT_HOST_DEVICE constexpr bool is_of_warpgroups(ProductKind kind) {
  return kind == ProductKind::wgmma_bf16 || kind == ProductKind::wgmma_fp16 || kind == ProductKind::wgmma_tf32 ||
         kind == ProductKind::wgmma_tf32x3;
}
RUSHLIGHT_HOST_DEVICE constexpr bool has_three_products(ProductKind kind) {
  return kind == ProductKind::tf32x3 || kind == ProductKind::wgmma_tf32x3;
}

RUSHLIGHT_HOST_DEVICE constexpr bool has_16_bits(ProductKind kind) {
  return kind == ProductKind::bf16 || kind == ProductKind::fp16 || kind == ProductKind::wgmma_bf16 ||
         kind == ProductKind::wgmma_fp16;
}

// How A comes to shared memory.
enum class MmaAccess : std::uint8_t {
  chunks,   // 16 bytes at a time: four neighbouring channels of a tap
  singles,  // one value at a time: any geometry
};
enum class MmaTileName : std::uint8_t {
  rows128_columns256,  // of warpgroups alone
  rows128_columns128,
  rows128_columns64,
  rows64_columns64,
  rows64_columns32,
};

struct MmaArguments {
  GemmArguments gemm;             // but for its weights
  const void* weights = nullptr;  // in the kind's WeightForm
  std::int32_t weight_pitch = 0;  // elements from row to row; those of warpgroups lie in tiles
  bool is_check = false;          // a kernel of warpgroups gives up early, and is found wrong, where copies never end
  // Blocks that share the depth of a tile, each `slabs_of_split` slabs of it; the last one what is left.
  std::int32_t splits = 1;
  std::int32_t slabs_of_split = 0;
  float* partial = nullptr;  // where splits > 1: [splits][rows][groups * columns]
};

struct MmaCall {
  MmaArguments arguments;
  ProductKind kind = ProductKind::bf16;
  MmaAccess access = MmaAccess::singles;
  MmaTileName tile = MmaTileName::rows64_columns64;
};

// WarpRows x WarpColumns warps of M x N fragments each.
template <int WarpRows, int WarpColumns, int M, int N, int Stages>
struct MmaTile {
  static constexpr int kWarpColumns = WarpColumns;
  static constexpr int kM = M;
  static constexpr int kN = N;
  static constexpr int kStages = Stages;
  static constexpr int kThreads = WarpRows * WarpColumns * kWarpThreads;
  static constexpr int kRows = WarpRows * M * 16;
  static constexpr int kColumns = WarpColumns * N * 8;
  static_assert(N % 2 == 0, "columns are dealt in pairs of fragments");
};
using MmaTile128x128 = MmaTile<4, 2, 2, 8, 3>;
using MmaTile128x64 = MmaTile<4, 1, 2, 8, 3>;
using MmaTile64x64 = MmaTile<2, 2, 2, 4, 4>;
using MmaTile64x32 = MmaTile<4, 1, 1, 4, 4>;

inline constexpr int kMmaSlab = 32;  // of k

// How many blocks share a multiprocessor: what 227 KiB of shared memory hold (9.0), as far as there are registers for
// them. The compiler is told; left alone, it takes 180 a thread for the largest tile and leaves no room for a second
// block.
RUSHLIGHT_HOST_DEVICE constexpr int blocks_of_a_processor(ProductKind kind, MmaAccess access, int rows, int columns) {
  if (kind == ProductKind::wgmma_tf32x3) return rows == 128 ? 1 : 2;
  if (is_of_warpgroups(kind)) {
    if (columns == 256) return 1;
    if (columns == 128) return has_16_bits(kind) ? 2 : 1;
    return rows == 128 ? 2 : has_16_bits(kind) ? 4 : 3;
  }
  if (access == MmaAccess::singles) return 2;
  if (columns == 128) return has_16_bits(kind) ? 2 : 1;
  if (rows == 128) return has_16_bits(kind) ? 3 : 2;
  if (columns == 64) return has_16_bits(kind) ? 4 : 3;
  return 4;
}

template <ProductKind Kind>
struct ProductTraits;
template <>
struct ProductTraits<ProductKind::bf16> {
  using Weight = std::uint16_t;
  static constexpr Operand kOperand = Operand::bf16;
};
template <>
struct ProductTraits<ProductKind::fp16> {
  using Weight = std::uint16_t;
  static constexpr Operand kOperand = Operand::fp16;
};
template <>
struct ProductTraits<ProductKind::tf32> {
  using Weight = float;
  static constexpr Operand kOperand = Operand::tf32;
};
template <>
struct ProductTraits<ProductKind::tf32x3> {
  using Weight = float;
  static constexpr Operand kOperand = Operand::tf32;
};
template <>
struct ProductTraits<ProductKind::wgmma_bf16> : ProductTraits<ProductKind::bf16> {};
template <>
struct ProductTraits<ProductKind::wgmma_fp16> : ProductTraits<ProductKind::fp16> {};
template <>
struct ProductTraits<ProductKind::wgmma_tf32> : ProductTraits<ProductKind::tf32> {};
template <>
struct ProductTraits<ProductKind::wgmma_tf32x3> : ProductTraits<ProductKind::tf32x3> {};

template <class Tile, class Weight>
struct MmaShared {
  alignas(128) float input[Tile::kStages][Tile::kRows * kMmaSlab];
  alignas(128) Weight weights[Tile::kStages][Tile::kColumns * kMmaSlab];
};

// --- indices
// ----------------------------------------------------------------------------------------------------------

// Slabs of a product, and those of one split.
RUSHLIGHT_HOST_DEVICE inline std::int32_t slabs_of(const GemmArguments& a) {
  return ceil_div<std::int32_t>(a.depth, kMmaSlab);
}
struct SlabRange {
  std::int32_t begin = 0;
  std::int32_t end = 0;
};
RUSHLIGHT_HOST_DEVICE inline SlabRange slab_range(const MmaArguments& a, std::int32_t split) {
  const std::int32_t slabs = slabs_of(a.gemm);
  if (a.splits == 1) return {0, slabs};
  const std::int32_t begin = split * a.slabs_of_split;
  const std::int32_t end = begin + a.slabs_of_split;
  return {begin, end < slabs ? end : slabs};
}

// All tiles of one split follow each other.
template <class Tile>
RUSHLIGHT_HOST_DEVICE Grid mma_grid(const MmaArguments& a) {
  const Grid tiles = gemm_grid<Tile>(a.gemm);
  return {tiles.blocks * a.splits, tiles.threads};
}

// Slabs of floats lie as [row][32] with chunks of four; odd rows have the chunks of each pair changed places, so that
// eight threads that read every second chunk of two neighbouring rows meet all banks once.
RUSHLIGHT_HOST_DEVICE constexpr int float_place(int row, int chunk) {
  return row * kMmaSlab + (chunk ^ (row & 1)) * 4;
}
// Slabs of 16-bit numbers lie as [row][32] with chunks of eight: two neighbouring rows fill all banks as they are.
RUSHLIGHT_HOST_DEVICE constexpr int half_place(int row, int chunk) {
  return row * kMmaSlab + chunk * 8;
}
template <class Weight>
RUSHLIGHT_HOST_DEVICE constexpr int weight_place(int row, int chunk) {
  return sizeof(Weight) == 4 ? float_place(row, chunk) : half_place(row, chunk);
}

// What a thread copies of a slab of `Rows` rows: in each pass `Width` neighbours of k, in one row.
template <int Rows, int Threads, int Width>
struct CopyShare {
  static constexpr int kThreadsPerRow = kMmaSlab / Width;
  static constexpr int kRowsPerPass = Threads / kThreadsPerRow;
  static constexpr int kPasses = Rows / kRowsPerPass;
  static_assert(Rows % kRowsPerPass == 0);

  RUSHLIGHT_HOST_DEVICE static constexpr int k(int thread) { return thread % kThreadsPerRow * Width; }
  RUSHLIGHT_HOST_DEVICE static constexpr int row(int thread, int pass) {
    return pass * kRowsPerPass + thread / kThreadsPerRow;
  }
};

// Where a thread's fragments are in the tile.
struct FragmentPlace {
  int row = 0;  // of its warp's first fragment
  int column = 0;
  int group = 0;    // lane / 4: see operands.cuh
  int of_four = 0;  // lane % 4
};
template <class Tile>
RUSHLIGHT_HOST_DEVICE constexpr FragmentPlace fragment_place(int thread) {
  const int warp = thread / kWarpThreads;
  const int lane = thread % kWarpThreads;
  return {warp / Tile::kWarpColumns * Tile::kM * 16, warp % Tile::kWarpColumns * Tile::kN * 8, lane / 4, lane % 4};
}
// Which column of its warp's tile is column `slot` of fragment n. The columns 2 t and 2 t + 1 of an even fragment, and
// of the odd one that follows, are four neighbours.
RUSHLIGHT_HOST_DEVICE constexpr int fragment_column(int n, int slot) {
  return n / 2 * 16 + slot / 2 * 4 + n % 2 * 2 + slot % 2;
}

// --- loading
// ----------------------------------------------------------------------------------------------------------

// A row that does not exist: no tap reaches the image from there.
inline constexpr std::int32_t kNoRow = std::numeric_limits<std::int32_t>::min();

// One thread's part of A's slabs.
template <class Tile, MmaAccess Access>
class MmaInput {
 public:
  using Share = CopyShare<Tile::kRows, Tile::kThreads, Access == MmaAccess::chunks ? 4 : 1>;

  RUSHLIGHT_KERNEL MmaInput(const GemmArguments& a, const TileOrigin& origin, int thread)
      : a_(a), group_channel_(std::int64_t{origin.group} * a.channels.divisor()), thread_(thread) {
    RUSHLIGHT_UNROLL
    for (int pass = 0; pass < Share::kPasses; ++pass) {
      const std::int64_t row = origin.row + Share::row(thread, pass);
      origins_[pass] = row < a.rows ? window_origin(a.window, row) : WindowOrigin{0, kNoRow, 0};
    }
  }
  template <class Block>
  RUSHLIGHT_KERNEL void copy(Block& block, std::int32_t slab, float* to) const {
    const int place_k = Share::k(thread_);
    const std::int32_t k = slab * kMmaSlab + place_k;
    const bool within = k < a_.depth;
    const Tap tap = within ? tap_of(a_, k) : Tap{};
    RUSHLIGHT_UNROLL
    for (int pass = 0; pass < Share::kPasses; ++pass) {
      const WindowOrigin& origin = origins_[pass];
      const std::int32_t h = origin.h + tap.h;
      const std::int32_t w = origin.w + tap.w;
      const bool exists = within && is_inside(a_.window, h, w);
      const float* const from =
          exists ? a_.input + pixel_number(a_.window, origin, h, w) * a_.input_stride + group_channel_ + tap.channel
                 : a_.input;
      float* const place = to + float_place(Share::row(thread_, pass), place_k / 4) + place_k % 4;
      if constexpr (Access == MmaAccess::chunks) {
        block.copy16_async(place, from, exists);
      } else {
        block.copy4_async(place, from, exists);
      }
    }
  }

 private:
  const GemmArguments& a_;
  std::int64_t group_channel_;
  int thread_;
  WindowOrigin origins_[Share::kPasses];
};

// One thread's part of the weights' slabs.
template <class Tile, class Weight>
class MmaWeights {
 public:
  static constexpr int kWidth = 16 / static_cast<int>(sizeof(Weight));
  using Share = CopyShare<Tile::kColumns, Tile::kThreads, kWidth>;

  RUSHLIGHT_KERNEL MmaWeights(const MmaArguments& a, const TileOrigin& origin, int thread)
      : weights_(static_cast<const Weight*>(a.weights)),
        pitch_(a.weight_pitch),
        thread_(thread),
        columns_(a.gemm.columns - origin.column),
        first_(std::int64_t{origin.group} * a.gemm.columns + origin.column) {}
  template <class Block>
  RUSHLIGHT_KERNEL void copy(Block& block, std::int32_t slab, Weight* to) const {
    const std::int32_t k = slab * kMmaSlab + Share::k(thread_);
    RUSHLIGHT_UNROLL
    for (int pass = 0; pass < Share::kPasses; ++pass) {
      const int column = Share::row(thread_, pass);
      const bool exists = column < columns_ && k < pitch_;
      const Weight* const from = exists ? weights_ + (first_ + column) * pitch_ + k : weights_;
      block.copy16_async(to + weight_place<Weight>(column, Share::k(thread_) / kWidth), from, exists);
    }
  }

 private:
  const Weight* weights_;
  std::int32_t pitch_;
  int thread_;
  std::int32_t columns_;
  std::int64_t first_;
};

// --- multiplying
// ------------------------------------------------------------------------------------------------------

template <class Tile>
using FragmentSums = float[Tile::kM][Tile::kN][4];

// Four of a thread's eight neighbours of k, in its rows of all fragments.
template <class Tile>
struct InputQuads {
  Float4 upper[Tile::kM];
  Float4 lower[Tile::kM];
};
template <class Tile>
RUSHLIGHT_KERNEL InputQuads<Tile> load_input(const float* slab, const FragmentPlace& place, int half) {
  InputQuads<Tile> quads;
  RUSHLIGHT_UNROLL
  for (int m = 0; m < Tile::kM; ++m) {
    const int row = place.row + m * 16 + place.group;
    quads.upper[m] = load4(slab + float_place(row, place.of_four * 2 + half));
    quads.lower[m] = load4(slab + float_place(row + 8, place.of_four * 2 + half));
  }
  return quads;
}

// A's registers of one instruction, from four neighbours of k in the upper and in the lower row: 16 of k at once,
template <Operand kOperand>
RUSHLIGHT_KERNEL void pack_words(const Float4& upper, const Float4& lower, std::uint32_t (&a)[4]) {
  static_assert(kOperand != Operand::tf32);
  const auto pack = [](float low, float high) {
    return kOperand == Operand::bf16 ? pack_bf16(low, high) : pack_fp16(low, high);
  };
  a[0] = pack(upper.at[0], upper.at[1]);
  a[1] = pack(lower.at[0], lower.at[1]);
  a[2] = pack(upper.at[2], upper.at[3]);
  a[3] = pack(lower.at[2], lower.at[3]);
}
// or, of TF32, eight: the neighbours `pair` and `pair` + 1.
RUSHLIGHT_KERNEL inline void round_words(const Float4& upper, const Float4& lower, int pair, std::uint32_t (&a)[4]) {
  RUSHLIGHT_UNROLL
  for (int i = 0; i < 2; ++i) {
    a[i * 2] = round_tf32(upper.at[pair + i]);
    a[i * 2 + 1] = round_tf32(lower.at[pair + i]);
  }
}

// 16-bit operands.
template <ProductKind Kind, class Tile, class Block>
RUSHLIGHT_KERNEL void multiply_slab(Block& block, const float* input, const std::uint16_t* weights,
                                    const FragmentPlace& place, FragmentSums<Tile>& sums) {
  constexpr Operand kOperand = ProductTraits<Kind>::kOperand;
  Words4 columns[Tile::kN];  // eight neighbours of k each
  RUSHLIGHT_UNROLL
  for (int n = 0; n < Tile::kN; ++n) {
    columns[n] = load_words4(weights + half_place(place.column + fragment_column(n, place.group), place.of_four));
  }
  RUSHLIGHT_UNROLL
  for (int half = 0; half < 2; ++half) {
    const InputQuads<Tile> quads = load_input<Tile>(input, place, half);
    std::uint32_t a[Tile::kM][4];
    std::uint32_t b[Tile::kN][2];
    RUSHLIGHT_UNROLL
    for (int m = 0; m < Tile::kM; ++m) pack_words<kOperand>(quads.upper[m], quads.lower[m], a[m]);
    RUSHLIGHT_UNROLL
    for (int n = 0; n < Tile::kN; ++n) {
      b[n][0] = columns[n].at[half * 2];
      b[n][1] = columns[n].at[half * 2 + 1];
    }
    block.template multiply<kOperand>(sums, a, b);
  }
}

// TF32, once or three times.
template <ProductKind Kind, class Tile, class Block>
RUSHLIGHT_KERNEL void multiply_slab(Block& block, const float* input, const float* weights, const FragmentPlace& place,
                                    FragmentSums<Tile>& sums) {
  RUSHLIGHT_NO_UNROLL
  for (int half = 0; half < 2; ++half) {
    const InputQuads<Tile> quads = load_input<Tile>(input, place, half);
    Float4 columns[Tile::kN];
    RUSHLIGHT_UNROLL
    for (int n = 0; n < Tile::kN; ++n) {
      columns[n] =
          load4(weights + float_place(place.column + fragment_column(n, place.group), place.of_four * 2 + half));
    }
    RUSHLIGHT_UNROLL
    for (int pair = 0; pair < 4; pair += 2) {
      std::uint32_t a[Tile::kM][4];
      std::uint32_t b[Tile::kN][2];
      if constexpr (Kind == ProductKind::tf32) {
        RUSHLIGHT_UNROLL
        for (int m = 0; m < Tile::kM; ++m) round_words(quads.upper[m], quads.lower[m], pair, a[m]);
        RUSHLIGHT_UNROLL
        for (int n = 0; n < Tile::kN; ++n) {
          RUSHLIGHT_UNROLL
          for (int i = 0; i < 2; ++i) b[n][i] = round_tf32(columns[n].at[pair + i]);
        }
        block.template multiply<Operand::tf32>(sums, a, b);
      } else {
        std::uint32_t a_small[Tile::kM][4];
        std::uint32_t b_small[Tile::kN][2];
        RUSHLIGHT_UNROLL
        for (int m = 0; m < Tile::kM; ++m) {
          RUSHLIGHT_UNROLL
          for (int i = 0; i < 4; ++i) {
            const Float4& quad = i % 2 == 0 ? quads.upper[m] : quads.lower[m];
            const SplitFloat split = split_tf32(quad.at[pair + i / 2]);
            a[m][i] = split.big;
            a_small[m][i] = split.small;
          }
        }
        RUSHLIGHT_UNROLL
        for (int n = 0; n < Tile::kN; ++n) {
          RUSHLIGHT_UNROLL
          for (int i = 0; i < 2; ++i) {
            const SplitFloat split = split_tf32(columns[n].at[pair + i]);
            b[n][i] = split.big;
            b_small[n][i] = split.small;
          }
        }
        // The smallest first.
        block.template multiply<Operand::tf32>(sums, a_small, b);
        block.template multiply<Operand::tf32>(sums, a, b_small);
        block.template multiply<Operand::tf32>(sums, a, b);
      }
    }
  }
}

// A slab of weights as MmaWeights copies it.
struct WeightsOfRows {
  const float* slab = nullptr;

  // Of column `slot` of fragment n, which is `column` of the tile.
  RUSHLIGHT_KERNEL float at(int, int, int column, int k) const { return slab[float_place(column, k / 4) + k % 4]; }
};

// The same sums in ordinary arithmetic.
template <class Tile, class Weights>
RUSHLIGHT_KERNEL void multiply_slab_ordinarily(const float* input, const Weights& weights, const FragmentPlace& place,
                                               FragmentSums<Tile>& sums) {
  RUSHLIGHT_NO_UNROLL
  for (int k = 0; k < kMmaSlab; ++k) {
    float a[Tile::kM][2];
    RUSHLIGHT_UNROLL
    for (int m = 0; m < Tile::kM; ++m) {
      RUSHLIGHT_UNROLL
      for (int lower = 0; lower < 2; ++lower) {
        a[m][lower] = input[float_place(place.row + m * 16 + place.group + lower * 8, k / 4) + k % 4];
      }
    }
    RUSHLIGHT_UNROLL
    for (int n = 0; n < Tile::kN; ++n) {
      RUSHLIGHT_UNROLL
      for (int odd = 0; odd < 2; ++odd) {
        const int slot = place.of_four * 2 + odd;
        const float b = weights.at(n, slot, place.column + fragment_column(n, slot), k);
        RUSHLIGHT_UNROLL
        for (int m = 0; m < Tile::kM; ++m) {
          RUSHLIGHT_UNROLL
          for (int lower = 0; lower < 2; ++lower) {
            float& sum = sums[m][n][lower * 2 + odd];
            sum = fused(a[m][lower], b, sum);
          }
        }
      }
    }
  }
}

template <class Tile>
RUSHLIGHT_KERNEL void clear(FragmentSums<Tile>& sums) {
  RUSHLIGHT_UNROLL
  for (int m = 0; m < Tile::kM; ++m) {
    RUSHLIGHT_UNROLL
    for (int n = 0; n < Tile::kN; ++n) {
      RUSHLIGHT_UNROLL
      for (int i = 0; i < 4; ++i) sums[m][n][i] = 0.0F;
    }
  }
}
template <class Tile>
RUSHLIGHT_KERNEL void add_to(FragmentSums<Tile>& totals, const FragmentSums<Tile>& sums) {
  RUSHLIGHT_UNROLL
  for (int m = 0; m < Tile::kM; ++m) {
    RUSHLIGHT_UNROLL
    for (int n = 0; n < Tile::kN; ++n) {
      RUSHLIGHT_UNROLL
      for (int i = 0; i < 4; ++i) totals[m][n][i] += sums[m][n][i];
    }
  }
}

// Which of a thread's sums are not finite, a bit each.
template <class Tile>
RUSHLIGHT_KERNEL std::uint64_t not_finite(const FragmentSums<Tile>& sums) {
  static_assert(Tile::kM * Tile::kN * 4 <= 64);
  std::uint64_t places = 0;
  RUSHLIGHT_UNROLL
  for (int m = 0; m < Tile::kM; ++m) {
    RUSHLIGHT_UNROLL
    for (int n = 0; n < Tile::kN; ++n) {
      RUSHLIGHT_UNROLL
      for (int i = 0; i < 4; ++i) {
        if (!is_finite(sums[m][n][i])) places |= std::uint64_t{1} << ((m * Tile::kN + n) * 4 + i);
      }
    }
  }
  return places;
}
// Calls f(total, sum) at these places.
template <class Tile, class F>
RUSHLIGHT_KERNEL void at_places(std::uint64_t places, FragmentSums<Tile>& totals, const FragmentSums<Tile>& sums,
                                F&& f) {
  RUSHLIGHT_UNROLL
  for (int m = 0; m < Tile::kM; ++m) {
    RUSHLIGHT_UNROLL
    for (int n = 0; n < Tile::kN; ++n) {
      RUSHLIGHT_UNROLL
      for (int i = 0; i < 4; ++i) {
        if ((places >> ((m * Tile::kN + n) * 4 + i) & 1) != 0) f(totals[m][n][i], sums[m][n][i]);
      }
    }
  }
}

// --- storing
// ----------------------------------------------------------------------------------------------------------

// Four neighbouring sums of one split, or those of them that exist.
RUSHLIGHT_KERNEL inline void store_partial(const MmaArguments& a, std::int32_t split, std::int64_t row,
                                           std::int32_t group, std::int32_t column, const float* sums) {
  const std::int64_t channels = std::int64_t{a.gemm.groups} * a.gemm.columns;
  float* const to = a.partial + (split * a.gemm.rows + row) * channels + std::int64_t{group} * a.gemm.columns + column;
  if (a.gemm.columns % 4 == 0) {  // and so is every row's beginning
    store4(to, {{sums[0], sums[1], sums[2], sums[3]}});
    return;
  }
  RUSHLIGHT_UNROLL
  for (int j = 0; j < 4; ++j) {
    if (column + j < a.gemm.columns) to[j] = sums[j];
  }
}

// A thread's sums, as outputs or as parts of them.
template <class Tile>
RUSHLIGHT_KERNEL void store_sums(const MmaArguments& arguments, const TileOrigin& origin, std::int32_t split,
                                 const FragmentPlace& place, const FragmentSums<Tile>& sums) {
  const GemmArguments& a = arguments.gemm;
  RUSHLIGHT_UNROLL
  for (int m = 0; m < Tile::kM; ++m) {
    RUSHLIGHT_UNROLL
    for (int lower = 0; lower < 2; ++lower) {
      const std::int64_t row = origin.row + place.row + m * 16 + place.group + lower * 8;
      if (row >= a.rows) continue;
      RUSHLIGHT_UNROLL
      for (int n = 0; n < Tile::kN; n += 2) {
        const std::int32_t column = origin.column + place.column + fragment_column(n, place.of_four * 2);
        if (column >= a.columns) continue;
        const float four[4] = {sums[m][n][lower * 2], sums[m][n][lower * 2 + 1], sums[m][n + 1][lower * 2],
                               sums[m][n + 1][lower * 2 + 1]};
        if (arguments.splits == 1) {
          store_quad(a, row, origin.group, column, four);
        } else {
          store_partial(arguments, split, row, origin.group, column, four);
        }
      }
    }
  }
}

// Which tile a block makes, and which of its slabs.
struct BlockShare {
  std::int32_t split = 0;
  TileOrigin origin;
  SlabRange slabs;
};
template <class Tile>
RUSHLIGHT_HOST_DEVICE BlockShare block_share(const MmaArguments& a, std::int64_t block) {
  const std::int64_t tiles = gemm_grid<Tile>(a.gemm).blocks;
  const auto split = static_cast<std::int32_t>(block / tiles);
  return {split, tile_origin<Tile>(a.gemm, block - split * tiles), slab_range(a, split)};
}

// --- the kernel
// -------------------------------------------------------------------------------------------------------

template <ProductKind Kind, class Tile, MmaAccess Access, class Block>
RUSHLIGHT_KERNEL void mma_gemm_kernel(Block& block, MmaShared<Tile, typename ProductTraits<Kind>::Weight>& shared,
                                      const MmaArguments& arguments) {
  using Weight = typename ProductTraits<Kind>::Weight;
  const int thread = block.thread();
  const BlockShare share = block_share<Tile>(arguments, block.index());
  const SlabRange slabs = share.slabs;
  const MmaInput<Tile, Access> input(arguments.gemm, share.origin, thread);
  const MmaWeights<Tile, Weight> weights(arguments, share.origin, thread);
  const FragmentPlace place = fragment_place<Tile>(thread);

  // Each stage is one group of copies; beyond the last slab groups are empty, so that the count stays right.
  const auto copy = [&](std::int32_t slab) {
    if (slab < slabs.end) {
      const int stage = slab % Tile::kStages;
      input.copy(block, slab, shared.input[stage]);
      weights.copy(block, slab, shared.weights[stage]);
    }
    block.commit_copies();
  };

  FragmentSums<Tile> sums;
  clear<Tile>(sums);
  FragmentSums<Tile> totals;  // of tf32x3
  if constexpr (Kind == ProductKind::tf32x3) clear<Tile>(totals);

  // multiply(input, weights) for each slab in its turn.
  const auto for_each_slab = [&](const auto& multiply) {
    for (int stage = 0; stage < Tile::kStages - 1; ++stage) copy(slabs.begin + stage);
    for (std::int32_t slab = slabs.begin; slab < slabs.end; ++slab) {
      block.template wait_copies<Tile::kStages - 2>();
      // Everybody's copies of this slab are there, and everybody is done with the slab before, whose stage is next.
      block.sync();
      copy(slab + Tile::kStages - 1);
      const int stage = slab % Tile::kStages;
      multiply(shared.input[stage], shared.weights[stage]);
    }
  };
  for_each_slab([&](const float* input_slab, const Weight* weights_slab) {
    multiply_slab<Kind, Tile>(block, input_slab, weights_slab, place, sums);
    if constexpr (Kind == ProductKind::tf32x3) {
      add_to<Tile>(totals, sums);
      clear<Tile>(sums);
    }
  });
  if constexpr (Kind == ProductKind::tf32x3) {
    const std::uint64_t again = not_finite<Tile>(totals);
    // All are done with the last slabs then.
    if (block.any_of_block(again != 0)) {
      at_places<Tile>(again, totals, sums, [](float& total, float) { total = 0.0F; });
      for_each_slab([&](const float* input_slab, const float* weights_slab) {
        multiply_slab_ordinarily<Tile>(input_slab, WeightsOfRows{weights_slab}, place, sums);
        at_places<Tile>(again, totals, sums, [](float& total, float sum) { total += sum; });
        clear<Tile>(sums);
      });
    }
  }

  store_sums<Tile>(arguments, share.origin, share.split, place, Kind == ProductKind::tf32x3 ? totals : sums);
}

// --- instances
// --------------------------------------------------------------------------------------------------------

// Calls f.operator()<Tile, Access>() for the instance that a call of this kind names. False where there is no such:
// tf32x3 has no registers for the sums and totals of the largest tile; single values are read in one tile only.
template <ProductKind Kind, class F>
bool with_mma_tile(const MmaCall& call, F&& f) {
  if (call.access == MmaAccess::singles) {
    if (call.tile != MmaTileName::rows64_columns64) return false;
    f.template operator()<MmaTile64x64, MmaAccess::singles>();
    return true;
  }
  switch (call.tile) {
    case MmaTileName::rows128_columns256:
      return false;
    case MmaTileName::rows128_columns128:
      if constexpr (Kind != ProductKind::tf32x3) {
        f.template operator()<MmaTile128x128, MmaAccess::chunks>();
        return true;
      }
      return false;
    case MmaTileName::rows128_columns64:
      f.template operator()<MmaTile128x64, MmaAccess::chunks>();
      return true;
    case MmaTileName::rows64_columns64:
      f.template operator()<MmaTile64x64, MmaAccess::chunks>();
      return true;
    case MmaTileName::rows64_columns32:
      f.template operator()<MmaTile64x32, MmaAccess::chunks>();
      return true;
  }
  return false;
}

}  // namespace rushlight::cuda
