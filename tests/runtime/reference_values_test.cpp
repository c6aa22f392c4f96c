// What the vectors of tests/operators cannot hold: operators without inputs, indices that point nowhere, sizes of an
// attacker's choice.
#include <gtest/gtest.h>

#include "runtime/networks.hpp"

namespace rushlight::test {
namespace {

Result<std::vector<Tensor>> run_reference(const Model& model, std::vector<Tensor> inputs, const Limits& limits = {}) {
  auto session = model.session(Device::cpu(), {.implementation = Implementation::reference, .limits = limits});
  if (!session) return std::move(session).error();
  return session->run(std::span<const Tensor>(inputs));
}

Tensor indices_of(std::initializer_list<std::int64_t> values, Shape shape) {
  return Tensor::from_values(std::span(values.begin(), values.size()), std::move(shape)).value();
}

// One operator on inputs of these dtypes.
Model model_on(Operator op, std::initializer_list<DType> dtypes, const StateDict& state = {}) {
  GraphBuilder builder;
  std::vector<Edge> edges;
  for (const DType dtype : dtypes) edges.push_back(builder.input("x" + std::to_string(edges.size()), {}, dtype));
  builder.output("y", builder.apply("op", std::move(op), std::span<const Edge>(edges)));
  return Model::create(builder.build().value(), state).value();
}

void expect_outside(const Model& model, std::vector<Tensor> inputs, const std::string& message) {
  const auto result = run_reference(model, std::move(inputs));
  ASSERT_FALSE(result);
  EXPECT_EQ("RUN-INDEX", result.error().finding.code);
  EXPECT_EQ(ErrorCode::invalid_argument, result.error().code);
  EXPECT_EQ(message, result.error().finding.message);
}

TEST(ReferenceValues, ParametersAndConstantsAreValues) {
  GraphBuilder builder;
  const Edge x = builder.input("x");
  const Edge scale = builder.apply("scale", Parameter{}, std::initializer_list<Edge>{});
  const Edge shift = builder.apply("", Constant{.shape = {2, 1}, .values = {10, 0.1}}, std::initializer_list<Edge>{});
  builder.output("y", builder.apply("", Add{}, builder.apply("", Mul{}, x, scale), shift));
  StateDict state;
  state.insert("scale", tensor_of({1, 2, 3}, {3}));
  const Model model = Model::create(builder.build().value(), state).value();
  const auto y = run_reference(model, {tensor_of({1, 1, 1, 2, 2, 2}, {2, 3})}).value();
  EXPECT_EQ((std::vector<float>{11, 12, 13, 2.1F, 4.1F, 6.1F}), floats_of(y[0]));
}

// As torch.nn.functional.pad: elements are reflected and replicated that cropping leaves out.
TEST(ReferenceValues, PaddingMayShowWhatIsCropped) {
  const auto padded = [](std::vector<float> values, std::int64_t before, std::int64_t after, PadMode mode) {
    const auto size = static_cast<std::int64_t>(values.size());
    const Model model = model_on(Pad{.pad = {before, after}, .mode = mode, .value = 9}, {DType::f32});
    const auto y = run_reference(model, {Tensor::from_values(std::span<const float>(values), {1, 1, size}).value()});
    return y ? floats_of(y->front()) : std::vector<float>{};
  };
  using Values = std::vector<float>;
  EXPECT_EQ((Values{2, 1}), padded({1, 2}, -1, 1, PadMode::reflect));
  EXPECT_EQ((Values{1}), padded({1, 2, 3}, -4, 2, PadMode::reflect));
  EXPECT_EQ((Values{3, 2, 1, 2}), padded({1, 2, 3}, 2, -1, PadMode::reflect));
  EXPECT_EQ((Values{3, 2}), padded({1, 2, 3}, 2, -3, PadMode::reflect));
  EXPECT_EQ((Values{1, 1}), padded({1}, -4, 5, PadMode::replicate));
  EXPECT_EQ((Values{1, 1, 1}), padded({1, 2}, 4, -3, PadMode::replicate));
  EXPECT_EQ((Values{2, 3, 3}), padded({1, 2, 3}, -1, 1, PadMode::replicate));
  EXPECT_EQ((Values{2, 2}), padded({1, 2}, -1, 1, PadMode::circular));
  EXPECT_EQ((Values{9, 1}), padded({1, 2}, 1, -1, PadMode::constant));
}

TEST(ReferenceValues, BagsOfAMatrixHoldIndices) {
  StateDict state;
  state.insert("op.weight", tensor_of({1, 2, 3, 4}, {2, 2}));
  const Model model = model_on(EmbeddingBag{.num_embeddings = 2, .embedding_dim = 2}, {DType::i64}, state);
  const auto none = run_reference(model, {indices_of({}, {0, 3})}).value();
  EXPECT_EQ((Shape{0, 2}), Shape(none[0].shape().begin(), none[0].shape().end()));
  const auto refused = run_reference(model, {indices_of({}, {2, 0})});
  ASSERT_FALSE(refused);
  EXPECT_EQ("layer 'op': expected bags that are not empty, found [2, 0]", refused.error().finding.message);
}

TEST(ReferenceValues, AnIndexBufferChoosesRows) {
  GraphBuilder builder;
  const Edge x = builder.input("x");
  const Edge order = builder.apply("order", Parameter{.shape = {3}, .integer = true}, std::initializer_list<Edge>{});
  builder.output("y", builder.apply("", IndexSelect{}, x, order));
  builder.output("order", order);
  StateDict state;
  state.insert("order", indices_of({2, 0, 2}, {3}));
  const Model model = Model::create(builder.build().value(), state).value();
  const auto y = run_reference(model, {tensor_of({1, 2, 3}, {3})}).value();
  EXPECT_EQ((std::vector<float>{3, 1, 3}), floats_of(y[0]));
  EXPECT_EQ(DType::i64, y[1].dtype());
  EXPECT_EQ(0, y[1].values<std::int64_t>().value()[1]);
}

TEST(ReferenceValues, IntegerConstantsAreWhole) {
  GraphBuilder builder;
  const Edge x = builder.input("x", {3});
  const Edge places =
      builder.apply("", Constant{.shape = {1}, .values = {0.5}, .integer = true}, std::initializer_list<Edge>{});
  builder.output("y", builder.apply("", IndexSelect{}, x, places));
  const auto graph = builder.build();
  ASSERT_FALSE(graph);
  EXPECT_NE(std::string::npos, graph.error().finding.message.find("whole numbers")) << graph.error().finding.message;
}

TEST(ReferenceValues, ExpandAsOfSomeDimensions) {
  // A class token for each item of the batch, whatever the batch.
  const Model model = model_on(ExpandAs{.dims = {0}}, {DType::f32, DType::f32});
  const auto y = run_reference(model, {tensor_of({1, 2, 3}, {1, 1, 3}), tensor_of({0, 0, 0, 0}, {2, 2, 1})}).value();
  EXPECT_EQ((Shape{2, 1, 3}), Shape(y[0].shape().begin(), y[0].shape().end()));
  EXPECT_EQ((std::vector<float>{1, 2, 3, 1, 2, 3}), floats_of(y[0]));
}

TEST(ReferenceValues, IndicesThatPointNowhereAreErrors) {
  StateDict table;
  table.insert("op.weight", tensor_of({1, 2, 3, 4, 5, 6}, {3, 2}));
  expect_outside(model_on(Embedding{}, {DType::i64}, table), {indices_of({0, 3}, {2})},
                 "layer 'op': index 3 lies outside, expected 0 to 2");
  expect_outside(model_on(Embedding{}, {DType::i64}, table), {indices_of({-1}, {1})},
                 "layer 'op': index -1 lies outside, expected 0 to 2");
  expect_outside(model_on(EmbeddingBag{}, {DType::i64}, table), {indices_of({7, 0}, {1, 2})},
                 "layer 'op': index 7 lies outside, expected 0 to 2");
  expect_outside(model_on(EmbeddingBag{}, {DType::i64, DType::i64}, table),
                 {indices_of({0, 1}, {2}), indices_of({0, 9}, {2})},
                 "layer 'op': index 9 lies outside, expected 0 to 2");
  const Tensor x = tensor_of({1, 2, 3, 4}, {2, 2});
  expect_outside(model_on(IndexSelect{.dim = 1}, {DType::f32, DType::i64}), {x, indices_of({2}, {1})},
                 "layer 'op': index 2 lies outside, expected 0 to 1");
  expect_outside(model_on(Gather{.dim = 0}, {DType::f32, DType::i64}), {x, indices_of({1, -3}, {1, 2})},
                 "layer 'op': index -3 lies outside, expected 0 to 1");
  expect_outside(model_on(MaxUnpool1d{.kernel_size = 2}, {DType::f32, DType::i64}),
                 {tensor_of({1, 2}, {1, 1, 2}), indices_of({0, 4}, {1, 1, 2})},
                 "layer 'op': index 4 lies outside, expected 0 to 3");
}

TEST(ReferenceValues, TheRunAfterAFailedOneIsRight) {
  StateDict table;
  table.insert("op.weight", tensor_of({1, 2, 3, 4, 5, 6}, {3, 2}));
  const Model model = model_on(Embedding{}, {DType::i64}, table);
  Session session = model.session(Device::cpu(), {.implementation = Implementation::reference}).value();
  EXPECT_FALSE(session.run(indices_of({5}, {1})));
  EXPECT_EQ((std::vector<float>{5, 6}), floats_of(session.run(indices_of({2}, {1})).value()));
}

TEST(ReferenceValues, WindowsLargerThanAnyMemoryAreRefused) {
  // The tensors are tiny; a window that the file names would be padded to its size.
  ShiftedWindowAttention op{.dim = 2, .window_size = 1 << 30, .num_heads = 1, .v2 = true};
  const Graph graph = graph_of(op);
  const Model model = made_up_model(graph);
  const auto result = run_reference(model, {made_up("x", {1, 2, 2, 2})});
  ASSERT_FALSE(result);
  EXPECT_EQ("LIMIT-ARENA-BYTES", result.error().finding.code);
}

TEST(ReferenceValues, OutputsLargerThanTheLimitAreRefused) {
  Limits limits;
  limits.arena_bytes = 1 << 20;
  const Model model = model_on(Repeat{.repeats = {1000, 1000}}, {DType::f32});
  const auto result = run_reference(model, {tensor_of({1}, {1})}, limits);
  ASSERT_FALSE(result);
  EXPECT_EQ("LIMIT-ARENA-BYTES", result.error().finding.code);
}

}  // namespace
}  // namespace rushlight::test
