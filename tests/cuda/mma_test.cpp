// Index arithmetic of products on tensor cores, the banks of shared memory they meet, and how operands are rounded.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <random>
#include <set>
#include <vector>

#include "cuda/kernels/mma_gemm.cuh"
#include "cuda/kernels/warpgroup_gemm.cuh"

namespace rushlight::cuda {
namespace {

template <class Tile>
class MmaTiles : public testing::Test {};
using AllMmaTiles =
    testing::Types<MmaTile128x128, MmaTile128x64, MmaTile64x64, MmaTile64x32, WarpgroupTile128x256Halves,
                   WarpgroupTile128x256Floats, WarpgroupTile128x128Halves, WarpgroupTile128x128Floats,
                   WarpgroupTile128x64, WarpgroupTile64x64, WarpgroupTile128x64Parts>;
TYPED_TEST_SUITE(MmaTiles, AllMmaTiles);

TYPED_TEST(MmaTiles, FragmentsCoverATileOnce) {
  using Tile = TypeParam;
  std::vector<int> covered(Tile::kRows * Tile::kColumns, 0);
  for (int thread = 0; thread < Tile::kThreads; ++thread) {
    const FragmentPlace place = fragment_place<Tile>(thread);
    for (int m = 0; m < Tile::kM; ++m) {
      for (int n = 0; n < Tile::kN; ++n) {
        for (int i = 0; i < 4; ++i) {
          const int row = place.row + m * 16 + place.group + i / 2 * 8;
          const int column = place.column + fragment_column(n, place.of_four * 2 + i % 2);
          ASSERT_LT(row, Tile::kRows);
          ASSERT_LT(column, Tile::kColumns);
          ++covered[static_cast<std::size_t>(row * Tile::kColumns + column)];
        }
      }
    }
  }
  for (const int count : covered) ASSERT_EQ(count, 1);
}

// What store_quad() gets: the two sums of an even fragment's row and the two of the next are neighbours, the first of
// them at a multiple of four.
TYPED_TEST(MmaTiles, AThreadsSumsOfTwoFragmentsAreFourNeighbours) {
  for (int of_four = 0; of_four < 4; ++of_four) {
    for (int n = 0; n < TypeParam::kN; n += 2) {
      const int first = fragment_column(n, of_four * 2);
      EXPECT_EQ(first % 4, 0);
      EXPECT_EQ(fragment_column(n, of_four * 2 + 1), first + 1);
      EXPECT_EQ(fragment_column(n + 1, of_four * 2), first + 2);
      EXPECT_EQ(fragment_column(n + 1, of_four * 2 + 1), first + 3);
    }
  }
}

template <int Rows, int Threads, int Width>
void expect_copied_once() {
  using Share = CopyShare<Rows, Threads, Width>;
  std::vector<int> covered(Rows * kMmaSlab, 0);
  for (int thread = 0; thread < Threads; ++thread) {
    for (int pass = 0; pass < Share::kPasses; ++pass) {
      ASSERT_LT(Share::row(thread, pass), Rows);
      for (int i = 0; i < Width; ++i) {
        ++covered[static_cast<std::size_t>(Share::row(thread, pass) * kMmaSlab + Share::k(thread) + i)];
      }
    }
  }
  for (const int count : covered) ASSERT_EQ(count, 1);
}

TYPED_TEST(MmaTiles, ThreadsCopyASlabOnce) {
  using Tile = TypeParam;
  expect_copied_once<Tile::kRows, Tile::kThreads, 4>();
  expect_copied_once<Tile::kRows, Tile::kThreads, 1>();
  expect_copied_once<Tile::kColumns, Tile::kThreads, 4>();
  expect_copied_once<Tile::kColumns, Tile::kThreads, 8>();
}

template <class Tile>
void expect_that_stages_fit() {
  // What a block may ask for: 99 KiB with 8.6 and 8.9, more elsewhere.
  EXPECT_LE(sizeof(MmaShared<Tile, std::uint16_t>), 99U * 1024);
  EXPECT_LE(sizeof(MmaShared<Tile, float>), 99U * 1024);
}
TEST(MmaSlabs, StagesFitIntoSharedMemory) {
  expect_that_stages_fit<MmaTile128x128>();
  expect_that_stages_fit<MmaTile128x64>();
  expect_that_stages_fit<MmaTile64x64>();
  expect_that_stages_fit<MmaTile64x32>();
}

TYPED_TEST(MmaTiles, BlocksAndSplitsCoverEverySlabOfEveryTileOnce) {
  using Tile = TypeParam;
  std::mt19937 random(5);
  for (int round = 0; round < 40; ++round) {
    MmaArguments a;
    a.gemm.rows = 1 + static_cast<std::int64_t>(random() % 400);
    a.gemm.columns = 1 + static_cast<std::int32_t>(random() % 300);
    a.gemm.groups = 1 + static_cast<std::int32_t>(random() % 3);
    a.gemm.depth = 1 + static_cast<std::int32_t>(random() % 1000);
    const std::int32_t slabs = slabs_of(a.gemm);
    a.slabs_of_split = 1 + static_cast<std::int32_t>(random() % static_cast<unsigned>(slabs));
    a.splits = ceil_div(slabs, a.slabs_of_split);
    std::vector<int> covered(static_cast<std::size_t>(slabs), 0);
    for (std::int32_t split = 0; split < a.splits; ++split) {
      const SlabRange range = slab_range(a, split);
      EXPECT_LT(range.begin, range.end);
      for (std::int32_t slab = range.begin; slab < range.end; ++slab) ++covered.at(static_cast<std::size_t>(slab));
    }
    for (const int count : covered) ASSERT_EQ(count, 1);
    EXPECT_EQ(mma_grid<Tile>(a).blocks, gemm_grid<Tile>(a.gemm).blocks * a.splits);
  }
}

// --- shared memory: 32 banks of 4 bytes. 16 bytes a thread go in four turns of eight threads, 4 bytes in one turn of
// 32; in a turn no bank may be asked for two different words.

using ByteOfLane = std::function<std::size_t(int lane)>;

std::size_t most_words_of_a_bank(const ByteOfLane& byte_of, std::size_t bytes_each) {
  const int lanes_of_turn = 128 / static_cast<int>(bytes_each);
  std::size_t most = 0;
  for (int turn = 0; turn < kWarpThreads; turn += lanes_of_turn) {
    std::map<std::size_t, std::set<std::size_t>> words_of_bank;
    for (int lane = turn; lane < turn + lanes_of_turn; ++lane) {
      const std::size_t byte = byte_of(lane);
      EXPECT_EQ(byte % bytes_each, 0U);
      for (std::size_t word = byte / 4; word < (byte + bytes_each) / 4; ++word) words_of_bank[word % 32].insert(word);
    }
    for (const auto& [bank, words] : words_of_bank) most = std::max(most, words.size());
  }
  return most;
}
void expect_no_conflicts(const ByteOfLane& byte_of, std::size_t bytes_each) {
  EXPECT_EQ(most_words_of_a_bank(byte_of, bytes_each), 1U);
}

// Without the change of places in odd rows, two of them would meet: the counting finds what it is there for.
TEST(MmaSlabs, RowsWithoutAChangeOfPlacesWouldMeetBanksTwice) {
  const auto plain = [](int lane) { return static_cast<std::size_t>(lane / 4 * kMmaSlab + lane % 4 * 8) * 4; };
  const auto placed = [](int lane) { return static_cast<std::size_t>(float_place(lane / 4, lane % 4 * 2)) * 4; };
  EXPECT_EQ(most_words_of_a_bank(plain, 16), 2U);
  EXPECT_EQ(most_words_of_a_bank(placed, 16), 1U);
}

TYPED_TEST(MmaTiles, NoAccessToSharedMemoryMeetsABankTwice) {
  using Tile = TypeParam;
  for (int warp = 0; warp < Tile::kThreads / kWarpThreads; ++warp) {
    const auto place = [&](int lane) { return fragment_place<Tile>(warp * kWarpThreads + lane); };
    for (int half = 0; half < 2; ++half) {
      for (int m = 0; m < Tile::kM; ++m) {
        for (const int lower : {0, 8}) {
          expect_no_conflicts(
              [&](int lane) {
                const FragmentPlace p = place(lane);
                return sizeof(float) *
                       static_cast<std::size_t>(float_place(p.row + m * 16 + p.group + lower, p.of_four * 2 + half));
              },
              16);
        }
      }
      for (int n = 0; n < Tile::kN; ++n) {
        expect_no_conflicts(
            [&](int lane) {
              const FragmentPlace p = place(lane);
              return sizeof(float) * static_cast<std::size_t>(
                                         float_place(p.column + fragment_column(n, p.group), p.of_four * 2 + half));
            },
            16);
      }
    }
    for (int n = 0; n < Tile::kN; ++n) {
      expect_no_conflicts(
          [&](int lane) {
            const FragmentPlace p = place(lane);
            return sizeof(std::uint16_t) *
                   static_cast<std::size_t>(half_place(p.column + fragment_column(n, p.group), p.of_four));
          },
          16);
    }
    // The copies, of the first pass: the others are whole rows further on, an even number of them.
    using Chunks = CopyShare<Tile::kRows, Tile::kThreads, 4>;
    using Singles = CopyShare<Tile::kRows, Tile::kThreads, 1>;
    using Halves = CopyShare<Tile::kColumns, Tile::kThreads, 8>;
    EXPECT_EQ(Chunks::kRowsPerPass % 2, 0);
    const auto thread = [&](int lane) { return warp * kWarpThreads + lane; };
    expect_no_conflicts(
        [&](int lane) {
          return sizeof(float) *
                 static_cast<std::size_t>(float_place(Chunks::row(thread(lane), 0), Chunks::k(thread(lane)) / 4));
        },
        16);
    expect_no_conflicts(
        [&](int lane) {
          const int k = Singles::k(thread(lane));
          return sizeof(float) * static_cast<std::size_t>(float_place(Singles::row(thread(lane), 0), k / 4) + k % 4);
        },
        4);
    expect_no_conflicts(
        [&](int lane) {
          return sizeof(std::uint16_t) *
                 static_cast<std::size_t>(half_place(Halves::row(thread(lane), 0), Halves::k(thread(lane)) / 8));
        },
        16);
  }
}

TEST(MmaSlabs, EveryValueHasAPlaceOfItsOwn) {
  constexpr int kRows = 64;
  std::set<int> floats;
  std::set<int> halves;
  for (int row = 0; row < kRows; ++row) {
    for (int chunk = 0; chunk < 8; ++chunk) floats.insert(float_place(row, chunk));
    for (int chunk = 0; chunk < 4; ++chunk) halves.insert(half_place(row, chunk));
  }
  EXPECT_EQ(floats.size(), 8U * kRows);
  EXPECT_EQ(*floats.rbegin(), kRows * kMmaSlab - 4);
  EXPECT_EQ(halves.size(), 4U * kRows);
  EXPECT_EQ(*halves.rbegin(), kRows * kMmaSlab - 8);
}

// --- operands

constexpr float kInfinity = std::numeric_limits<float>::infinity();

TEST(MmaOperands, Tf32IsTheNearestWithTiesAwayFromZero) {
  const auto rounded = [](float value) { return float_of(round_tf32(value)); };
  EXPECT_EQ(rounded(1), 1);
  EXPECT_EQ(rounded(1 + 0x1p-11F), 1 + 0x1p-10F);
  EXPECT_EQ(rounded(-1 - 0x1p-11F), -1 - 0x1p-10F);
  EXPECT_EQ(rounded(1 + 0x0.fffp-11F), 1);
  EXPECT_EQ(rounded(1 + 0x3p-11F), 1 + 0x2p-10F);
  EXPECT_EQ(rounded(kInfinity), kInfinity);
  EXPECT_EQ(rounded(std::numeric_limits<float>::max()), kInfinity);
  EXPECT_TRUE(std::signbit(rounded(-0.0F)));
  for (const std::uint32_t nan : {0x7FC00000U, 0x7F800001U, 0x7FFFFFFFU, 0xFFFFFFFFU}) {
    EXPECT_TRUE(std::isnan(rounded(float_of(nan))));
    const SplitFloat split = split_tf32(float_of(nan));
    EXPECT_TRUE(std::isnan(float_of(split.big)) || std::isnan(float_of(split.small)));
  }
  EXPECT_EQ(convert_tf32(float_of(0x7F800001U)), 0x7F800000U) << "as the instruction does";
}

TEST(MmaOperands, PairsHaveTheFirstInTheLowerHalf) {
  EXPECT_EQ(pack_bf16(1, -2), 0xC0003F80U);
  EXPECT_EQ(pack_fp16(1, -2), 0xC0003C00U);
}

TEST(MmaOperands, PairsComeApartAgain) {
  EXPECT_EQ(low_number<Operand::bf16>(0xC0003F80U), 1);
  EXPECT_EQ(high_number<Operand::bf16>(0xC0003F80U), -2);
  EXPECT_EQ(low_number<Operand::fp16>(0xC0003C00U), 1);
  EXPECT_EQ(high_number<Operand::fp16>(0xC0003C00U), -2);
}

TEST(MmaOperands, TwoPartsOfAFloatAreAllButItsLastBit) {
  std::mt19937 random(9);
  std::uniform_real_distribution<float> exponent(-30, 30);
  for (int i = 0; i < 10'000; ++i) {
    const float value = std::exp2(exponent(random)) * (i % 2 == 0 ? 1.0F : -1.0F);
    const SplitFloat split = split_tf32(value);
    EXPECT_EQ(split.big & 0x1FFFU, 0U);
    EXPECT_EQ(split.small & 0x1FFFU, 0U);
    const double sum = static_cast<double>(float_of(split.big)) + static_cast<double>(float_of(split.small));
    EXPECT_LE(std::abs(sum - static_cast<double>(value)), std::abs(static_cast<double>(value)) * 0x1p-23);
  }
}

TEST(MmaOperands, PartsOfAWeightAreAllOfIt) {
  std::mt19937 random(10);
  for (int i = 0; i < 10'000; ++i) {
    const float value = float_of(static_cast<std::uint32_t>(random()));
    const WeightParts parts = weight_parts(value);
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(whole(parts)));
      continue;
    }
    EXPECT_EQ(whole(parts), value);
    EXPECT_TRUE(std::isnan(parts.small) || parts.big == float_of(split_tf32(value).big));
  }
  for (const float value : {kInfinity, -kInfinity, std::numeric_limits<float>::max(), float_of(0x7F7FF000U)}) {
    EXPECT_EQ(whole(weight_parts(value)), value);
    EXPECT_TRUE(std::isnan(weight_parts(value).small)) << "no product with it is finite";
  }
}

// Products with them are not finite, whatever the other factor is.
TEST(MmaOperands, PartsOfWhatRoundsToNoNumberAreNone) {
  for (const float value :
       {kInfinity, -kInfinity, float_of(0x7F7FF000U), std::numeric_limits<float>::max(),
        std::numeric_limits<float>::lowest(), std::numeric_limits<float>::quiet_NaN(), float_of(0x7F800001U)}) {
    const SplitFloat split = split_tf32(value);
    EXPECT_FALSE(std::isfinite(float_of(split.big)));
    EXPECT_FALSE(std::isfinite(float_of(split.small)));
  }
  const SplitFloat last = split_tf32(float_of(0x7F7FEFFFU));
  EXPECT_EQ(last.big, 0x7F7FE000U);
  EXPECT_EQ(float_of(last.big) + float_of(last.small), float_of(0x7F7FF000U));  // one more: its last bit
}

TEST(MmaOperands, OfTinyNumbersPartsLoseLessThanTheirLastPlaceAndAHalf) {
  std::mt19937 random(3);
  for (int i = 0; i < 10'000; ++i) {
    const float value = float_of(static_cast<std::uint32_t>(random()) & 0x86FFFFFFU);  // below 2^-113, of either sign
    const SplitFloat split = split_tf32(value);
    const double sum = static_cast<double>(float_of(split.big)) + static_cast<double>(float_of(split.small));
    EXPECT_LE(std::abs(sum - static_cast<double>(value)), 0x1p-137);
  }
}

}  // namespace
}  // namespace rushlight::cuda
