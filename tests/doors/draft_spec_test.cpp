#include "rushlight/draft_spec.hpp"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "rushlight/checkpoint.hpp"
#include "rushlight/load_model.hpp"

namespace rushlight {
namespace {

StateDict of(const std::vector<std::pair<std::string, Shape>>& tensors) {
  StateDict state;
  for (const auto& [name, shape] : tensors) state.insert(name, Tensor::zeros(DType::f32, shape).value());
  return state;
}

bool assumes(const SpecDraft& draft, std::string_view words) {
  for (const std::string& text : draft.assumptions) {
    if (text.find(words) != std::string::npos) return true;
  }
  return false;
}

TEST(DraftSpec, TheFashionNetIsGuessedRightWithEveryAssumptionSaid) {
  const Checkpoint checkpoint = Checkpoint::open(RUSHLIGHT_GOLDEN_DIR "/fashion/fashion_cnn.pt").value();
  const SpecDraft draft = draft_spec(checkpoint.state_dict().value()).value();
  EXPECT_EQ(draft.spec, R"({"schema": 1, "input": [1, 28, 28],
 "layers": [
  {"conv2d": "conv1", "padding": 1},
  {"batchnorm2d": "bn1"},
  "relu",
  {"maxpool2d": 2},
  {"conv2d": "conv2", "padding": 1},
  {"batchnorm2d": "bn2"},
  "relu",
  {"maxpool2d": 2},
  "flatten",
  {"linear": "fc1"},
  "relu",
  {"linear": "fc2"}]}
)");
  EXPECT_TRUE(draft.fits);
  EXPECT_TRUE(draft.unread.empty());
  EXPECT_TRUE(assumes(draft, "pictures are 28 x 28"));
  EXPECT_TRUE(assumes(draft, "relu"));
  EXPECT_TRUE(assumes(draft, "max pools of 2"));
  EXPECT_TRUE(assumes(draft, "eps of 1e-5"));
  EXPECT_TRUE(load_model(checkpoint, {.spec = draft.spec}));
}

TEST(DraftSpec, LeNetNeedsNoPaddingForPicturesOf32) {
  const StateDict state = of({{"conv1.weight", {6, 1, 5, 5}},
                              {"conv1.bias", {6}},
                              {"conv2.weight", {16, 6, 5, 5}},
                              {"conv2.bias", {16}},
                              {"fc1.weight", {120, 400}},
                              {"fc1.bias", {120}},
                              {"fc2.weight", {10, 120}},
                              {"fc2.bias", {10}}});
  const SpecDraft draft = draft_spec(state).value();
  EXPECT_TRUE(draft.fits);
  EXPECT_TRUE(assumes(draft, "pictures are 32 x 32"));
  EXPECT_TRUE(assumes(draft, "convolutions have no padding"));
}

TEST(DraftSpec, AnMlpAndOtherKindsOfLayers) {
  const SpecDraft mlp = draft_spec(of({{"0.weight", {128, 784}}, {"0.bias", {128}}, {"2.weight", {10, 128}}})).value();
  EXPECT_TRUE(mlp.fits);
  EXPECT_NE(mlp.spec.find(R"("input": [784])"), std::string::npos);
  EXPECT_NE(mlp.spec.find(R"({"linear": "2", "bias": false})"), std::string::npos);
  const SpecDraft audio = draft_spec(of({{"conv.weight", {8, 1, 9}},
                                         {"bn.running_mean", {8}},
                                         {"bn.running_var", {8}},
                                         {"rnn.weight_ih_l0", {12, 8}},
                                         {"rnn.weight_hh_l0", {12, 4}},
                                         {"rnn.bias_ih_l0", {12}},
                                         {"rnn.bias_hh_l0", {12}},
                                         {"extra", {2, 2, 2, 2, 2, 2}}}))
                              .value();
  EXPECT_NE(audio.spec.find(R"("batchnorm1d": "bn", "affine": false)"), std::string::npos);
  EXPECT_NE(audio.spec.find(R"({"gru": "rnn", "input_size": 8, "hidden_size": 4, "num_layers": 1)"), std::string::npos);
  EXPECT_EQ(audio.unread, (std::vector<std::string>{"extra"}));
  EXPECT_FALSE(audio.fits);
}

TEST(DraftSpec, WhatDoesNotFollowIsSaid) {
  const SpecDraft draft = draft_spec(of({{"a.weight", {8, 3, 3, 3}}, {"b.weight", {7, 5, 3, 3}}})).value();
  EXPECT_TRUE(assumes(draft, "'b' takes 5 channels, the layer before gives 8: it belongs elsewhere"));
  EXPECT_TRUE(assumes(draft, "the weights do not fit the draft"));
  EXPECT_FALSE(draft.fits);
}

TEST(DraftSpec, NothingLikeALayerIsAnError) {
  const Result<SpecDraft> draft = draft_spec(of({{"x", {3}}}));
  ASSERT_FALSE(draft);
  EXPECT_EQ(draft.error().code, ErrorCode::unsupported);
  EXPECT_EQ(draft.error().finding.message, "no tensor looks like the weight of a layer");
}

}  // namespace
}  // namespace rushlight
