// The CPU backend, with every instruction set this machine has, against the reference.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <limits>
#include <random>

#include "runtime/networks.hpp"

namespace rushlight::test {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

std::string text(const Conv2d& op, const Shape& x) {
  std::string words = "conv " + std::to_string(op.in_channels) + "->" + std::to_string(op.out_channels) + " k" +
                      std::to_string(op.kernel_size.h) + "x" + std::to_string(op.kernel_size.w) + " s" +
                      std::to_string(op.stride.h) + "x" + std::to_string(op.stride.w) + " p" +
                      std::to_string(op.padding.amount.h) + "x" + std::to_string(op.padding.amount.w) + " d" +
                      std::to_string(op.dilation.h) + "x" + std::to_string(op.dilation.w) + " g" +
                      std::to_string(op.groups) + " x";
  for (const std::int64_t size : x) words += " " + std::to_string(size);
  return words;
}

void check_conv(const Conv2d& op, const Shape& shape) {
  SCOPED_TRACE(text(op, shape));
  expect_cpu_fits_reference(made_up_model(graph_of(op)), made_up("input", shape));
}

TEST(CpuConv, OutputsAroundTheEdgesOfPanels) {
  for (const std::int64_t out : {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 48, 63, 64, 65, 80, 96, 129}) {
    check_conv({.in_channels = 5, .out_channels = out, .kernel_size = 3, .padding = 1}, {1, 5, 6, 5});
  }
}

TEST(CpuConv, InputsAroundTheEdgesOfRuns) {
  for (const std::int64_t in : {1, 2, 3, 4, 15, 16, 17, 31, 33, 64}) {
    check_conv({.in_channels = in, .out_channels = 18, .kernel_size = {3, 2}, .padding = 1}, {2, in, 5, 7});
    check_conv({.in_channels = in, .out_channels = 18, .kernel_size = 1}, {2, in, 5, 7});
    check_conv({.in_channels = in, .out_channels = 18, .kernel_size = 1, .stride = 2}, {2, in, 5, 7});
    check_conv({.in_channels = in, .out_channels = 18, .kernel_size = 1, .padding = 1}, {2, in, 3, 4});
  }
}

TEST(CpuConv, PixelsAroundTheEdgesOfTilesAndBlocks) {
  for (const std::int64_t width : {1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 31, 32, 33, 95, 96, 97, 193}) {
    check_conv({.in_channels = 2, .out_channels = 20, .kernel_size = {1, 3}, .padding = {0, 1}}, {1, 2, 1, width});
    check_conv({.in_channels = 17, .out_channels = 65, .kernel_size = {1, 3}, .padding = {0, 1}}, {1, 17, 1, width});
  }
}

TEST(CpuConv, KernelsLargerThanTheInput) {
  check_conv({.in_channels = 2, .out_channels = 3, .kernel_size = 5, .padding = 2}, {1, 2, 1, 1});
  check_conv({.in_channels = 2, .out_channels = 3, .kernel_size = 5, .padding = 4}, {1, 2, 1, 2});
  check_conv({.in_channels = 20, .out_channels = 3, .kernel_size = {7, 1}, .padding = {3, 0}}, {1, 20, 2, 3});
  check_conv({.in_channels = 3, .out_channels = 4, .kernel_size = {1, 9}, .padding = {0, 8}}, {2, 3, 2, 3});
}

TEST(CpuConv, SamePaddingWithEvenKernelsAndDilation) {
  for (const IntPair kernel : {IntPair{2, 2}, IntPair{4, 3}, IntPair{1, 6}}) {
    for (const std::int64_t dilation : {1, 2, 3}) {
      Conv2d op{.in_channels = 3, .out_channels = 5, .kernel_size = kernel, .dilation = dilation};
      op.padding = Padding::same();
      check_conv(op, {2, 3, 7, 8});
      op.padding = Padding::valid();
      check_conv(op, {2, 3, 16, 17});
    }
  }
}

TEST(CpuConv, GroupsAndDepthwise) {
  for (const auto& [groups, in, out] : {std::array<std::int64_t, 3>{2, 4, 6},
                                        {3, 9, 3},
                                        {4, 4, 4},
                                        {5, 5, 15},
                                        {1, 1, 1},
                                        {33, 33, 33},
                                        {64, 64, 64},
                                        {70, 70, 70},
                                        {2, 40, 140},
                                        {7, 7, 14}}) {
    check_conv({.in_channels = in, .out_channels = out, .kernel_size = 3, .padding = 1, .groups = groups},
               {2, in, 6, 5});
    check_conv({.in_channels = in, .out_channels = out, .kernel_size = 1, .groups = groups}, {2, in, 6, 5});
    check_conv({.in_channels = in,
                .out_channels = out,
                .kernel_size = {3, 5},
                .stride = {2, 1},
                .padding = {0, 2},
                .dilation = {1, 2},
                .groups = groups,
                .bias = false},
               {1, in, 9, 11});
  }
}

TEST(CpuConv, RandomAttributes) {
  std::mt19937 random(7);
  const auto pick = [&](std::int64_t low, std::int64_t high) {
    return low + static_cast<std::int64_t>(random() % static_cast<std::uint32_t>(high - low + 1));
  };
  for (int i = 0; i < 150; ++i) {
    Conv2d op;
    op.groups = pick(0, 3) == 0 ? pick(2, 4) : 1;
    op.in_channels = op.groups * pick(1, 20);
    op.out_channels = op.groups * pick(1, 40);
    op.kernel_size = {pick(1, 4), pick(1, 5)};
    op.stride = {pick(1, 3), pick(1, 3)};
    op.dilation = {pick(1, 2), pick(1, 3)};
    op.padding = Padding(pick(0, 4), pick(0, 5));
    op.bias = pick(0, 1) == 1;
    const std::int64_t low_h =
        std::max<std::int64_t>(1, (op.kernel_size.h - 1) * op.dilation.h + 1 - 2 * op.padding.amount.h);
    const std::int64_t low_w =
        std::max<std::int64_t>(1, (op.kernel_size.w - 1) * op.dilation.w + 1 - 2 * op.padding.amount.w);
    Shape shape{pick(1, 3), op.in_channels, low_h + pick(0, 10), low_w + pick(0, 12)};
    if (pick(0, 4) == 0) shape.erase(shape.begin());
    check_conv(op, shape);
    if (HasFatalFailure()) return;
  }
}

TEST(CpuConv, PanelsThatExceedTheCacheAreCutNarrower) {
  check_conv({.in_channels = 600, .out_channels = 70, .kernel_size = 3, .padding = 1}, {1, 600, 2, 3});
}

TEST(CpuConv, ManyTapsMakeSmallerBlocks) {
  check_conv({.in_channels = 16, .out_channels = 4, .kernel_size = 21, .padding = 10}, {1, 16, 13, 11});
  check_conv({.in_channels = 18, .out_channels = 18, .kernel_size = 21, .padding = 10, .groups = 18}, {1, 18, 13, 11});
}

TEST(CpuLinear, RowsAndFeaturesAroundTheEdges) {
  for (const std::int64_t rows : {1, 2, 5, 6, 7, 8, 9, 31, 95, 96, 97}) {
    for (const std::int64_t out : {1, 10, 16, 33, 128}) {
      SCOPED_TRACE(std::to_string(rows) + " rows, " + std::to_string(out) + " outputs");
      expect_cpu_fits_reference(made_up_model(graph_of(Linear{.in_features = 37, .out_features = out})),
                                made_up("input", {rows, 37}));
    }
  }
}

TEST(CpuLinear, AnyRank) {
  for (const Shape& shape : {Shape{13}, Shape{3, 13}, Shape{2, 3, 13}, Shape{2, 1, 3, 13}, Shape{2, 2, 1, 2, 13}}) {
    expect_cpu_fits_reference(made_up_model(graph_of(Linear{13, 5, false})), made_up("input", shape));
  }
}

TEST(CpuPool, MaxAndAverageInEveryCorner) {
  std::mt19937 random(8);
  const auto pick = [&](std::int64_t low, std::int64_t high) {
    return low + static_cast<std::int64_t>(random() % static_cast<std::uint32_t>(high - low + 1));
  };
  for (int i = 0; i < 200; ++i) {
    const IntPair kernel{pick(1, 4), pick(1, 5)};
    const IntPair padding{pick(0, kernel.h / 2), pick(0, kernel.w / 2)};
    const IntPair stride = pick(0, 3) == 0 ? IntPair{0} : IntPair{pick(1, 5), pick(1, 5)};
    const IntPair dilation{pick(1, 2), pick(1, 3)};
    const bool ceil_mode = pick(0, 1) == 1;
    const Shape shape{pick(1, 2), pick(1, 70), (kernel.h - 1) * dilation.h + 1 + pick(0, 7),
                      (kernel.w - 1) * dilation.w + 1 + pick(0, 9)};
    const Tensor x = made_up("input", shape);
    const MaxPool2d max{
        .kernel_size = kernel, .stride = stride, .padding = padding, .dilation = dilation, .ceil_mode = ceil_mode};
    expect_cpu_fits_reference(model_of(max), x, 0.0);
    const AvgPool2d average{.kernel_size = kernel,
                            .stride = stride,
                            .padding = padding,
                            .ceil_mode = ceil_mode,
                            .count_include_pad = pick(0, 1) == 1,
                            .divisor_override = pick(0, 2) == 0 ? pick(1, 9) : 0};
    expect_cpu_fits_reference(model_of(average), x, 1e-6);
    if (HasFatalFailure()) {
      ADD_FAILURE() << "case " << i;
      return;
    }
  }
}

TEST(CpuPool, AdaptiveToFewerAndMorePixels) {
  for (const IntPair size : {IntPair{1}, IntPair{2, 3}, IntPair{7}, IntPair{5, 4}, IntPair{-1, 2}, IntPair{13, 17}}) {
    for (const std::int64_t channels : {1, 3, 16, 65}) {
      expect_cpu_fits_reference(model_of(AdaptiveAvgPool2d{.output_size = size}), made_up("input", {2, channels, 5, 7}),
                                1e-6);
    }
  }
  expect_cpu_fits_reference(model_of(AdaptiveAvgPool2d{.output_size = 2}), made_up("input", {19, 5, 7}), 1e-6);
}

TEST(CpuNorm, OverEveryRank) {
  for (const std::int64_t channels : {1, 3, 15, 16, 17, 64, 70}) {
    const Model one = made_up_model(graph_of(BatchNorm1d{.num_features = channels}));
    expect_cpu_fits_reference(one, made_up("input", {5, channels}));
    expect_cpu_fits_reference(one, made_up("input", {3, channels, 4}));
    const Model two = made_up_model(graph_of(BatchNorm2d{.num_features = channels, .affine = false}));
    expect_cpu_fits_reference(two, made_up("input", {2, channels, 3, 5}));
  }
}

TEST(CpuNorm, LargeMeansLoseNothing) {
  const Model model = model_of(BatchNorm1d{.eps = 0, .affine = false},
                               {{"running_mean", tensor_of({4096}, {1})}, {"running_var", tensor_of({1}, {1})}});
  expect_cpu_fits_reference(model, tensor_of({4096.5F, 4095.25F, 4096}, {3, 1}), 0.0);
}

TEST(CpuElementwise, ReluAndAddOfAnyLength) {
  for (const std::int64_t size : {1, 3, 4, 5, 15, 16, 17, 63, 16383, 16384, 16385, 40000}) {
    expect_cpu_fits_reference(model_of(ReLU{}), made_up("input", {size}), 0.0);
    GraphBuilder builder;
    const Edge a = builder.input("a");
    const Edge b = builder.input("b");
    builder.output("sum", builder.apply("", Add{}, a, b));
    const Model model = Model::create(builder.build().value(), {}).value();
    const Tensor inputs[] = {made_up("a", {size}), made_up("b", {size})};
    expect_cpu_fits_reference(model, inputs, 1e-7);
  }
}

TEST(CpuElementwise, AddBroadcastsAsTorchDoes) {
  GraphBuilder builder;
  const Edge a = builder.input("a");
  const Edge b = builder.input("b");
  builder.output("sum", builder.apply("", ReLU{}, builder.apply("", Add{}, a, b)));
  const Model model = Model::create(builder.build().value(), {}).value();
  const std::pair<Shape, Shape> pairs[] = {{{2, 3, 4, 5}, {1, 3, 1, 1}},
                                           {{2, 3, 4, 5}, {5}},
                                           {{4, 1}, {1, 7}},
                                           {{3, 1, 2}, {4, 1}},
                                           {{1}, {2, 3}},
                                           {{2, 3}, {}},
                                           {{2, 1, 4, 1}, {1, 3, 1, 5}},
                                           {{2, 3, 4, 5}, {3, 4, 5}},
                                           {{}, {}}};
  for (const auto& [first, second] : pairs) {
    const Tensor inputs[] = {made_up("a", first), made_up("b", second)};
    expect_cpu_fits_reference(model, inputs, 1e-7);
  }
}

TEST(CpuSoftmax, AlongEveryDimension) {
  const Shape shapes[] = {{1}, {10}, {33}, {3, 10}, {2, 1000}, {2, 3, 4}, {2, 17, 3, 5}, {4, 70, 1, 1}, {1, 1, 33, 40}};
  for (const Shape& shape : shapes) {
    for (std::int64_t dim = -std::ssize(shape); dim < std::ssize(shape); ++dim) {
      expect_cpu_fits_reference(model_of(Softmax{.dim = dim}), made_up("input", shape), 1e-6);
    }
  }
  expect_cpu_fits_reference(model_of(Softmax{.dim = 0}), made_up("input", {}), 0.0);
}

TEST(CpuSoftmax, EveryMagnitude) {
  // Differences from 0 down to where e^x is denormal, and below.
  std::vector<float> values;
  for (int i = 0; i < 1200; ++i) values.push_back(-0.1F * static_cast<float>(i));
  const Model model = model_of(Softmax{});
  const Tensor x = tensor_of(values, {1200});
  const auto expected = run_on(*runtime::reference::make_backend().value(), model, std::span(&x, 1))[0];
  for (const auto& backend : cpu_backends()) {
    const auto found = run_on(*backend, model, std::span(&x, 1))[0];
    for (std::size_t i = 0; i < values.size(); ++i) {
      // 4 ulp, and near the bottom of the range one or two denormal steps.
      const double bound = 5e-7 * static_cast<double>(expected[i]) + 3e-45;
      ASSERT_NEAR(expected[i], found[i], bound) << backend->name() << " at " << values[i];
    }
  }
}

TEST(CpuSoftmax, InfinitiesAndNaN) {
  const Model model = model_of(Softmax{.dim = 1});
  for (const std::int64_t width : {2, 5, 16, 17, 40}) {
    for (const float odd : {kNan, kInf, -kInf}) {
      std::vector<float> values(static_cast<std::size_t>(3 * width), 0.25F);
      values[static_cast<std::size_t>(width)] = odd;          // first of the second row
      values[static_cast<std::size_t>(3 * width - 1)] = odd;  // last of the third
      expect_cpu_fits_reference(model, tensor_of(values, {3, width}), 1e-6);
      expect_cpu_fits_reference(model_of(Softmax{.dim = 0}), tensor_of(values, {3, width}), 1e-6);
      std::fill(values.begin(), values.end(), odd);
      expect_cpu_fits_reference(model, tensor_of(values, {3, width}), 1e-6);
    }
  }
}

// Odd values at some places: outputs that do not depend on them are finite, the others are what arithmetic says.
Tensor with_odd_values(std::string_view name, const Shape& shape) {
  std::vector<float> values = values_for(name, shape);
  for (std::size_t i = 0; i < values.size(); i += 41) values[i] = i % 3 == 0 ? kNan : (i % 3 == 1 ? kInf : -kInf);
  return tensor_of(values, shape);
}

TEST(CpuOddValues, PassThroughEveryOperatorAsInTheReference) {
  const Tensor image = with_odd_values("input", {2, 5, 9, 8});
  const Tensor rows = with_odd_values("input", {12, 19});
  expect_cpu_fits_reference(
      made_up_model(graph_of(Conv2d{.in_channels = 5, .out_channels = 18, .kernel_size = 3, .padding = 1})), image);
  expect_cpu_fits_reference(
      made_up_model(graph_of(Conv2d{.in_channels = 5, .out_channels = 5, .kernel_size = 3, .stride = 2, .groups = 5})),
      image);
  expect_cpu_fits_reference(made_up_model(graph_of(Linear{19, 17})), rows);
  expect_cpu_fits_reference(made_up_model(graph_of(BatchNorm1d{.num_features = 19})), rows);
  expect_cpu_fits_reference(made_up_model(graph_of(BatchNorm2d{.num_features = 5})), image);
  expect_cpu_fits_reference(model_of(MaxPool2d{.kernel_size = 3, .stride = 2, .padding = 1}), image);
  expect_cpu_fits_reference(model_of(AvgPool2d{.kernel_size = 2}), image);
  expect_cpu_fits_reference(model_of(AdaptiveAvgPool2d{.output_size = 3}), image);
  expect_cpu_fits_reference(model_of(ReLU{}), rows);
  expect_cpu_fits_reference(model_of(Flatten{}), image);
}

TEST(CpuOddValues, InfiniteWeightsMeetPaddingAsZeroTimesInfinity) {
  // 0 * inf is NaN: a padded pixel is a zero that is multiplied, not one that is left out.
  const Model model = model_of(Conv2d{.padding = 1, .bias = false},
                               {{"weight", tensor_of({kInf, 1, 1, 1, 1, 1, 1, 1, 1}, {1, 1, 3, 3})}});
  expect_cpu_fits_reference(model, made_up("input", {1, 1, 4, 4}));
}

TEST(CpuOddValues, ZerosOfARowMeetInfiniteWeightsToo) {
  // Weights of zeros are not read, unless one of the layer's is infinite or NaN: in the last panel here.
  constexpr std::size_t kIn = 300;
  constexpr std::size_t kOut = 150;
  std::vector<float> x = values_for("x", {1, kIn});
  for (std::size_t i = 0; i < x.size(); i += 2) x[i] = 0.0F;
  const Tensor row = tensor_of(x, {1, kIn});
  const Tensor bias = made_up("bias", {kOut});
  for (const float odd : {1.0F, kNan, kInf}) {
    std::vector<float> weights = values_for("weight", {kOut, kIn});
    weights[(kOut - 2) * kIn + 42] = odd;
    const Model model = model_of(Linear{kIn, kOut}, {{"weight", tensor_of(weights, {kOut, kIn})}, {"bias", bias}});
    expect_cpu_fits_reference(model, row);
  }
}

TEST(CpuBackend, AProcessorWithoutAnInstructionSetIsTold) {
  if (detect_cpu_features().avx512) GTEST_SKIP() << "this processor has all of them";
  const auto backend = runtime::cpu::make_backend(Isa::avx512);
  ASSERT_FALSE(backend);
  EXPECT_EQ(ErrorCode::device, backend.error().code);
  EXPECT_EQ("this processor has no avx512", backend.error().finding.message);
}

}  // namespace
}  // namespace rushlight::test
