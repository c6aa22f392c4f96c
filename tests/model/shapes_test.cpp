#include "model/shapes.hpp"

#include <gtest/gtest.h>
#include <simdjson.h>

#include <limits>
#include <string>
#include <vector>

#include "model/attributes.hpp"
#include "model/operator_table.hpp"

namespace rushlight::model {
namespace {

using simdjson::dom::element;

// Asserts the type: shapes.json is ours. Works without exceptions too.
template <class T>
T get(const simdjson::simdjson_result<element>& value) {
  T out{};
  EXPECT_EQ(value.get(out), simdjson::SUCCESS);
  return out;
}
template <class T>
T get(const element& value) {
  T out{};
  EXPECT_EQ(value.get(out), simdjson::SUCCESS);
  return out;
}

Shape shape_of(const element& array) {
  Shape shape;
  for (const element size : get<simdjson::dom::array>(array)) shape.push_back(get<std::int64_t>(size));
  return shape;
}

void assign(std::int64_t& field, const element& value) {
  field = get<std::int64_t>(value);
}
void assign(bool& field, const element& value) {
  field = get<bool>(value);
}
void assign(double& field, const element& value) {
  field = get<double>(value);
}
void assign(Shape& field, const element& value) {
  field = shape_of(value);
}
void assign(WordField& field, const element& value) {
  EXPECT_TRUE(field.set(get<std::string_view>(value)));
}
void assign(IntPair& field, const element& value) {
  if (value.is_int64()) {
    field = IntPair(get<std::int64_t>(value));
  } else {
    const Shape pair = shape_of(value);
    ASSERT_EQ(pair.size(), 2u);
    field = IntPair(pair[0], pair[1]);
  }
}
void assign(Padding& field, const element& value) {
  if (value.is_string()) {
    field = get<std::string_view>(value) == "same" ? Padding::same() : Padding::valid();
  } else {
    IntPair amounts;
    assign(amounts, value);
    field = Padding(amounts);
  }
}

template <class Field>
void assign(Field&, const element&) {
  FAIL() << "an attribute that shapes.json does not hold yet";
}

// What our side makes of it: attributes are checked first, as GraphBuilder does.
Result<Shape> ours(Operator op, const std::vector<Shape>& inputs) {
  complete_attributes(op);
  if (const std::string problem = attribute_problem(op); !problem.empty()) {
    return Error::of({.category = Category::argument, .message = problem});
  }
  return infer_shape(op, inputs);
}

// shapes.json comes from torch itself: make_shapes.py.
TEST(Shapes, EqualTorchsInEveryRecordedCase) {
  simdjson::dom::parser parser;
  const std::string path = std::string(RUSHLIGHT_TESTS_SOURCE_DIR) + "/model/shapes.json";
  const element document = get<element>(parser.load(path));
  std::size_t count = 0;
  for (const element one : get<simdjson::dom::array>(document["cases"])) {
    SCOPED_TRACE(simdjson::to_string(one));
    const OperatorInfo* row = find_spec_name(get<std::string_view>(one["op"]));
    ASSERT_NE(row, nullptr);
    Operator op = make_operator(*row);
    std::size_t assigned = 0;
    const element attributes = get<element>(one["attributes"]);
    for_each_attribute(op, [&](const AttributeInfo& attribute, auto& field) {
      element value;
      if (attributes[attribute.name].get(value) != simdjson::SUCCESS) return;
      assign(field, value);
      ++assigned;
    });
    ASSERT_EQ(assigned, get<simdjson::dom::object>(attributes).size());
    std::vector<Shape> inputs;
    for (const element input : get<simdjson::dom::array>(one["inputs"])) inputs.push_back(shape_of(input));
    const Result<Shape> have = ours(op, inputs);
    const element want = get<element>(one["output"]);
    if (want.is_null()) {
      EXPECT_FALSE(have.has_value()) << testing::PrintToString(*have);
    } else {
      ASSERT_TRUE(have.has_value()) << have.error().finding.message;
      EXPECT_EQ(*have, shape_of(want));
    }
    ++count;
  }
  EXPECT_GT(count, 800u);
}

std::string problem(const Operator& op, const std::vector<Shape>& inputs) {
  const Result<Shape> shape = ours(op, inputs);
  if (shape) return "no problem";
  EXPECT_EQ(shape.error().code, ErrorCode::mismatch);
  EXPECT_EQ(shape.error().finding.code, "GRAPH-SHAPE");
  return shape.error().finding.message;
}

TEST(Shapes, ProblemsSayWhatWasExpectedAndFound) {
  EXPECT_EQ(problem(Conv2d{3, 8, 3}, {{1, 4, 9, 9}}), "expected 3 channels, found 4 in [1, 4, 9, 9]");
  EXPECT_EQ(problem(Conv2d{1, 8, 3}, {{1, 2, 9, 9}}), "expected 1 channel, found 2 in [1, 2, 9, 9]");
  EXPECT_EQ(problem(Conv2d{3, 8, 3}, {{3, 9}}), "expected an input of 3 or 4 dimensions, found [3, 9]");
  EXPECT_EQ(problem(Conv2d{3, 8, 5, 1, 1}, {{1, 3, 2, 9}}), "a window of 5x5 does not fit the padded input of 4x11");
  EXPECT_EQ(problem(Conv2d{.kernel_size = 3, .groups = 4}, {{1, 6, 9, 9}}),
            "expected a multiple of 4 channels, found 6 in [1, 6, 9, 9]");
  EXPECT_EQ(problem(Conv2d{3, 8, 3}, {{1, 3, 0, 9}}), "expected sizes of at least 1, found [1, 3, 0, 9]");
  EXPECT_EQ(problem(MaxPool2d{.kernel_size = 3, .dilation = 2}, {{1, 3, 4, 9}}),
            "a window of 5x5 does not fit the padded input of 4x9");
  EXPECT_EQ(problem(AvgPool3d{.kernel_size = 3, .stride = 2, .padding = 1}, {{1, 2, 4, 2, 5}}),
            "a window of 3x3x3 is larger than the volume, found [1, 2, 4, 2, 5]");
  EXPECT_EQ(problem(LPPool3d{.norm_type = 2, .kernel_size = 2, .ceil_mode = true}, {{2, 1, 4, 4}}),
            "a window of 2x2x2 is larger than the volume, found [2, 1, 4, 4]");
  EXPECT_EQ(problem(AvgPool3d{.kernel_size = 3, .stride = 2, .padding = 1}, {{1, 2, 4, 3, 5}}), "no problem");
  EXPECT_EQ(problem(AvgPool2d{.kernel_size = 3, .stride = 2, .padding = 1}, {{1, 2, 2, 5}}), "no problem");
  EXPECT_EQ(problem(PReLU{.num_parameters = 4}, {{4}}), "expected 4 channels, found 1 in [4]");
  EXPECT_EQ(problem(PReLU{.num_parameters = 4}, {{2, 4}}), "no problem");
  EXPECT_EQ(problem(Fold{.output_size = {4, 5}, .kernel_size = 1}, {{2, 0, 20}}),
            "expected sizes of at least 1, found [2, 0, 20]");
  EXPECT_EQ(problem(Softmax2d{}, {{2, 0, 3, 0}}), "no problem");
  EXPECT_EQ(problem(Roll{.shifts = {1}, .dims = {0}}, {{}}), "expected an input of 1 or more dimensions, found []");
  EXPECT_EQ(problem(Linear{784, 10}, {{1, 3136}}), "expected 784 features, found 3136 in [1, 3136]");
  EXPECT_EQ(problem(Linear{784, 10}, {{}}), "expected an input of 1 or more dimensions, found []");
  EXPECT_EQ(problem(BatchNorm2d{32}, {{1, 16, 4, 4}}), "expected 32 channels, found 16 in [1, 16, 4, 4]");
  EXPECT_EQ(problem(BatchNorm2d{32}, {{1, 32}}), "expected an input of 4 dimensions, found [1, 32]");
  EXPECT_EQ(problem(BatchNorm1d{32}, {{1, 32, 4, 4}}), "expected an input of 2 or 3 dimensions, found [1, 32, 4, 4]");
  EXPECT_EQ(problem(SyncBatchNorm{32}, {{32}}), "expected an input of 2 or more dimensions, found [32]");
  EXPECT_EQ(problem(CrossMapLRN2d{.size = 3}, {{3, 4, 4}}), "expected an input of 4 dimensions, found [3, 4, 4]");
  const FractionalMaxPool2d pool{.kernel_size = 3, .output_size = {4}};
  EXPECT_EQ(problem(pool, {{2, 3, 9, 9}, {1, 3, 2}}), "samples: expected [2, 3, 2] for [2, 3, 9, 9], found [1, 3, 2]");
  EXPECT_EQ(problem(pool, {{2, 3, 9, 5}, {2, 3, 2}}), "a window of 3 is too large for 4 places of 5");
  EXPECT_EQ(problem(FractionalMaxPool3d{.kernel_size = 2, .output_size = {4}}, {{2, 3, 9, 9, 5}, {2, 3, 3}}),
            "a window of 2 is too large for 4 places of 5");
  EXPECT_EQ(problem(FractionalMaxPool2d{.kernel_size = 1, .output_ratio = {0.1}}, {{2, 3, 9, 5}, {2, 3, 2}}),
            "the output of [2, 3, 9, 5] has no size left");
  EXPECT_EQ(problem(PadAs{}, {{1, 3, 8, 8}, {1, 3, 8}}), "expected an input of 4 dimensions, found [1, 3, 8]");
  EXPECT_EQ(problem(PadAs{}, {{3, 8}, {3, 9}}), "expected an input of 3 or more dimensions, found [3, 8]");
  EXPECT_EQ(problem(PadAs{.dims = {-1, 2}}, {{1, 3, 8}, {1, 3, 9}}), "dim 2 occurs twice in [-1, 2]");
  EXPECT_EQ(problem(PadAs{.mode = PadMode::reflect}, {{1, 3, 2}, {1, 3, 9}}), "pad 4 is too large for a size of 2");
  EXPECT_EQ(problem(Softmax{2}, {{1, 32}}), "dim 2 lies outside [1, 32]");
  EXPECT_EQ(problem(Flatten{3, -1}, {{1, 32}}), "start_dim 3 lies outside [1, 32]");
  EXPECT_EQ(problem(Flatten{1, 0}, {{1, 32}}), "start_dim 1 comes after end_dim 0 in [1, 32]");
  EXPECT_EQ(problem(Add{}, {{1, 64, 8, 8}, {1, 32, 8, 8}}), "shapes [1, 64, 8, 8] and [1, 32, 8, 8] do not broadcast");
}

// PyTorch's kernel for CPUs gives an empty input back in the shape it had; those for GPUs and of meta tensors give the
// shape that the next layer wants, and so do we.
// Each as PyTorch 2.15 answers, whose checks of what is empty have no common rule.
TEST(Shapes, NothingIsRefusedWhereItHasNoValue) {
  const double infinity = std::numeric_limits<double>::infinity();
  const std::string nothing = "expected sizes of at least 1, found [2, 0]";
  for (const double order : {infinity, -infinity, -0.5, 0.0, 2.0}) {
    const bool is_extremum = order < 0 || order == infinity;
    EXPECT_EQ(problem(VectorNorm{.ord = order, .dim = {1}}, {{2, 0}}), is_extremum ? nothing : "no problem");
    EXPECT_EQ(problem(VectorNorm{.ord = order}, {{2, 0}}), is_extremum ? nothing : "no problem");
    EXPECT_EQ(problem(VectorNorm{.ord = order, .dim = {0}}, {{2, 0}}), "no problem");
    EXPECT_EQ(problem(VectorNorm{.ord = order, .dim = {0}}, {{}}), "no problem");
    EXPECT_EQ(problem(Normalize{.p = order}, {{2, 0}}), is_extremum ? nothing : "no problem");
    EXPECT_EQ(problem(PairwiseDistance{.p = order}, {{2, 0}, {2, 0}}), is_extremum ? nothing : "no problem");
    EXPECT_EQ(problem(PairwiseDistance{.p = order}, {{0, 2}, {0, 2}}), "no problem");
  }
  const LSTM lstm{.input_size = 3, .hidden_size = 4};
  const std::string timeless = "expected at least one step of time, found ";
  EXPECT_EQ(problem(lstm, {{0, 2, 3}}), timeless + "[0, 2, 3]");
  EXPECT_EQ(problem(lstm, {{0, 3}}), timeless + "[0, 3]");
  EXPECT_EQ(problem(lstm, {{2, 0, 3}}), "no problem");
  EXPECT_EQ(problem(GRU{.input_size = 3, .hidden_size = 4, .batch_first = true}, {{2, 0, 3}}), timeless + "[2, 0, 3]");
  EXPECT_EQ(problem(RNN{.input_size = 3, .hidden_size = 4, .batch_first = true}, {{0, 2, 3}}), "no problem");
  EXPECT_EQ(problem(CrossMapLRN2d{.size = 3}, {{2, 0, 3, 3}}), "expected sizes of at least 1, found [2, 0, 3, 3]");
  EXPECT_EQ(problem(CrossMapLRN2d{.size = 3}, {{0, 2, 0, 3}}), "no problem");
}

TEST(Shapes, NothingUnshuffledHasTheShapeOfTheRest) {
  EXPECT_EQ(infer_shape(PixelUnshuffle{2}, {{{0, 3, 4, 6}}}).value(), (Shape{0, 12, 2, 3}));
  EXPECT_EQ(infer_shape(PixelUnshuffle{2}, {{{3, 0, 6}}}).value(), (Shape{12, 0, 3}));
  EXPECT_EQ(problem(PixelUnshuffle{2}, {{0, 3, 4, 5}}), "expected multiples of 2, found 5 in [0, 3, 4, 5]");
}

TEST(Shapes, UnknownSizesSpreadOnlyAsFarAsTheyMust) {
  EXPECT_EQ(infer_shape(Conv2d{.out_channels = 8, .kernel_size = 3}, {{{-1, 3, -1, 9}}}).value(),
            (Shape{-1, 8, -1, 7}));
  EXPECT_EQ(infer_shape(Conv2d{}, {{{-1, 3, 9, 9}}}).value(), (Shape{-1, -1, -1, -1}));
  EXPECT_EQ(infer_shape(Conv2d{.padding = Padding::same()}, {{{2, 3, 9, 7}}}).value(), (Shape{2, -1, 9, 7}));
  EXPECT_EQ(infer_shape(Linear{}, {{{-1, 3}}}).value(), (Shape{-1, -1}));
  EXPECT_EQ(infer_shape(Linear{784, 10}, {{{-1, -1}}}).value(), (Shape{-1, 10}));
  EXPECT_EQ(infer_shape(Flatten{}, {{{-1, 3, 4, -1}}}).value(), (Shape{-1, -1}));
  EXPECT_EQ(infer_shape(Flatten{}, {{{-1, 3, 4, 5}}}).value(), (Shape{-1, 60}));
  EXPECT_EQ(infer_shape(AdaptiveAvgPool2d{IntPair(7, -1)}, {{{-1, 3, -1, -1}}}).value(), (Shape{-1, 3, 7, -1}));
  const std::vector<Shape> fitted = {{-1, 3, -1, 9}, {-1, 8, 7, -1}};
  EXPECT_EQ(infer_shape(PadAs{}, fitted).value(), (Shape{-1, 3, 7, -1}));
  const std::vector<Shape> pooled = {{-1, -1, 9, -1}, {-1, 3, 2}};
  EXPECT_EQ(infer_shape(FractionalMaxPool2d{.kernel_size = 2, .output_ratio = {0.5}}, pooled).value(),
            (Shape{-1, -1, 4, -1}));
  const std::vector<Shape> sum = {{-1, 3, 1}, {-1, 1, -1}};
  EXPECT_EQ(infer_shape(Add{}, sum).value(), (Shape{-1, 3, -1}));
  const std::vector<Shape> known = {{-1, 8}, {4, 8}};
  EXPECT_EQ(infer_shape(Add{}, known).value(), (Shape{4, 8}));
}

constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
// Attributes of layers with parameters: products of a few of them stay within 64 bits.
constexpr std::int64_t kMostOfALayer = std::numeric_limits<std::int32_t>::max();

TEST(Shapes, ArithmeticThatOverflowsIsAMismatch) {
  EXPECT_EQ(problem(Flatten{}, {{1, kMost / 2, 3}}), "sizes overflow 64 bits in [1, 4611686018427387903, 3]");
  EXPECT_EQ(problem(Linear{4, kMostOfALayer}, {{kMost / 4, 4}}),
            "output [2305843009213693951, 2147483647] overflows 64 bits");
  EXPECT_EQ(problem(MaxPool2d{.kernel_size = kMost, .dilation = 3}, {{1, 1, 4, 4}}),
            "sizes overflow 64 bits in [1, 1, 4, 4]");
  EXPECT_EQ(ours(Linear{4, kMostOfALayer + 1}, {{2, 4}}).error().finding.message,
            "out_features: expected at most 2147483647, found 2147483648");
  EXPECT_EQ(problem(AdaptiveAvgPool2d{kMost}, {{1, 1, 4, 4}}),
            "output [1, 1, 9223372036854775807, 9223372036854775807] overflows 64 bits");
}

// n = 1, k = 2, s = 2: torch keeps the overhanging window since it starts inside the input.
TEST(Shapes, CeilModeDropsAWindowThatStartsBeyondTheInput) {
  const MaxPool2d keeps{.kernel_size = 2, .stride = 2, .ceil_mode = true};
  EXPECT_EQ(infer_shape(keeps, {{{1, 1, 1, 3}}}).value(), (Shape{1, 1, 1, 2}));
  const MaxPool2d drops{.kernel_size = 2, .stride = 3, .padding = 1, .ceil_mode = true};
  EXPECT_EQ(infer_shape(drops, {{{1, 1, 5, 4}}}).value(), (Shape{1, 1, 2, 2}));
}

}  // namespace
}  // namespace rushlight::model
