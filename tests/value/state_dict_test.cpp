#include "rushlight/state_dict.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace rushlight {
namespace {

Tensor of_size(std::int64_t size) {
  return Tensor::zeros(DType::u8, {size}).value();
}

TEST(StateDict, KeepsTheOrderOfTheFile) {
  StateDict state;
  EXPECT_TRUE(state.empty());
  state.insert("z", of_size(1));
  state.insert("a", of_size(2));
  state.insert("m", of_size(3));
  std::vector<std::string> names;
  for (const auto& [name, tensor] : state) names.push_back(name + std::to_string(tensor.numel()));
  EXPECT_EQ(names, (std::vector<std::string>{"z1", "a2", "m3"}));
  EXPECT_EQ(state.size(), 3U);
}

TEST(StateDict, FindsEveryNameAtEverySize) {
  for (const int count : {1, 7, 8, 9, 10, 100, 20000}) {
    StateDict state;
    const Tensor tensor = of_size(1);
    for (int i = 0; i < count; ++i) state.insert("layer." + std::to_string(i) + ".weight", tensor);
    ASSERT_EQ(state.size(), static_cast<std::size_t>(count));
    for (int i = 0; i < count; ++i) ASSERT_NE(state.find("layer." + std::to_string(i) + ".weight"), nullptr) << i;
    EXPECT_EQ(state.find("layer." + std::to_string(count) + ".weight"), nullptr);
    EXPECT_EQ(state.find(""), nullptr);
  }
}

TEST(StateDict, AnExistingNameIsReplacedInItsPlace) {
  for (const int count : {2, 30}) {
    StateDict state;
    for (int i = 0; i < count; ++i) state.insert(std::to_string(i), of_size(i));
    state.insert("1", of_size(77));
    EXPECT_EQ(state.size(), static_cast<std::size_t>(count));
    EXPECT_EQ((state.begin() + 1)->second.numel(), 77);
    EXPECT_EQ(state.find("1")->numel(), 77);
  }
}

TEST(StateDict, ErasedNamesAreGoneAndTheOthersStillFound) {
  for (const int count : {3, 9, 30}) {
    StateDict state;
    for (int i = 0; i < count; ++i) state.insert(std::to_string(i), of_size(i));
    EXPECT_TRUE(state.erase("1"));
    EXPECT_FALSE(state.erase("1"));
    EXPECT_EQ(state.find("1"), nullptr);
    EXPECT_EQ(state.size(), static_cast<std::size_t>(count - 1));
    for (int i = 2; i < count; ++i) ASSERT_EQ(state.find(std::to_string(i))->numel(), i);
    state.insert("1", of_size(1));
    EXPECT_EQ((state.end() - 1)->first, "1");
  }
}

TEST(StateDict, AMissingNameIsNotFoundAndNearOnesAreNamed) {
  StateDict state;
  state.insert("fc1.weight", of_size(1));
  state.insert("fc1.bias", of_size(1));
  const auto missing = state.at("fc1.wieght");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::not_found);
  EXPECT_EQ(missing.error().finding.message, "there is no tensor 'fc1.wieght' in the state dict");
  EXPECT_NE(missing.error().finding.hint.find("'fc1.weight'"), std::string::npos);
  EXPECT_TRUE(state.at("fc1.bias"));
}

TEST(StateDict, CopiesShareTensorsAndNothingElse) {
  StateDict state;
  for (int i = 0; i < 20; ++i) state.insert(std::to_string(i), of_size(i));
  state.set_path("model");
  state.set_metadata(Value("meta"));
  StateDict copy = state;
  EXPECT_TRUE(copy.find("3")->shares_storage_with(*state.find("3")));
  EXPECT_EQ(copy.path(), "model");
  EXPECT_EQ(copy.metadata().as_string(), "meta");
  copy.erase("3");
  copy.insert("new", of_size(1));
  EXPECT_NE(state.find("3"), nullptr);
  EXPECT_EQ(state.find("new"), nullptr);
  StateDict assigned;
  assigned.insert("old", of_size(1));
  assigned = state;
  EXPECT_EQ(assigned.find("old"), nullptr);
  EXPECT_EQ(assigned.find("19")->numel(), 19);
}

TEST(StateDict, MovedFromIsEmptyAndMayBeUsedAgain) {
  StateDict state;
  for (int i = 0; i < 20; ++i) state.insert(std::to_string(i), of_size(i));
  StateDict moved = std::move(state);
  EXPECT_EQ(moved.find("19")->numel(), 19);
  EXPECT_TRUE(state.empty());  // NOLINT(bugprone-use-after-move): that is the question
  state.insert("again", of_size(1));
  EXPECT_NE(state.find("again"), nullptr);
  state = std::move(moved);
  EXPECT_EQ(state.size(), 20U);
}

}  // namespace
}  // namespace rushlight
