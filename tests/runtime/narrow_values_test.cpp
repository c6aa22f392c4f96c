// Values that are stored as bfloat16 because only products of bfloat16 read them: never with other results.
#include <gtest/gtest.h>

#include <cstdint>
#include <iostream>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "runtime/networks.hpp"
#include "runtime/plan.hpp"

namespace rushlight::test {
namespace {

using runtime::cpu::NarrowWay;

Conv2d conv(std::int64_t in, std::int64_t out, IntPair kernel, IntPair stride = 1, IntPair dilation = 1,
            std::int64_t groups = 1) {
  return {.in_channels = in,
          .out_channels = out,
          .kernel_size = kernel,
          .stride = stride,
          .padding = Padding(kernel.h / 2, kernel.w / 2),
          .dilation = dilation,
          .groups = groups};
}

std::string planned(const Graph& graph, std::uint64_t stripe_cache_bytes = 0, const Shape& shape = {2, 8, 20, 20}) {
  const StateDict none;
  const runtime::PlanOptions options{
      .fuses_activations = true,
      .stripe_cache_bytes = stripe_cache_bytes,
      .multiplies_bf16 = [](const auto& step, const auto&, const auto&) { return step.groups == 1; },
      .item_cache_bytes = 1024};
  return to_string(runtime::make_plan({graph, none}, std::span(&shape, 1), {}, options).value());
}

std::size_t count_narrow(const std::string& plan) {
  std::size_t count = 0;
  for (std::size_t at = plan.find(" bf16 -> "); at != std::string::npos; at = plan.find(" bf16 -> ", at + 1)) ++count;
  return count;
}

TEST(NarrowValues, AreThoseThatOnlyProductsRead) {
  GraphBuilder g;
  Edge x = g.apply("one_relu", ReLU{}, g.apply("one", conv(8, 24, 1), g.input("x")));
  x = g.apply("two_clamp", ReLU6{}, g.apply("two", conv(24, 16, 3), x));
  g.output("y", g.apply("three", conv(16, 4, 3, 2), x));
  EXPECT_EQ(
      "one layout 160x1x1x20 -> 1x20x20x8 (of 2 items)\n"
      "one conv 1x20x20x8 -> 1x20x20x24 bf16 k1x1 s1x1 p0x0 +relu (of 2 items)\n"
      "two conv 1x20x20x24 bf16 -> 1x20x20x16 bf16 k3x3 s1x1 p1x1 +clamp (of 2 items)\n"
      "three conv 1x20x20x16 bf16 -> 1x10x10x4 k3x3 s2x2 p1x1 (of 2 items)\n"
      "output 'y' layout 1x10x10x4 -> 40x1x1x10 (output) (of 2 items)\n",
      planned(g.build().value()));
}

TEST(NarrowValues, MayHaveSeveralReadersIfAllOfThemAreProducts) {
  for (const bool has_pool : {false, true}) {
    GraphBuilder g;
    const Edge x = g.apply("relu", ReLU{}, g.apply("squeeze", conv(8, 6, 1), g.input("x")));
    g.output("a", g.apply("one", conv(6, 4, 1), x));
    g.output("b", g.apply("three", conv(6, 4, 3), x));
    if (has_pool) g.output("c", g.apply("pool", MaxPool2d{.kernel_size = 3}, x));
    EXPECT_EQ(has_pool ? 0U : 2U, count_narrow(planned(g.build().value())));
  }
}

TEST(NarrowValues, AreNoneThatOthersRead) {
  const auto narrow_with = [](auto&& between, std::int64_t channels = 6) {
    GraphBuilder g;
    const Edge input = g.input("x");
    const Edge x = between(g, g.apply("first", conv(8, channels, 1), input), input);
    g.output("y", g.apply("last", conv(channels, 4, 1), x));
    return count_narrow(planned(g.build().value()));
  };
  EXPECT_EQ(1U, narrow_with([](GraphBuilder&, Edge x, Edge) { return x; }));
  EXPECT_EQ(0U, narrow_with([](GraphBuilder&, Edge x, Edge) { return x; }, 7)) << "an odd number of channels";
  EXPECT_EQ(0U, narrow_with([](GraphBuilder& g, Edge x, Edge) { return g.apply("silu", SiLU{}, x); }))
      << "an activation behind the store";
  EXPECT_EQ(0U, narrow_with([](GraphBuilder& g, Edge x, Edge input) {
              return g.apply("sum", Add{}, x, g.apply("other", conv(8, 6, 1), input));
            }))
      << "a sum";
  EXPECT_EQ(0U, narrow_with([](GraphBuilder& g, Edge x, Edge) {
              g.output("seen", x);
              return x;
            }))
      << "an output";
  EXPECT_EQ(0U,
            narrow_with([](GraphBuilder& g, Edge x, Edge) { return g.apply("pool", MaxPool2d{.kernel_size = 2}, x); }))
      << "a pooling";
  EXPECT_EQ(0U, narrow_with([](GraphBuilder& g, Edge x, Edge) { return g.apply("depth", conv(6, 6, 3, 1, 1, 6), x); }))
      << "a depthwise convolution";
  EXPECT_EQ(0U, narrow_with([](GraphBuilder& g, Edge x, Edge) {
              return g.apply("add", Add{}, g.apply("again", conv(6, 6, 3), x), x);
            }))
      << "a residual";
}

TEST(NarrowValues, MayBeReadByAStripe) {
  GraphBuilder g;
  Edge x = g.apply("one", conv(8, 24, 3), g.input("x"));
  x = g.apply("pool", MaxPool2d{.kernel_size = 3}, g.apply("two", conv(24, 16, 3), x));
  g.output("y", x);
  const std::string plan = planned(g.build().value(), 1024);
  EXPECT_NE(std::string::npos, plan.find("pool stripes 1x20x20x24 bf16 -> 1x6x6x16")) << plan;
}

struct Way {
  std::shared_ptr<const runtime::Backend> backend;
  std::string name;
};
std::vector<Way> narrow_ways() {
  std::vector<Way> ways;
  for (const NarrowWay way : {NarrowWay::dot, NarrowWay::amx}) {
    const std::string name(to_string(way));
    if (auto backend = runtime::cpu::make_backend(Isa::avx512, way)) {
      ways.push_back({*std::move(backend), name});
    } else {
      std::cout << "SKIPPED: " << name << ": " << backend.error().finding.message << "\n";
    }
  }
  return ways;
}

struct Layer {
  Conv2d op;
  bool pools = false;
};

// The last output of a chain of layers, ReLU between them. A value that is an output as well stays float.
std::vector<float> run_chain(const runtime::Backend& backend, const std::vector<Layer>& layers, const Tensor& input,
                             bool shows_all, Executor* executor = nullptr) {
  GraphBuilder g;
  Edge x = g.input("x");
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const std::string name = "layer" + std::to_string(i);
    x = g.apply(name, layers[i].op, x);
    if (i + 1 == layers.size()) break;
    if (i % 2 == 0) x = g.apply(name + "_relu", ReLU{}, x);
    if (layers[i].pools) x = g.apply(name + "_pool", MaxPool2d{.kernel_size = 3, .stride = 2}, x);
    if (shows_all) g.output("seen" + std::to_string(i), x);
  }
  g.output("y", x);
  const Model model = made_up_model(g.build().value());
  return run_on(backend, model, std::span(&input, 1), executor, Precision::bf16).back();
}

TEST(NarrowValues, ChangeNoBits) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float inf = std::numeric_limits<float>::infinity();
  for (const Way& way : narrow_ways()) {
    for (const std::int64_t channels : {16, 30, 34, 64, 96, 130}) {
      const std::vector<std::vector<Layer>> chains = {
          {{conv(16, channels, 1)}, {conv(channels, 40, 1)}},
          {{conv(16, channels, 3)}, {conv(channels, channels, 3)}, {conv(channels, 24, 1)}},
          {{conv(16, channels, 1)}, {conv(channels, 48, 3, 2)}, {conv(48, 33, 5)}},
          {{conv(16, channels, {1, 7})}, {conv(channels, 32, {7, 1}, 1, 1)}, {conv(32, 18, 3, 1, 2)}},
          {{conv(16, channels, 3)}, {conv(channels, 50, 3), true}, {conv(50, 50, 1)}},
          {{conv(16, channels, 1, 2)}, {conv(channels, 34, 1, 2)}, {conv(34, 16, 1)}},
      };
      for (std::size_t chain = 0; chain < chains.size(); ++chain) {
        for (const std::int64_t batch : {1, 3}) {
          std::vector<float> values = values_for("x", {batch, 16, 23, 37});
          for (const bool is_odd : {false, true}) {
            if (is_odd) {
              values[1000] = nan;
              values[2111] = inf;
              values[3000] = 1e-39F;
            }
            const Tensor input = tensor_of(values, {batch, 16, 23, 37});
            SCOPED_TRACE(way.name + ", " + std::to_string(channels) + " channels, chain " + std::to_string(chain) +
                         ", batch " + std::to_string(batch) + (is_odd ? ", odd" : ""));
            const std::vector<float> expected = run_chain(*way.backend, chains[chain], input, true);
            const auto threads = make_thread_pool(3);
            for (Executor* const executor : {static_cast<Executor*>(nullptr), static_cast<Executor*>(threads.get())}) {
              const std::vector<float> found = run_chain(*way.backend, chains[chain], input, false, executor);
              ASSERT_EQ(expected.size(), found.size());
              for (std::size_t i = 0; i < found.size(); ++i) {
                const bool is_same = found[i] == expected[i] || (found[i] != found[i] && expected[i] != expected[i]);
                ASSERT_TRUE(is_same) << "at " << i << ": " << found[i] << " is not " << expected[i];
              }
            }
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace rushlight::test
