// Kernels against their definitions, emulated: each case runs with the threads in three orders.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "cuda/emulate_step.hpp"
#include "cuda/emulate_work.hpp"
#include "cuda/step_case.hpp"

namespace rushlight::cuda {
namespace {

using emulation::Emulator;
using emulation::Order;

void check(const std::vector<StepCase>& cases) {
  ASSERT_FALSE(cases.empty());
  for (const StepCase& step_case : cases) {
    EXPECT_EQ(judge(step_case, compute_naively(step_case), emulate_step(step_case)), "");
  }
}

TEST(EmulatedKernels, ConvolutionsAreTheirDefinition) {
  check(conv_cases());
}
TEST(EmulatedKernels, LinearsAreTheirDefinition) {
  check(linear_cases());
}
TEST(EmulatedKernels, PoolingsAreTheirDefinition) {
  check(pool_cases());
}
TEST(EmulatedKernels, ElementwiseStepsAreTheirDefinition) {
  check(element_cases());
}
TEST(EmulatedKernels, SoftmaxIsItsDefinition) {
  check(softmax_cases());
}
TEST(EmulatedKernels, ChainsOfLinearsAreTheirDefinition) {
  check(mlp_cases());
}
TEST(EmulatedKernels, LayoutsAreTheirDefinition) {
  check(layout_cases());
}

// --- what the cases above do not reach by themselves ---

// Products in every tile and by the access that reads any geometry: sums run in the same order, so the bits are the
// same. Every second case will do.
TEST(EmulatedKernels, ProductsHaveTheSameBitsInEveryTileAndByEveryAccess) {
  int compared = 0;
  std::vector<StepCase> cases = conv_cases();
  for (StepCase& step_case : linear_cases()) cases.push_back(std::move(step_case));
  for (std::size_t i = 0; i < cases.size(); i += 2) {
    const StepCase& step_case = cases[i];
    const Needs needs = find_needs(step_case.plan, {}).value();
    const std::vector<float> before = memory_for(step_case, needs);
    std::vector<float> memory = before;
    const auto calls = make_calls(step_case.plan, addresses_of(step_case, needs, memory.data()), {});
    ASSERT_TRUE(calls);
    const auto* chosen = std::get_if<GemmCall>(&calls->at(0).work);
    if (chosen == nullptr) continue;
    std::vector<float> first;
    for (const GemmTile tile : {GemmTile::rows128_columns64, GemmTile::rows64_columns64, GemmTile::rows64_columns32}) {
      for (const GemmAccess access : {chosen->access, GemmAccess::window_singles}) {
        std::copy(before.begin(), before.end(), memory.begin());
        GemmCall call = *chosen;
        call.tile = tile;
        call.access = access;
        Emulator emulator;
        emulation::emulate(call, emulator);
        ASSERT_EQ(emulator.failure(), "") << step_case.name;
        if (first.empty()) first = memory;
        ASSERT_EQ(std::memcmp(first.data(), memory.data(), memory.size() * sizeof(float)), 0) << step_case.name;
        ++compared;
      }
    }
  }
  EXPECT_GT(compared, 200);
}

// Depthwise layers by every shape that computes their window.
TEST(EmulatedKernels, DepthwiseLayersHaveTheSameBitsInEveryShape) {
  int compared = 0;
  for (const StepCase& step_case : conv_cases()) {
    const Needs needs = find_needs(step_case.plan, {}).value();
    const std::vector<float> before = memory_for(step_case, needs);
    std::vector<float> memory = before;
    const auto calls = make_calls(step_case.plan, addresses_of(step_case, needs, memory.data()), {});
    ASSERT_TRUE(calls);
    const auto* chosen = std::get_if<DepthwiseCall>(&calls->at(0).work);
    if (chosen == nullptr) continue;
    std::vector<DepthwiseWindow> windows = {chosen->window, DepthwiseWindow::any_singles};
    if (chosen->window != DepthwiseWindow::any_singles) windows.push_back(DepthwiseWindow::any);
    std::vector<float> first;
    for (const DepthwiseWindow window : windows) {
      for (const bool long_strips : {false, true}) {
        std::copy(before.begin(), before.end(), memory.begin());
        DepthwiseCall call = *chosen;
        call.window = window;
        call.long_strips = long_strips;
        set_shares(call);
        Emulator emulator;
        emulation::emulate(call, emulator);
        ASSERT_EQ(emulator.failure(), "") << step_case.name;
        if (first.empty()) first = memory;
        ASSERT_EQ(std::memcmp(first.data(), memory.data(), memory.size() * sizeof(float)), 0) << step_case.name;
        ++compared;
      }
    }
  }
  EXPECT_GT(compared, 100);
}

// Sums of thousands of positive products: the error must not grow with their number, as that of one fp32 sum does.
TEST(EmulatedKernels, LongSumsStayAccurate) {
  constexpr std::size_t kDepth = 20'000;
  for (const std::int64_t rows : {1, 9}) {
    StepCaseBuilder builder("a long sum", 7);
    runtime::LinearStep step;
    step.input = builder.tensor(rows, 1, 1, kDepth);
    for (float& value : builder.values(step.input)) value = std::abs(value);
    step.weights = builder.constant({1, kDepth});
    step.output = builder.output(rows, 1, 1, 1);
    StepCase step_case = builder.build(step, 2e-7);
    const std::span<float> weights = std::span(step_case.memory).subspan(step_case.constant_floats[0], kDepth);
    for (float& value : weights) value = std::abs(value);
    const Expected expected = compute_naively(step_case);
    EXPECT_EQ(judge(step_case, expected, emulate_step(step_case)), "");
    // One sum does not pass for the right one.
    std::vector<float> memory = step_case.memory;
    const float* const weight = memory.data() + step_case.constant_floats[0];
    const auto place = [&](runtime::TensorId id) { return step_case.plan.tensors[id].offset_bytes / sizeof(float); };
    for (std::size_t row = 0; row < static_cast<std::size_t>(rows); ++row) {
      float sum = 0.0F;
      for (std::size_t k = 0; k < kDepth; ++k) {
        sum = fused(memory[place(step.input) + row * kDepth + k], weight[k], sum);
      }
      memory[place(step.output) + row] = sum;
    }
    EXPECT_NE(judge(step_case, expected, memory), "");
  }
}

TEST(EmulatedKernels, NaNAndInfinityInTheInputReachTheOutputsTheyBelongTo) {
  StepCaseBuilder builder("conv with a NaN", 8);
  runtime::ConvStep step;
  step.input = builder.tensor(1, 6, 6, 4);
  builder.values(step.input)[0] = std::numeric_limits<float>::quiet_NaN();
  builder.values(step.input)[100] = std::numeric_limits<float>::infinity();
  step.weights = builder.constant({8, 3, 3, 4});
  step.output = builder.output(1, 6, 6, 8);
  step.kernel = 3;
  step.stride = 1;
  step.padding = 1;
  step.dilation = 1;
  step.epilogue.activation = runtime::Activation::relu_if(true);
  const StepCase step_case = builder.build(step, 5e-6);
  EXPECT_EQ(judge(step_case, compute_naively(step_case), emulate_step(step_case)), "");
}

// Kernels that walk the elements by the grid's size must do so with any number of blocks.
TEST(EmulatedKernels, FewBlocksDoTheWorkOfMany) {
  int cases_run = 0;
  for (const StepCase& step_case : all_step_cases()) {
    const CallOptions options{.processors = 4};
    const Needs needs = find_needs(step_case.plan, options).value();
    std::vector<float> memory = memory_for(step_case, needs);
    const auto calls = make_calls(step_case.plan, addresses_of(step_case, needs, memory.data()), options);
    ASSERT_TRUE(calls);
    Emulator emulator(Order::shuffled);
    const bool steps_by_grid = emulation::emulate_with_blocks(calls->at(0).work, 1, emulator);
    if (!steps_by_grid) continue;
    EXPECT_EQ(emulator.failure(), "") << step_case.name;
    EXPECT_EQ(judge(step_case, compute_naively(step_case), memory), "");
    ++cases_run;
  }
  EXPECT_GT(cases_run, 100);
}

}  // namespace
}  // namespace rushlight::cuda
