#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "rushlight/model.hpp"

namespace rushlight {
namespace {

Tensor floats(const std::vector<float>& values, Shape shape) {
  return Tensor::from_bytes(std::as_bytes(std::span(values)), DType::f32, shape).value();
}

// y = w x, with a name for the layer or none.
Model scale(float w, const std::string& name = "fc", const std::string& output = "y") {
  GraphBuilder g;
  g.output(output, g.apply(name, Linear{.in_features = 1, .out_features = 1, .bias = false}, g.input("x", {-1, 1})));
  StateDict state;
  state.insert(name.empty() ? "weight" : name + ".weight", floats({w}, {1, 1}));
  return Model::create(g.build().value(), state).value();
}

TEST(Ensemble, NamesParametersByPlaceAndSharesThem) {
  const std::vector<Model> models = {scale(1), scale(2), scale(6)};
  const Model mean = make_ensemble(models).value();
  ASSERT_EQ(mean.state_dict().size(), 3u);
  EXPECT_EQ(mean.state_dict().find("1.fc.weight")->storage().memory(),
            models[1].state_dict().find("fc.weight")->storage().memory());
  EXPECT_EQ(mean.inputs()[0].shape, (Shape{-1, 1}));
  EXPECT_EQ(mean.outputs()[0].name, "y");
  EXPECT_EQ(mean.graph().notes(), (std::vector<std::string>{"the mean of 3 models"}));
  EXPECT_EQ(mean.graph().nodes().back().op.get<Mul>().other, 1.0 / 3);
}

TEST(Ensemble, LoneLayersWithoutNamesKeepApart) {
  const std::vector<Model> models = {scale(1, ""), scale(2, "")};
  const Model mean = make_ensemble(models).value();
  EXPECT_NE(mean.state_dict().find("0.weight"), nullptr);
  EXPECT_NE(mean.state_dict().find("1.weight"), nullptr);
}

TEST(Ensemble, ModulesThatAreCalledAgainShareWithinTheirModel) {
  GraphBuilder g;
  const Edge x = g.apply("fc", Linear{1, 1, false}, g.input("x", {-1, 1}));
  g.output("y", g.apply("fc", Linear{1, 1, false}, x));
  StateDict state;
  state.insert("fc.weight", floats({3}, {1, 1}));
  const Model twice = Model::create(g.build().value(), state).value();
  const std::vector<Model> models = {scale(2), twice};
  const Model mean = make_ensemble(models).value();
  EXPECT_EQ(mean.state_dict().size(), 2u);
  EXPECT_EQ(mean.graph().nodes()[2].name, "1.fc_1");
  EXPECT_EQ(mean.graph().nodes()[2].parameter("weight"), "1.fc.weight");
}

TEST(Ensemble, OneModelIsItself) {
  const std::vector<Model> models = {scale(3)};
  EXPECT_EQ(make_ensemble(models).value().graph().nodes().size(), 1u);
}

TEST(Ensemble, WhatDoesNotGoTogetherIsRefused) {
  EXPECT_EQ(make_ensemble({}).error().finding.message, "an ensemble has no models");
  const std::vector<Model> others = {scale(1), scale(2, "fc", "z")};
  const Result<Model> mean = make_ensemble(others);
  ASSERT_FALSE(mean);
  EXPECT_EQ(mean.error().code, ErrorCode::mismatch);
  EXPECT_EQ(mean.error().finding.message, "model 1 of the ensemble has other inputs or outputs than the first");
}

}  // namespace
}  // namespace rushlight
