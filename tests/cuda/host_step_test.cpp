// Steps that the host computes for the device: which bytes go down and up.
#include "cuda/host_step.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "runtime/networks.hpp"

namespace rushlight::cuda {
namespace {

TEST(HostSteps, RangesReachFromTheFirstElementToTheLast) {
  const auto expect = [](const runtime::Operand& operand, std::int64_t begin, std::uint64_t size) {
    const OperandRange range = range_of(operand);
    EXPECT_EQ(range.begin_bytes, begin);
    EXPECT_EQ(range.size_bytes, size);
  };
  expect({0, DType::f32, {}, {}}, 0, 4);
  expect({0, DType::f32, {2, 3}, {3, 1}}, 0, 24);
  expect({0, DType::f32, {2, 3}, {5, 1}}, 0, 32);       // a slice of longer rows
  expect({0, DType::i64, {4}, {0}}, 0, 8);              // expanded
  expect({0, DType::f32, {2, 3}, {3, -1}}, -8, 24);     // reversed
  expect({0, DType::boolean, {2, 0}, {1, 1}}, 0, 0);    // nothing
  expect({0, DType::i32, {3, 1}, {-2, 100}}, -16, 20);  // the stride of a single place is never taken
}

TEST(HostSteps, WhatLiesBetweenTheElementsOfAnOutputStays) {
  const Model model = test::model_of(ReLU{});
  const runtime::Network network{model.graph(), model.state_dict()};
  runtime::Plan plan;
  plan.tensors.resize(2);
  runtime::GeneralStep step;
  step.op = Identity{};
  step.inputs.push_back({0, DType::f32, {2, 3}, {3, 1}});
  step.outputs.push_back({1, DType::f32, {2, 3}, {5, 1}});
  const auto host = runtime::cpu::make_backend().value();
  const auto made = HostStep::make(network, plan, step, "copy", *host, host->make_weights(network).value(), {}).value();
  float input[] = {1, 2, 3, 4, 5, 6};
  float output[] = {9, 9, 9, 9, 9, 9, 9, 9, 9, 9};
  alignas(runtime::kArenaAlignment) std::byte staging[256];
  ASSERT_LE(made->staging_bytes(), sizeof(staging));
  std::byte* const inputs[] = {reinterpret_cast<std::byte*>(input)};
  std::byte* const outputs[] = {reinterpret_cast<std::byte*>(output)};
  made->place(inputs, outputs, staging);
  for (const HostStep::Copy& copy : made->down()) std::memcpy(copy.host, copy.device, copy.size_bytes);
  made->compute();
  ASSERT_TRUE(made->status());
  for (const HostStep::Copy& copy : made->up()) std::memcpy(copy.device, copy.host, copy.size_bytes);
  EXPECT_EQ(std::vector<float>(std::begin(output), std::end(output)),
            (std::vector<float>{1, 2, 3, 9, 9, 4, 5, 6, 9, 9}));
}

}  // namespace
}  // namespace rushlight::cuda
