// The check of a GPU's tensor cores, by machines that do and do not compute what they should.
#include "cuda/self_check.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "base/fail.hpp"
#include "cuda/emulate_work.hpp"

namespace rushlight::cuda {
namespace {

constexpr TensorCores kAll = kAllTensorCores;

// Runs calls in the emulation, after `spoil` has had its way with each.
CallRunner machine(const std::function<void(Work&)>& spoil) {
  return [spoil](std::span<float> memory, const auto& calls) -> Status {
    emulation::Emulator emulator;
    for (Work call : calls(memory.data())) {
      spoil(call);
      emulation::emulate(call, emulator);
    }
    EXPECT_EQ(emulator.failure(), "");
    return {};
  };
}

// On a machine that survives whatever runs on it.
Result<TensorCores> checked(const TensorCores& wanted, const CallRunner& run) {
  return check_tensor_cores(wanted, run, [] { return true; });
}

TEST(TensorCoreCheck, TheEmulationPasses) {
  EXPECT_EQ(checked(kAll, machine([](Work&) {})).value(), kAll);
}

TEST(TensorCoreCheck, OnlyWhatIsWantedIsRun) {
  int runs = 0;
  const CallRunner run = [&](std::span<float>, const auto&) -> Status {
    ++runs;
    return {};
  };
  EXPECT_EQ(checked({}, run).value(), TensorCores{});
  EXPECT_EQ(runs, 0);
}

// A machine that does nothing leaves NaNs.
TEST(TensorCoreCheck, OutputsThatNobodyWroteAreFound) {
  const CallRunner run = [](std::span<float>, const auto&) -> Status { return {}; };
  EXPECT_EQ(checked(kAll, run).value(), TensorCores{});
}

TEST(TensorCoreCheck, AKindThatComputesOtherwiseIsNotUsed) {
  // Halves are read as bfloat16.
  const auto found = checked(kAll, machine([](Work& work) {
                               auto* const mma = std::get_if<MmaCall>(&work);
                               if (mma != nullptr && mma->kind == ProductKind::fp16) {
                                 mma->kind = ProductKind::bf16;
                               }
                             }))
                         .value();
  TensorCores expected = kAll;
  expected.fp16 = false;
  EXPECT_EQ(found, expected);
  EXPECT_EQ(missing_tensor_cores(kAll, found), " without tensor cores for fp16");
}

// The small parts are what makes 3xTF32 of TF32.
TEST(TensorCoreCheck, OneTf32ProductDoesNotPassForThree) {
  const auto found = checked(kAll, machine([](Work& work) {
                               auto* const mma = std::get_if<MmaCall>(&work);
                               if (mma != nullptr && mma->kind == ProductKind::tf32x3) {
                                 mma->kind = ProductKind::tf32;
                               }
                             }))
                         .value();
  EXPECT_FALSE(found.tf32x3);
  EXPECT_TRUE(found.tf32);
  EXPECT_TRUE(found.wgmma_tf32x3);
}

// One instance of one kind is enough, be it the one that is split, and one element of its outputs.
TEST(TensorCoreCheck, OneWrongInstanceIsFound) {
  const auto spoiled = [](const std::function<bool(const MmaCall&)>& which) {
    return checked(kAll, machine([which](Work& work) {
                     auto* const mma = std::get_if<MmaCall>(&work);
                     if (mma != nullptr && which(*mma)) mma->arguments.gemm.rows -= 1;
                   }))
        .value();
  };
  EXPECT_FALSE(spoiled([](const MmaCall& call) { return call.access == MmaAccess::singles; }).bf16);
  EXPECT_FALSE(spoiled([](const MmaCall& call) { return call.tile == MmaTileName::rows64_columns32; }).tf32x3);
  EXPECT_FALSE(spoiled([](const MmaCall& call) { return call.arguments.splits > 1; }).tf32);
  const TensorCores found = spoiled([](const MmaCall& call) { return call.tile == MmaTileName::rows128_columns256; });
  TensorCores others = kWarpTensorCores;
  others.wgmma_tf32x3 = true;
  EXPECT_EQ(found, others) << "these have no such tile";
}

// Columns of each instruction of the widest tile, and slabs of each stage of the deepest pipeline.
TEST(TensorCoreCheck, AWrongColumnAndAWrongSlabAreFound) {
  const auto spoiled = [](const std::function<void(MmaArguments&)>& spoil) {
    const TensorCores wanted{.wgmma_bf16 = true};
    return checked(wanted, machine([spoil](Work& work) {
                     auto* const mma = std::get_if<MmaCall>(&work);
                     if (mma != nullptr && mma->tile == MmaTileName::rows128_columns256) {
                       spoil(mma->arguments);
                     }
                   }))
        .value();
  };
  EXPECT_TRUE(spoiled([](MmaArguments&) {}).wgmma_bf16);
  EXPECT_FALSE(spoiled([](MmaArguments& a) { a.gemm.columns = 192; }).wgmma_bf16);
  EXPECT_FALSE(spoiled([](MmaArguments& a) { a.gemm.depth = 6 * kMmaSlab; }).wgmma_bf16);
}

TEST(TensorCoreCheck, ARunThatFailsIsAKindThatIsNotUsedButForMemory) {
  int runs = 0;
  const CallRunner fails = [&](std::span<float> memory, const auto& calls) -> Status {
    if (++runs == 1) return Error::of({.category = Category::device, .code = "CUDA-CALL", .message = "no such kernel"});
    return machine([](Work&) {})(memory, calls);
  };
  TensorCores expected = kAll;
  expected.bf16 = false;
  EXPECT_EQ(checked(kAll, fails).value(), expected);

  const CallRunner has_no_memory = [](std::span<float>, const auto&) -> Status {
    return Error::of(ErrorCode::out_of_memory,
                     {.category = Category::device, .code = "OUT-OF-MEMORY", .message = "full"});
  };
  const auto found = checked(kAll, has_no_memory);
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, ErrorCode::out_of_memory);
}

TEST(TensorCoreCheck, NamesListWhatIsMissing) {
  EXPECT_EQ(missing_tensor_cores(kAll, kAll), "");
  EXPECT_EQ(missing_tensor_cores({}, {}), "");
  EXPECT_EQ(missing_tensor_cores(kAll, {.fp16 = true}),
            " without tensor cores for bf16, tf32, 3xtf32, wgmma_bf16, wgmma_fp16, wgmma_tf32, wgmma_3xtf32");
  EXPECT_EQ(missing_tensor_cores({.bf16 = true}, {}), " without tensor cores for bf16");
}

// An illegal instruction, say: nothing that is asked afterwards is an answer.
TEST(TensorCoreCheck, AFailureThatTakesTheDeviceNamesTheKindAndTheWayOut) {
  const auto lost_at = [](ProductKind lost) {
    bool is_usable = true;
    const CallRunner run = [&](std::span<float> memory, const auto& calls) -> Status {
      EXPECT_TRUE(is_usable) << "asked after the device was lost";
      for (const Work& call : calls(memory.data())) {
        const auto* const mma = std::get_if<MmaCall>(&call);
        if (mma == nullptr || mma->kind != lost) continue;
        is_usable = false;
        return Error::of({.category = Category::device, .code = "CUDA-CALL", .message = "kernel mma_gemm: trapped"});
      }
      return machine([](Work&) {})(memory, calls);
    };
    return check_tensor_cores(kAll, run, [&] { return is_usable; }).error().finding;
  };
  EXPECT_EQ(lost_at(ProductKind::bf16).message, "the check of the tensor cores for bf16: kernel mma_gemm: trapped");
  EXPECT_EQ(lost_at(ProductKind::bf16).hint,
            "start again with RUSHLIGHT_TENSOR_CORES=off in the environment, or run on the CPU");
  EXPECT_EQ(lost_at(ProductKind::wgmma_tf32).message,
            "the check of the tensor cores for wgmma_tf32: kernel mma_gemm: trapped");
  EXPECT_EQ(lost_at(ProductKind::wgmma_tf32).hint,
            "start again with RUSHLIGHT_WGMMA=off in the environment, or run on the CPU");
}

}  // namespace
}  // namespace rushlight::cuda
