// Convolutions that are computed together with the maximum pooling behind them: in stripes, or tile by tile.
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "runtime/each_way.hpp"
#include "runtime/networks.hpp"
#include "runtime/plan.hpp"

namespace rushlight::test {
namespace {

struct Pair {
  Conv2d conv;
  std::optional<Operator> activation;
  MaxPool2d pool;
  bool residual = false;  // the input is added before the pooling
  bool tap = false;       // somebody else reads what the convolution makes, so that each is a step of its own
};

Graph graph_of_pair(const Pair& pair) {
  GraphBuilder g;
  const Edge input = g.input("x");
  Edge x = g.apply("conv", pair.conv, input);
  if (pair.residual) x = g.apply("add", Add{}, x, input);
  if (pair.activation) x = g.apply("act", *pair.activation, x);
  g.output("y", g.apply("pool", pair.pool, x));
  if (pair.tap) g.output("between", x);
  return g.build().value();
}

Conv2d window(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride = 1) {
  return {.in_channels = in,
          .out_channels = out,
          .kernel_size = kernel,
          .stride = stride,
          .padding = Padding((kernel - 1) / 2)};
}
MaxPool2d pooling(IntPair kernel, IntPair stride, IntPair padding = 0) {
  return {.kernel_size = kernel, .stride = stride, .padding = padding};
}
MaxPool2d overhanging(MaxPool2d pool) {
  pool.ceil_mode = true;
  return pool;
}
MaxPool2d dilated(MaxPool2d pool) {
  pool.dilation = {2, 1};
  return pool;
}

std::string planned(const Pair& pair, const Shape& shape, bool has_tiles) {
  const StateDict none;
  const Graph graph = graph_of_pair(pair);
  runtime::PlanOptions options{.fuses_activations = true, .stripe_cache_bytes = 1024};
  options.has_tiles = [&](const auto&, const auto&, const auto&) { return has_tiles; };
  return to_string(runtime::make_plan({graph, none}, std::span(&shape, 1), {}, options).value());
}
bool in_stripes(const Pair& pair, const Shape& shape, bool has_tiles) {
  return planned(pair, shape, has_tiles).find(" stripes ") != std::string::npos;
}

TEST(Pooled, ArePlannedWhereTheyPay) {
  const Pair quads{.conv = window(8, 8, 3), .activation = ReLU{}, .pool = pooling(2, 2)};
  EXPECT_NE(std::string::npos,
            planned(quads, {1, 8, 20, 20}, false)
                .find("pool stripes 1x20x20x8 -> 1x10x10x8 k3x3 s1x1 p1x1 then max k2x2 s2x2 p0x0\n"));
  // Tiles have to hold whole windows, and then no picture is too small.
  EXPECT_TRUE(in_stripes(quads, {1, 8, 2, 2}, true));
  EXPECT_TRUE(in_stripes(quads, {1, 8, 21, 21}, true));
  for (const MaxPool2d& pool : {pooling(3, 2), pooling(2, 1), pooling(2, 2, 1), dilated(pooling(2, 2)),
                                overhanging(pooling(2, 2)), pooling({2, 1}, {2, 1})}) {
    Pair pair = quads;
    pair.pool = pool;
    EXPECT_FALSE(in_stripes(pair, {1, 8, 21, 21}, true));
    EXPECT_TRUE(in_stripes(pair, {1, 8, 21, 21}, false));
  }
  // What stays in cache anyway, what has too few lines to share, and where weights would be read again and again.
  EXPECT_FALSE(in_stripes(quads, {1, 8, 2, 2}, false));
  EXPECT_FALSE(in_stripes(quads, {1, 8, 15, 200}, false));
  Pair heavy = quads;
  heavy.conv = window(64, 8, 3);
  EXPECT_FALSE(in_stripes(heavy, {1, 64, 20, 20}, false));
  for (const bool has_tiles : {true, false}) {
    Pair pair = quads;
    pair.tap = true;
    EXPECT_FALSE(in_stripes(pair, {1, 8, 20, 20}, has_tiles));
    pair.tap = false;
    pair.residual = true;
    EXPECT_FALSE(in_stripes(pair, {1, 8, 20, 20}, has_tiles));
    pair.residual = false;
    pair.conv.groups = 2;
    EXPECT_FALSE(in_stripes(pair, {1, 8, 20, 20}, has_tiles));
  }
}

// Each way of computing the convolution, on every instruction set, on pictures whose tiles end everywhere: where a
// value is infinite, NaN or enormous, too.
TEST(Pooled, EveryWayOfAConvolutionFitsTheReference) {
  struct Ways {
    Conv2d conv;
    std::vector<std::string> words;
  };
  const Ways each[] = {{window(18, 81, 3), {"direct", "winograd2", "winograd2x4", "winograd4"}},
                       {window(40, 72, 3, 2), {"direct", "winograd2s2", "winograd4s2"}}};
  for (const auto& [conv, ways] : each) {
    // Bounds are part of what stores a tile; others come behind it.
    for (const bool is_bounded : {true, false}) {
      const Operator activation = is_bounded ? Operator(ReLU{}) : Operator(SiLU{});
      const Model net = made_up_model(graph_of_pair({conv, activation, pooling(2, 2)}));
      for (const std::int64_t height :
           is_bounded ? std::vector<std::int64_t>{12, 13, 14, 15} : std::vector<std::int64_t>{13}) {
        const Shape shape = {2, conv.in_channels, conv.stride.h * height, conv.stride.w * (31 - height)};
        expect_each_way_fits_reference(net, shape, ways, " pooled");
        if (HasFatalFailure()) return;
      }
    }
  }
}

// Whatever the caches and threads: the bits of the two layers one after the other.
TEST(Pooled, GiveTheBitsOfTheLayersOneByOne) {
  std::vector<Pair> pairs;
  for (const Conv2d& conv :
       {window(24, 40, 3), window(3, 24, 7, 2), window(1, 24, 3), window(16, 24, 1), window(4, 20, 5)}) {
    for (const MaxPool2d& pool : {pooling(2, 2), pooling(3, 2, 1), overhanging(pooling(3, 2)),
                                  dilated(pooling(3, 1, 1)), pooling({2, 3}, {3, 1})}) {
      pairs.push_back({conv, SiLU{}, pool});
      pairs.push_back({conv, ReLU6{}, pool});
    }
  }
  for (const Pair& pair : pairs) {
    Pair tapped = pair;
    tapped.tap = true;
    const Model together = made_up_model(graph_of_pair(pair));
    const Model apart = made_up_model(graph_of_pair(tapped));
    const Tensor x = made_up("input", {2, pair.conv.in_channels, 45, 38});
    for (const auto& backend : cpu_backends()) {
      for (const Precision precision : {Precision::strict, Precision::fast, Precision::bf16}) {
        for (const std::uint64_t cache_bytes : {std::uint64_t{1}, std::uint64_t{48} << 10, std::uint64_t{1} << 40}) {
          SCOPED_TRACE(std::string(backend->name()) + ", " + std::string(to_string(precision)) + ", kernel " +
                       std::to_string(pair.conv.kernel_size.h) + ", pool " + std::to_string(pair.pool.kernel_size.h) +
                       ", cache " + std::to_string(cache_bytes));
          runtime::RunOptions options;
          options.precision = precision;
          options.cache_bytes = cache_bytes;
          const auto expected = run_on(*backend, apart, std::span(&x, 1), options)[0];
          for (const unsigned threads : {1U, 3U}) {
            const auto pool = make_thread_pool(threads);
            options.executor = pool.get();
            ASSERT_EQ(expected, run_on(*backend, together, std::span(&x, 1), options)[0]) << threads << " threads";
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace rushlight::test
