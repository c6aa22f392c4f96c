// Depthwise convolutions, alone and in stripes with the layers around them.
#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "runtime/backward_executor.hpp"
#include "runtime/networks.hpp"
#include "runtime/plan.hpp"

namespace rushlight::test {
namespace {

Conv2d pointwise(std::int64_t in, std::int64_t out) {
  return {.in_channels = in, .out_channels = out, .kernel_size = 1};
}
Conv2d depthwise(std::int64_t channels, IntPair kernel, IntPair stride) {
  return {.in_channels = channels,
          .out_channels = channels,
          .kernel_size = kernel,
          .stride = stride,
          .padding = Padding(kernel.h / 2, kernel.w / 2),
          .groups = channels};
}

TEST(CpuDepthwise, WindowsStridesAndEdgesOfLines) {
  for (const std::int64_t kernel : {1, 2, 3, 4, 5, 7, 9}) {
    for (const std::int64_t stride : {1, 2, 3}) {
      for (const std::int64_t width : {1, 2, 3, 4, 5, 6, 9, 14, 17}) {
        Conv2d op = depthwise(21, {3, kernel}, stride);
        SCOPED_TRACE(std::to_string(kernel) + " columns, stride " + std::to_string(stride) + ", width " +
                     std::to_string(width));
        expect_cpu_fits_reference(made_up_model(graph_of(op)), made_up("input", {2, 21, 7, width}));
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST(CpuDepthwise, ChannelsAroundTheEdgesOfVectors) {
  for (const std::int64_t channels : {2, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 40, 48, 72}) {
    SCOPED_TRACE(channels);
    expect_cpu_fits_reference(made_up_model(graph_of(depthwise(channels, 5, 2))),
                              made_up("input", {1, channels, 11, 13}));
    if (HasFatalFailure()) return;
  }
}

TEST(CpuDepthwise, TallWindowsDilationAndUnequalPadding) {
  Conv2d tall = depthwise(19, {11, 3}, 1);
  expect_cpu_fits_reference(made_up_model(graph_of(tall)), made_up("input", {1, 19, 12, 9}));
  Conv2d dilated = depthwise(19, 3, 1);
  dilated.dilation = {3, 1};
  dilated.padding = Padding(3, 1);
  expect_cpu_fits_reference(made_up_model(graph_of(dilated)), made_up("input", {2, 19, 12, 9}));
  dilated.dilation = {1, 2};
  expect_cpu_fits_reference(made_up_model(graph_of(dilated)), made_up("input", {2, 19, 12, 9}));
  Conv2d bare = depthwise(19, 3, 1);
  bare.padding = Padding::valid();
  bare.bias = false;
  expect_cpu_fits_reference(made_up_model(graph_of(bare)), made_up("input", {2, 19, 12, 9}));
}

struct Block {
  std::int64_t in = 8;
  std::int64_t wide = 24;
  std::int64_t out = 8;
  IntPair kernel = 3;
  IntPair stride = 1;
  bool stem = false;      // a 3x3 convolution with stride 2 comes first, not a 1x1 one
  bool last = true;       // a 1x1 convolution follows
  bool residual = false;  // the input is added at the end
  bool tap = false;       // somebody else reads what lies in between
};

Graph graph_of_block(const Block& block) {
  GraphBuilder g;
  const Edge input = g.input("x");
  Conv2d first = pointwise(block.in, block.wide);
  if (block.stem) {
    first.kernel_size = 3;
    first.stride = 2;
    first.padding = 1;
  }
  Edge x = g.apply("first_relu", ReLU6{}, g.apply("first", first, input));
  const Edge between = x;
  x = g.apply("depth_silu", SiLU{}, g.apply("depth", depthwise(block.wide, block.kernel, block.stride), x));
  if (block.last) x = g.apply("last", pointwise(block.wide, block.out), x);
  if (block.residual) x = g.apply("add", Add{}, x, input);
  g.output("y", x);
  if (block.tap) g.output("between", between);
  return g.build().value();
}

std::string planned(const Block& block, const Shape& shape) {
  const StateDict none;
  const Graph graph = graph_of_block(block);
  const runtime::PlanOptions options{.fuses_activations = true, .stripe_cache_bytes = 1024};
  return to_string(runtime::make_plan({graph, none}, std::span(&shape, 1), {}, options).value());
}

TEST(Stripes, ArePlannedWhereNobodyElseReadsWhatLiesBetween) {
  const Shape shape{1, 8, 20, 20};
  EXPECT_NE(std::string::npos,
            planned({.residual = true}, shape)
                .find("last stripes 1x20x20x8 -> 1x20x20x8 k1x1 s1x1 p0x0 then k3x3 s1x1 p1x1 groups=24 then k1x1 s1x1 "
                      "p0x0 +residual\n"));
  EXPECT_NE(std::string::npos, planned({.stride = 2, .last = false}, shape)
                                   .find("depth stripes 1x20x20x8 -> 1x10x10x24 k1x1 s1x1 p0x0 then k3x3 s2x2 p1x1 "
                                         "groups=24 +silu\n"));
  EXPECT_EQ(std::string::npos, planned({.tap = true}, shape).find("stripes"));
}

// Large enough for stripes on any machine: what lies between is larger than its L2.
TEST(Stripes, GiveWhatTheLayersGiveOneByOne) {
  const std::int64_t wide = 72;
  const auto pixels = static_cast<std::int64_t>(l2_cache_bytes() / 4 / sizeof(float) / wide) + 1;
  std::int64_t side = 1;
  while (side * side < pixels) ++side;
  for (const Block& block : std::vector<Block>{{.wide = wide, .residual = true},
                                               {.wide = wide, .out = 20, .kernel = 5, .stride = 2},
                                               {.wide = wide, .kernel = {7, 3}, .last = false},
                                               {.wide = wide, .kernel = {3, 4}, .stride = {2, 1}},
                                               {.wide = wide, .stem = true}}) {
    const std::int64_t height = block.stem ? 2 * side : side;
    const Shape shape{2, block.in, height, height + 3};
    const Model model = made_up_model(graph_of_block(block));
    const Tensor x = made_up("input", shape);
    const auto expected = run_on(*runtime::reference::make_backend().value(), model, std::span(&x, 1))[0];
    const auto pool = make_thread_pool(3);
    for (const auto& backend : cpu_backends()) {
      SCOPED_TRACE(backend->name());
      const auto found = run_on(*backend, model, std::span(&x, 1))[0];
      expect_close(expected, found, 4e-6);
      EXPECT_EQ(found, run_on(*backend, model, std::span(&x, 1), pool.get())[0]) << "with three threads";
      if (HasFailure()) return;
    }
  }
}

// Rows that two neighbours read are computed once and moved; those that none reads never.
TEST(Stripes, OfFewRowsAtOnceGiveTheSameBits) {
  struct Window {
    IntPair kernel, stride, padding, dilation;
  };
  const runtime::RunOptions none{.limits = {}, .cache_bytes = std::uint64_t{1} << 40};
  for (const Window& window : std::vector<Window>{{{3, 3}, {1, 1}, {1, 1}, {1, 1}},
                                                  {{3, 3}, {2, 2}, {1, 1}, {1, 1}},
                                                  {{5, 5}, {1, 1}, {2, 2}, {1, 1}},
                                                  {{7, 1}, {1, 1}, {3, 0}, {1, 1}},
                                                  {{2, 3}, {3, 1}, {1, 0}, {1, 1}},
                                                  {{3, 3}, {4, 2}, {0, 0}, {1, 1}},
                                                  {{3, 3}, {1, 1}, {2, 2}, {2, 2}},
                                                  {{3, 3}, {2, 1}, {1, 1}, {4, 1}},
                                                  {{9, 1}, {1, 1}, {4, 0}, {2, 1}}}) {
    for (const bool has_last : {true, false}) {
      Conv2d depth = depthwise(24, window.kernel, window.stride);
      depth.padding = window.padding;
      depth.dilation = window.dilation;
      GraphBuilder g;
      Edge x = g.apply("first_relu", ReLU6{}, g.apply("first", pointwise(8, 24), g.input("x")));
      x = g.apply("depth_silu", SiLU{}, g.apply("depth", depth, x));
      if (has_last) x = g.apply("last", pointwise(24, 8), x);
      g.output("y", x);
      const Model model = made_up_model(g.build().value());
      const Tensor input = made_up("input", {2, 8, 27, 20});
      for (const auto& backend : cpu_backends()) {
        for (const Precision precision : {Precision::strict, Precision::bf16}) {
          SCOPED_TRACE(std::string(backend->name()) + ", " + std::string(to_string(precision)));
          runtime::RunOptions options = none;
          options.precision = precision;
          const auto expected = run_on(*backend, model, std::span(&input, 1), options);
          BackwardExecutor backward;
          std::vector<std::unique_ptr<Executor>> pools;
          std::vector<Executor*> executors{&backward};
          for (const unsigned threads : {1U, 2U, 3U, 8U}) {
            executors.push_back(pools.emplace_back(make_thread_pool(threads)).get());
          }
          for (Executor* const executor : executors) {
            options.executor = executor;
            for (const std::uint64_t cache_bytes : {1U, 16'384U, 40'000U}) {
              options.cache_bytes = cache_bytes;
              ASSERT_EQ(expected, run_on(*backend, model, std::span(&input, 1), options))
                  << executor->concurrency() << " threads, a cache of " << cache_bytes << " bytes";
            }
          }
        }
      }
    }
  }
}

// What a first layer could compute in tiles stays out of stripes, whatever the cache: the two ways round differently.
TEST(Stripes, ThatBeginWithWindowsHaveTheBitsOfLayersOneByOne) {
  for (const std::int64_t in : {3, 8, 16, 40}) {
    for (const std::int64_t stride : {1, 2}) {
      Conv2d first{.in_channels = in, .out_channels = 24, .kernel_size = 3, .stride = stride, .padding = 1};
      GraphBuilder g;
      Edge x = g.apply("first_relu", ReLU{}, g.apply("first", first, g.input("x")));
      x = g.apply("depth_relu", ReLU{}, g.apply("depth", depthwise(24, 3, 1), x));
      g.output("y", g.apply("last", pointwise(24, 8), x));
      const Model model = made_up_model(g.build().value());
      const Tensor input = made_up("input", {2, in, 53, 50});
      for (const auto& backend : cpu_backends()) {
        for (const Precision precision : {Precision::strict, Precision::fast, Precision::bf16}) {
          SCOPED_TRACE(std::string(backend->name()) + ", " + std::string(to_string(precision)) + ", " +
                       std::to_string(in) + " channels, stride " + std::to_string(stride));
          runtime::RunOptions options{.precision = precision, .limits = {}, .cache_bytes = std::uint64_t{1} << 40};
          const auto expected = run_on(*backend, model, std::span(&input, 1), options);
          options.cache_bytes = 16'384;
          ASSERT_EQ(expected, run_on(*backend, model, std::span(&input, 1), options));
        }
      }
    }
  }
}

// A picture's first layer, a layer that has tiles, and perhaps a pooling of quads behind it.
struct Beginning {
  std::int64_t stride = 1;  // of the second layer
  bool pooled = true;
  IntPair pool = 2;
  bool tap = false;  // somebody else reads what the first makes, so that each is a step of its own
};
Graph graph_of_beginning(const Beginning& beginning) {
  GraphBuilder g;
  Conv2d first{.in_channels = 3, .out_channels = 24, .kernel_size = 3, .padding = 1};
  Conv2d second{.in_channels = 24, .out_channels = 72, .kernel_size = 3, .stride = beginning.stride, .padding = 1};
  const Edge between = g.apply("first_relu", ReLU{}, g.apply("first", first, g.input("x")));
  Edge x = g.apply("second_silu", SiLU{}, g.apply("second", second, between));
  if (beginning.pooled) {
    x = g.apply("pool", MaxPool2d{.kernel_size = beginning.pool, .stride = beginning.pool}, x);
  }
  g.output("y", x);
  if (beginning.tap) g.output("between", between);
  return g.build().value();
}

TEST(Stripes, OfThePictureAndTilesArePlannedWithTheirPooling) {
  const Shape shape{1, 3, 48, 40};
  const auto planned = [&](const Beginning& beginning, bool has_tiles = true, std::uint64_t plane_bytes = 1 << 20) {
    const StateDict none;
    const Graph graph = graph_of_beginning(beginning);
    runtime::PlanOptions options{
        .fuses_activations = true, .stripe_cache_bytes = 1024, .plane_cache_bytes = plane_bytes};
    options.has_tiles = [&](const auto&, const runtime::PlannedTensor& input, const auto&) {
      return has_tiles && input.c > 3;
    };
    return to_string(runtime::make_plan({graph, none}, std::span(&shape, 1), {}, options).value());
  };
  EXPECT_NE(std::string::npos, planned({}).find("pool stripes 1x48x40x3 planes -> 1x24x20x72 k3x3 s1x1 p1x1 then k3x3 "
                                                "s1x1 p1x1 then max k2x2 s2x2 p0x0\n"))
      << planned({});
  EXPECT_NE(std::string::npos, planned({.stride = 2, .pooled = false})
                                   .find("second stripes 1x48x40x3 planes -> 1x24x20x72 k3x3 s1x1 p1x1 then k3x3 s2x2 "
                                         "p1x1 +silu\n"));
  // Another pooling is a step of its own.
  EXPECT_NE(std::string::npos, planned({.pool = 3}).find("\npool maxpool"));
  EXPECT_NE(std::string::npos, planned({.tap = true}).find("first conv"));
  EXPECT_NE(std::string::npos, planned({.pooled = false}, false).find("first conv"));
  EXPECT_NE(std::string::npos, planned({}, true, 0).find("first conv"));
}

// Whatever the caches and threads, and whichever way the weights allow; where values are infinite or NaN, too.
TEST(Stripes, OfThePictureAndTilesHaveTheBitsOfLayersOneByOne) {
  for (const Beginning& beginning :
       std::vector<Beginning>{{}, {.pooled = false}, {.stride = 2}, {.stride = 2, .pooled = false}, {.pool = 3}}) {
    Beginning tapped = beginning;
    tapped.tap = true;
    for (const bool is_usual : {true, false}) {
      StateDict state = made_up_state(graph_of_beginning(beginning));
      if (!is_usual) {
        std::vector<float> weights = values_for("second.weight", {72, 24, 3, 3});
        weights[100] = 0x1p41F;
        state.insert("second.weight", tensor_of(weights, {72, 24, 3, 3}));
      }
      const Model together = Model::create(graph_of_beginning(beginning), state).value();
      const Model apart = Model::create(graph_of_beginning(tapped), state).value();
      for (const Shape& shape : std::vector<Shape>{{2, 3, 45, 38}, {1, 3, 32, 64}, {3, 3, 39, 41}}) {
        std::vector<float> values = values_for("input", shape);
        values[values.size() / 3] = std::numeric_limits<float>::infinity();
        values[values.size() / 2] = std::numeric_limits<float>::quiet_NaN();
        const Tensor x = tensor_of(values, shape);
        for (const auto& backend : cpu_backends()) {
          for (const Precision precision : {Precision::strict, Precision::fast, Precision::bf16}) {
            for (const std::uint64_t cache_bytes : {std::uint64_t{8} << 10, std::uint64_t{48} << 10}) {
              SCOPED_TRACE(std::string(backend->name()) + ", " + std::string(to_string(precision)) + ", stride " +
                           std::to_string(beginning.stride) + ", pool " +
                           std::to_string(beginning.pooled ? beginning.pool.h : 0) + ", height " +
                           std::to_string(shape[2]) + ", cache " + std::to_string(cache_bytes) +
                           (is_usual ? "" : ", enormous weights"));
              runtime::RunOptions options;
              options.precision = precision;
              options.cache_bytes = cache_bytes;
              const std::vector<float> expected = run_on(*backend, apart, std::span(&x, 1), options)[0];
              for (const unsigned threads : {1U, 3U}) {
                const auto pool = make_thread_pool(threads);
                options.executor = pool.get();
                const std::vector<float> found = run_on(*backend, together, std::span(&x, 1), options)[0];
                ASSERT_EQ(expected.size(), found.size());
                ASSERT_EQ(0, std::memcmp(expected.data(), found.data(), found.size() * sizeof(float)))
                    << threads << " threads";
              }
            }
          }
        }
      }
    }
  }
}

// Reshapes and permutations are no steps: the second layer may see the same memory as other pictures.
TEST(Stripes, AreNoneWhereTheSecondLayerSeesOtherPictures) {
  const std::int64_t wide = 64;
  const auto rows = static_cast<std::int64_t>(l2_cache_bytes() / 4 / sizeof(float) / wide / 64) + 2;
  const std::int64_t height = rows / 2 * 2;
  struct View {
    const char* name;
    std::vector<Operator> path;
    Operator reader;
  };
  const Conv1d along{.in_channels = wide, .out_channels = wide, .kernel_size = 3, .padding = 1, .groups = wide};
  const std::vector<View> views = {
      {"lines", {Permute{.dims = {0, 2, 1, 3}}, Reshape{.shape = {-1, wide, 64}}}, along},
      {"one line", {Flatten{.start_dim = 2}}, along},
      {"wider", {Reshape{.shape = {2, wide, height / 2, 128}}}, depthwise(wide, 3, 1)},
  };
  for (const View& view : views) {
    SCOPED_TRACE(view.name);
    GraphBuilder g;
    Edge x = g.apply("first", pointwise(8, wide), g.input("x"));
    for (std::size_t i = 0; i < view.path.size(); ++i) x = g.apply("view" + std::to_string(i), view.path[i], x);
    g.output("y", g.apply("reader", view.reader, x));
    expect_cpu_fits_reference(made_up_model(g.build().value()), made_up("input", {2, 8, height, 64}));
  }
}

}  // namespace
}  // namespace rushlight::test
