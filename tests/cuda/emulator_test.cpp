// The emulation must find what it is there for.
#include "cuda/emulator.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <set>
#include <vector>

namespace rushlight::cuda::emulation {
namespace {

constexpr Order kOrders[] = {Order::forward, Order::backward, Order::shuffled};

TEST(CudaEmulator, RunsEachThreadOfEachBlockOnce) {
  for (const Order order : kOrders) {
    Emulator emulator(order);
    std::vector<int> runs(5 * 64, 0);
    emulator.run({5, 64}, [&](EmulatedBlock& block) {
      EXPECT_EQ(block.count(), 5);
      ++runs[static_cast<std::size_t>(block.index() * 64 + block.thread())];
    });
    EXPECT_EQ(emulator.failure(), "");
    for (const int count : runs) EXPECT_EQ(count, 1);
  }
}

struct Slots {
  float at[64];
};

TEST(CudaEmulator, WhatIsWrittenBeforeABarrierIsSeenAfterIt) {
  for (const Order order : kOrders) {
    Emulator emulator(order);
    std::vector<float> found(64, 0.0F);
    emulator.run_with_shared<Slots>({1, 64}, [&](EmulatedBlock& block, Slots& slots) {
      slots.at[block.thread()] = static_cast<float>(block.thread());
      block.sync();
      found[static_cast<std::size_t>(block.thread())] = slots.at[63 - block.thread()];
    });
    for (int i = 0; i < 64; ++i) EXPECT_EQ(found[static_cast<std::size_t>(i)], static_cast<float>(63 - i));
  }
}

TEST(CudaEmulator, AMissingBarrierIsReadAsNaNInSomeOrder) {
  int nans = 0;
  for (const Order order : kOrders) {
    Emulator emulator(order);
    emulator.run_with_shared<Slots>({1, 64}, [&](EmulatedBlock& block, Slots& slots) {
      slots.at[block.thread()] = 1.0F;
      if (std::isnan(slots.at[63 - block.thread()])) ++nans;
    });
  }
  EXPECT_GT(nans, 0);
}

TEST(CudaEmulator, SharedMemoryOfABlockIsNotThatOfTheNext) {
  Emulator emulator;
  int nans = 0;
  emulator.run_with_shared<Slots>({2, 32}, [&](EmulatedBlock& block, Slots& slots) {
    if (std::isnan(slots.at[block.thread()])) ++nans;
    slots.at[block.thread()] = 1.0F;
  });
  EXPECT_EQ(nans, 64);
}

TEST(CudaEmulator, ABarrierThatSomeThreadsNeverReachIsReported) {
  Emulator emulator;
  emulator.run({3, 64}, [](EmulatedBlock& block) {
    if (block.index() == 1 && block.thread() < 10) return;
    block.sync();
  });
  EXPECT_EQ(emulator.failure(), "block 1: threads wait at a barrier that others never reach");
}

TEST(CudaEmulator, AnExchangeThatPartOfAWarpMissesIsReported) {
  Emulator emulator;
  emulator.run({1, 64}, [](EmulatedBlock& block) {
    if (block.thread() % 32 < 31) (void)block.shuffle_xor(1.0F, 1);
  });
  EXPECT_EQ(emulator.failure(), "block 0: threads wait at a barrier that others never reach");
}

TEST(CudaEmulator, WarpsThatEndEarlyDoNotHoldOthersUp) {
  Emulator emulator;
  std::vector<float> sums(96, 0.0F);
  emulator.run({1, 96}, [&](EmulatedBlock& block) {
    if (block.thread() / 32 == 1) return;
    sums[static_cast<std::size_t>(block.thread())] = warp_sum(block, static_cast<float>(block.thread()));
  });
  EXPECT_EQ(emulator.failure(), "");
  EXPECT_EQ(sums[0], 496.0F);
  EXPECT_EQ(sums[31], 496.0F);
  EXPECT_EQ(sums[40], 0.0F);
  EXPECT_EQ(sums[95], 496.0F + 32 * 64);
}

TEST(CudaEmulator, ExchangesGoAcrossTheWarpByTheMask) {
  for (const Order order : kOrders) {
    Emulator emulator(order);
    emulator.run({1, 64}, [](EmulatedBlock& block) {
      for (const int mask : {1, 2, 4, 8, 16, 31}) {
        EXPECT_EQ(block.shuffle_xor(static_cast<float>(block.thread()), mask),
                  static_cast<float>(block.thread() ^ mask));
      }
      EXPECT_EQ(warp_max(block, static_cast<float>(block.thread() % 32)), 31.0F);
    });
    EXPECT_EQ(emulator.failure(), "");
  }
}

TEST(CudaEmulator, OneBlockArrivesLastAndSeesWhatAllWrote) {
  std::set<std::int64_t> lasts;
  for (const Order order : kOrders) {
    Emulator emulator(order);
    std::uint32_t ticket = 0;
    for (int run = 0; run < 2; ++run) {
      std::vector<float> written(5, 0.0F);
      int threads = 0;
      emulator.run({5, 64}, [&](EmulatedBlock& block) {
        if (block.thread() == 63) written[static_cast<std::size_t>(block.index())] = 1.0F;
        if (!block.arrives_last(&ticket)) return;
        ++threads;
        lasts.insert(block.index());
        for (const float& value : written) EXPECT_EQ(EmulatedBlock::load_written(&value), 1.0F);
      });
      EXPECT_EQ(emulator.failure(), "");
      EXPECT_EQ(threads, 64);
      EXPECT_EQ(ticket, 0U);
    }
  }
  EXPECT_GE(lasts.size(), 2U);  // forward and backward
}

TEST(CudaEmulator, AllThreadsOfABlockHearWhetherOneOfThemSaidTrue) {
  for (const Order order : kOrders) {
    Emulator emulator(order);
    int heard = 0;
    emulator.run({3, 64}, [&](EmulatedBlock& block) {
      // Asked twice: the second answer is not the first one's.
      const bool first = block.any_of_block(block.index() == 1 && block.thread() == 40);
      const bool second = block.any_of_block(block.index() == 2);
      EXPECT_EQ(first, block.index() == 1);
      EXPECT_EQ(second, block.index() == 2);
      ++heard;
    });
    EXPECT_EQ(emulator.failure(), "");
    EXPECT_EQ(heard, 3 * 64);
  }
}

TEST(CudaEmulator, FourValuesAtAnOddAddressAreReported) {
  alignas(16) const std::array<float, 8> values{};
  Emulator emulator;
  emulator.run({1, 32}, [&](EmulatedBlock& block) {
    if (block.thread() == 5) (void)load4(values.data() + 1);
  });
  EXPECT_EQ(emulator.failure(), "block 0: values were moved together at an address not a multiple of their size");
}

TEST(CudaEmulator, GridsThatNoGpuTakesAreReported) {
  for (const Grid grid : {Grid{1, 33}, Grid{1, 0}, Grid{1, 2048}, Grid{kMaxBlocks + 1, 32}}) {
    Emulator emulator;
    emulator.run(grid, [](EmulatedBlock&) { FAIL(); });
    EXPECT_TRUE(emulator.failure().starts_with("no GPU takes a grid of ")) << emulator.failure();
  }
}

// --- asynchronous copies

constexpr float kSource[8] = {0, 1, 2, 3, 4, 5, 6, 7};

struct alignas(16) Chunks {
  float at[2][64 * 4];
};

TEST(CudaEmulator, CopiesArriveWhenTheirThreadWaitsAndOthersSeeThemAfterABarrier) {
  for (const Order order : kOrders) {
    Emulator emulator(order);
    emulator.run_with_shared<Chunks>({1, 64}, [&](EmulatedBlock& block, Chunks& chunks) {
      const int thread = block.thread();
      block.copy16_async(&chunks.at[0][thread * 4], kSource, true);
      block.copy4_async(&chunks.at[1][thread], kSource + 5, true);
      block.copy4_async(&chunks.at[1][64 + thread], kSource + 5, false);
      block.commit_copies();
      block.wait_copies<0>();
      block.sync();
      const int other = 63 - thread;
      EXPECT_EQ(chunks.at[0][other * 4 + 3], 3);
      EXPECT_EQ(chunks.at[1][other], 5);
      EXPECT_EQ(chunks.at[1][64 + other], 0);
    });
    EXPECT_EQ(emulator.failure(), "");
  }
}

TEST(CudaEmulator, AMissingWaitIsReadAsNaN) {
  int nans = 0;
  Emulator emulator;
  emulator.run_with_shared<Chunks>({1, 32}, [&](EmulatedBlock& block, Chunks& chunks) {
    block.copy16_async(&chunks.at[0][block.thread() * 4], kSource, true);
    block.commit_copies();
    block.sync();
    if (std::isnan(chunks.at[0][block.thread() * 4])) ++nans;
  });
  EXPECT_EQ(nans, 32);
}

TEST(CudaEmulator, AMissingBarrierAfterAWaitIsReadAsNaNInSomeOrder) {
  int nans = 0;
  for (const Order order : kOrders) {
    Emulator emulator(order);
    emulator.run_with_shared<Chunks>({1, 64}, [&](EmulatedBlock& block, Chunks& chunks) {
      block.copy16_async(&chunks.at[0][block.thread() * 4], kSource, true);
      block.commit_copies();
      block.wait_copies<0>();
      if (std::isnan(chunks.at[0][(63 - block.thread()) * 4])) ++nans;
    });
  }
  EXPECT_GT(nans, 0);
}

TEST(CudaEmulator, AWaitLeavesAsManyGroupsAsItSays) {
  Emulator emulator;
  emulator.run_with_shared<Chunks>({1, 32}, [&](EmulatedBlock& block, Chunks& chunks) {
    float* const own = &chunks.at[0][block.thread() * 4];
    float* const next = &chunks.at[1][block.thread() * 4];
    block.copy16_async(own, kSource, true);
    block.commit_copies();
    block.copy16_async(next, kSource + 4, true);
    block.commit_copies();
    block.wait_copies<2>();
    EXPECT_TRUE(std::isnan(own[1]) && std::isnan(next[1]));
    block.wait_copies<1>();
    EXPECT_EQ(own[1], 1);
    EXPECT_TRUE(std::isnan(next[1]));
    block.commit_copies();  // an empty group counts
    block.wait_copies<1>();
    EXPECT_EQ(next[1], 5);
  });
}

// The stage that is still read must not be the target of the next copy.
TEST(CudaEmulator, ACopyIntoMemoryThatOthersStillReadShowsInSomeOrder) {
  int nans = 0;
  for (const Order order : kOrders) {
    Emulator emulator(order);
    emulator.run_with_shared<Chunks>({1, 64}, [&](EmulatedBlock& block, Chunks& chunks) {
      float* const own = &chunks.at[0][block.thread() * 4];
      own[0] = 1;
      block.sync();
      if (std::isnan(chunks.at[0][(63 - block.thread()) * 4])) ++nans;
      block.copy16_async(own, kSource, true);  // a barrier is missing before this
      block.commit_copies();
    });
  }
  EXPECT_GT(nans, 0);
}

TEST(CudaEmulator, MisalignedCopiesAreReported) {
  Emulator emulator;
  emulator.run_with_shared<Chunks>({1, 32}, [&](EmulatedBlock& block, Chunks& chunks) {
    block.copy16_async(&chunks.at[0][block.thread() * 4], kSource + 1, true);
  });
  EXPECT_EQ(emulator.failure(), "block 0: values were moved together at an address not a multiple of their size");
}

// --- products of fragments

// Fragments as the PTX ISA numbers their elements, filled from A[row][k] = 16 row + k + 1 and B[k][column], which has
// one 1 in each column: at k = 2 column + 1 for 16-bit operands, at k = 7 - column for TF32.
template <Operand kOperand>
void expect_product_of_fragments() {
  constexpr int kDepth = kOperand == Operand::tf32 ? 8 : 16;
  const auto a_value = [](int row, int k) { return static_cast<float>(row * 16 + k + 1); };
  const auto b_value = [](int k, int column) { return k == (kDepth == 8 ? 7 - column : column * 2 + 1) ? 1.0F : 0.0F; };
  const auto code = [](float value) { return kOperand == Operand::bf16 ? pack_bf16(value, 0) : pack_fp16(value, 0); };
  for (const Order order : kOrders) {
    Emulator emulator(order);
    emulator.run({1, 64}, [&](EmulatedBlock& block) {
      const int group = block.thread() % 32 / 4;
      const int of_four = block.thread() % 4;
      std::uint32_t a[1][4] = {};
      std::uint32_t b[1][2] = {};
      if constexpr (kOperand == Operand::tf32) {
        // a0: (group, t), a1: (group + 8, t), a2: (group, t + 4), a3: (group + 8, t + 4); b0: (t, group), b1: (t + 4,
        // group)
        a[0][0] = round_tf32(a_value(group, of_four));
        a[0][1] = round_tf32(a_value(group + 8, of_four));
        a[0][2] = round_tf32(a_value(group, of_four + 4));
        a[0][3] = round_tf32(a_value(group + 8, of_four + 4));
        b[0][0] = round_tf32(b_value(of_four, group));
        b[0][1] = round_tf32(b_value(of_four + 4, group));
      } else {
        // Eight elements of A, two in a register: row is group for i in {0, 1, 4, 5}, column is 2 t + (i & 1), + 8 for
        // i >= 4.
        for (int i = 0; i < 8; ++i) {
          const int row = i < 2 || (i >= 4 && i < 6) ? group : group + 8;
          const int k = of_four * 2 + (i & 1) + (i >= 4 ? 8 : 0);
          a[0][i / 2] |= code(a_value(row, k)) << (i % 2 * 16);
        }
        // Four of B: row is 2 t + (i & 1), + 8 for i >= 2; column is group.
        for (int i = 0; i < 4; ++i) {
          b[0][i / 2] |= code(b_value(of_four * 2 + (i & 1) + (i >= 2 ? 8 : 0), group)) << (i % 2 * 16);
        }
      }
      float sums[1][1][4] = {{{0.5F, 0.5F, 0.5F, 0.5F}}};
      block.multiply<kOperand>(sums, a, b);
      for (int i = 0; i < 4; ++i) {
        const int row = i < 2 ? group : group + 8;
        const int column = of_four * 2 + (i & 1);
        EXPECT_EQ(sums[0][0][i], a_value(row, kDepth == 8 ? 7 - column : column * 2 + 1) + 0.5F);
      }
    });
    EXPECT_EQ(emulator.failure(), "");
  }
}

TEST(CudaEmulator, FragmentsMultiplyAsThePtxManualDealsThem) {
  expect_product_of_fragments<Operand::bf16>();
  expect_product_of_fragments<Operand::fp16>();
  expect_product_of_fragments<Operand::tf32>();
}

TEST(CudaEmulator, AProductThatPartOfAWarpLeavesOutIsReported) {
  Emulator emulator;
  emulator.run({1, 32}, [&](EmulatedBlock& block) {
    float sums[1][1][4] = {};
    const std::uint32_t a[1][4] = {};
    const std::uint32_t b[1][2] = {};
    if (block.thread() != 5) block.multiply<Operand::bf16>(sums, a, b);
  });
  EXPECT_NE(emulator.failure(), "");
}

}  // namespace
}  // namespace rushlight::cuda::emulation
