#include "rushlight/evaluate.hpp"

#include <gtest/gtest.h>

#include <limits>

#include "runtime/nets.hpp"
#include "runtime/networks.hpp"

namespace rushlight::test {
namespace {

// Scores are the inputs themselves.
Model echo(std::vector<std::string> labels = {}) {
  GraphBuilder g;
  g.output("scores", g.apply("", Identity{}, g.input("x", {-1, 3})));
  if (!labels.empty()) g.labels(std::move(labels));
  return Model::create(g.build().value(), {}).value();
}

const std::vector<float> kScores{1, 3, 2, 5, 5, 4, -1, -2, -3, 0, 7, 7, 2, 1, 9};

TEST(Evaluate, OrdersClassesWithLabelsAndProbabilities) {
  const Model model = echo({"ant", "bee", "cat"});
  const Evaluation evaluation = evaluate(model, tensor_of(kScores, {5, 3}), {.batch = 2, .top = 2}).value();
  EXPECT_EQ(5, evaluation.items);
  EXPECT_EQ(kScores, floats_of(evaluation.output));
  ASSERT_EQ(5U, evaluation.results.size());
  const auto& first = evaluation.results[0].top;
  ASSERT_EQ(2U, first.size());
  EXPECT_EQ(1, first[0].index);
  EXPECT_EQ("bee", first[0].label);
  EXPECT_EQ(3.0, first[0].score);
  const double sum = std::exp(1.0) + std::exp(2.0) + std::exp(3.0);
  EXPECT_NEAR(std::exp(3.0) / sum, first[0].probability, 1e-12);
  EXPECT_EQ("cat", first[1].label);
  // Equal scores: the lower index first.
  EXPECT_EQ(0, evaluation.results[1].top[0].index);
  EXPECT_EQ(1, evaluation.results[3].top[0].index);
  EXPECT_FALSE(evaluation.accuracy);
  EXPECT_GE(evaluation.milliseconds, 0.0);
}

TEST(Evaluate, CountsTheRightOnes) {
  const Model model = echo();
  const std::vector<std::uint8_t> bytes{1, 0, 2, 2, 2};
  const std::vector<std::int64_t> longs{1, 0, 2, 2, 2};
  const Tensor targets[] = {Tensor::from_values<std::uint8_t>(bytes, {5}).value(),
                            Tensor::from_values<std::int64_t>(longs, {5}).value()};
  for (const Tensor& target : targets) {
    for (const std::int64_t top : {0, 5}) {
      const auto evaluation = evaluate(model, tensor_of(kScores, {5, 3}), {.top = top, .targets = &target}).value();
      EXPECT_DOUBLE_EQ(0.6, evaluation.accuracy.value());
      EXPECT_EQ(static_cast<std::size_t>(std::min<std::int64_t>(top, 3)), evaluation.results[0].top.size());
    }
  }
}

TEST(Evaluate, AnItemWithNaNAmongItsScoresIsNotRight) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<std::int64_t> classes{0, 0, 2};
  const Tensor targets = Tensor::from_values<std::int64_t>(classes, {3}).value();
  const auto evaluation =
      evaluate(echo(), tensor_of({nan, nan, nan, nan, 1, 2, 0, 1, 2}, {3, 3}), {.targets = &targets}).value();
  EXPECT_DOUBLE_EQ(1.0 / 3, evaluation.accuracy.value());
}

TEST(Evaluate, NaNRanksFirstAsInTorch) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const auto evaluation = evaluate(echo(), tensor_of({1, nan, 9}, {1, 3})).value();
  EXPECT_EQ(1, evaluation.results[0].top[0].index);
  EXPECT_EQ(2, evaluation.results[0].top[1].index);
}

TEST(Evaluate, OutputsThatAreProbabilitiesAlreadyStayAsTheyAre) {
  GraphBuilder g;
  const Edge y = g.apply("", Softmax{.dim = 1}, g.input("x", {-1, 3}));
  g.output("p", g.apply("", Dropout{}, y));
  const Model model = Model::create(g.build().value(), {}).value();
  const auto evaluation = evaluate(model, tensor_of({0, 1, 2}, {1, 3})).value();
  const ScoredClass& best = evaluation.results[0].top[0];
  EXPECT_DOUBLE_EQ(best.score, best.probability);
  EXPECT_LT(best.probability, 0.7);
}

TEST(Evaluate, BatchesGiveTheSameAsAllAtOnce) {
  const Model model = made_up_model(fashion_net());
  const Tensor x = made_up("x", {7, 1, 28, 28});
  const auto whole = evaluate(model, x, {.batch = 100}).value();
  for (const std::int64_t batch : {1, 2, 3, 7}) {
    const auto pieces = evaluate(model, x, {.batch = batch}).value();
    expect_close(floats_of(whole.output), floats_of(pieces.output), 1e-6);
  }
}

TEST(Evaluate, ADeclaredBatchSizeIsKept) {
  GraphBuilder g;
  g.output("y", g.apply("fc", Linear{2, 2}, g.input("x", {2, 2})));
  const Model model = made_up_model(g.build().value());
  EXPECT_EQ(4, evaluate(model, made_up("x", {4, 2}), {.batch = 3}).value().items);
}

TEST(Evaluate, NoItemsAreNoItems) {
  const auto evaluation = evaluate(echo(), Tensor::zeros(DType::f32, {0, 3}).value()).value();
  EXPECT_EQ(0, evaluation.items);
  EXPECT_TRUE(evaluation.results.empty());
}

TEST(Evaluate, OutputsThatAreNoScoresHaveNoClasses) {
  GraphBuilder g;
  g.output("y", g.apply("pool", MaxPool2d{.kernel_size = 2}, g.input("x", {-1, 1, 4, 4})));
  const Model model = Model::create(g.build().value(), {}).value();
  const auto evaluation = evaluate(model, made_up("x", {2, 1, 4, 4})).value();
  EXPECT_EQ(4, evaluation.output.dim());
  EXPECT_TRUE(evaluation.results.empty());
}

class StopAfter final : public Progress {
 public:
  explicit StopAfter(std::uint64_t items) : items_(items) {}
  bool on_progress(std::string_view, std::uint64_t done, std::uint64_t total) override {
    EXPECT_EQ(5U, total);
    return done < items_;
  }

 private:
  std::uint64_t items_;
};

TEST(Evaluate, CanBeCancelledBetweenBatches) {
  StopAfter progress(3);
  const auto evaluation = evaluate(echo(), tensor_of(kScores, {5, 3}), {.batch = 2, .progress = &progress});
  ASSERT_FALSE(evaluation);
  EXPECT_EQ(ErrorCode::cancelled, evaluation.error().code);
}

// Indices in, places of the largest out, in pieces of several items.
TEST(Evaluate, InputsAndOutputsMayBeIndices) {
  GraphBuilder g;
  const Edge rows =
      g.apply("table", Embedding{.num_embeddings = 3, .embedding_dim = 2}, g.input("x", {-1}, DType::i64));
  g.output("place", g.apply("", ArgMax{.dim = 1}, rows));
  StateDict state;
  state.insert("table.weight", tensor_of({1, 2, 4, 3, 5, 6}, {3, 2}));
  const Model model = Model::create(g.build().value(), state).value();
  const std::vector<std::int64_t> items{1, 0, 2, 1, 1};
  const Tensor input = Tensor::from_values<std::int64_t>(items, {5}).value();
  const Evaluation evaluation = evaluate(model, input, {.batch = 2}).value();
  EXPECT_EQ(DType::i64, evaluation.output.dtype());
  const auto places = evaluation.output.values<std::int64_t>().value();
  EXPECT_EQ((std::vector<std::int64_t>{0, 1, 1, 0, 0}), std::vector<std::int64_t>(places.begin(), places.end()));
  EXPECT_TRUE(evaluation.results.empty());
  const auto floats = evaluate(model, tensor_of({1, 0}, {2}), {});
  ASSERT_FALSE(floats);
  EXPECT_EQ("the input: expected int64, found float32", floats.error().finding.message);
}

TEST(Evaluate, OutputsToChooseFromAreNamed) {
  GraphBuilder g;
  const Edge x = g.input("x", {-1, 3});
  g.output("first", x);
  g.output("second", g.apply("", ReLU{}, x));
  const auto both = evaluate(Model::create(g.build().value(), {}).value(), tensor_of(kScores, {5, 3}), {});
  ASSERT_FALSE(both);
  EXPECT_EQ("evaluation wants a model with 1 input and 1 output, found 1 and 2", both.error().finding.message);
  EXPECT_EQ("choose one (Graph::with_outputs, --tap): 'first', 'second'", both.error().finding.hint);
}

TEST(Evaluate, WrongArgumentsAreNamed) {
  const Tensor x = tensor_of(kScores, {5, 3});
  const auto message = [&](const Tensor& input, const EvaluateOptions& options) {
    const auto result = evaluate(echo(), input, options);
    EXPECT_FALSE(result);
    EXPECT_EQ(ErrorCode::invalid_argument, result.error().code);
    return result.error().finding.message;
  };
  EXPECT_EQ("batch: expected at least 1, found 0", message(x, {.batch = 0}));
  EXPECT_EQ("top: expected at least 0, found -1", message(x, {.top = -1}));
  EXPECT_EQ("the input is a single number, not a set of items", message(tensor_of({1}, {}), {}));
  EXPECT_EQ("the input: expected float32, found uint8", message(Tensor::zeros(DType::u8, {5, 3}).value(), {}));
  const Tensor few = Tensor::zeros(DType::u8, {4}).value();
  EXPECT_EQ("targets: expected shape [5], found [4]", message(x, {.targets = &few}));
  const Tensor floats = Tensor::zeros(DType::f32, {5}).value();
  EXPECT_EQ("targets: expected uint8 or int64, found float32", message(x, {.targets = &floats}));
  const std::vector<std::uint8_t> labels{0, 1, 2, 3, 0};
  const Tensor beyond = Tensor::from_values<std::uint8_t>(labels, {5}).value();
  EXPECT_EQ("targets: expected classes 0 to 2, found 3 at item 3", message(x, {.targets = &beyond}));
  EXPECT_EQ("labels: expected 3, one for each class, found 2", message(x, {.labels = {"ant", "bee"}}));
  EXPECT_EQ("labels: expected 3, one for each class, found 4", message(x, {.labels = {"ant", "bee", "cat", "dog"}}));
}

TEST(Evaluate, LabelsNeedClasses) {
  GraphBuilder g;
  g.output("planes", g.apply("", Identity{}, g.input("x", {-1, 3, 2})));
  const Model model = Model::create(g.build().value(), {}).value();
  const Tensor x = Tensor::zeros(DType::f32, {1, 3, 2}).value();
  ASSERT_TRUE(evaluate(model, x));
  EXPECT_EQ("labels need an output of scores, [items, classes], found [1, 3, 2]",
            evaluate(model, x, {.labels = {"ant", "bee", "cat"}}).error().finding.message);
}

// Said before the first batch is computed.
TEST(Evaluate, ItemsThatDoNotFillTheModelsOwnBatches) {
  GraphBuilder g;
  g.output("scores", g.apply("", Identity{}, g.input("x", {2, 3})));
  const Model model = Model::create(g.build().value(), {}).value();
  EXPECT_EQ(4, evaluate(model, Tensor::zeros(DType::f32, {4, 3}).value(), {.batch = 64}).value().items);
  for (const std::int64_t batch : {2, 64}) {
    StopAfter never(0);
    const Result<Evaluation> evaluation =
        evaluate(model, tensor_of(kScores, {5, 3}), {.batch = batch, .progress = &never});
    ASSERT_FALSE(evaluation);
    EXPECT_EQ("the model takes batches of 2, which 5 items do not fill", evaluation.error().finding.message);
  }
}

}  // namespace
}  // namespace rushlight::test
