// Matrix products and convolutions by wgmma: what mma_gemm.cuh computes, with twice its rate on GPUs of 9.0.
//
//   output[m][n] = activation(sum over k of A[m][k] * weights[n][k] + bias[n] + residual[m][n])
//
// Tiles, slabs, splits, how A is gathered and how sums become outputs are mma_gemm.cuh's. One block makes kRows x
// kColumns outputs of one group, a warpgroup 64 rows of them, each thread four neighbouring columns in two rows of
// every pair of fragments. A goes through registers, where it is rounded as there: copied to shared memory as 16 bits
// it would be written and read once more. Weights stay in shared memory and are never seen by a thread. So they come
// from the host as the instruction wants them (WeightForm): rounded, also to TF32, and dealt within each slab, because
// a thread takes eight neighbours of A's k where the instruction means others (dealt_k).
//
// While the products of a slab run, threads wait for the next one and fetch their part of its A; they round it after
// the products, because ptxas runs instructions one after the other whose registers are written between them. The
// products of other warpgroups fill the gap. kStages - 2 slabs are on their way.
//
// cp.async fills both operands. TMA could fetch the weights' tiles (its im2col knows no four channels at a time with a
// residue of k, and needs a map in global memory for each layer), by one thread and with an mbarrier that all wait at.
// A wrong count of bytes there is a GPU that hangs, which no emulation finds; groups of copies cannot hang. What it
// would save is one instruction a thread for 16 bytes of weights.
//
// Bytes moved from global memory by a block: depth * (4 * kRows + 2 or 4 * kColumns) in, 4 * kRows * kColumns out (as
// much again for a residual).
// Accuracy: as mma_gemm.cuh's bf16, fp16 and tf32. Tests: WarpgroupTiles.* for tiles, places and the order of k,
// MmaTiles.* for what both share
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

// Patterns of swizzled rows begin at multiples of eight of them.
template <class Tile, class Weight>
struct WarpgroupShared {
  alignas(1024) Weight weights[Tile::kStages][Tile::kColumns * kMmaSlab];
  alignas(128) float input[Tile::kStages][Tile::kRows * kMmaSlab];
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

// Row n of an instruction's 64 is the column that makes four neighbours of a thread's sums, as in mma_gemm.cuh.
template <class Weight>
struct WarpgroupRows {
  static constexpr int kRowBytes = kMmaSlab * static_cast<int>(sizeof(Weight));
  RUSHLIGHT_HOST_DEVICE static constexpr int column(int row) { return fragment_column(row / 8, row % 8); }
  RUSHLIGHT_HOST_DEVICE static constexpr int place(int row, int chunk) {
    return swizzled_byte<kRowBytes>(row, chunk) / static_cast<int>(sizeof(Weight));
  }
};

// --- multiplying
// ------------------------------------------------------------------------------------------------------

// A of one slab: a thread's eight neighbours of k in two rows, and their registers: [instruction][register].
template <class Tile>
struct InputOctets {
  InputQuads<Tile> halves[2];
};
template <class Tile>
RUSHLIGHT_KERNEL InputOctets<Tile> load_octets(const float* slab, const FragmentPlace& place) {
  return {{load_input<Tile>(slab, place, 0), load_input<Tile>(slab, place, 1)}};
}
template <ProductKind Kind>
using WarpgroupWords = std::uint32_t[kMmaSlab * sizeof(typename ProductTraits<Kind>::Weight) / kWarpgroupStepBytes][4];

template <ProductKind Kind, class Tile>
RUSHLIGHT_KERNEL void round_octets(const InputOctets<Tile>& octets, WarpgroupWords<Kind>& a) {
  constexpr Operand kOperand = ProductTraits<Kind>::kOperand;
  RUSHLIGHT_UNROLL
  for (int half = 0; half < 2; ++half) {
    const Float4& upper = octets.halves[half].upper[0];
    const Float4& lower = octets.halves[half].lower[0];
    if constexpr (kOperand == Operand::tf32) {
      round_words(upper, lower, 0, a[half * 2]);
      round_words(upper, lower, 2, a[half * 2 + 1]);
    } else {
      pack_words<kOperand>(upper, lower, a[half]);
    }
  }
}

// Begins to multiply a slab: all steps of k, for all columns.
template <ProductKind Kind, class Tile, class Block>
RUSHLIGHT_KERNEL void begin_slab(Block& block, const WarpgroupWords<Kind>& a, std::uint64_t weights,
                                 FragmentSums<Tile>& sums) {
  constexpr int kColumnsBytes = kWarpgroupColumns * WarpgroupRows<typename ProductTraits<Kind>::Weight>::kRowBytes;
  constexpr int kSteps = sizeof(WarpgroupWords<Kind>) / sizeof(a[0]);
  block.begin_multiply();
  RUSHLIGHT_UNROLL
  for (int step = 0; step < kSteps; ++step) {
    RUSHLIGHT_UNROLL
    for (int first = 0; first < Tile::kN; first += kWarpgroupColumns / 8) {
      const int bytes = step * kWarpgroupStepBytes + first * 8 / kWarpgroupColumns * kColumnsBytes;
      block.template multiply_async<ProductTraits<Kind>::kOperand>(sums[0], first, a[step],
                                                                   moved_descriptor(weights, bytes));
    }
  }
  block.commit_multiply();
}

// --- the kernel
// -------------------------------------------------------------------------------------------------------

template <ProductKind Kind, class Tile, class Block>
RUSHLIGHT_KERNEL void warpgroup_gemm_kernel(Block& block,
                                            WarpgroupShared<Tile, typename ProductTraits<Kind>::Weight>& shared,
                                            const MmaArguments& arguments) {
  using Weight = typename ProductTraits<Kind>::Weight;
  using Rows = WarpgroupRows<Weight>;
  constexpr int kStageBytes = sizeof(shared.weights[0]);
  static_assert(kStageBytes % 1024 == 0);
  const int thread = block.thread();
  const BlockShare share = block_share<Tile>(arguments, block.index());
  const SlabRange slabs = share.slabs;
  const MmaInput<Tile, MmaAccess::chunks> input(arguments.gemm, share.origin, thread);
  const MmaWeights<Tile, Weight, Rows> weights(arguments, share.origin, thread);
  const FragmentPlace place = fragment_place<Tile>(thread);
  const std::uint64_t first_stage = matrix_descriptor<Rows::kRowBytes>(block.shared_address(shared.weights));

  const auto copy = [&](std::int32_t slab) {
    if (slab < slabs.end) {
      const int stage = slab % Tile::kStages;
      input.copy(block, slab, shared.input[stage]);
      weights.copy(block, slab, shared.weights[stage]);
    }
    block.commit_copies();
  };
  // All but the last `Groups` of everybody's copies are there, and so is the end of everybody's last products.
  const auto meet = [&]<int Groups>(std::integral_constant<int, Groups>) {
    block.template wait_copies<Groups>();
    block.publish_copies();
    block.sync();
  };

  FragmentSums<Tile> sums;
  clear<Tile>(sums);
  for (int stage = 0; stage < Tile::kStages - 1; ++stage) copy(slabs.begin + stage);
  meet(std::integral_constant<int, Tile::kStages - 2>());
  InputOctets<Tile> octets = load_octets<Tile>(shared.input[slabs.begin % Tile::kStages], place);
  for (std::int32_t slab = slabs.begin; slab < slabs.end; ++slab) {
    WarpgroupWords<Kind> words;
    round_octets<Kind, Tile>(octets, words);
    const int bytes = slab % Tile::kStages * kStageBytes;
    begin_slab<Kind, Tile>(block, words, moved_descriptor(first_stage, bytes), sums);
    meet(std::integral_constant<int, Tile::kStages - 3>());
    copy(slab + Tile::kStages - 1);  // to where the slab before was
    // After the last slab this is nobody's, and is not multiplied.
    octets = load_octets<Tile>(shared.input[(slab + 1) % Tile::kStages], place);
    block.finish_multiply(sums[0]);
  }
  store_sums<Tile>(arguments, share.origin, share.split, place, sums);
}

// --- instances
// --------------------------------------------------------------------------------------------------------

// Calls f.operator()<Tile>() for the instance that a call of this kind names. False where there is no such: A is copied
// 16 bytes at a time, and columns come in runs of 64.
template <ProductKind Kind, class F>
bool with_warpgroup_tile(const MmaCall& call, F&& f) {
  constexpr bool kHas16Bits = sizeof(typename ProductTraits<Kind>::Weight) == 2;
  if (call.access != MmaAccess::chunks) return false;
  switch (call.tile) {
    case MmaTileName::rows128_columns256:
      f.template operator()<std::conditional_t<kHas16Bits, WarpgroupTile128x256Halves, WarpgroupTile128x256Floats>>();
      return true;
    case MmaTileName::rows128_columns128:
      f.template operator()<std::conditional_t<kHas16Bits, WarpgroupTile128x128Halves, WarpgroupTile128x128Floats>>();
      return true;
    case MmaTileName::rows128_columns64:
      f.template operator()<WarpgroupTile128x64>();
      return true;
    case MmaTileName::rows64_columns64:
      f.template operator()<WarpgroupTile64x64>();
      return true;
    case MmaTileName::rows64_columns32:
      return false;
  }
  return false;
}

}  // namespace rushlight::cuda
