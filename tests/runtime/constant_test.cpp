#include "runtime/constant.hpp"

#include <gtest/gtest.h>

#include "runtime/networks.hpp"

namespace rushlight::test {
namespace {

using runtime::Constant;
using runtime::Form;

std::vector<float> made(const Constant& constant, const Model& model) {
  return floats_of(runtime::materialise(constant, {model.graph(), model.state_dict()}).value());
}

Model conv_and_norm(bool bias) {
  GraphBuilder g;
  const Edge x =
      g.apply("conv", Conv2d{.in_channels = 2, .out_channels = 1, .kernel_size = {1, 2}, .bias = bias}, g.input("x"));
  g.output("y", g.apply("bn", BatchNorm2d{.num_features = 1, .eps = 0.25}, x));
  StateDict state;
  state.insert("conv.weight", tensor_of({1, 2, 3, 4}, {1, 2, 1, 2}));
  if (bias) state.insert("conv.bias", tensor_of({7}, {1}));
  state.insert("bn.weight", tensor_of({6}, {1}));
  state.insert("bn.bias", tensor_of({0.5F}, {1}));
  state.insert("bn.running_mean", tensor_of({5}, {1}));
  state.insert("bn.running_var", tensor_of({8.75F}, {1}));  // with eps the square of 3
  return Model::create(g.build().value(), state).value();
}

TEST(Constant, ConvolutionWeightsPutChannelsLast) {
  EXPECT_EQ((std::vector<float>{1, 3, 2, 4}), made({.form = Form::conv_weight, .node = 0}, conv_and_norm(true)));
}

TEST(Constant, AFoldedBatchNormScalesWeightsAndMakesABias) {
  const Model with_bias = conv_and_norm(true);
  EXPECT_EQ((std::vector<float>{2, 6, 4, 8}), made({.form = Form::conv_weight, .node = 0, .batch_norm = 1}, with_bias));
  EXPECT_EQ((std::vector<float>{4.5F}), made({.form = Form::bias, .node = 0, .batch_norm = 1}, with_bias));
  EXPECT_EQ((std::vector<float>{-9.5F}), made({.form = Form::bias, .node = 0, .batch_norm = 1}, conv_and_norm(false)));
}

TEST(Constant, TheVectorsOfANormStep) {
  const Model model = conv_and_norm(true);
  EXPECT_EQ((std::vector<float>{5}), made({.form = Form::norm_mean, .node = 1}, model));
  EXPECT_EQ((std::vector<float>{2}), made({.form = Form::norm_scale, .node = 1}, model));
  EXPECT_EQ((std::vector<float>{0.5F}), made({.form = Form::norm_shift, .node = 1}, model));
}

TEST(Constant, ColumnsOfALinearFollowAFlattenedImage) {
  const Model model = model_of(Linear{}, {{"weight", tensor_of({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, {2, 6})},
                                          {"bias", tensor_of({1, 2}, {2})}});
  // Two channels of three pixels: [c0p0 c0p1 c0p2 c1p0 ...] becomes [c0p0 c1p0 c0p1 ...].
  const Constant flattened{.form = Form::linear_weight, .node = 0, .channels = 2, .pixels = 3};
  EXPECT_EQ((std::vector<float>{1, 4, 2, 5, 3, 6, 7, 10, 8, 11, 9, 12}), made(flattened, model));
}

TEST(Constant, WhatNeedsNoChangeIsTheParameterItself) {
  const Model linear = made_up_model(graph_of(Linear{3, 4}));
  const runtime::Network network{linear.graph(), linear.state_dict()};
  EXPECT_TRUE(runtime::materialise({.form = Form::linear_weight, .node = 0}, network)
                  ->shares_storage_with(*linear.state_dict().find("op.weight")));
  EXPECT_TRUE(runtime::materialise({.form = Form::bias, .node = 0}, network)
                  ->shares_storage_with(*linear.state_dict().find("op.bias")));
  const Model pointwise = made_up_model(graph_of(Conv2d{.in_channels = 3, .out_channels = 4, .kernel_size = 1}));
  const Tensor weight =
      runtime::materialise({.form = Form::conv_weight, .node = 0}, {pointwise.graph(), pointwise.state_dict()}).value();
  EXPECT_TRUE(weight.shares_storage_with(*pointwise.state_dict().find("op.weight")));
  EXPECT_EQ((Shape{4, 1, 1, 3}), Shape(weight.shape().begin(), weight.shape().end()));
}

}  // namespace
}  // namespace rushlight::test
