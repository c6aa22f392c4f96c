// Matrix products and convolutions by wgmma: what mma_gemm.cuh computes, with twice its rate on GPUs of 9.0.
//
//   output[m][n] = activation(sum over k of A[m][k] * weights[n][k] + bias[n] + residual[m][n])
//
// Tiles, slabs, splits, how A is gathered and how sums become outputs are mma_gemm.cuh's. One block makes kRows x
// kColumns outputs of one group, a warpgroup 64 rows of them, each thread four neighbouring columns in two rows of
// every pair of fragments. A goes through registers, where it is rounded as there: copied to shared memory as 16 bits
// it would be written and read once more. Weights stay in shared memory and are never seen by a thread. So they come
// from the host as the instruction wants them (WeightForm): rounded, also to TF32, dealt within each slab, because a
// thread takes eight neighbours of A's k where the instruction means others (dealt_k), and in tiles of 64 columns and
// 32 k that lie in global memory byte for byte as in shared memory (WarpgroupRows).
//
// So one thread can fetch them, a tile at a time, by bulk copies of the tensor memory accelerator, which count the
// bytes that have come at a barrier of the stage, and all wait there before they multiply. Columns behind the last are
// those of the last tile once more, and go nowhere. A barrier that is told a wrong number of bytes would never open:
// waits have an end (Patience). TMA's tensor maps are not needed for that, and do not help with A: im2col knows no four
// channels at a time with a residue of k. A comes by cp.async.
//
// 3xTF32 is small * big + big * small + big * big as there, of parts that split_tf32() makes of A in registers and
// weight_parts() of weights on the host, so that their slabs are two beside each other. Each slab's sum is added to a
// total, and outputs that are not finite are computed again in ordinary arithmetic, as there.
//
// While the products of a slab run, threads wait for the next one and fetch their part of its A; they round it after
// the products, because ptxas runs instructions one after the other whose registers are written between them. The
// products of other warpgroups fill the gap. kStages - 2 slabs are on their way.
//
// Bytes moved from global memory by a block: depth * (4 * kRows + 2, 4 or, of two parts, 8 * kColumns) in, 4 * kRows *
// kColumns out (as much again for a residual).
// Accuracy: as mma_gemm.cuh's bf16, fp16, tf32 and tf32x3, but that small parts of weights are cut off at 11 bits and
// not rounded. Tests: WarpgroupTiles.* for tiles, places and the order of k, MmaTiles.* for what both share,
// EmulatedTf32x3.* for numbers at the ends of their range
#pragma once

#include <cstdint>
#include <type_traits>

#include "cuda/kernels/mma_gemm.cuh"
#include "cuda/kernels/warpgroup_operands.cuh"

namespace rushlight::cuda {

// Warps below each other, 16 rows each.
using WarpgroupTile128x256Halves = MmaTile<8, 1, 1, 32, 6>;
using WarpgroupTile128x256Floats = MmaTile<8, 1, 1, 32, 4>;
using WarpgroupTile128x128Halves = MmaTile<8, 1, 1, 16, 4>;
using WarpgroupTile128x128Floats = MmaTile<8, 1, 1, 16, 6>;
using WarpgroupTile128x64 = MmaTile<8, 1, 1, 8, 4>;
using WarpgroupTile64x64 = MmaTile<4, 1, 1, 8, 4>;

using WarpgroupTile128x64Parts = MmaTile<8, 1, 1, 8, 6>;

// In how many numbers an operand comes.
template <ProductKind Kind>
inline constexpr int kOperandParts = has_three_products(Kind) ? 2 : 1;

// Patterns of swizzled rows begin at multiples of eight of them.
template <ProductKind Kind, class Tile>
struct WarpgroupShared {
  using Weight = typename ProductTraits<Kind>::Weight;
  alignas(1024) Weight weights[Tile::kStages][kOperandParts<Kind>][Tile::kColumns * kMmaSlab];
  alignas(128) float input[Tile::kStages][Tile::kRows * kMmaSlab];
  std::uint64_t arrivals[Tile::kStages];  // barriers of the weights' bytes
};

// --- indices
// ----------------------------------------------------------------------------------------------------------

// Of instructions of so many k: which k of a slab stands at place `at` of its row. With fragment t of four and i of a
// thread's numbers, place t's i-th is the i-th of the neighbours that mma_gemm.cuh's threads take for one instruction.
RUSHLIGHT_HOST_DEVICE constexpr int dealt_k(int at, bool has_16_bits) {
  if (has_16_bits) {
    const int of_four = at % 8 / 2;
    const int i = at % 16 / 8 * 2 + at % 2;
    return of_four * 8 + at / 16 * 4 + i;
  }
  const int of_four = at % 4;
  const int i = at % 8 / 4;
  return of_four * 8 + at / 8 * 2 + i;
}

// How a tile of weights lies: row n of an instruction's 64 is the column that makes four neighbours of a thread's sums,
// as in mma_gemm.cuh.
template <class Weight>
struct WarpgroupRows {
  static constexpr int kRowBytes = kMmaSlab * static_cast<int>(sizeof(Weight));
  RUSHLIGHT_HOST_DEVICE static constexpr int column(int row) { return fragment_column(row / 8, row % 8); }
  RUSHLIGHT_HOST_DEVICE static constexpr int place(int row, int chunk) {
    return swizzled_byte<kRowBytes>(row, chunk) / static_cast<int>(sizeof(Weight));
  }
};

inline constexpr int kWeightTile = kWarpgroupColumns * kMmaSlab;  // numbers
// The number of a tile in WeightForm: all parts of a slab follow each other, and all slabs of 64 columns.
RUSHLIGHT_HOST_DEVICE constexpr std::int64_t weight_tile(std::int64_t columns64, std::int32_t slabs, std::int32_t slab,
                                                         int parts, int part) {
  return (columns64 * slabs + slab) * parts + part;
}

// And the other way round, of TF32: at which place of its row a k stands.
RUSHLIGHT_HOST_DEVICE constexpr int place_of_k(int k) {
  return k % 8 / 2 * 8 + k % 2 * 4 + k / 8;
}

// Weights as numbers again: those of one column of the tile.
struct WeightsOfParts {
  const float* big = nullptr;
  const float* small = nullptr;

  RUSHLIGHT_KERNEL float at(int n, int slot, int, int k) const {
    const int at = place_of_k(k);
    const int place = WarpgroupRows<float>::place(n * 8 + slot, at / 4) + at % 4;
    return whole({big[place], small[place]});
  }
};

// --- loading
// ----------------------------------------------------------------------------------------------------------

// A block's weights. Groups begin at a tile.
template <ProductKind Kind, class Tile>
class WarpgroupWeights {
 public:
  using Weight = typename ProductTraits<Kind>::Weight;
  using Slab = Weight[kOperandParts<Kind>][Tile::kColumns * kMmaSlab];

  RUSHLIGHT_KERNEL WarpgroupWeights(const MmaArguments& a, const TileOrigin& origin)
      : weights_(static_cast<const Weight*>(a.weights)),
        slabs_(slabs_of(a.gemm)),
        first_((std::int64_t{origin.group} * a.gemm.columns + origin.column) / kWarpgroupColumns),
        last_((std::int64_t{a.gemm.groups} * a.gemm.columns - 1) / kWarpgroupColumns) {}
  // One thread's.
  template <class Block>
  RUSHLIGHT_KERNEL void copy(Block& block, std::int32_t slab, Slab& to, std::uint64_t* arrival) const {
    block.expect_bytes(arrival, static_cast<int>(sizeof(to)));
    RUSHLIGHT_UNROLL
    for (int part = 0; part < kOperandParts<Kind>; ++part) {
      RUSHLIGHT_UNROLL
      for (int i = 0; i < Tile::kColumns / kWarpgroupColumns; ++i) {
        const std::int64_t columns64 = first_ + i < last_ ? first_ + i : last_;
        const std::int64_t tile = weight_tile(columns64, slabs_, slab, kOperandParts<Kind>, part);
        block.copy_bulk(to[part] + i * kWeightTile, weights_ + tile * kWeightTile,
                        kWeightTile * static_cast<int>(sizeof(Weight)), arrival);
      }
    }
  }

 private:
  const Weight* weights_;
  std::int32_t slabs_;
  std::int64_t first_;  // in runs of 64 columns
  std::int64_t last_;
};

// --- multiplying
// ------------------------------------------------------------------------------------------------------

// A of one slab: a thread's eight neighbours of k in two rows, and their registers: [part, the big one
// first][instruction][register].
template <class Tile>
struct InputOctets {
  InputQuads<Tile> halves[2];
};
template <class Tile>
RUSHLIGHT_KERNEL InputOctets<Tile> load_octets(const float* slab, const FragmentPlace& place) {
  return {{load_input<Tile>(slab, place, 0), load_input<Tile>(slab, place, 1)}};
}
template <ProductKind Kind>
inline constexpr int kWarpgroupSteps =
    kMmaSlab* static_cast<int>(sizeof(typename ProductTraits<Kind>::Weight)) / kWarpgroupStepBytes;
template <ProductKind Kind>
using WarpgroupWords = std::uint32_t[kOperandParts<Kind>][kWarpgroupSteps<Kind>][4];

RUSHLIGHT_KERNEL inline void split_words(const Float4& upper, const Float4& lower, int pair, std::uint32_t (&big)[4],
                                         std::uint32_t (&small)[4]) {
  RUSHLIGHT_UNROLL
  for (int r = 0; r < 4; ++r) {
    const SplitFloat split = split_tf32((r % 2 == 0 ? upper : lower).at[pair + r / 2]);
    big[r] = split.big;
    small[r] = split.small;
  }
}

template <ProductKind Kind, class Tile>
RUSHLIGHT_KERNEL void round_octets(const InputOctets<Tile>& octets, WarpgroupWords<Kind>& a) {
  constexpr Operand kOperand = ProductTraits<Kind>::kOperand;
  RUSHLIGHT_UNROLL
  for (int half = 0; half < 2; ++half) {
    const Float4& upper = octets.halves[half].upper[0];
    const Float4& lower = octets.halves[half].lower[0];
    if constexpr (kOperandParts<Kind> == 2) {
      split_words(upper, lower, 0, a[0][half * 2], a[1][half * 2]);
      split_words(upper, lower, 2, a[0][half * 2 + 1], a[1][half * 2 + 1]);
    } else if constexpr (kOperand == Operand::tf32) {
      round_words(upper, lower, 0, a[0][half * 2]);
      round_words(upper, lower, 2, a[0][half * 2 + 1]);
    } else {
      pack_words<kOperand>(upper, lower, a[0][half]);
    }
  }
}

// Begins to multiply a slab: all steps of k, for all columns.
template <ProductKind Kind, class Tile, class Block>
RUSHLIGHT_KERNEL void begin_slab(Block& block, const WarpgroupWords<Kind>& a, std::uint64_t weights,
                                 FragmentSums<Tile>& sums) {
  using Weight = typename ProductTraits<Kind>::Weight;
  constexpr int kColumnsBytes = kWarpgroupColumns * WarpgroupRows<Weight>::kRowBytes;
  constexpr int kPartBytes = Tile::kColumns * kMmaSlab * static_cast<int>(sizeof(Weight));
  const auto multiply = [&](int step, int part, int weights_part) {
    RUSHLIGHT_UNROLL
    for (int first = 0; first < Tile::kN; first += kWarpgroupColumns / 8) {
      const int bytes =
          weights_part * kPartBytes + step * kWarpgroupStepBytes + first * 8 / kWarpgroupColumns * kColumnsBytes;
      block.template multiply_async<ProductTraits<Kind>::kOperand>(sums[0], first, a[part][step],
                                                                   moved_descriptor(weights, bytes));
    }
  };
  block.begin_multiply();
  RUSHLIGHT_UNROLL
  for (int step = 0; step < kWarpgroupSteps<Kind>; ++step) {
    if constexpr (kOperandParts<Kind> == 2) {  // the smallest first
      multiply(step, 1, 0);
      multiply(step, 0, 1);
    }
    multiply(step, 0, 0);
  }
  block.commit_multiply();
}

// --- the kernel
// -------------------------------------------------------------------------------------------------------

template <ProductKind Kind, class Tile, class Block>
RUSHLIGHT_KERNEL void warpgroup_gemm_kernel(Block& block, WarpgroupShared<Kind, Tile>& shared,
                                            const MmaArguments& arguments) {
  using Weight = typename ProductTraits<Kind>::Weight;
  using Rows = WarpgroupRows<Weight>;
  constexpr int kStageBytes = sizeof(shared.weights[0]);
  static_assert(kStageBytes % 1024 == 0);
  const int thread = block.thread();
  const BlockShare share = block_share<Tile>(arguments, block.index());
  const SlabRange slabs = share.slabs;
  const MmaInput<Tile, MmaAccess::chunks> input(arguments.gemm, share.origin, thread);
  const WarpgroupWeights<Kind, Tile> weights(arguments, share.origin);
  const FragmentPlace place = fragment_place<Tile>(thread);
  const Patience patience = arguments.is_check ? Patience::gives_up : Patience::traps;
  const std::uint64_t first_stage = matrix_descriptor<Rows::kRowBytes>(block.shared_address(shared.weights));

  const auto copy = [&](std::int32_t slab) {
    if (slab < slabs.end) {
      const int stage = slab % Tile::kStages;
      input.copy(block, slab, shared.input[stage]);
      if (thread == 0) weights.copy(block, slab, shared.weights[stage], &shared.arrivals[stage]);
    }
    block.commit_copies();
  };
  // All but the last `Groups` of everybody's copies of A are there, and so is the end of everybody's last products.
  const auto meet = [&]<int Groups>(std::integral_constant<int, Groups>) {
    block.template wait_copies<Groups>();
    block.sync();
  };
  std::uint32_t phases = 0;  // a bit for each stage
  const auto wait_for_weights = [&](int stage) {
    block.wait_bytes(&shared.arrivals[stage], phases >> stage & 1U, patience);
    phases ^= 1U << stage;
  };

  FragmentSums<Tile> sums;
  clear<Tile>(sums);
  FragmentSums<Tile> totals;  // of three products
  if constexpr (kOperandParts<Kind> == 2) clear<Tile>(totals);
  if (thread == 0) block.make_barriers(shared.arrivals);
  for (int stage = 0; stage < Tile::kStages - 1; ++stage) copy(slabs.begin + stage);
  meet(std::integral_constant<int, Tile::kStages - 2>());
  InputOctets<Tile> octets = load_octets<Tile>(shared.input[slabs.begin % Tile::kStages], place);
  for (std::int32_t slab = slabs.begin; slab < slabs.end; ++slab) {
    WarpgroupWords<Kind> words;
    round_octets<Kind, Tile>(octets, words);
    const int bytes = slab % Tile::kStages * kStageBytes;
    wait_for_weights(slab % Tile::kStages);
    begin_slab<Kind, Tile>(block, words, moved_descriptor(first_stage, bytes), sums);
    meet(std::integral_constant<int, Tile::kStages - 3>());
    copy(slab + Tile::kStages - 1);  // to where the slab before was
    // After the last slab it is nobody's, and is not multiplied.
    const auto load_next = [&] { octets = load_octets<Tile>(shared.input[(slab + 1) % Tile::kStages], place); };
    // Sums, totals and both parts of A leave no registers for what comes next.
    if constexpr (kOperandParts<Kind> == 1) load_next();
    block.finish_multiply(sums[0]);
    if constexpr (kOperandParts<Kind> == 2) {
      load_next();
      add_to<Tile>(totals, sums);
      clear<Tile>(sums);
    }
  }
  if constexpr (kOperandParts<Kind> == 2) {
    const std::uint64_t again = not_finite<Tile>(totals);
    // All are done with the last slabs then.
    if (block.any_of_block(again != 0)) {
      at_places<Tile>(again, totals, sums, [](float& total, float) { total = 0.0F; });
      for (std::int32_t slab = slabs.begin; slab < slabs.end; ++slab) {
        copy(slab);
        meet(std::integral_constant<int, 0>());
        const int stage = slab % Tile::kStages;
        wait_for_weights(stage);
        multiply_slab_ordinarily<Tile>(shared.input[stage],
                                       WeightsOfParts{shared.weights[stage][0], shared.weights[stage][1]}, place, sums);
        at_places<Tile>(again, totals, sums, [](float& total, float sum) { total += sum; });
        clear<Tile>(sums);
        block.sync();
      }
    }
  }

  store_sums<Tile>(arguments, share.origin, share.split, place, kOperandParts<Kind> == 2 ? totals : sums);
}

// --- instances
// --------------------------------------------------------------------------------------------------------

// Calls f.operator()<Tile>() for the instance that a call of this kind names. False where there is no such: A is copied
// 16 bytes at a time, columns come in runs of 64, and three products want registers for sums and totals.
template <ProductKind Kind, class F>
bool with_warpgroup_tile(const MmaCall& call, F&& f) {
  if (call.access != MmaAccess::chunks) return false;
  if constexpr (has_three_products(Kind)) {
    switch (call.tile) {
      case MmaTileName::rows128_columns64:
        f.template operator()<WarpgroupTile128x64Parts>();
        return true;
      case MmaTileName::rows64_columns64:
        f.template operator()<WarpgroupTile64x64>();
        return true;
      default:
        return false;
    }
  } else {
    switch (call.tile) {
      case MmaTileName::rows128_columns256:
        f.template
        operator()<std::conditional_t<has_16_bits(Kind), WarpgroupTile128x256Halves, WarpgroupTile128x256Floats>>();
        return true;
      case MmaTileName::rows128_columns128:
        f.template
        operator()<std::conditional_t<has_16_bits(Kind), WarpgroupTile128x128Halves, WarpgroupTile128x128Floats>>();
        return true;
      case MmaTileName::rows128_columns64:
        f.template operator()<WarpgroupTile128x64>();
        return true;
      case MmaTileName::rows64_columns64:
        f.template operator()<WarpgroupTile64x64>();
        return true;
      default:
        return false;
    }
  }
}

}  // namespace rushlight::cuda
