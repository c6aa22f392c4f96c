// The reference against values worked out by hand, or by PyTorch where a comment says so.
#include <gtest/gtest.h>

#include <limits>

#include "runtime/networks.hpp"

namespace rushlight::test {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

std::vector<float> reference(const Model& model, std::vector<Tensor> inputs) {
  return run_on(*runtime::reference::make_backend().value(), model, inputs)[0];
}

TEST(Reference, ConvolutionOfThreeByThree) {
  const Model model = model_of(Conv2d{.padding = 1}, {{"weight", tensor_of({1, 2, 3, 4, 5, 6, 7, 8, 9}, {1, 1, 3, 3})},
                                                      {"bias", tensor_of({0.5F}, {1})}});
  const Tensor x = tensor_of({1, 2, 3, 4}, {1, 1, 2, 2});
  // The window's centre on each pixel: 1*5 + 2*6 + 3*8 + 4*9 and so on.
  EXPECT_EQ((std::vector<float>{77.5F, 67.5F, 47.5F, 37.5F}), reference(model, {x}));
}

TEST(Reference, ConvolutionWithStrideDilationAndGroups) {
  const Model model = model_of(Conv2d{.stride = {2, 1}, .dilation = {1, 2}, .groups = 2, .bias = false},
                               {{"weight", tensor_of({1, 10, 100, 1000, 2, 20, 200, 2000}, {2, 1, 2, 2})}});
  const Tensor x = tensor_of({1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 1, 1, 2, 2, 2, 3, 3, 3}, {2, 3, 3});
  // Unbatched. Group 0 sees the first plane: taps (0,0), (0,2), (1,0), (1,2).
  EXPECT_EQ((std::vector<float>{1 + 30 + 400 + 6000, 2 + 20 + 400 + 4000}), reference(model, {x}));
}

TEST(Reference, SamePaddingOfAnEvenKernelPadsMoreBehind) {
  const Model model = model_of(Conv2d{.padding = Padding::same(), .bias = false},
                               {{"weight", tensor_of({1, 10, 100, 1000}, {1, 1, 1, 4})}});
  // Left 1, right 2.
  EXPECT_EQ((std::vector<float>{3210, 4321, 432, 43}), reference(model, {tensor_of({1, 2, 3, 4}, {1, 1, 1, 4})}));
}

TEST(Reference, LinearActsOnTheLastDimension) {
  const Model model = model_of(
      Linear{}, {{"weight", tensor_of({1, 2, 3, 4, 5, 6}, {3, 2})}, {"bias", tensor_of({100, 200, 300}, {3})}});
  EXPECT_EQ((std::vector<float>{105, 211, 317, 111, 225, 339}), reference(model, {tensor_of({1, 2, 3, 4}, {1, 2, 2})}));
}

TEST(Reference, BatchNormUsesRunningStatistics) {
  const Model model = model_of(BatchNorm2d{.eps = 0.25}, {{"weight", tensor_of({2, 3}, {2})},
                                                          {"bias", tensor_of({10, 20}, {2})},
                                                          {"running_mean", tensor_of({1, 2}, {2})},
                                                          {"running_var", tensor_of({0.75F, 3.75F}, {2})}});
  EXPECT_EQ((std::vector<float>{12, 14, 20, 26}), reference(model, {tensor_of({2, 3, 2, 6}, {1, 2, 1, 2})}));
}

TEST(Reference, BatchNormWithoutWeightsOnThreeDimensions) {
  const Model model = model_of(BatchNorm1d{.eps = 0, .affine = false},
                               {{"running_mean", tensor_of({0, 1}, {2})}, {"running_var", tensor_of({4, 16}, {2})}});
  EXPECT_EQ((std::vector<float>{1, 2, 1, 2}), reference(model, {tensor_of({2, 4, 5, 9}, {1, 2, 2})}));
}

TEST(Reference, ReluKeepsNaN) {
  const std::vector<float> y = reference(model_of(ReLU{}), {tensor_of({-1, 2, kNan, -kInf, kInf}, {5})});
  EXPECT_EQ(0, y[0]);
  EXPECT_EQ(2, y[1]);
  EXPECT_TRUE(std::isnan(y[2]));
  EXPECT_EQ(0, y[3]);
  EXPECT_EQ(kInf, y[4]);
}

TEST(Reference, MaxPoolWithCeilModeDropsAWindowThatStartsInThePadding) {
  // Three pixels, windows of two, step two, padding one: (., 0), (1, 2) and, with ceil_mode, none that starts at 3.
  const MaxPool2d pool{.kernel_size = {1, 2}, .stride = {1, 2}, .padding = {0, 1}, .ceil_mode = true};
  EXPECT_EQ((std::vector<float>{1, 3}), reference(model_of(pool), {tensor_of({1, 2, 3}, {1, 1, 1, 3})}));
  // Four pixels: the window at 3 overhangs and stays.
  EXPECT_EQ((std::vector<float>{1, 3, 4}), reference(model_of(pool), {tensor_of({1, 2, 3, 4}, {1, 1, 1, 4})}));
}

TEST(Reference, MaxPoolWithDilationAndNaN) {
  const MaxPool2d pool{.kernel_size = {1, 2}, .stride = 1, .dilation = {1, 2}};
  const std::vector<float> y = reference(model_of(pool), {tensor_of({5, 9, 1, kNan, 2}, {1, 1, 5})});
  EXPECT_EQ(5, y[0]);
  EXPECT_TRUE(std::isnan(y[1]));
  EXPECT_EQ(2, y[2]);
}

TEST(Reference, AvgPoolDivisors) {
  const Tensor x = tensor_of({1, 2, 3, 4, 5}, {1, 1, 1, 5});
  AvgPool2d pool{.kernel_size = {1, 3}, .stride = {1, 2}, .padding = {0, 1}, .ceil_mode = true};
  // Windows (-1 0 1), (1 2 3), (3 4 5): the padding counts.
  EXPECT_EQ((std::vector<float>{1, 3, 3}), reference(model_of(pool), {x}));
  pool.count_include_pad = false;
  EXPECT_EQ((std::vector<float>{1.5F, 3, 4.5F}), reference(model_of(pool), {x}));
  pool.divisor_override = 2;
  EXPECT_EQ((std::vector<float>{1.5F, 4.5F, 4.5F}), reference(model_of(pool), {x}));
}

TEST(Reference, AvgPoolWindowBeyondThePaddingIsClippedToIt) {
  // PyTorch issue 183528: of the window at 2, place 4 lies beyond input and padding, so two places count.
  const AvgPool2d pool{.kernel_size = {1, 3}, .stride = {1, 2}, .ceil_mode = true};
  EXPECT_EQ((std::vector<float>{2, 3.5F}), reference(model_of(pool), {tensor_of({1, 2, 3, 4}, {1, 1, 1, 4})}));
}

TEST(Reference, AdaptiveAvgPoolUpAndDown) {
  const Tensor x = tensor_of({1, 2, 3, 4, 5}, {1, 1, 5});
  EXPECT_EQ((std::vector<float>{2, 4}), reference(model_of(AdaptiveAvgPool2d{.output_size = {-1, 2}}), {x}));
  // Bins [0,1) [0,2) [1,3) [2,3) [2,4) [3,5) [4,5).
  EXPECT_EQ((std::vector<float>{1, 1.5F, 2.5F, 3, 3.5F, 4.5F, 5}),
            reference(model_of(AdaptiveAvgPool2d{.output_size = {1, 7}}), {x}));
}

TEST(Reference, SoftmaxAlongAnyDimension) {
  const Tensor x = tensor_of({0, std::log(3.0F), std::log(2.0F), 0}, {2, 2});
  const std::vector<float> rows = reference(model_of(Softmax{.dim = 1}), {x});
  EXPECT_FLOAT_EQ(0.25F, rows[0]);
  EXPECT_FLOAT_EQ(0.75F, rows[1]);
  const std::vector<float> columns = reference(model_of(Softmax{.dim = -2}), {x});
  EXPECT_FLOAT_EQ(1.0F / 3, columns[0]);
  EXPECT_FLOAT_EQ(0.75F, columns[1]);
}

TEST(Reference, SoftmaxOfInfinitiesIsWhatTorchSays) {
  const auto all_nan = [](const std::vector<float>& values) {
    return std::all_of(values.begin(), values.end(), [](float v) { return std::isnan(v); });
  };
  EXPECT_TRUE(all_nan(reference(model_of(Softmax{}), {tensor_of({-kInf, -kInf}, {2})})));
  EXPECT_TRUE(all_nan(reference(model_of(Softmax{}), {tensor_of({kInf, 0}, {2})})));
  EXPECT_TRUE(all_nan(reference(model_of(Softmax{}), {tensor_of({kNan, 0}, {2})})));
  EXPECT_EQ((std::vector<float>{0, 1}), reference(model_of(Softmax{}), {tensor_of({-kInf, 0}, {2})}));
}

TEST(Reference, AddBroadcasts) {
  GraphBuilder builder;
  const Edge a = builder.input("a");
  const Edge b = builder.input("b");
  builder.output("sum", builder.apply("", Add{}, a, b));
  const Model model = Model::create(builder.build().value(), {}).value();
  EXPECT_EQ((std::vector<float>{11, 12, 23, 24}),
            reference(model, {tensor_of({1, 2, 3, 4}, {2, 2}), tensor_of({10, 20}, {2, 1})}));
  EXPECT_EQ((std::vector<float>{11, 22, 13, 24}),
            reference(model, {tensor_of({1, 2, 3, 4}, {2, 2}), tensor_of({10, 20}, {2})}));
}

TEST(Reference, FlattenDropoutAndIdentityMoveNothing) {
  const Tensor x = tensor_of({1, 2, 3, 4, 5, 6, 7, 8}, {2, 2, 2});
  for (const Operator& op : {Operator(Flatten{}), Operator(Dropout{}), Operator(Identity{})}) {
    EXPECT_EQ(floats_of(x), reference(model_of(op), {x}));
  }
}

}  // namespace
}  // namespace rushlight::test
