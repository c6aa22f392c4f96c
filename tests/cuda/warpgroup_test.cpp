// Products of warpgroups: how operands lie, read back through descriptors, and what the emulation finds wrong with
// them.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <map>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "cuda/emulator.hpp"
#include "cuda/kernels/warpgroup_gemm.cuh"
#include "cuda/matrix_descriptor.hpp"
#include "cuda/product_choice.hpp"

namespace rushlight::cuda {
namespace {

using emulation::byte_of;
using emulation::decode;
using emulation::EmulatedBlock;
using emulation::Emulator;
using emulation::MatrixDescriptor;
using emulation::Order;

// --- where numbers lie

template <int RowBytes>
void expect_descriptors_to_find_swizzled_bytes() {
  std::mt19937 random(3);
  for (int round = 0; round < 200; ++round) {
    // A matrix of whole patterns somewhere in the window, and an instruction's part of it.
    const std::uint32_t base = static_cast<std::uint32_t>(random() % 180) * 1024;
    const int first_row = static_cast<int>(random() % 4) * kWarpgroupColumns;
    const int step = static_cast<int>(random() % (RowBytes / kWarpgroupStepBytes));
    const std::uint64_t descriptor =
        moved_descriptor(matrix_descriptor<RowBytes>(base), first_row * RowBytes + step * kWarpgroupStepBytes);
    const MatrixDescriptor matrix = decode(descriptor);
    ASSERT_EQ(matrix.complaint, "");
    EXPECT_EQ(matrix.row_bytes, static_cast<std::uint32_t>(RowBytes));
    for (int column = 0; column < kWarpgroupColumns; ++column) {
      for (int byte = 0; byte < kWarpgroupStepBytes; ++byte) {
        const int chunk = step * 2 + byte / 16;
        ASSERT_EQ(byte_of(matrix, static_cast<std::uint32_t>(column), static_cast<std::uint32_t>(byte)),
                  base + static_cast<std::uint32_t>(swizzled_byte<RowBytes>(first_row + column, chunk) + byte % 16));
      }
    }
  }
}
TEST(WarpgroupOperands, DescriptorsFindWhatWasPutThere) {
  expect_descriptors_to_find_swizzled_bytes<64>();
  expect_descriptors_to_find_swizzled_bytes<128>();
}

// Bit by bit, as the manual has them: 128 bytes are mode 1, 64 are mode 2; strides and addresses in units of 16 bytes.
TEST(WarpgroupOperands, DescriptorsHaveTheirFieldsWhereTheManualHasThem) {
  EXPECT_EQ(matrix_descriptor<128>(0x2C00), 0x4000'0040'0000'02C0U);
  EXPECT_EQ(matrix_descriptor<64>(0x2C00), 0x8000'0020'0000'02C0U);
  EXPECT_EQ(moved_descriptor(matrix_descriptor<128>(0x2C00), 32), 0x4000'0040'0000'02C2U);
}

TEST(WarpgroupOperands, WhatTheManualForbidsIsFound) {
  const std::uint64_t good = matrix_descriptor<128>(0x2C00);
  EXPECT_EQ(decode(good).complaint, "");
  EXPECT_EQ(decode(good & 0x3FFF'FFFF'FFFF'FFFFU).complaint, "a descriptor without swizzle");
  EXPECT_EQ(decode(good | std::uint64_t{1} << 49).complaint, "a descriptor with a base offset");
  EXPECT_EQ(decode(good | std::uint64_t{1} << 14).complaint, "a descriptor with bits that mean nothing");
  EXPECT_EQ(decode(good | std::uint64_t{1} << 61).complaint, "a descriptor with bits that mean nothing");
  EXPECT_EQ(decode(matrix_descriptor<128>(0x2C80)).complaint,
            "a descriptor that begins inside a pattern of the swizzle");
  EXPECT_EQ(decode(matrix_descriptor<64>(0x2C40)).complaint,
            "a descriptor that begins inside a pattern of the swizzle");
  EXPECT_EQ(decode(good ^ std::uint64_t{32} << 32).complaint, "a descriptor whose stride is not whole patterns");
}

// Which banks an instruction meets when it reads a chunk of eight columns, and a copy when it writes eight chunks.
template <int RowBytes>
void expect_every_bank_once() {
  constexpr int kChunks = RowBytes / 16;
  std::set<int> places;
  for (int row = 0; row < kWarpgroupColumns; ++row) {
    for (int chunk = 0; chunk < kChunks; ++chunk) places.insert(swizzled_byte<RowBytes>(row, chunk));
  }
  EXPECT_EQ(places.size(), static_cast<std::size_t>(kWarpgroupColumns * kChunks));
  EXPECT_EQ(*places.rbegin(), kWarpgroupColumns * RowBytes - 16);
  for (int chunk = 0; chunk < kChunks; ++chunk) {
    std::set<int> banks;
    for (int row = 0; row < 8; ++row) banks.insert(swizzled_byte<RowBytes>(row, chunk) % 128);
    EXPECT_EQ(banks.size(), 8U);
  }
  for (int row = 0; row < kWarpgroupColumns; row += 128 / RowBytes) {
    std::set<int> banks;
    for (int i = 0; i < 8; ++i) banks.insert(swizzled_byte<RowBytes>(row + i / kChunks, i % kChunks) % 128);
    EXPECT_EQ(banks.size(), 8U);
  }
}
TEST(WarpgroupOperands, EightChunksMeetEveryBankOnce) {
  expect_every_bank_once<64>();
  expect_every_bank_once<128>();
}

// --- tiles and the order of k

TEST(WarpgroupTiles, TilesOfWeightsFollowEachOther) {
  std::int64_t next = 0;
  for (const std::int64_t columns64 : {0, 1, 2}) {
    for (std::int32_t slab = 0; slab < 5; ++slab) {
      for (const int part : {0, 1}) EXPECT_EQ(weight_tile(columns64, 5, slab, 2, part), next++);
    }
  }
  EXPECT_EQ(weight_tile(3, 1 << 24, 7, 1, 0), (std::int64_t{3} << 24) + 7);
}

// A block that notes what would be copied.
struct CopyNotes {
  int expected_bytes = 0;
  int bytes = 0;
  std::vector<std::pair<std::ptrdiff_t, std::ptrdiff_t>> tiles;  // from, to
  const std::uint16_t* from = nullptr;
  const std::uint16_t* to = nullptr;

  void expect_bytes(std::uint64_t*, int count) { expected_bytes += count; }
  void copy_bulk(void* place, const void* source, int count, std::uint64_t*) {
    bytes += count;
    EXPECT_EQ(count, kWeightTile * static_cast<int>(sizeof(std::uint16_t)));
    tiles.emplace_back((static_cast<const std::uint16_t*>(source) - from) / kWeightTile,
                       (static_cast<const std::uint16_t*>(place) - to) / kWeightTile);
  }
};
// Of 200 columns, which are four tiles, the widest block of columns has all; of 72, which are two, the last one fills
// the rest; and a group of 64 does not go beyond the last group.
TEST(WarpgroupTiles, NoWeightsAreReadBehindTheLast) {
  using Weights = WarpgroupWeights<ProductKind::wgmma_bf16, WarpgroupTile128x256Halves>;
  static std::uint16_t to[1][WarpgroupTile128x256Halves::kColumns * kMmaSlab];
  static const std::uint16_t from[8 * 2 * kWeightTile] = {};
  const auto tiles = [&](std::int32_t columns, std::int32_t groups, const TileOrigin& origin) {
    MmaArguments a;
    a.gemm.columns = columns;
    a.gemm.groups = groups;
    a.gemm.depth = 2 * kMmaSlab;
    a.weights = from;
    CopyNotes notes;
    notes.from = from;
    notes.to = &to[0][0];
    Weights(a, origin).copy(notes, 1, to, nullptr);
    EXPECT_EQ(notes.bytes, notes.expected_bytes);
    std::vector<std::ptrdiff_t> sources;
    for (std::size_t i = 0; i < notes.tiles.size(); ++i) {
      EXPECT_EQ(notes.tiles[i].second, static_cast<std::ptrdiff_t>(i));
      EXPECT_EQ(notes.tiles[i].first % 2, 1) << "the second slab";
      sources.push_back(notes.tiles[i].first / 2);
    }
    return sources;
  };
  using Tiles = std::vector<std::ptrdiff_t>;
  EXPECT_EQ(tiles(200, 1, {}), (Tiles{0, 1, 2, 3}));
  EXPECT_EQ(tiles(72, 1, {}), (Tiles{0, 1, 1, 1}));
  TileOrigin second;
  second.column = 256;
  EXPECT_EQ(tiles(300, 1, second), (Tiles{4, 4, 4, 4}));
  TileOrigin group;
  group.group = 2;
  EXPECT_EQ(tiles(64, 4, group), (Tiles{2, 3, 3, 3}));
}

TEST(WarpgroupTiles, RowsOfWeightsAreColumnsOnceInEachRunOf16) {
  for (const int first : {0, 16, 48, 240}) {
    std::set<int> columns;
    for (int row = first; row < first + 16; ++row) columns.insert(WarpgroupRows<float>::column(row));
    EXPECT_EQ(columns.size(), 16U);
    EXPECT_EQ(*columns.begin(), first);
    EXPECT_EQ(*columns.rbegin(), first + 15);
  }
}

// Thread t of four takes the neighbours 8 t .. 8 t + 7 of a slab. What round_octets() puts into register r of
// instruction s, and what the manual says about that register, must be the same k.
TEST(WarpgroupTiles, WeightsAreDealtAsThreadsTakeTheInput) {
  std::set<int> halves;
  std::set<int> floats;
  for (int at = 0; at < kMmaSlab; ++at) {
    halves.insert(dealt_k(at, true));
    floats.insert(dealt_k(at, false));
  }
  EXPECT_EQ(halves.size(), 32U);
  EXPECT_EQ(floats.size(), 32U);
  for (int of_four = 0; of_four < 4; ++of_four) {
    InputOctets<WarpgroupTile64x64> octets;
    for (int i = 0; i < 8; ++i) {
      octets.halves[i / 4].upper[0].at[i % 4] = static_cast<float>(of_four * 8 + i);
      octets.halves[i / 4].lower[0].at[i % 4] = static_cast<float>(100 + of_four * 8 + i);
    }
    WarpgroupWords<ProductKind::wgmma_fp16> pairs;
    round_octets<ProductKind::wgmma_fp16>(octets, pairs);
    for (int step = 0; step < 2; ++step) {
      for (int r = 0; r < 4; ++r) {
        const int place = step * 16 + of_four * 2 + r / 2 * 8;
        const auto rows = static_cast<float>(r % 2 * 100);
        EXPECT_EQ(low_number<Operand::fp16>(pairs[0][step][r]), rows + static_cast<float>(dealt_k(place, true)));
        EXPECT_EQ(high_number<Operand::fp16>(pairs[0][step][r]), rows + static_cast<float>(dealt_k(place + 1, true)));
      }
    }
    WarpgroupWords<ProductKind::wgmma_tf32> words;
    round_octets<ProductKind::wgmma_tf32>(octets, words);
    for (int step = 0; step < 4; ++step) {
      for (int r = 0; r < 4; ++r) {
        const int place = step * 8 + of_four + r / 2 * 4;
        EXPECT_EQ(float_of(words[0][step][r]), static_cast<float>(r % 2 * 100 + dealt_k(place, false)));
      }
    }
  }
}

template <ProductKind Kind>
void expect_blocks_to_fit() {
  for (const MmaTileName name : {MmaTileName::rows128_columns256, MmaTileName::rows128_columns128,
                                 MmaTileName::rows128_columns64, MmaTileName::rows64_columns64}) {
    MmaCall call;
    call.access = MmaAccess::chunks;
    call.tile = name;
    const std::vector<MmaInstance> instances = mma_instances(Kind);
    const bool is_there =
        std::find(instances.begin(), instances.end(), MmaInstance{call.access, name}) != instances.end();
    EXPECT_EQ(is_there, with_warpgroup_tile<Kind>(call, [&]<class Tile>() {
                using Shared = WarpgroupShared<Kind, Tile>;
                const int blocks = blocks_of_a_processor(Kind, call.access, Tile::kRows, Tile::kColumns);
                // 9.0 has 228 KiB, of which each block takes one more than it asks for, and 64 Ki registers.
                EXPECT_LE(static_cast<std::size_t>(blocks) * (sizeof(Shared) + 1024), 228U * 1024);
                EXPECT_LE(sizeof(Shared), 227U * 1024);
                EXPECT_LE(blocks * Tile::kThreads * (blocks == 1 ? 255 : 128), 65536);
                EXPECT_EQ(alignof(Shared), 1024U);
                EXPECT_EQ(Tile::kThreads % kWarpgroupThreads, 0);
                EXPECT_EQ(Tile::kRows, Tile::kThreads / kWarpgroupThreads * kWarpgroupRows);
                EXPECT_EQ(Tile::kColumns % kWarpgroupColumns, 0);
                EXPECT_GE(Tile::kStages, 3);
              }));
    call.access = MmaAccess::singles;
    EXPECT_FALSE(with_warpgroup_tile<Kind>(call, []<class Tile>() {}));
  }
}
TEST(WarpgroupTiles, BlocksFitIntoAMultiprocessor) {
  expect_blocks_to_fit<ProductKind::wgmma_bf16>();
  expect_blocks_to_fit<ProductKind::wgmma_fp16>();
  expect_blocks_to_fit<ProductKind::wgmma_tf32>();
  expect_blocks_to_fit<ProductKind::wgmma_tf32x3>();
}

// --- the emulation must find what it is there for

// One instruction of 64 x 64 x 16 halves; A[m][k] = m + k, B[n][k] = n - 2 k, which are exact. What lies behind its 16
// k in a row of 32 is nobody's.
struct OneProduct {
  alignas(1024) std::uint16_t weights[kWeightTile];
  std::uint64_t arrivals[1];
};
struct Faults {
  bool makes_barrier = true;
  int missing_bytes = 0;
  std::ptrdiff_t misplaced_bytes = 0;
  bool arrives_again = false;
  std::uint32_t phase = 0;
  int impatient_thread = -1;
  bool fences = true;
  bool commits = true;
  bool changes_registers = false;
  bool changes_weights = false;
  std::uint64_t descriptor_change = 0;
  int silent_thread = -1;
};

float b_of(int n, int k) {
  return static_cast<float>(n - 2 * k);
}

// By thread and fragment; what threads see once they have waited.
using ThreadSums = std::array<std::array<float, 32>, kWarpgroupThreads>;

std::string run_one_product(const Faults& faults, Order order, ThreadSums& found) {
  alignas(16) std::array<std::uint16_t, kWeightTile> global{};
  for (int n = 0; n < kWarpgroupColumns; ++n) {
    for (int k = 0; k < 16; ++k) {
      const int place = swizzled_byte<64>(n, k / 8) / 2 + k % 8;
      global[static_cast<std::size_t>(place)] = static_cast<std::uint16_t>(pack_fp16(b_of(n, k), 0));
    }
  }
  Emulator emulator(order);
  emulator.run_with_shared<OneProduct>({1, kWarpgroupThreads}, [&](EmulatedBlock& block, OneProduct& shared) {
    const int thread = block.thread();
    if (thread == 0) {
      if (faults.makes_barrier) block.make_barriers(shared.arrivals);
      constexpr int kBytes = sizeof(global);
      block.expect_bytes(shared.arrivals, kBytes);
      if (faults.arrives_again) block.expect_bytes(shared.arrivals, kBytes);
      block.copy_bulk(reinterpret_cast<std::byte*>(shared.weights) + faults.misplaced_bytes, global.data(),
                      kBytes - faults.missing_bytes, shared.arrivals);
      // Bytes come when somebody waits for them, and not before.
      EXPECT_TRUE(std::isnan(low_number<Operand::fp16>(shared.weights[0])) || !faults.makes_barrier);
    }
    block.sync();
    if (thread != faults.impatient_thread) block.wait_bytes(shared.arrivals, faults.phase, Patience::traps);
    block.sync();
    if (thread == faults.silent_thread) return;

    std::uint32_t a[4];
    const int m = thread / 32 * 16 + thread % 32 / 4;
    for (int r = 0; r < 4; ++r) {
      const int k = thread % 4 * 2 + r / 2 * 8;
      a[r] = pack_fp16(static_cast<float>(m + r % 2 * 8 + k), static_cast<float>(m + r % 2 * 8 + k + 1));
    }
    float sums[8][4] = {};
    const std::uint64_t weights = matrix_descriptor<64>(block.shared_address(shared.weights));
    if (faults.fences) block.begin_multiply();
    block.multiply_async<Operand::fp16>(sums, 0, a, weights + faults.descriptor_change);
    if (faults.commits) block.commit_multiply();
    if (thread == 5) {
      // Where the instruction runs at all, sums are nobody's before the wait.
      EXPECT_TRUE(std::isnan(sums[0][0]) || faults.descriptor_change != 0);
      if (faults.changes_registers) a[0] = 0;
      if (faults.changes_weights) shared.weights[0] = 1;
    }
    block.finish_multiply(sums);
    std::memcpy(found[static_cast<std::size_t>(thread)].data(), sums, sizeof(sums));
  });
  return emulator.failure();
}

TEST(EmulatedWarpgroup, MultipliesAsThePtxManualDealsIt) {
  for (const Order order : {Order::forward, Order::backward, Order::shuffled}) {
    ThreadSums found{};
    EXPECT_EQ(run_one_product({}, order, found), "");
    for (int thread = 0; thread < kWarpgroupThreads; ++thread) {
      for (int i = 0; i < 32; ++i) {
        const int m = thread / 32 * 16 + thread % 32 / 4 + i % 4 / 2 * 8;
        const int n = i / 4 * 8 + thread % 4 * 2 + i % 2;
        float sum = 0;
        for (int k = 0; k < 16; ++k) sum += static_cast<float>(m + k) * b_of(n, k);
        ASSERT_EQ(found[static_cast<std::size_t>(thread)][static_cast<std::size_t>(i)], sum) << m << ", " << n;
      }
    }
  }
}

std::string failure_of(const Faults& faults) {
  ThreadSums found{};
  return run_one_product(faults, Order::forward, found);
}
TEST(EmulatedWarpgroup, FaultsOfAProductAreReported) {
  EXPECT_EQ(failure_of({.makes_barrier = false}), "block 0: a barrier that nobody has made");
  EXPECT_EQ(failure_of({.arrives_again = true}), "block 0: two arrivals at a barrier of one");
  EXPECT_EQ(failure_of({.missing_bytes = 16}), "block 0: threads wait at a barrier that others never reach");
  EXPECT_EQ(failure_of({.misplaced_bytes = 2048}), "block 0: a bulk copy that leads out of the block's memory");
  EXPECT_EQ(failure_of({.impatient_thread = 77}),
            "block 0: a product of weights that not all of its threads have waited for");
  // Phase 1 is that before the first one: nobody waits.
  EXPECT_EQ(failure_of({.phase = 1}), "block 0: a product of weights that not all of its threads have waited for");
  EXPECT_EQ(failure_of({.fences = false}), "block 0: a product of a warpgroup without a fence before it");
  EXPECT_EQ(failure_of({.changes_registers = true}), "block 0: operands of a product changed while it ran");
  EXPECT_EQ(failure_of({.changes_weights = true}), "block 0: operands of a product changed while it ran");
  EXPECT_EQ(failure_of({.silent_thread = 77}), "block 0: threads wait at a barrier that others never reach");
  // 64 bytes further on is inside the pattern, 4096 behind the memory.
  EXPECT_EQ(failure_of({.descriptor_change = 4}), "block 0: a descriptor that begins inside a pattern of the swizzle");
  EXPECT_EQ(failure_of({.descriptor_change = 256}), "block 0: a descriptor that leads out of the block's memory");
}

// Another mode of the swizzle, or another half of the rows, is another product.
TEST(EmulatedWarpgroup, AnotherLayoutGivesOtherSums) {
  ThreadSums right{};
  ASSERT_EQ(run_one_product({}, Order::forward, right), "");
  ThreadSums other{};
  ASSERT_EQ(run_one_product({.descriptor_change = 2}, Order::forward, other), "");
  EXPECT_NE(std::memcmp(right.data(), other.data(), sizeof(right)), 0);
}

TEST(EmulatedWarpgroup, WhatIsNotCommittedIsNotWaitedFor) {
  ThreadSums found{};
  EXPECT_EQ(run_one_product({.commits = false}, Order::forward, found), "");
  EXPECT_TRUE(std::isnan(found[0][0]));
}

}  // namespace
}  // namespace rushlight::cuda
