// 3x3 convolutions that go through Winograd's transforms, on every instruction set and in both precisions.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "runtime/backward_executor.hpp"
#include "runtime/cpu/conv_choice.hpp"
#include "runtime/cpu/winograd.hpp"
#include "runtime/networks.hpp"

namespace rushlight::test {
namespace {

using runtime::cpu::ConvAlgorithm;
using runtime::cpu::MemoryCost;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

Conv2d conv(std::int64_t in, std::int64_t out, Padding padding = 1) {
  return {.in_channels = in, .out_channels = out, .kernel_size = 3, .padding = padding};
}
Conv2d strided(Conv2d op) {
  op.stride = 2;
  return op;
}

// Of 512-bit units, and of narrower ones.
constexpr MemoryCost kWide = {14, 0};
constexpr MemoryCost kMiddle = {7, 0.875};

ConvAlgorithm chosen(const Conv2d& op, const Shape& shape, Precision precision, const MemoryCost& memory = kWide) {
  runtime::ConvStep step;
  step.kernel = op.kernel_size;
  step.stride = op.stride;
  step.dilation = op.dilation;
  step.groups = op.groups;
  runtime::PlannedTensor input;
  input.n = shape[0];
  input.c = shape[1];
  input.h = shape[2];
  input.w = shape[3];
  runtime::PlannedTensor output = input;
  output.c = op.out_channels;
  output.h = (shape[2] + 2 * op.padding.amount.h - 3) / op.stride.h + 1;
  output.w = (shape[3] + 2 * op.padding.amount.w - 3) / op.stride.w + 1;
  return runtime::cpu::choose_conv_algorithm(step, input, output, precision, memory);
}

void check(const Conv2d& op, const Shape& shape) {
  SCOPED_TRACE(std::to_string(op.in_channels) + " -> " + std::to_string(op.out_channels) + ", " +
               std::to_string(shape[0]) + " x " + std::to_string(shape[2]) + " x " + std::to_string(shape[3]));
  ASSERT_NE(ConvAlgorithm::direct, chosen(op, shape, Precision::strict));
  expect_cpu_fits_reference(made_up_model(graph_of(op)), made_up("input", shape));
}

TEST(Winograd, IsChosenWhereItPaysAndInItsPrecision) {
  EXPECT_EQ(ConvAlgorithm::winograd2, chosen(conv(48, 48), {1, 48, 56, 56}, Precision::strict));
  EXPECT_EQ(ConvAlgorithm::winograd2x4, chosen(conv(64, 64), {1, 64, 56, 56}, Precision::strict));
  EXPECT_EQ(ConvAlgorithm::winograd4, chosen(conv(64, 64), {1, 64, 56, 56}, Precision::fast));
  // Short sums of small pictures are more exact without.
  EXPECT_EQ(ConvAlgorithm::winograd2, chosen(conv(48, 192), {1, 48, 14, 14}, Precision::strict));
  EXPECT_EQ(ConvAlgorithm::direct, chosen(conv(48, 192), {1, 48, 13, 13}, Precision::strict));
  EXPECT_NE(ConvAlgorithm::direct, chosen(conv(48, 192), {1, 48, 13, 13}, Precision::fast));
  EXPECT_NE(ConvAlgorithm::direct, chosen(conv(64, 192), {1, 64, 13, 13}, Precision::strict));
  // Four tiles do not make up for weights of four times the size.
  EXPECT_EQ(ConvAlgorithm::direct, chosen(conv(512, 512), {1, 512, 5, 5}, Precision::fast));
  EXPECT_EQ(ConvAlgorithm::direct, chosen(conv(3, 64), {1, 3, 224, 224}, Precision::fast));
  // Where products take longer and bytes do not, larger weights pay earlier.
  EXPECT_EQ(ConvAlgorithm::direct, chosen(conv(512, 512), {1, 512, 6, 6}, Precision::strict));
  EXPECT_EQ(ConvAlgorithm::winograd2, chosen(conv(512, 512), {1, 512, 6, 6}, Precision::strict, kMiddle));
  EXPECT_EQ(ConvAlgorithm::winograd2x4, chosen(conv(256, 256), {1, 256, 14, 14}, Precision::fast));
  EXPECT_EQ(ConvAlgorithm::winograd4, chosen(conv(256, 256), {1, 256, 14, 14}, Precision::fast, kMiddle));
  for (const Precision precision : {Precision::strict, Precision::fast}) {
    EXPECT_EQ(ConvAlgorithm::winograd4_strided, chosen(strided(conv(128, 128)), {1, 128, 56, 56}, precision, kMiddle));
    EXPECT_EQ(ConvAlgorithm::winograd2_strided, chosen(strided(conv(512, 512)), {1, 512, 14, 14}, precision, kMiddle));
  }
  EXPECT_EQ(ConvAlgorithm::direct, chosen(strided(conv(8, 64)), {1, 8, 56, 56}, Precision::fast));
  Conv2d lines = conv(64, 64);
  lines.stride = {2, 1};
  EXPECT_EQ(ConvAlgorithm::direct, chosen(lines, {1, 64, 56, 56}, Precision::fast));
  Conv2d dilated = conv(64, 64);
  dilated.dilation = 2;
  EXPECT_EQ(ConvAlgorithm::direct, chosen(dilated, {1, 64, 56, 56}, Precision::fast));
  Conv2d grouped = conv(64, 64);
  grouped.groups = 2;
  EXPECT_EQ(ConvAlgorithm::direct, chosen(grouped, {1, 64, 56, 56}, Precision::fast));
}

TEST(Winograd, TilesAtEdgesLeaveOutTheProductsTheyDoWithout) {
  using runtime::cpu::WinogradGrid;
  const auto products = [](const WinogradGrid& grid) {
    std::size_t sum = 0;
    for (std::size_t position = 0; position < grid.tiling.positions(); ++position) {
      const WinogradGrid::Groups groups = grid.groups_for(position);
      for (std::size_t group = groups.first; group < groups.last; ++group) {
        sum += grid.tiles_in(static_cast<WinogradGrid::Group>(group));
      }
    }
    return sum;
  };
  // A whole line of F(4) takes 6 products for 4 outputs; 1 to 3 that are left take 2 more than they are.
  EXPECT_EQ(12U * 12U, products({{4, 4}, 8, 8}));
  EXPECT_EQ(15U * 15U, products({{4, 4}, 9, 9}));
  EXPECT_EQ(16U * 17U, products({{4, 4}, 10, 11}));
  EXPECT_EQ(11U * 16U, products({{2, 4}, 5, 10}));
  EXPECT_EQ(15U * 15U, products({{2, 2}, 7, 7}));
  EXPECT_EQ(18U * 18U, products({{2, 2, 2}, 7, 7}));
  EXPECT_EQ(16U * 18U, products({{4, 4, 2}, 7, 8}));
  EXPECT_EQ(14U * 12U, products({{4, 4, 2}, 6, 5}));
  EXPECT_EQ(3U * 3U, products({{4, 4}, 1, 1}));
  for (const WinogradGrid grid : {WinogradGrid{{4, 4}, 14, 13}, {{2, 4}, 7, 5}, {{2, 2, 2}, 8, 9}, {{4, 4, 2}, 9, 3}}) {
    std::size_t tiles[WinogradGrid::kGroups] = {};
    for (std::size_t y = 0; y < grid.down(); ++y) {
      for (std::size_t x = 0; x < grid.across(); ++x) ++tiles[grid.group_of(y, x)];
    }
    for (std::size_t group = 0; group < WinogradGrid::kGroups; ++group) {
      EXPECT_EQ(tiles[group], grid.tiles_in(static_cast<WinogradGrid::Group>(group))) << group;
    }
  }
}

TEST(Winograd, PicturesThatAreNoWholeNumberOfTiles) {
  for (const std::int64_t height : {13, 14, 15, 16, 17}) {
    for (const std::int64_t width : {18, 19, 20, 21}) {
      check(conv(24, 32), {1, 24, height, width});
      check(conv(64, 32), {1, 64, height, width});
      check(strided(conv(40, 64)), {1, 40, 2 * height, 2 * width});
      check(strided(conv(40, 64)), {1, 40, 2 * height - 1, 2 * width - 1});
      check(strided(conv(128, 32)), {1, 128, 2 * height, 2 * width});
      check(strided(conv(128, 32)), {1, 128, 2 * height - 1, 2 * width - 1});
    }
  }
}

TEST(Winograd, ChannelsAroundTheEdgesOfVectorsAndPanels) {
  for (const std::int64_t in : {16, 17, 31, 33, 64, 130}) check(conv(in, 40), {1, in, 20, 20});
  for (const std::int64_t out : {16, 17, 31, 32, 33, 63, 64, 65, 100, 129}) check(conv(40, out), {1, 40, 20, 20});
}

TEST(Winograd, EveryPadding) {
  for (const Padding padding : {Padding(0), Padding(1), Padding(2), Padding(0, 2), Padding(3, 1)}) {
    check(conv(32, 32, padding), {2, 32, 18, 21});
    check(conv(64, 32, padding), {2, 64, 18, 21});
    check(strided(conv(64, 64, padding)), {2, 64, 35, 42});
  }
  Conv2d same = conv(32, 32);
  same.padding = Padding::same();
  expect_cpu_fits_reference(made_up_model(graph_of(same)), made_up("input", {2, 32, 18, 21}));
}

TEST(Winograd, RandomShapes) {
  std::mt19937 random(11);
  const auto pick = [&](std::int64_t low, std::int64_t high) {
    return low + static_cast<std::int64_t>(random() % static_cast<std::uint32_t>(high - low + 1));
  };
  int taken = 0;
  for (int i = 0; i < 30; ++i) {
    Conv2d op = conv(pick(16, 90), pick(16, 140), Padding(pick(0, 2), pick(0, 2)));
    op.bias = pick(0, 1) == 1;
    op.stride = i % 3 == 0 ? 2 : 1;
    const std::int64_t most = i % 3 == 0 ? 60 : 26;
    const Shape shape{pick(1, 4), op.in_channels, pick(5, most), pick(5, most)};
    if (chosen(op, shape, Precision::strict) == ConvAlgorithm::direct) continue;
    ++taken;
    check(op, shape);
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(taken, 18);
}

// conv, norm, an addition or none, an activation: all in one step.
Model block(const Operator& activation, bool residual) {
  GraphBuilder g;
  const Edge input = g.input("x");
  Edge x = g.apply("first", conv(20, 33), input);
  Edge y = g.apply("norm", BatchNorm2d{.num_features = 33}, g.apply("second", conv(33, 33), x));
  if (residual) y = g.apply("", Add{}, y, x);
  g.output("y", g.apply("", activation, y));
  return made_up_model(g.build().value());
}

TEST(Winograd, NormsResidualsAndActivationsAreFused) {
  const Tensor x = made_up("input", {2, 20, 15, 18});
  for (const bool residual : {false, true}) {
    for (const Operator& activation : std::vector<Operator>{ReLU{}, ReLU6{}, Hardtanh{}, SiLU{}, Sigmoid{}, Tanh{},
                                                            Hardsigmoid{}, Hardswish{}, GELU{}}) {
      expect_cpu_fits_reference(block(activation, residual), x, 4e-6);
      if (HasFatalFailure()) return;
    }
  }
}

// What is infinite or NaN reaches the nine outputs it belongs to, not its whole tile; and so with a residual that lies
// where the output goes.
TEST(Winograd, OddValuesReachTheirOwnOutputsAlone) {
  for (const float odd : {kNan, kInf, -kInf, 1e38F}) {
    for (const std::size_t place : {std::size_t{0}, std::size_t{150}, std::size_t{20 * 270 - 1}}) {
      std::vector<float> values = values_for("input", {1, 20, 15, 18});
      values[place] = odd;
      const Tensor x = tensor_of(values, {1, 20, 15, 18});
      expect_cpu_fits_reference(made_up_model(graph_of(conv(20, 33))), x);
      expect_cpu_fits_reference(made_up_model(graph_of(strided(conv(20, 33)))), x);
      expect_cpu_fits_reference(block(ReLU{}, true), x, 4e-6);
      expect_cpu_fits_reference(block(SiLU{}, true), x, 4e-6);
      if (HasFatalFailure()) return;
    }
  }
}

TEST(Winograd, OddValuesOfManyChannelsAndStrides) {
  const Shape shape = {1, 64, 29, 34};
  for (const Conv2d& op : {conv(64, 48), strided(conv(64, 48))}) {
    ASSERT_EQ(op.stride.h == 2 ? ConvAlgorithm::winograd2_strided : ConvAlgorithm::winograd2x4,
              chosen(op, shape, Precision::strict));
    for (const float odd : {kNan, kInf, 1e38F}) {
      for (const std::size_t pixel :
           {std::size_t{0}, std::size_t{5 * 34 + 7}, std::size_t{8 * 34 + 8}, std::size_t{28 * 34 + 33}}) {
        std::vector<float> values = values_for("input", shape);
        values[11 * 29 * 34 + pixel] = odd;
        expect_cpu_fits_reference(made_up_model(graph_of(op)), tensor_of(values, shape));
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST(Winograd, OddWeightsGoTheDirectWay) {
  for (const float odd : {kNan, kInf, 1e30F}) {
    const Conv2d op = conv(20, 33);
    const Graph graph = graph_of(op);
    StateDict state;
    for (const ParameterSpec& parameter : graph.parameters()) {
      std::vector<float> values = values_for(parameter.name, parameter.shape);
      if (parameter.name == "op.weight") values[1234] = odd;
      state.insert(parameter.name, tensor_of(values, parameter.shape));
    }
    expect_cpu_fits_reference(Model::create(graph, state).value(), made_up("input", {1, 20, 15, 18}));
    if (HasFatalFailure()) return;
  }
}

TEST(Winograd, BitsDependOnNeitherThreadsNorThePlaceInABatch) {
  for (const Conv2d& op : {conv(48, 144), conv(80, 144), strided(conv(80, 144))}) {
    const Model model = made_up_model(graph_of(op));
    const std::int64_t channels = op.in_channels;
    const std::vector<float> item = values_for("item", {channels, 27, 30});
    const std::vector<float> batch = values_for("others", {5, channels, 27, 30});
    for (const Precision precision : {Precision::strict, Precision::fast}) {
      std::vector<float> expected;
      for (std::size_t position = 0; position < 5; ++position) {
        std::vector<float> here = batch;
        std::copy(item.begin(), item.end(), here.begin() + static_cast<std::ptrdiff_t>(position * item.size()));
        const Tensor x = tensor_of(here, {5, channels, 27, 30});
        for (const unsigned threads : {1U, 2U, 5U}) {
          Session session = model.session(Device::cpu(), {.threads = threads, .precision = precision}).value();
          const std::vector<float> all = floats_of(session.run(x).value());
          const std::size_t width = all.size() / 5;
          const auto first = all.begin() + static_cast<std::ptrdiff_t>(position * width);
          const std::vector<float> found(first, first + static_cast<std::ptrdiff_t>(width));
          if (expected.empty()) expected = found;
          ASSERT_EQ(expected, found) << threads << " threads, position " << position;
        }
        BackwardExecutor backward;
        Session session = model.session(Device::cpu(), {.executor = &backward, .precision = precision}).value();
        Session plain = model.session(Device::cpu(), {.precision = precision}).value();
        ASSERT_EQ(floats_of(plain.run(x).value()), floats_of(session.run(x).value())) << "position " << position;
      }
    }
  }
}

// F(2x2) and F(2x4) are as exact as summing up one product after the other, F(4x4) a digit worse: that is what the
// names promise.
TEST(Winograd, ErrorsAreThoseOfTheirPrecision) {
  for (const std::int64_t channels : {48, 64, 128, 256}) {
    const Conv2d op = conv(channels, 64);
    const Model model = made_up_model(graph_of(op));
    const Tensor x = made_up("input", {1, channels, 28, 28});
    const auto expected = run_on(*runtime::reference::make_backend().value(), model, std::span(&x, 1))[0];
    for (const auto& backend : cpu_backends()) {
      SCOPED_TRACE(std::string(backend->name()) + ", " + std::to_string(channels));
      for (const auto& [precision, bound] : {std::pair{Precision::strict, 1e-6}, {Precision::fast, 1e-5}}) {
        const auto found = run_on(*backend, model, std::span(&x, 1), nullptr, precision)[0];
        expect_close(expected, found, bound);
      }
    }
  }
}

}  // namespace
}  // namespace rushlight::test
