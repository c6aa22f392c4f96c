// Precision::bf16, on every instruction set and each way to multiply bfloat16.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <iostream>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/cpu_features.hpp"
#include "base/float_codes.hpp"
#include "runtime/nets.hpp"
#include "runtime/networks.hpp"
#include "runtime/step_times.hpp"

namespace rushlight::test {
namespace {

using runtime::cpu::NarrowWay;

struct Way {
  std::shared_ptr<const runtime::Backend> backend;
  NarrowWay way;
  std::string name;
};

// Those that this machine has; the others are named.
std::vector<Way> bf16_ways() {
  std::vector<Way> ways;
  for (const Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512}) {
    for (const NarrowWay way : {NarrowWay::widen, NarrowWay::dot, NarrowWay::amx}) {
      if (way != NarrowWay::widen && isa != Isa::avx512) continue;
      const std::string name = std::string(to_string(isa)) + " " + std::string(to_string(way));
      if (auto backend = runtime::cpu::make_backend(isa, way)) {
        ways.push_back({*std::move(backend), way, name});
      } else {
        std::cout << "SKIPPED: " << name << ": " << backend.error().finding.message << "\n";
      }
    }
  }
  return ways;
}

std::vector<float> run_bf16(const Way& way, const Model& model, const Tensor& x, Executor* executor = nullptr) {
  return run_on(*way.backend, model, std::span(&x, 1), executor, Precision::bf16)[0];
}

Conv2d conv(std::int64_t in, std::int64_t out, IntPair kernel, IntPair stride = 1, std::int64_t groups = 1) {
  return {.in_channels = in,
          .out_channels = out,
          .kernel_size = kernel,
          .stride = stride,
          .padding = Padding(kernel.h / 2, kernel.w / 2),
          .groups = groups};
}

std::vector<float> rounded(std::vector<float> values) {
  for (float& value : values) value = bf16_to_f32(f32_to_bf16(value));
  return values;
}

// Small integers: every product and every sum is one too, in whatever order.
std::vector<float> integers(std::string_view name, const Shape& shape) {
  std::vector<float> values(static_cast<std::size_t>(numel_of(shape)));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = std::floor(unit(seed_of(name), i) * 17.0F) - 8.0F;
  return values;
}

struct Case {
  std::string name;
  Operator op;
  Shape shape;
};

// Around the edges of words, lines, strips, tiles and blocks.
std::vector<Case> cases() {
  std::vector<Case> all;
  const auto add = [&](std::string name, Operator op, Shape shape) {
    all.push_back({std::move(name), std::move(op), std::move(shape)});
  };
  for (const std::int64_t rows : {1, 2, 15, 16, 17, 33, 97, 400}) {
    for (const auto& [in, out] : {std::pair{1, 1}, {31, 16}, {32, 17}, {33, 48}, {128, 63}, {129, 64}, {257, 100}}) {
      add("linear " + std::to_string(rows) + " " + std::to_string(in) + " " + std::to_string(out),
          Linear{.in_features = in, .out_features = out}, {rows, in});
    }
  }
  // Sums of several chains of AMX's.
  add("deep", Linear{.in_features = 16500, .out_features = 40}, {35, 16500});
  add("deep window", conv(960, 33, 3), {1, 960, 9, 11});
  add("pointwise", conv(40, 72, 1), {2, 40, 13, 9});
  add("few channels, joined taps", conv(3, 20, 7, 2), {2, 3, 31, 29});
  add("odd channels", conv(5, 33, 3), {1, 5, 12, 14});
  add("window", conv(48, 80, 3), {2, 48, 15, 17});
  add("stride", conv(48, 80, 3, 2), {1, 48, 15, 17});
  add("wide window", conv(20, 24, {1, 7}), {1, 20, 15, 17});
  add("long window", conv(64, 24, {7, 1}), {2, 64, 9, 15});
  // Windows read where they lie: lines that run on and lines that do not, with a picture smaller than a tile, and one
  // of several blocks.
  add("window, lines run on", conv(32, 48, 3), {3, 32, 7, 7});
  add("window, lines of tiles", conv(32, 20, 3), {2, 32, 5, 48});
  add("window, two lines a tap", conv(64, 16, 3), {1, 64, 30, 33});
  add("window, blocks", conv(96, 32, 3), {2, 96, 75, 70});
  add("window, stride of tiles", conv(64, 32, 3, 2), {2, 64, 34, 64});
  add("window, one column", conv(32, 33, 3), {2, 32, 11, 1});
  Conv2d dilated = conv(32, 40, 3);
  dilated.padding = 3;
  dilated.dilation = 2;
  add("window, dilated", dilated, {2, 32, 13, 14});
  Conv2d wide_border = conv(32, 16, 3);
  wide_border.padding = 5;
  add("window, wide border", wide_border, {1, 32, 4, 6});
  Conv2d no_border = conv(64, 64, {3, 5});
  no_border.padding = 0;
  add("window, no border", no_border, {3, 64, 9, 21});
  for (const std::int64_t in : {1, 2, 3, 4, 6, 8}) {
    for (const std::int64_t stride : {1, 2}) {
      add((in == 1 ? "one channel, " : "few channels ") + std::to_string(in) + ", stride " + std::to_string(stride),
          conv(in, 48, 3, stride), {2, in, 19, 37});
    }
  }
  add("groups", conv(24, 36, 3, 1, 3), {2, 24, 11, 10});
  add("wide groups", conv(128, 256, 3, 1, 2), {1, 128, 21, 20});
  add("narrow groups", conv(32, 32, 3, 1, 8), {1, 32, 11, 10});
  return all;
}

StateDict integer_state(const Graph& graph) {
  StateDict state;
  for (const ParameterSpec& parameter : graph.parameters()) {
    state.insert(parameter.name, tensor_of(integers(parameter.name, parameter.shape), parameter.shape));
  }
  return state;
}

TEST(Bf16, ProductsOfSmallIntegersAreExact) {
  const std::vector<Way> ways = bf16_ways();
  for (const Case& each : cases()) {
    const Graph graph = graph_of(each.op);
    const Model model = Model::create(graph, integer_state(graph)).value();
    const Tensor x = tensor_of(integers("x", each.shape), each.shape);
    const auto expected = run_on(*runtime::reference::make_backend().value(), model, std::span(&x, 1))[0];
    for (const Way& way : ways) {
      SCOPED_TRACE(each.name + ", " + way.name);
      // Winograd's transforms divide.
      expect_close(expected, run_bf16(way, model, x), way.way == NarrowWay::amx ? 0 : 3e-5);
      if (HasFatalFailure()) return;
    }
  }
}

// They may be stored past the caches (Destination::streams): whole lines of them, wherever they begin.
TEST(Bf16, MoreOutputsThanCachesHoldAreExactToo) {
  const auto backend = runtime::cpu::make_backend(Isa::avx512, NarrowWay::amx);
  if (!backend) GTEST_SKIP() << "SKIPPED: " << backend.error().finding.message;
  const Way way{*backend, NarrowWay::amx, "amx"};
  const auto many = static_cast<std::int64_t>(5 * l2_cache_bytes() / sizeof(float));
  for (const Case& each : {Case{"window", conv(32, 72, 3), {1, 32, many / (72 * 64), 64}},
                           Case{"pointwise", conv(32, 80, 1), {1, 32, many / (80 * 64), 64}},
                           Case{"linear", Linear{.in_features = 64, .out_features = 128}, {many / 128, 64}}}) {
    const Graph graph = graph_of(each.op);
    const Model model = Model::create(graph, integer_state(graph)).value();
    const Tensor x = tensor_of(integers("x", each.shape), each.shape);
    const auto expected = run_on(*runtime::reference::make_backend().value(), model, std::span(&x, 1))[0];
    for (const unsigned threads : {1U, 2U}) {
      const std::unique_ptr<Executor> pool = make_thread_pool(threads);
      EXPECT_TRUE(expected == run_bf16(way, model, x, pool.get())) << each.name << ", " << threads << " threads";
    }
  }
}

TEST(Bf16, TilesReadWindowsInPlaceWhereThatIsLessWork) {
  const auto backend = runtime::cpu::make_backend(Isa::avx512, NarrowWay::amx);
  if (!backend) GTEST_SKIP() << "SKIPPED: " << backend.error().finding.message;
  for (const Case& each : cases()) {
    const bool is_expected = each.name.starts_with("window, ") || each.name.starts_with("few channels ");
    if (!is_expected) continue;
    SCOPED_TRACE(each.name);
    const Model model = made_up_model(graph_of(each.op));
    const runtime::Network network{model.graph(), model.state_dict()};
    runtime::StepTimes times;
    runtime::RunOptions options;
    options.precision = Precision::bf16;
    options.step_times = &times;
    ASSERT_TRUE(
        (*backend)->compile(network, std::span(&each.shape, 1), (*backend)->make_weights(network).value(), options));
    EXPECT_TRUE(std::ranges::any_of(
        times.steps, [](const runtime::TimedStep& step) { return step.algorithm == "bf16, amx, in place"; }));
  }
}

TEST(Bf16, IsWithinOnePercentOfTheLargestValue) {
  const std::vector<Way> ways = bf16_ways();
  for (const Case& each : cases()) {
    const Model model = made_up_model(graph_of(each.op));
    const Tensor x = made_up("x", each.shape);
    const auto expected = run_on(*runtime::reference::make_backend().value(), model, std::span(&x, 1))[0];
    for (const Way& way : ways) {
      SCOPED_TRACE(each.name + ", " + way.name);
      expect_close(expected, run_bf16(way, model, x), 1e-2);
      if (HasFatalFailure()) return;
    }
  }
}

// An inverted residual block with a picture larger than L2: its layers run in stripes.
Graph striped_net() {
  constexpr std::int64_t kWide = 72;
  GraphBuilder g;
  const Edge input = g.input("x");
  Edge x = g.apply("first_relu", ReLU6{}, g.apply("first", conv(12, kWide, 1), input));
  x = g.apply("depth_silu", SiLU{}, g.apply("depth", conv(kWide, kWide, 3, 2, kWide), x));
  x = g.apply("last", conv(kWide, 24, 1), x);
  g.output("y", x);
  return g.build().value();
}

TEST(Bf16, WholeNetworksAreWithinTwoPercent) {
  const std::vector<Way> ways = bf16_ways();
  const auto pixels = static_cast<std::int64_t>(l2_cache_bytes() / 4 / sizeof(float) / 72);
  std::int64_t side = 1;
  while (side * side <= pixels) ++side;
  for (const auto& [graph, shape] : {std::pair{mlp_net(), Shape{3, 784}},
                                     {normed_mlp_net(), {4, 12}},
                                     {fashion_net(), {2, 1, 28, 28}},
                                     {vgg_net(), {2, 3, 26, 30}},
                                     {resnet_net(), {2, 3, 45, 39}},
                                     {striped_net(), {1, 12, side, side}}}) {
    const Model model = made_up_model(graph);
    const Tensor x = made_up("input", shape);
    const auto expected = run_on(*runtime::reference::make_backend().value(), model, std::span(&x, 1))[0];
    for (const Way& way : ways) {
      SCOPED_TRACE(way.name + ", input of " + std::to_string(shape[1]));
      expect_close(expected, run_bf16(way, model, x), 2e-2);
      if (HasFatalFailure()) return;
    }
  }
}

// Rows stay floats there, and sums have the order of products of floats: of Precision::fast, whose chains are as long.
TEST(Bf16, WidenedWeightsGiveTheBitsOfThoseWeightsAsFloats) {
  for (const Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512}) {
    const auto backend = runtime::cpu::make_backend(isa, NarrowWay::widen);
    if (!backend) continue;
    SCOPED_TRACE(to_string(isa));
    for (const auto& [rows, in, out] : {std::tuple{1, 300, 100}, {1, 301, 64}, {3, 300, 130}, {100, 513, 81}}) {
      const Graph graph = graph_of(Linear{.in_features = in, .out_features = out});
      StateDict state;
      for (const ParameterSpec& parameter : graph.parameters()) {
        state.insert(parameter.name, tensor_of(rounded(values_for(parameter.name, parameter.shape)), parameter.shape));
      }
      const Model model = Model::create(graph, state).value();
      std::vector<float> values = values_for("x", {rows, in});
      for (const std::size_t zeros : {0U, 9U, 2U, 1U}) {  // none, one in nine, every second, all but a few
        for (std::size_t i = 0; i < values.size(); ++i) {
          if (zeros > 0 && i % zeros == 0 && i % 50 != 7) values[i] = i % 4 == 0 ? -0.0F : 0.0F;
        }
        const Tensor x = tensor_of(values, {rows, in});
        EXPECT_EQ(run_on(**backend, model, std::span(&x, 1), nullptr, Precision::fast)[0],
                  run_on(**backend, model, std::span(&x, 1), nullptr, Precision::bf16)[0])
            << rows << " " << in << " " << out << ", zeros at multiples of " << zeros;
      }
    }
  }
}

TEST(Bf16, ZerosOfARowMeetInfiniteWeightsToo) {
  constexpr std::size_t kIn = 300;
  constexpr std::size_t kOut = 150;
  std::vector<float> values = values_for("x", {1, kIn});
  for (std::size_t i = 0; i < kIn; ++i) {
    if (i / 7 % 2 == 0) values[i] = 0.0F;
  }
  const Tensor x = tensor_of(values, {1, kIn});
  const float inf = std::numeric_limits<float>::infinity();
  for (const float odd : {1.0F, inf, std::numeric_limits<float>::quiet_NaN()}) {
    std::vector<float> weights = values_for("weight", {kOut, kIn});
    weights[(kOut - 2) * kIn + 44] = odd;
    const Model model = model_of(Linear{.in_features = kIn, .out_features = kOut, .bias = false},
                                 {{"weight", tensor_of(weights, {kOut, kIn})}});
    const auto expected = run_on(*runtime::reference::make_backend().value(), model, std::span(&x, 1))[0];
    for (const Way& way : bf16_ways()) {
      SCOPED_TRACE(way.name);
      expect_close(expected, run_bf16(way, model, x), 1e-2);
    }
  }
}

TEST(Bf16, NanAndInfinityReachTheOutputsTheyReachInFloat) {
  const std::vector<Way> ways = bf16_ways();
  const float inf = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  // Of the smallest payload: cut to 16 bits it would be an infinity.
  const float small_nan = std::bit_cast<float>(0x7F800001U);
  for (const Case& each : cases()) {
    const Graph graph = graph_of(each.op);
    for (const float odd : {inf, -inf, nan, small_nan}) {
      const StateDict state = made_up_state(graph);
      std::vector<float> values = values_for("x", each.shape);
      values[values.size() / 3] = odd;
      const Tensor x = tensor_of(values, each.shape);
      const Model model = Model::create(graph, state).value();
      const auto expected = run_on(*runtime::reference::make_backend().value(), model, std::span(&x, 1))[0];
      StateDict odd_state;
      for (const ParameterSpec& parameter : graph.parameters()) {
        std::vector<float> weights = values_for(parameter.name, parameter.shape);
        if (parameter.name == "op.weight") weights[weights.size() / 2] = odd;
        odd_state.insert(parameter.name, tensor_of(weights, parameter.shape));
      }
      const Model odd_model = Model::create(graph, odd_state).value();
      const Tensor usual = made_up("x", each.shape);
      const auto by_weight = run_on(*runtime::reference::make_backend().value(), odd_model, std::span(&usual, 1))[0];
      for (const Way& way : ways) {
        SCOPED_TRACE(each.name + ", " + way.name);
        expect_close(expected, run_bf16(way, model, x), 1e-2);
        if (HasFatalFailure()) return;
        expect_close(by_weight, run_bf16(way, odd_model, usual), 1e-2);
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST(Bf16, BitsDependOnNeitherThreadsNorThePlaceInABatch) {
  const std::vector<Way> ways = bf16_ways();
  for (const Case& each : cases()) {
    if (each.shape[0] != 1 || each.shape.size() != 4) continue;
    const Model model = made_up_model(graph_of(each.op));
    Shape shape = each.shape;
    shape[0] = 5;
    const std::vector<float> item = values_for("item", each.shape);
    const std::vector<float> others = values_for("others", shape);
    for (const Way& way : ways) {
      std::vector<float> expected;
      for (std::size_t position = 0; position < 5; ++position) {
        std::vector<float> batch = others;
        std::copy(item.begin(), item.end(), batch.begin() + static_cast<std::ptrdiff_t>(position * item.size()));
        const Tensor x = tensor_of(batch, shape);
        for (const unsigned threads : {1U, 2U, 5U}) {
          const std::unique_ptr<Executor> pool = make_thread_pool(threads);
          const std::vector<float> all = run_bf16(way, model, x, pool.get());
          const std::size_t width = all.size() / 5;
          const auto first = all.begin() + static_cast<std::ptrdiff_t>(position * width);
          const std::vector<float> found(first, first + static_cast<std::ptrdiff_t>(width));
          if (expected.empty()) expected = found;
          ASSERT_EQ(expected, found) << each.name << ", " << way.name << ", " << threads << " threads, position "
                                     << position;
        }
      }
    }
  }
}

// tf32 and fp16 are words of GPUs.
TEST(Bf16, PrecisionsThatTheCpuDoesNotKnowAreStrict) {
  const Model model = made_up_model(resnet_net());
  const Tensor x = made_up("input", {2, 3, 45, 39});
  const auto backend = runtime::cpu::make_backend().value();
  const auto strict = run_on(*backend, model, std::span(&x, 1));
  EXPECT_EQ(strict, run_on(*backend, model, std::span(&x, 1), nullptr, Precision::tf32));
  EXPECT_EQ(strict, run_on(*backend, model, std::span(&x, 1), nullptr, Precision::fp16));
}

TEST(Bf16, TheNamesOfWaysAndPrecisions) {
  for (const NarrowWay way : {NarrowWay::widen, NarrowWay::dot, NarrowWay::amx}) {
    EXPECT_EQ(way, runtime::cpu::parse_narrow_way(to_string(way)));
  }
  EXPECT_FALSE(runtime::cpu::parse_narrow_way("vdpbf16ps"));
  for (const Precision precision :
       {Precision::strict, Precision::fast, Precision::bf16, Precision::int8, Precision::tf32, Precision::fp16}) {
    EXPECT_EQ(precision, parse_precision(to_string(precision)));
  }
  EXPECT_FALSE(parse_precision("int4"));
}

// Seconds that a clock would give, and how often it was asked.
struct Clock {
  std::vector<double> seconds;  // of each way
  NarrowWay slow = NarrowWay::widen;
  int slow_calls = 0;  // the first so many of `slow` take a hundred times as long
  int calls = 0;
  double operator()(NarrowWay way) {
    ++calls;
    const double usual = seconds.at(static_cast<std::size_t>(way));
    return way == slow && slow_calls-- > 0 ? 100 * usual : usual;
  }
};
constexpr bool kAllWays[] = {true, true, true};

TEST(Bf16, TheWayOfAProcessIsTheFastest) {
  using runtime::cpu::steady_fastest_way;
  Clock usual{.seconds = {16, 8, 1}};
  EXPECT_EQ(steady_fastest_way(kAllWays, std::ref(usual)), NarrowWay::amx);
  EXPECT_EQ(usual.calls, 3 * 7);  // one of them to begin with, six that count
  // Instructions that are slower than floats, as on some processors, or hardly faster.
  EXPECT_EQ(steady_fastest_way(kAllWays, Clock{.seconds = {16, 40, 20}}), NarrowWay::widen);
  EXPECT_EQ(steady_fastest_way(kAllWays, Clock{.seconds = {16, 15, 14}}), NarrowWay::widen);
  EXPECT_EQ(steady_fastest_way(kAllWays, Clock{.seconds = {16, 8, 9}}), NarrowWay::dot);
  // What is not there is not asked.
  constexpr bool kWithoutTiles[] = {true, true, false};
  EXPECT_EQ(steady_fastest_way(kWithoutTiles, Clock{.seconds = {16, 8}}), NarrowWay::dot);
  constexpr bool kNone[] = {true, false, false};
  EXPECT_EQ(steady_fastest_way(kNone, Clock{.seconds = {16}}), NarrowWay::widen);
}

TEST(Bf16, ANeighbourDoesNotChangeTheWay) {
  using runtime::cpu::steady_fastest_way;
  for (const int slow_calls : {6, 7, 12, 20, 24}) {
    EXPECT_EQ(steady_fastest_way(kAllWays, Clock{{16, 8, 1}, NarrowWay::amx, slow_calls}), NarrowWay::amx)
        << slow_calls;
  }
}

TEST(Bf16, AWayThatTheProcessorLacksIsRefused) {
  const auto backend = runtime::cpu::make_backend(Isa::baseline, NarrowWay::amx);
  ASSERT_FALSE(backend);
  EXPECT_EQ("this processor has no amx", backend.error().finding.message);
}

}  // namespace
}  // namespace rushlight::test
