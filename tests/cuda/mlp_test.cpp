// Chains of Linears in one kernel: which steps go into one, and that they come out as they do one by one.
#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "cuda/emulate_work.hpp"
#include "cuda/mlp_case.hpp"
#include "cuda/mlp_choice.hpp"
#include "cuda/step_case.hpp"

namespace rushlight::cuda {
namespace {

using emulation::Emulator;
using emulation::Order;
using Kind = runtime::Activation::Kind;

// The memory afterwards; `blocks` 0: as many as the choice says.
std::vector<float> emulate_chain(const StepCase& whole, Order order, std::int64_t blocks) {
  const CallOptions options{.processors = 4};
  const Needs needs = find_needs(whole.plan, options).value();
  std::vector<float> memory = memory_for(whole, needs);
  const Addresses addresses = addresses_of(whole, needs, memory.data());
  const std::vector<Call> calls = make_calls(whole.plan, addresses, options).value();
  EXPECT_EQ(calls.size(), 1U) << whole.name;
  auto call = std::get<MlpCall>(calls[0].work);
  if (blocks != 0) call.blocks = blocks;
  Emulator emulator(order);
  // Twice: the first run leaves the ticket as the second must find it.
  for (int run = 0; run < 2; ++run) emulation::emulate(call, emulator);
  EXPECT_EQ(emulator.failure(), "") << whole.name;
  EXPECT_EQ(*addresses.tickets, 0U) << whole.name;
  return memory;
}

void expect_order_does_not_show(const MlpShape& shape, std::uint64_t seed) {
  const StepCase whole = mlp_case(shape, seed);
  const std::vector<float> first = emulate_chain(whole, Order::forward, 0);
  EXPECT_EQ(judge(whole, compute_naively(whole), first), "");
  for (const Order order : {Order::backward, Order::shuffled}) {
    for (const std::int64_t blocks : {std::int64_t{0}, std::int64_t{1}, shape.features[1]}) {
      const std::vector<float> other = emulate_chain(whole, order, blocks);
      EXPECT_EQ(std::memcmp(first.data(), other.data(), first.size() * sizeof(float)), 0)
          << whole.name << ": the order of threads and blocks, or their number, shows";
    }
  }
}

TEST(CudaMlp, WhicheverBlockComesLastMakesTheSame) {
  expect_order_does_not_show({.features = {784, 128, 10}, .softmax = true}, 1);
  expect_order_does_not_show({.rows = 5, .features = {64, 40, 12}, .kind = Kind::gelu, .input_gap = 4}, 2);
}

TEST(CudaMlp, NaNReachesTheOutputsOfItsRowAlone) {
  StepCase whole = mlp_case({.rows = 2, .features = {8, 6, 4}, .softmax = true}, 8);
  whole.memory[whole.plan.tensors[0].offset_bytes / sizeof(float)] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(judge(whole, compute_naively(whole), emulate_chain(whole, Order::shuffled, 0)), "");
}

TEST(CudaMlp, StepsThatFollowEachOtherAreTaken) {
  const auto steps = [](const MlpShape& shape) { return count_mlp_steps(mlp_case(shape, 9).plan, 0); };
  EXPECT_EQ(steps({.features = {784, 128}}), 1U);
  EXPECT_EQ(steps({.features = {784, 128, 10}}), 2U);
  EXPECT_EQ(steps({.features = {784, 128, 10}, .softmax = true}), 3U);
  EXPECT_EQ(steps({.rows = 8, .features = {784, 128, 10}}), 2U);
  EXPECT_EQ(steps({.rows = 9, .features = {784, 128, 10}}), 0U);
  // 512 x 256 weights are too many for one multiprocessor, and begin a chain of their own.
  EXPECT_EQ(steps({.features = {784, 512, 256, 10}}), 1U);
  EXPECT_EQ(count_mlp_steps(mlp_case({.features = {784, 512, 256, 10}}, 9).plan, 1), 2U);
  EXPECT_EQ(steps({.features = {2, 2, 2, 2, 2, 2, 2, 2}}), 6U);
  EXPECT_EQ(steps({.rows = 8, .features = {2, 600, 2}}), 0U);  // outputs that shared memory does not hold
}

TEST(CudaMlp, StepsThatDoNotFollowEachOtherAreNot) {
  StepCase whole = mlp_case({.features = {16, 12, 12, 4}, .softmax = true}, 10);
  auto& second = std::get<runtime::LinearStep>(whole.plan.steps[1].work);
  second.epilogue.residual = second.input;
  EXPECT_EQ(count_mlp_steps(whole.plan, 0), 1U);
  EXPECT_EQ(count_mlp_steps(whole.plan, 1), 0U);
  EXPECT_EQ(count_mlp_steps(whole.plan, 2), 2U);
  second.epilogue.residual = runtime::kNone;
  EXPECT_EQ(count_mlp_steps(whole.plan, 0), 4U);
  auto& softmax = std::get<runtime::SoftmaxStep>(whole.plan.steps[3].work);
  softmax.inner = 2;
  softmax.axis = 2;
  EXPECT_EQ(count_mlp_steps(whole.plan, 0), 3U);
  auto& third = std::get<runtime::LinearStep>(whole.plan.steps[2].work);
  third.input = second.input;
  EXPECT_EQ(count_mlp_steps(whole.plan, 0), 2U);
}

TEST(CudaMlp, RowsOfSharedMemoryBeginAtMultiplesOf16BytesAndFit) {
  EXPECT_EQ(mlp_pitch(1), 4);
  EXPECT_EQ(mlp_pitch(4), 4);
  EXPECT_EQ(mlp_pitch(5), 8);
  EXPECT_LE(sizeof(MlpShared), 48U * 1024);
  for (int rows = 1; rows <= kMlpRows; ++rows) {
    EXPECT_LE(rows * mlp_pitch(kMlpFloats / rows / 4 * 4), kMlpFloats) << rows;
  }
}

}  // namespace
}  // namespace rushlight::cuda
