// Convolutions that read planes as the caller has them, beside the same convolutions behind a LayoutStep.
#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "runtime/activation_recorder.hpp"
#include "runtime/networks.hpp"
#include "runtime/plan.hpp"

namespace rushlight::test {
namespace {

enum class Layout { planes, pixels };

// With Layout::pixels somebody else reads the input too: one transposed picture serves both.
Graph graph_of(const Conv2d& first, Layout layout) {
  GraphBuilder g;
  const Edge x = g.input("x");
  g.output("y", g.apply("silu", SiLU{}, g.apply("first", first, x)));
  if (layout == Layout::pixels) g.output("pool", g.apply("pool", MaxPool2d{.kernel_size = 2}, x));
  return g.build().value();
}

std::string planned(const Graph& graph, const Shape& shape, std::uint64_t plane_cache_bytes = 1 << 16,
                    std::uint64_t stripe_cache_bytes = 0) {
  const StateDict none;
  const runtime::PlanOptions options{
      .fuses_activations = true, .stripe_cache_bytes = stripe_cache_bytes, .plane_cache_bytes = plane_cache_bytes};
  return to_string(runtime::make_plan({graph, none}, std::span(&shape, 1), {}, options).value());
}
bool reads_planes(const Conv2d& first, const Shape& shape, std::uint64_t plane_cache_bytes = 1 << 16) {
  const std::string text = planned(graph_of(first, Layout::planes), shape, plane_cache_bytes);
  EXPECT_NE(text.find(" planes"), text.find(" layout ")) << "one of the two:\n" << text;
  return text.find(" planes") != std::string::npos;
}

void expect_same_bits(const std::vector<float>& expected, const std::vector<float>& found) {
  ASSERT_EQ(expected.size(), found.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    ASSERT_EQ(0, std::memcmp(&expected[i], &found[i], sizeof(float)))
        << "at " << i << ": expected " << expected[i] << ", found " << found[i];
  }
}

// The first outputs of both networks, for each instruction set, with one thread and with three; computed directly,
// which is what sessions of little memory do (line_filter_test.cpp has the other way).
void expect_same_bits(const Model& planes, const Model& pixels, const Tensor& x,
                      Precision precision = Precision::strict) {
  const auto pool = make_thread_pool(3);
  for (const auto& backend : cpu_backends()) {
    SCOPED_TRACE(backend->name());
    const auto run = [&](const Model& model, Executor* executor) {
      return run_on(*backend, model, std::span(&x, 1),
                    {.executor = executor, .precision = precision, .low_memory = true})[0];
    };
    const std::vector<float> expected = run(pixels, nullptr);
    expect_same_bits(expected, run(planes, nullptr));
    expect_same_bits(expected, run(planes, pool.get()));
    if (testing::Test::HasFatalFailure()) return;
  }
}
void expect_same_bits(const Conv2d& first, const Tensor& x, Precision precision = Precision::strict) {
  expect_same_bits(made_up_model(graph_of(first, Layout::planes)), made_up_model(graph_of(first, Layout::pixels)), x,
                   precision);
}

TEST(Planes, AreReadByAConvolutionOfFewChannelsThatNobodySharesThemWith) {
  const Conv2d first{.in_channels = 3, .out_channels = 8, .kernel_size = 3, .stride = 2, .padding = 1};
  const Shape shape{2, 3, 40, 42};
  EXPECT_EQ(
      "first conv 2x40x42x3 planes -> 2x20x21x8 k3x3 s2x2 p1x1 +silu\n"
      "output 'y' layout 2x20x21x8 -> 320x1x1x21 (output)\n",
      planned(graph_of(first, Layout::planes), shape));
  EXPECT_EQ(std::string::npos, planned(graph_of(first, Layout::pixels), shape).find("planes"));
  EXPECT_EQ(std::string::npos, planned(graph_of(first, Layout::planes), shape, 0).find("planes"));

  // Three lines of 43 columns: one of padding.
  EXPECT_TRUE(reads_planes(first, shape, 3 * 43 * 3 * sizeof(float)));
  EXPECT_FALSE(reads_planes(first, shape, 3 * 43 * 3 * sizeof(float) - 1));
  EXPECT_FALSE(reads_planes(first, {1, 3, 40, 42})) << "too few windows";
  Conv2d other = first;
  other.in_channels = 4;
  EXPECT_TRUE(reads_planes(other, {2, 4, 40, 42}));
  other.in_channels = 5;
  EXPECT_FALSE(reads_planes(other, {2, 5, 40, 42}));
  other = first;
  other.kernel_size = {1, 3};
  EXPECT_FALSE(reads_planes(other, shape));
  other.in_channels = other.groups = 2;
  other.kernel_size = 3;
  EXPECT_FALSE(reads_planes(other, {2, 2, 40, 42})) << "groups";
  // Bytes that 64 bits do not count.
  other = first;
  other.dilation = std::int64_t{1} << 30;
  other.padding = Padding(std::int64_t{1} << 30);
  EXPECT_FALSE(reads_planes(other, {1, 3, 100, 100}, std::numeric_limits<std::uint64_t>::max()));
}

// A residual is read where it lies: as pixels.
TEST(Planes, AreNotReadWhereTheInputIsAddedAtTheEnd) {
  GraphBuilder g;
  const Edge x = g.input("x");
  g.output("y",
           g.apply("add", Add{},
                   g.apply("conv", Conv2d{.in_channels = 3, .out_channels = 3, .kernel_size = 3, .padding = 1}, x), x));
  const std::string text = planned(g.build().value(), {1, 3, 32, 32});
  EXPECT_NE(std::string::npos, text.find("+residual"));
  EXPECT_EQ(std::string::npos, text.find("planes"));
}

TEST(Planes, GiveTheSameBitsAsPixels) {
  struct Case {
    IntPair kernel = 3;
    IntPair stride = 1;
    Padding padding = Padding(0, 0);
    IntPair dilation = 1;
  };
  for (const Case& c : std::vector<Case>{{},
                                         {.padding = Padding(1, 1)},
                                         {.kernel = 7, .stride = 2, .padding = Padding(3, 3)},
                                         {.kernel = {2, 1}, .padding = Padding(1, 0)},
                                         {.kernel = {5, 4}, .padding = Padding::same()},
                                         {.kernel = {3, 2}, .stride = {1, 2}, .padding = Padding(0, 2)},
                                         {.kernel = 2, .stride = {1, 3}, .padding = Padding(5, 9)},
                                         {.kernel = {4, 18}, .padding = Padding(1, 8)},
                                         {.padding = Padding(2, 3), .dilation = {2, 3}},
                                         {.kernel = {3, 2}, .padding = Padding(6, 0), .dilation = {6, 1}}}) {
    for (const std::int64_t channels : {1, 2, 3, 4}) {
      Conv2d first{.in_channels = channels, .out_channels = 19, .kernel_size = c.kernel, .stride = c.stride};
      first.padding = c.padding;
      first.dilation = c.dilation;
      const Shape shape{3, channels, 37, 53};
      SCOPED_TRACE(planned(graph_of(first, Layout::planes), shape));
      EXPECT_EQ(channels > 1, reads_planes(first, shape));
      const Tensor x = made_up("input", shape);
      expect_same_bits(first, x);
      if (channels == 3) expect_cpu_fits_reference(made_up_model(graph_of(first, Layout::planes)), x);
      if (HasFailure()) return;
    }
  }
}

// Pictures of which a few lines at a time are turned, or one: also on one thread, and across the images of a batch.
TEST(Planes, GiveTheSameBitsForLargePictures) {
  const Conv2d first{.in_channels = 3, .out_channels = 4, .kernel_size = 3, .stride = 2, .padding = 1};
  Conv2d tall = first;
  tall.kernel_size = {7, 5};
  tall.stride = 1;
  tall.padding = Padding(3, 1);
  Conv2d dilated = first;
  dilated.stride = 1;
  dilated.dilation = {4, 1};
  dilated.padding = Padding(6, 0);
  Conv2d apart = first;
  apart.kernel_size = 2;
  apart.stride = 3;
  apart.padding = Padding::valid();
  for (const Conv2d& conv : {first, tall, dilated, apart}) {
    for (const std::int64_t width : {310, 2000}) {
      const Shape shape{2, 3, 73, width};
      SCOPED_TRACE(planned(graph_of(conv, Layout::planes), shape, l2_cache_bytes() / 4));
      expect_same_bits(conv, made_up("input", shape));
      if (HasFailure()) return;
    }
  }
}

TEST(Planes, NanAndInfinitiesReachTheSameOutputs) {
  const Conv2d first{.in_channels = 3, .out_channels = 5, .kernel_size = 3, .padding = 2};
  const Shape shape{1, 3, 29, 31};
  std::vector<float> values = values_for("input", shape);
  values[0] = std::numeric_limits<float>::quiet_NaN();
  values[30] = std::numeric_limits<float>::infinity();
  values[29 * 31 + 400] = -std::numeric_limits<float>::infinity();
  values.back() = std::numeric_limits<float>::quiet_NaN();
  const Tensor x = tensor_of(values, shape);
  expect_same_bits(first, x);
  expect_cpu_fits_reference(made_up_model(graph_of(first, Layout::planes)), x);

  // 0 * infinity where padding meets an infinite weight.
  const auto with_infinite_weight = [&](Layout layout) {
    StateDict state = made_up_state(graph_of(first, layout));
    std::vector<float> weights = floats_of(*state.find("first.weight"));
    weights[0] = std::numeric_limits<float>::infinity();
    state.insert("first.weight", tensor_of(weights, {5, 3, 3, 3}));
    return Model::create(graph_of(first, layout), state).value();
  };
  expect_same_bits(with_infinite_weight(Layout::planes), with_infinite_weight(Layout::pixels), made_up("input", shape));
}

Graph stem(bool last, Layout layout) {
  GraphBuilder g;
  const Edge input = g.input("x");
  const Conv2d first{.in_channels = 3, .out_channels = 40, .kernel_size = 3, .stride = 2, .padding = 1};
  const Conv2d depthwise{.in_channels = 40, .out_channels = 40, .kernel_size = 3, .padding = 1, .groups = 40};
  Edge x = g.apply("relu", ReLU6{}, g.apply("first", first, input));
  x = g.apply("depth", depthwise, x);
  if (last) x = g.apply("last", Conv2d{.in_channels = 40, .out_channels = 16, .kernel_size = 1}, x);
  g.output("y", x);
  if (layout == Layout::pixels) g.output("pool", g.apply("pool", MaxPool2d{.kernel_size = 2}, input));
  return g.build().value();
}

TEST(Planes, AreReadInStripesToo) {
  std::int64_t side = 32;  // of the first layer's output, for stripes on this machine
  while (static_cast<std::uint64_t>(side * side * 40) * sizeof(float) <= l2_cache_bytes() / 4) ++side;
  const Shape shape{2, 3, 2 * side, 2 * side + 1};
  for (const bool last : {false, true}) {
    const std::string text = planned(stem(last, Layout::planes), shape, l2_cache_bytes() / 4, l2_cache_bytes());
    EXPECT_NE(std::string::npos, text.find(" stripes ")) << text;
    EXPECT_NE(std::string::npos, text.find(" planes -> ")) << text;
    expect_same_bits(made_up_model(stem(last, Layout::planes)), made_up_model(stem(last, Layout::pixels)),
                     made_up("input", shape));
  }
}

// What comes before need not be the caller: here it lies in the arena, and must live until it is read.
TEST(Planes, AreReadFromOtherStepsToo) {
  const auto graph = [](Layout layout) {
    GraphBuilder g;
    const Edge x = g.apply("softmax", Softmax{.dim = 3}, g.input("x"));
    Edge y = g.apply("first", Conv2d{.in_channels = 3, .out_channels = 3, .kernel_size = 3, .padding = 1}, x);
    y = g.apply("second", Conv2d{.in_channels = 3, .out_channels = 3, .kernel_size = 3, .padding = 1}, y);
    g.output("y", y);
    if (layout == Layout::pixels) g.output("pool", g.apply("pool", MaxPool2d{.kernel_size = 2}, x));
    return g.build().value();
  };
  const Shape shape{1, 3, 33, 34};
  EXPECT_NE(std::string::npos, planned(graph(Layout::planes), shape).find("first conv 1x33x34x3 planes"));
  expect_same_bits(made_up_model(graph(Layout::planes)), made_up_model(graph(Layout::pixels)), made_up("input", shape));
}

TEST(Planes, ArePixelsToNarrowNumbers) {
  const Conv2d first{.in_channels = 3, .out_channels = 24, .kernel_size = 3, .stride = 2, .padding = 1};
  expect_same_bits(first, made_up("input", {1, 3, 64, 66}), Precision::bf16);
}

// The transposed picture has no memory of its own.
TEST(Planes, TakeLessMemory) {
  const Conv2d first{.in_channels = 3, .out_channels = 4, .kernel_size = 3, .stride = 2, .padding = 1};
  const auto workspace = [&](Layout layout, bool low_memory) {
    const Model model = made_up_model(graph_of(first, layout));
    const runtime::Network network{model.graph(), model.state_dict()};
    const auto backend = runtime::cpu::make_backend().value();
    const Shape shape{1, 3, 900, 900};
    return backend
        ->compile(network, std::span(&shape, 1), backend->make_weights(network).value(), {.low_memory = low_memory})
        .value()
        ->workspace_bytes();
  };
  const std::uint64_t picture = std::uint64_t{3} * 900 * 900 * sizeof(float);
  for (const bool low_memory : {false, true}) {
    EXPECT_LE(workspace(Layout::planes, low_memory) + picture / 2, workspace(Layout::pixels, low_memory));
  }
}

TEST(Planes, AreShownToARecorderAsPixels) {
  class Recorder final : public runtime::ActivationRecorder {
   public:
    void record(std::string_view, const float* first, std::size_t rows, std::size_t channels, std::size_t) override {
      seen.assign(first, first + rows * channels);
    }
    std::vector<float> seen;
  };
  const Conv2d first{.in_channels = 3, .out_channels = 4, .kernel_size = 3, .padding = 1};
  const Model model = made_up_model(graph_of(first, Layout::planes));
  const runtime::Network network{model.graph(), model.state_dict()};
  const auto backend = runtime::cpu::make_backend().value();
  const Shape shape{1, 3, 30, 31};
  Recorder recorder;
  const auto program =
      backend->compile(network, std::span(&shape, 1), backend->make_weights(network).value(), {.recorder = &recorder})
          .value();
  const std::vector<float> x = values_for("input", shape);
  std::vector<float> y(std::size_t{4} * 30 * 31);
  const Shape out_shape{1, 4, 30, 31};
  const TensorView in{.data = x.data(), .shape = shape};
  const MutableTensorView out{.data = y.data(), .shape = out_shape};
  ASSERT_TRUE(program->run(std::span(&in, 1), std::span(&out, 1)));
  ASSERT_EQ(x.size(), recorder.seen.size());
  for (std::size_t i = 0; i < x.size(); ++i) ASSERT_EQ(x[i % 3 * 930 + i / 3], recorder.seen[i]);
}

}  // namespace
}  // namespace rushlight::test
