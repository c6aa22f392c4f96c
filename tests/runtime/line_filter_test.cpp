// First layers that are computed by minimal filtering along lines, on every instruction set and in both precisions.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "runtime/networks.hpp"
#include "runtime/step_times.hpp"

namespace rushlight::test {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

Conv2d by_two(std::int64_t in, std::int64_t out, Padding padding = 3) {
  return {.in_channels = in, .out_channels = out, .kernel_size = 7, .stride = 2, .padding = padding};
}
Conv2d by_one(std::int64_t in, std::int64_t out, Padding padding = 1) {
  return {.in_channels = in, .out_channels = out, .kernel_size = 3, .padding = padding};
}

// How the first step is computed.
std::string algorithm(const runtime::Backend& backend, const Model& model, const Shape& shape,
                      runtime::RunOptions options) {
  runtime::StepTimes times;
  options.step_times = &times;
  const runtime::Network network{model.graph(), model.state_dict()};
  (void)backend.compile(network, std::span(&shape, 1), backend.make_weights(network).value(), options).value();
  return times.steps.at(0).algorithm;
}
std::string algorithm(const Conv2d& op, const Shape& shape, const runtime::RunOptions& options = {}) {
  return algorithm(*runtime::cpu::make_backend().value(), made_up_model(graph_of(op)), shape, options);
}

void check(const Conv2d& op, const Shape& shape) {
  SCOPED_TRACE(std::to_string(op.kernel_size.h) + " x " + std::to_string(op.kernel_size.w) + ", " +
               std::to_string(op.out_channels) + " outputs of " + testing::PrintToString(shape));
  const Model model = made_up_model(graph_of(op));
  for (const auto& backend : cpu_backends()) {
    ASSERT_EQ("winograd 1x2", algorithm(*backend, model, shape, {}));
    ASSERT_EQ("winograd 1x4", algorithm(*backend, model, shape, {.precision = Precision::fast}));
  }
  expect_cpu_fits_reference(model, made_up("input", shape));
}

TEST(LineFilter, IsChosenForPlanesAndItsForms) {
  const Shape shape{1, 3, 64, 64};
  EXPECT_EQ("winograd 1x2", algorithm(by_two(3, 8), shape));
  EXPECT_EQ("winograd 1x4", algorithm(by_one(3, 8), shape, {.precision = Precision::fast}));
  EXPECT_EQ("winograd 1x2", algorithm(by_one(1, 8), {1, 1, 28, 28})) << "one plane is a picture of pixels";
  EXPECT_EQ("", algorithm(by_one(3, 8), shape, {.low_memory = true}));
  EXPECT_EQ("", algorithm(by_one(8, 8), {1, 8, 64, 64})) << "no planes";
  Conv2d other = by_one(3, 8);
  other.kernel_size = {3, 5};
  EXPECT_EQ("", algorithm(other, shape));
  other = by_one(3, 8);
  other.stride = {1, 2};
  EXPECT_EQ("", algorithm(other, shape));
  other = by_one(3, 8);
  other.dilation = {2, 1};
  EXPECT_EQ("", algorithm(other, shape));
  EXPECT_EQ("", algorithm(by_one(1, 8, Padding(0, 1)), {1, 1, 3, 4000})) << "one line for all threads";
  // Tiles that reach far beyond the ends of lines.
  EXPECT_EQ("", algorithm(by_one(1, 8), {1, 1, 200, 5}));
}

TEST(LineFilter, FitsTheReference) {
  for (const std::int64_t width : {60, 61, 63, 64, 65, 127}) {
    check(by_two(3, 20), {1, 3, 63, width});
    check(by_one(3, 20), {1, 3, 31, width});
  }
  for (const std::int64_t channels : {1, 2, 4}) {
    check(by_two(channels, 16), {3, channels, 70, 64});
    check(by_one(channels, 16), {3, channels, 32, 48});
  }
  for (const std::int64_t outputs : {1, 3, 15, 17, 33, 64}) {
    check(by_two(3, outputs), {1, 3, 64, 64});
    check(by_one(3, outputs), {1, 3, 32, 32});
  }
  for (const Padding padding : {Padding(0), Padding(2), Padding(0, 5), Padding(9, 1), Padding(1, 70)}) {
    check(by_two(3, 8, padding), {2, 3, 64, 64});
    check(by_one(3, 8, padding), {2, 3, 32, 64});
  }
  // Windows of other heights, lines that are passed over.
  for (const IntPair& lines : {IntPair{1, 1}, IntPair{2, 1}, IntPair{6, 4}, IntPair{2, 5}}) {
    Conv2d op = by_one(3, 9);
    op.kernel_size.h = lines.h;
    op.stride.h = lines.w;
    if (lines.h > 1) check(op, {2, 3, 131, 64});
    op = by_one(1, 9);
    op.kernel_size.h = lines.h;
    op.stride.h = lines.w;
    check(op, {2, 1, 131, 64});
  }
}

// conv, norm, an addition or none, an activation: all in one step.
Model block(const Conv2d& op, const Operator& activation, bool residual) {
  GraphBuilder g;
  const Edge input = g.input("x");
  const Edge other = g.apply("other", op, input);
  Edge y = g.apply("norm", BatchNorm2d{.num_features = op.out_channels}, g.apply("first", op, input));
  if (residual) y = g.apply("", Add{}, y, g.apply("", ReLU{}, other));
  g.output("y", g.apply("", activation, y));
  return made_up_model(g.build().value());
}

TEST(LineFilter, NormsResidualsAndActivationsAreFused) {
  for (const bool residual : {false, true}) {
    for (const Operator& activation : std::vector<Operator>{ReLU{}, ReLU6{}, SiLU{}, Tanh{}}) {
      expect_cpu_fits_reference(block(by_two(1, 33), activation, residual), made_up("input", {2, 1, 60, 72}), 4e-6);
      expect_cpu_fits_reference(block(by_one(1, 33), activation, residual), made_up("input", {2, 1, 30, 36}), 4e-6);
      if (HasFatalFailure()) return;
    }
  }
}

TEST(LineFilter, OddValuesReachTheirOwnOutputsAlone) {
  const Shape shape{2, 3, 40, 64};
  for (const float odd : {kNan, kInf, -kInf, 1e38F}) {
    for (const std::size_t place : {std::size_t{0}, std::size_t{63}, std::size_t{40 * 64 + 777},
                                    std::size_t{3 * 40 * 64}, std::size_t{2 * 3 * 40 * 64 - 1}}) {
      std::vector<float> values = values_for("input", shape);
      values[place] = odd;
      values[2 * 40 * 64 + 20 * 64 + 13] = odd;
      const Tensor x = tensor_of(values, shape);
      expect_cpu_fits_reference(made_up_model(graph_of(by_two(3, 20))), x);
      expect_cpu_fits_reference(made_up_model(graph_of(by_one(3, 20))), x);
      if (HasFatalFailure()) return;
    }
  }
  std::vector<float> values = values_for("input", {1, 1, 40, 64});
  values[1234] = kInf;
  const Tensor x = tensor_of(values, {1, 1, 40, 64});
  expect_cpu_fits_reference(block(by_two(1, 20), ReLU{}, true), x, 4e-6);
  expect_cpu_fits_reference(block(by_one(1, 20), SiLU{}, true), x, 4e-6);
}

TEST(LineFilter, OddWeightsGoTheDirectWay) {
  for (const Conv2d& op : {by_two(3, 20), by_one(3, 20)}) {
    for (const float odd : {kNan, kInf, 1e30F}) {
      const Graph graph = graph_of(op);
      StateDict state = made_up_state(graph);
      std::vector<float> weights = floats_of(*state.find("op.weight"));
      weights[100] = odd;
      state.insert("op.weight", tensor_of(weights, {20, 3, op.kernel_size.h, op.kernel_size.w}));
      const Model model = Model::create(graph, state).value();
      const Shape shape{1, 3, 40, 64};
      EXPECT_EQ("", algorithm(*runtime::cpu::make_backend().value(), model, shape, {}));
      expect_cpu_fits_reference(model, made_up("input", shape));
      if (HasFatalFailure()) return;
    }
  }
}

// A branch that leaves no items of a batch, as where a session plans one item ahead, beside another that has some.
TEST(LineFilter, NothingIsCutIntoParts) {
  GraphBuilder g;
  const Edge input = g.input("x");
  g.output("none", g.apply("first", by_one(1, 8), g.apply("", Slice{.dim = 0, .start = 2}, input)));
  g.output("all", g.apply("", Tanh{}, input));
  const Model model = made_up_model(g.build().value());
  for (const unsigned threads : {1U, 2U}) {
    Session session = model.session(Device::cpu(), {.threads = threads}).value();
    for (const std::int64_t items : {1, 2, 3}) {
      const Tensor x = made_up("input", {items, 1, 9, 64});
      const std::vector<Tensor> results = session.run(std::span(&x, 1)).value();
      EXPECT_EQ(items > 2 ? std::size_t{8 * 9 * 64} : 0, floats_of(results.at(0)).size());
      EXPECT_EQ(static_cast<std::size_t>(items * 9 * 64), floats_of(results.at(1)).size());
    }
  }
}

TEST(LineFilter, BitsDependOnNeitherThreadsNorThePlaceInABatch) {
  for (const Conv2d& op : {by_two(3, 40), by_one(3, 40)}) {
    const Model model = made_up_model(graph_of(op));
    const std::vector<float> item = values_for("item", {3, 61, 66});
    const std::vector<float> batch = values_for("others", {3, 3, 61, 66});
    for (const Precision precision : {Precision::strict, Precision::fast}) {
      std::vector<float> expected;
      for (std::size_t position = 0; position < 3; ++position) {
        std::vector<float> here = batch;
        std::copy(item.begin(), item.end(), here.begin() + static_cast<std::ptrdiff_t>(position * item.size()));
        const Tensor x = tensor_of(here, {3, 3, 61, 66});
        for (const unsigned threads : {1U, 2U, 5U}) {
          Session session = model.session(Device::cpu(), {.threads = threads, .precision = precision}).value();
          const std::vector<float> all = floats_of(session.run(x).value());
          const std::size_t width = all.size() / 3;
          const auto first = all.begin() + static_cast<std::ptrdiff_t>(position * width);
          const std::vector<float> found(first, first + static_cast<std::ptrdiff_t>(width));
          if (expected.empty()) expected = found;
          ASSERT_EQ(expected, found) << threads << " threads, position " << position;
        }
      }
    }
  }
}

// Root mean squares, beside those of the direct way: about as exact in `strict`, a few times that in `fast`. Without a
// bias, which the direct way adds up its products upon.
TEST(LineFilter, ErrorsAreThoseOfTheirPrecision) {
  for (Conv2d op : {by_two(3, 64), by_one(3, 64)}) {
    op.bias = false;
    const Model model = made_up_model(graph_of(op));
    const Tensor x = made_up("input", {1, 3, 96, 96});
    const auto exact = run_on(*runtime::reference::make_backend().value(), model, std::span(&x, 1))[0];
    for (const auto& backend : cpu_backends()) {
      SCOPED_TRACE(backend->name());
      const auto squares = [&](const runtime::RunOptions& options) {
        const auto found = run_on(*backend, model, std::span(&x, 1), options)[0];
        double sum = 0;
        for (std::size_t i = 0; i < exact.size(); ++i) {
          const double error = static_cast<double>(found[i]) - static_cast<double>(exact[i]);
          sum += error * error;
        }
        return sum;
      };
      const double direct = squares({.precision = Precision::fast, .low_memory = true});
      EXPECT_LT(std::sqrt(squares({}) / direct), 1.5);
      EXPECT_LT(std::sqrt(squares({.precision = Precision::fast}) / direct), 3);
    }
  }
}

}  // namespace
}  // namespace rushlight::test
