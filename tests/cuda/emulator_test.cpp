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

TEST(CudaEmulator, FourValuesAtAnOddAddressAreReported) {
  alignas(16) const std::array<float, 8> values{};
  Emulator emulator;
  emulator.run({1, 32}, [&](EmulatedBlock& block) {
    if (block.thread() == 5) (void)load4(values.data() + 1);
  });
  EXPECT_EQ(emulator.failure(), "block 0: four values were moved at an address not a multiple of 16");
}

TEST(CudaEmulator, GridsThatNoGpuTakesAreReported) {
  for (const Grid grid : {Grid{1, 33}, Grid{1, 0}, Grid{1, 2048}, Grid{kMaxBlocks + 1, 32}}) {
    Emulator emulator;
    emulator.run(grid, [](EmulatedBlock&) { FAIL(); });
    EXPECT_TRUE(emulator.failure().starts_with("no GPU takes a grid of ")) << emulator.failure();
  }
}

}  // namespace
}  // namespace rushlight::cuda::emulation
