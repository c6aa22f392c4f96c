// The choice of kernels, tiles and accesses, and what kernels cannot count.
#include "cuda/calls.hpp"

#include <gtest/gtest.h>

#include "base/fail.hpp"
#include "cuda/step_case.hpp"

namespace rushlight::cuda {
namespace {

// Calls nobody makes: over memory that is gone.
Result<std::vector<Call>> calls_of(const StepCase& step_case, const CallOptions& options) {
  RUSHLIGHT_TRY_ASSIGN(const Needs needs, find_needs(step_case.plan, options));
  std::vector<float> memory = memory_for(step_case, needs);
  return make_calls(step_case.plan, addresses_of(step_case, needs, memory.data()), options);
}

GemmArguments product(std::int64_t rows, std::int32_t columns, std::int32_t depth) {
  alignas(16) static const float kAligned[4] = {};
  GemmArguments a;
  a.rows = rows;
  a.columns = columns;
  a.depth = depth;
  a.channels = Divisor32(depth);
  a.input = kAligned;
  a.weights = kAligned;
  a.input_stride = depth;
  return a;
}

TEST(CudaCalls, TilesAreAsLargeAsKeepsAllProcessorsBusy) {
  constexpr int kProcessors = 132;
  EXPECT_EQ(choose_tile(product(1 << 20, 256, 64), kProcessors), GemmTile::rows128_columns64);
  EXPECT_EQ(choose_tile(product(12544, 128, 64), kProcessors), GemmTile::rows64_columns64);
  EXPECT_EQ(choose_tile(product(49, 512, 4608), kProcessors), GemmTile::rows64_columns32);
  EXPECT_EQ(choose_tile(product(1 << 20, 32, 64), kProcessors), GemmTile::rows64_columns32);
  EXPECT_EQ(choose_tile(product(1 << 20, 33, 64), kProcessors), GemmTile::rows128_columns64);
}

TEST(CudaCalls, QuadsAreReadWhereEveryRunOfChannelsIsAligned) {
  EXPECT_EQ(choose_access(product(100, 64, 64), false), GemmAccess::rows);
  EXPECT_EQ(choose_access(product(100, 64, 64), true), GemmAccess::window);
  EXPECT_EQ(choose_access(product(100, 64, 63), false), GemmAccess::window_singles);
  GemmArguments three_channels = product(100, 64, 36);
  three_channels.channels = Divisor32(3);
  EXPECT_EQ(choose_access(three_channels, true), GemmAccess::window_singles);
  GemmArguments odd_stride = product(100, 64, 64);
  odd_stride.input_stride = 65;
  EXPECT_EQ(choose_access(odd_stride, false), GemmAccess::window_singles);
  GemmArguments odd_address = product(100, 64, 64);
  odd_address.input += 1;
  EXPECT_EQ(choose_access(odd_address, false), GemmAccess::window_singles);
  odd_address = product(100, 64, 64);
  odd_address.weights += 2;
  EXPECT_EQ(choose_access(odd_address, false), GemmAccess::window_singles);
}

TEST(CudaCalls, QuadsAreStoredWhereAllThatIsTouchedIsAligned) {
  alignas(16) float aligned[8] = {};
  GemmArguments a = product(10, 64, 4);
  a.output = aligned;
  a.output_stride = 64;
  EXPECT_TRUE(allows_quads(a));
  a.bias = aligned;
  a.residual = aligned + 4;
  a.residual_stride = 68;
  EXPECT_TRUE(allows_quads(a));
  for (const auto& spoil : std::initializer_list<void (*)(GemmArguments&)>{
           [](GemmArguments& b) { b.columns = 63; }, [](GemmArguments& b) { b.output_stride = 65; },
           [](GemmArguments& b) { b.output += 1; }, [](GemmArguments& b) { b.bias += 2; },
           [](GemmArguments& b) { b.residual += 3; }, [](GemmArguments& b) { b.residual_stride = 70; }}) {
    GemmArguments spoiled = a;
    spoil(spoiled);
    EXPECT_FALSE(allows_quads(spoiled));
  }
}

TEST(CudaCalls, DepthwiseWindowsHaveTheShapeTheyFit) {
  alignas(16) static float aligned[4] = {};
  const auto layer = [](int kernel, int stride, std::int32_t size, std::int32_t channels) {
    DepthwiseArguments a;
    a.input = a.weights = aligned;
    a.output = aligned;
    a.input_stride = a.output_stride = a.channels = channels;
    a.lines = size;
    a.window.output = {size, size};
    a.window.kernel = {kernel, kernel};
    a.window.stride = {stride, stride};
    return a;
  };
  const auto window = [](const DepthwiseArguments& a) { return choose_depthwise(a, 132).window; };
  EXPECT_EQ(window(layer(3, 1, 14, 576)), DepthwiseWindow::k3_stride1);
  EXPECT_EQ(window(layer(3, 2, 14, 576)), DepthwiseWindow::k3_stride2);
  EXPECT_EQ(window(layer(5, 1, 14, 576)), DepthwiseWindow::k5_stride1);
  EXPECT_EQ(window(layer(5, 2, 14, 576)), DepthwiseWindow::k5_stride2);
  EXPECT_EQ(window(layer(7, 1, 14, 576)), DepthwiseWindow::any);
  EXPECT_EQ(window(layer(3, 3, 14, 576)), DepthwiseWindow::any);
  EXPECT_EQ(window(layer(3, 1, 14, 575)), DepthwiseWindow::any_singles);
  DepthwiseArguments dilated = layer(3, 1, 14, 576);
  dilated.window.dilation = {2, 1};
  EXPECT_EQ(window(dilated), DepthwiseWindow::any);
  DepthwiseArguments odd_address = layer(3, 1, 14, 576);
  odd_address.residual = aligned + 1;
  EXPECT_EQ(window(odd_address), DepthwiseWindow::any_singles);
  // 112 x 112 pixels of 256 channels keep 132 processors busy four outputs a thread, 14 x 14 do not.
  EXPECT_TRUE(choose_depthwise(layer(3, 1, 112, 256), 132).long_strips);
  EXPECT_FALSE(choose_depthwise(layer(3, 1, 14, 256), 132).long_strips);
}

TEST(CudaCalls, DimensionsThatBothOperandsWalkAlikeAreJoined) {
  const auto expect = [](const BroadcastShape& shape, const BroadcastShape& joined) {
    const BroadcastShape found = join_dimensions(shape);
    EXPECT_EQ(found.sizes, joined.sizes);
    EXPECT_EQ(found.a_strides, joined.a_strides);
    EXPECT_EQ(found.b_strides, joined.b_strides);
  };
  expect({{}, {}, {}}, {{}, {}, {}});
  expect({{1, 1}, {0, 0}, {0, 0}}, {{}, {}, {}});
  expect({{2, 3, 4}, {12, 4, 1}, {12, 4, 1}}, {{24}, {1}, {1}});
  expect({{2, 3, 4}, {12, 4, 1}, {0, 0, 0}}, {{24}, {1}, {0}});
  expect({{2, 3, 4}, {12, 4, 1}, {0, 4, 1}}, {{2, 12}, {12, 1}, {0, 1}});
  expect({{2, 3, 4}, {12, 4, 1}, {0, 1, 0}}, {{2, 3, 4}, {12, 4, 1}, {0, 1, 0}});
  expect({{5, 1, 4}, {4, 0, 1}, {4, 0, 1}}, {{20}, {1}, {1}});
}

// The kernels the step cases go through: all of them, or they are not tested.
TEST(CudaCalls, StepCasesReachEveryKernel) {
  std::set<std::string_view> kernels;
  std::set<std::pair<GemmAccess, GemmTile>> products;
  const auto add = [&](const StepCase& step_case, const CallOptions& options) {
    const auto calls = calls_of(step_case, options);
    ASSERT_TRUE(calls) << step_case.name;
    EXPECT_TRUE(calls->back().name.ends_with(step_case.name)) << calls->back().name;
    for (const Call& call : *calls) {
      kernels.insert(kernel_name(call.work));
      if (const auto* gemm = std::get_if<GemmCall>(&call.work)) products.insert({gemm->access, gemm->tile});
    }
  };
  for (const StepCase& step_case : all_step_cases()) {
    for (const int processors : {1, 4, 132}) add(step_case, {.processors = processors});
    for (const Precision precision : {Precision::strict, Precision::bf16, Precision::fp16, Precision::tf32}) {
      add(step_case, {.processors = 132, .precision = precision, .tensor_cores = kWarpTensorCores});
      add(step_case, {.processors = 132, .precision = precision, .tensor_cores = kAllTensorCores});
    }
    add(step_case, {.winograd = WinogradChoice{}});
  }
  // One of them has a name for each of four kinds, and for those of warpgroups, which are for products larger than
  // these (mma_emulation_test.cpp). Two have none here: GeneralCall (operator_emulation_test.cpp) and HostCall, which
  // has no kernel.
  EXPECT_GT(std::erase_if(kernels, [](std::string_view name) { return name.starts_with("wgmma"); }), 1U);
  EXPECT_EQ(kernels.size(), std::variant_size_v<Work> + 1);
  EXPECT_EQ(products.size(), 9U);
}

TEST(CudaCalls, EachFormOfAConstantIsNeededOnce) {
  StepCaseBuilder builder("two layers with one weight", 1);
  runtime::LinearStep step;
  step.input = builder.tensor(12, 1, 1, 8);
  step.weights = builder.constant({8, 8});
  step.bias = builder.constant({8});
  step.output = builder.output(12, 1, 1, 8);
  StepCase step_case = builder.build(step, 0);
  std::swap(step.input, step.output);
  step_case.plan.steps.push_back({step, "the second"});
  const Needs needs = find_needs(step_case.plan, {}).value();
  EXPECT_EQ(needs.weights,
            (std::vector<WeightCopy>{{step.weights, WeightForm::plain}, {step.bias, WeightForm::plain}}));
  EXPECT_EQ(calls_of(step_case, {}).value().size(), 2U);
}

TEST(CudaCalls, StepsOverNothingHaveNoCall) {
  StepCaseBuilder builder("nobody", 1);
  runtime::ReluStep step;
  step.input = builder.output(0, 4, 4, 3);
  step.output = builder.output(0, 4, 4, 3);
  const StepCase step_case = builder.build(step, 0);
  const auto calls = calls_of(step_case, {});
  ASSERT_TRUE(calls);
  EXPECT_TRUE(calls->empty());
}

// A plan of one convolution, without memory behind it.
Result<std::vector<Call>> calls_of(runtime::ConvStep step, std::int64_t h, std::int64_t c, std::int64_t out_h) {
  runtime::Plan plan;
  for (const std::int64_t height : {h, out_h}) {
    runtime::PlannedTensor tensor;
    tensor.n = 1;
    tensor.h = height;
    tensor.c = tensor.row_stride = c;
    plan.tensors.push_back(tensor);
  }
  step.input = 0;
  step.output = 1;
  step.weights = 0;
  plan.steps.push_back({step, "conv1"});
  Addresses addresses;
  addresses.weights.emplace(WeightCopy{0, WeightForm::plain}, nullptr);
  return make_calls(plan, addresses, {});
}

TEST(CudaCalls, WhatKernelsCannotCountIsUnsupportedByName) {
  runtime::ConvStep step;
  step.kernel = step.stride = step.dilation = 1;
  ASSERT_TRUE(calls_of(step, 4, 4, 4));
  const auto message = [](const Result<std::vector<Call>>& calls) {
    EXPECT_FALSE(calls);
    if (calls) return std::string();
    EXPECT_EQ(calls.error().code, ErrorCode::unsupported);
    EXPECT_EQ(calls.error().finding.code, "CUDA-SIZE");
    return calls.error().finding.message;
  };
  constexpr std::int64_t kHuge = std::int64_t{1} << 31;
  EXPECT_EQ(
      message(calls_of(step, kHuge, 1, 4)),
      "layer 'conv1': an image size of 2147483648 is more than the CUDA kernels count, expected at most 2147483631");
  EXPECT_EQ(message(calls_of(step, 1, kHuge, 4)),
            "layer 'conv1': a number of channels of 2147483648 is more than the CUDA kernels count, expected at most "
            "2147483631");
  step.stride = {kHuge, 1};
  EXPECT_EQ(message(calls_of(step, 4, 4, 1)),
            "layer 'conv1': a stride of 2147483648 is more than the CUDA kernels count, expected at most 2147483631");
  step.stride = {1 << 30, 1};
  EXPECT_EQ(message(calls_of(step, 4, 4, 3)),
            "layer 'conv1': a window's reach of 2147483648 is more than the CUDA kernels count, expected at most "
            "2147483631");
  step.stride = 1;
  step.kernel = {65536, 65536};
  EXPECT_EQ(message(calls_of(step, 4, 4, 1)),
            "layer 'conv1': a window of 4294967296 is more than the CUDA kernels count, expected at most 2147483631");
}

// Sessions on GPUs give such steps to the host: make_host_steps() was not asked here. Stripes are the CPU's alone.
TEST(CudaCalls, StepsWithoutAKernelAreUnsupportedByName) {
  runtime::PlannedTensor tensor;
  tensor.n = tensor.c = tensor.row_stride = 1;
  const auto error_of = [&](auto work) {
    runtime::Plan plan;
    plan.tensors = {tensor, tensor};
    plan.steps.push_back({std::move(work), "layer1"});
    return make_calls(plan, {}, {}).error();
  };
  runtime::GeneralStep roll;  // of more dimensions than the kernel walks
  roll.op = Roll{.shifts = {1}, .dims = {0}};
  roll.inputs.push_back({0, DType::f32, Shape(kStridedDims + 1, 1), Strides(kStridedDims + 1, 1)});
  roll.outputs.push_back({1, DType::f32, Shape(kStridedDims + 1, 1), Strides(kStridedDims + 1, 1)});
  runtime::StripeStep stripe;
  runtime::ConvStep depthwise;
  depthwise.input = stripe.first.input = 0;
  depthwise.output = stripe.first.output = 1;
  stripe.window = depthwise;
  for (const Error& error : {error_of(roll), error_of(stripe)}) {
    EXPECT_EQ(error.code, ErrorCode::unsupported);
    EXPECT_EQ(error.finding.code, "DEVICE-OPERATOR");
    EXPECT_EQ(error.finding.message, "layer 'layer1': there is no CUDA kernel for this operator yet");
    EXPECT_EQ(error.finding.hint, "run this model on the CPU");
  }
}

TEST(CudaCalls, BroadcastsOverTooManyDimensionsAreUnsupportedByName) {
  // Operands repeat themselves in turns, so that nothing can be joined.
  runtime::BroadcastAddStep step;
  runtime::Plan plan;
  for (int i = 0; i < 3; ++i) {
    runtime::PlannedTensor tensor;
    tensor.n = 1;
    tensor.c = tensor.row_stride = 1;
    plan.tensors.push_back(tensor);
  }
  step.a = 0;
  step.b = 1;
  step.output = 2;
  for (int dim = 0; dim < kBroadcastDims + 1; ++dim) {
    step.shape.push_back(2);
    step.a_strides.push_back(dim % 2 == 0 ? 1 : 0);
    step.b_strides.push_back(dim % 2 == 0 ? 0 : 1);
  }
  plan.steps.push_back({step, "add"});
  const auto calls = make_calls(plan, {}, {});
  ASSERT_FALSE(calls);
  EXPECT_EQ(calls.error().code, ErrorCode::unsupported);
  EXPECT_EQ(calls.error().finding.message,
            "layer 'add': broadcasting over 13 dimensions is more than the CUDA kernel does, expected at most 12");
}

}  // namespace
}  // namespace rushlight::cuda
