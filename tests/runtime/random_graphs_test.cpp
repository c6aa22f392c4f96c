// Networks that nobody would draw: branches, halves, concatenations, reshapes and sums at random, against the
// reference. What a plan does to memory (views, in place, several writers of one buffer) shows in numbers, whatever it
// was.
#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "runtime/networks.hpp"
#include "runtime/plan.hpp"

namespace rushlight::test {
namespace {

class RandomGraph {
 public:
  explicit RandomGraph(std::uint32_t seed) : random_(seed) {}

  Graph make() {
    pictures_.push_back({builder_.input("x"), 4, 8, 8});
    const std::uint32_t steps = 4 + below(14);
    while (made_ < steps) add();
    builder_.output("last", pictures_.back().edge);
    if (below(2) == 0) builder_.output("other", any().edge);
    return builder_.build().value();
  }

  static constexpr std::int64_t kItems = 2;
  static Shape input_shape() { return {kItems, 4, 8, 8}; }

 private:
  struct Picture {
    Edge edge;
    std::int64_t c = 0;
    std::int64_t h = 0;
    std::int64_t w = 0;
  };

  std::uint32_t below(std::uint32_t count) { return static_cast<std::uint32_t>(random_() % count); }
  // The latest ones more often than others.
  const Picture& any() {
    const auto count = static_cast<std::uint32_t>(pictures_.size());
    return pictures_[count - 1 - below(below(2) == 0 ? std::min(count, 3U) : count)];
  }
  std::string name(const char* kind) { return kind + std::to_string(made_++); }
  void push(Edge edge, std::int64_t c, std::int64_t h, std::int64_t w) { pictures_.push_back({edge, c, h, w}); }

  void conv(const Picture& x) {
    static constexpr std::int64_t kChannels[] = {4, 6, 8, 16, 20, 32};
    const bool is_wide = below(2) == 0;
    const bool is_depthwise = x.c > 1 && below(4) == 0;
    const std::int64_t out = is_depthwise ? x.c : kChannels[below(6)];
    push(builder_.apply(name("conv"),
                        Conv2d{.in_channels = x.c,
                               .out_channels = out,
                               .kernel_size = is_wide ? 3 : 1,
                               .padding = is_wide ? 1 : 0,
                               .groups = is_depthwise ? x.c : 1},
                        x.edge),
         out, x.h, x.w);
  }
  // Something of the same shape, made of x and perhaps of `beside`.
  Picture same(const Picture& x, const Picture& beside) {
    Edge edge = x.edge;
    switch (below(4)) {
      case 0:
        edge = builder_.apply(name("norm"), BatchNorm2d{.num_features = x.c}, edge);
        break;
      case 1:
        edge = builder_.apply(name("tanh"), Tanh{}, edge);
        break;
      default:
        edge = builder_.apply(
            name("conv"), Conv2d{.in_channels = x.c, .out_channels = x.c, .kernel_size = 3, .padding = 1, .groups = 1},
            edge);
    }
    if (below(2) == 0) edge = builder_.apply(name("add"), Add{}, edge, beside.edge);
    return {edge, x.c, x.h, x.w};
  }
  // Halves that go ways of their own, perhaps through each other, and are put together again in either order.
  void branches(const Picture& x) {
    if (x.c % 2 != 0) return;
    const std::vector<Edge> halves =
        builder_.apply(name("chunk"), Chunk{.chunks = 2, .dim = 1}, std::span(&x.edge, 1), 2);
    const Picture left{halves[0], x.c / 2, x.h, x.w};
    const Picture right{halves[1], x.c / 2, x.h, x.w};
    const Picture a = same(below(2) == 0 ? left : right, below(2) == 0 ? left : right);
    const Picture b = same(below(3) == 0 ? a : right, below(2) == 0 ? left : right);
    const bool is_swapped = below(2) == 0;
    if (below(3) == 0) rows(a, b);
    push(builder_.apply(name("cat"), Cat{.dim = 1}, is_swapped ? b.edge : a.edge, is_swapped ? a.edge : b.edge), x.c,
         x.h, x.w);
  }
  // Two of one size, one below the other or beside it.
  void rows(const Picture& x, const Picture& y) {
    if (x.h * x.w > 256) return;
    const bool is_tall = below(2) == 0;
    push(builder_.apply(name("rows"), Cat{.dim = is_tall ? 2 : -1}, x.edge, y.edge), x.c, is_tall ? 2 * x.h : x.h,
         is_tall ? x.w : 2 * x.w);
  }
  void reshape(const Picture& x) {
    const bool is_taller = x.c % 2 == 0 && below(2) == 0;
    if (!is_taller && x.h % 2 != 0) return;
    const std::int64_t c = is_taller ? x.c / 2 : x.c * 2;
    const std::int64_t h = is_taller ? x.h * 2 : x.h / 2;
    push(builder_.apply(name("reshape"), Reshape{.shape = {-1, c, h, x.w}}, x.edge), c, h, x.w);
  }
  // Operators without steps of their own: larger and smaller pictures, gates, norms.
  void general(const Picture& x) {
    const bool may_grow = x.h * x.w <= 256 && x.c <= 64;
    switch (below(7)) {
      case 0:
      case 1: {
        if (!may_grow) return;
        const std::int64_t out = below(2) == 0 ? 4 : 6;
        const std::int64_t kernel = below(2) == 0 ? 2 : 4;  // the second kind's windows overlap
        push(builder_.apply(name("grow"),
                            ConvTranspose2d{.in_channels = x.c,
                                            .out_channels = out,
                                            .kernel_size = kernel,
                                            .stride = 2,
                                            .padding = kernel / 2 - 1},
                            x.edge),
             out, 2 * x.h, 2 * x.w);
        return;
      }
      case 2: {
        if (!may_grow) return;
        const InterpolationMode mode = below(2) == 0 ? InterpolationMode::nearest : InterpolationMode::bilinear;
        push(builder_.apply(name("upsample"), Upsample{.scale_factor = {2.0}, .mode = mode}, x.edge), x.c, 2 * x.h,
             2 * x.w);
        return;
      }
      case 3: {
        const Edge mean = builder_.apply(name("mean"), AdaptiveAvgPool2d{.output_size = {1, 1}}, x.edge);
        const Edge gate = builder_.apply(
            name("gate"), Sigmoid{},
            builder_.apply(name("fc"), Conv2d{.in_channels = x.c, .out_channels = x.c, .kernel_size = 1}, mean));
        push(builder_.apply(name("mul"), Mul{}, x.edge, gate), x.c, x.h, x.w);
        return;
      }
      case 4:
        push(builder_.apply(name("groups"),
                            GroupNorm{.num_groups = x.c % 2 == 0 ? 2 : 1, .num_channels = x.c, .eps = 1}, x.edge),
             x.c, x.h, x.w);
        return;
      case 5:
        push(builder_.apply(name("mul"), Mul{}, x.edge, partner(x, true).edge), x.c, x.h, x.w);
        return;
      default:
        if (x.h < 2 || x.w < 2) return;
        push(builder_.apply(name("pool"), MaxPool2d{.kernel_size = 2}, x.edge), x.c, x.h / 2, x.w / 2);
    }
  }

  // Another picture of the same size, or of the same height and width; itself where there is none.
  Picture partner(const Picture& x, bool with_channels) {
    for (int i = 0; i < 12; ++i) {
      const Picture& y = any();
      if (y.h == x.h && y.w == x.w && (!with_channels || y.c == x.c)) return y;
    }
    return x;
  }

  void add() {
    const Picture x = any();
    switch (below(16)) {
      case 13:
      case 14:
      case 15:
        return general(x);
      case 0:
      case 1:
      case 2:
        return conv(x);
      case 3:
        return push(builder_.apply(name("norm"), BatchNorm2d{.num_features = x.c}, x.edge), x.c, x.h, x.w);
      case 4:
        return push(builder_.apply(name("relu"), ReLU{}, x.edge), x.c, x.h, x.w);
      case 5:
        return push(builder_.apply(name("tanh"), Tanh{}, x.edge), x.c, x.h, x.w);
      case 6: {
        const Picture y = partner(x, true);
        return push(builder_.apply(name("add"), Add{}, x.edge, y.edge), x.c, x.h, x.w);
      }
      case 7: {
        if (x.c % 2 != 0) return;
        const std::vector<Edge> halves =
            builder_.apply(name("chunk"), Chunk{.chunks = 2, .dim = 1}, std::span(&x.edge, 1), 2);
        for (const Edge& half : halves) push(half, x.c / 2, x.h, x.w);
        return;
      }
      case 8: {
        const Picture y = partner(x, below(3) == 0);
        if (x.c == y.c && below(2) == 0) return rows(x, y);
        if (x.c + y.c > 128) return;
        return push(builder_.apply(name("cat"), Cat{.dim = 1}, x.edge, y.edge), x.c + y.c, x.h, x.w);
      }
      case 9:
        return reshape(x);
      case 10:
      case 11:
        return branches(x);
      default:
        return push(builder_.apply(name("turn"), Permute{.dims = {0, 1, 3, 2}}, x.edge), x.c, x.w, x.h);
    }
  }

  std::mt19937 random_;
  GraphBuilder builder_;
  std::vector<Picture> pictures_;
  std::uint32_t made_ = 0;
};

constexpr std::uint64_t kNextToNoCache = 64;

bool is_by_item(const Model& model) {
  const Shape shape = RandomGraph::input_shape();
  const runtime::PlanOptions options{.fuses_activations = true,
                                     .stripe_cache_bytes = kNextToNoCache,
                                     .plane_cache_bytes = kNextToNoCache / 4,
                                     .item_cache_bytes = kNextToNoCache};
  return runtime::make_plan({model.graph(), model.state_dict()}, std::span(&shape, 1), {}, options).value().item_steps >
         0;
}

TEST(RandomGraphs, GiveWhatTheReferenceGives) {
  const auto reference = runtime::reference::make_backend().value();
  const auto two = make_thread_pool(2);
  const auto three = make_thread_pool(3);
  std::size_t by_item_count = 0;
  for (std::uint32_t seed = 0; seed < 1000; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const Model model = made_up_model(RandomGraph(seed).make());
    const Tensor x = made_up("input", RandomGraph::input_shape());
    const auto expected = run_on(*reference, model, std::span(&x, 1));
    by_item_count += is_by_item(model) ? 1U : 0U;
    for (const auto& backend : cpu_backends()) {
      SCOPED_TRACE(backend->name());
      const auto found = run_on(*backend, model, std::span(&x, 1));
      for (std::size_t i = 0; i < expected.size(); ++i) expect_close(expected[i], found[i], 1e-4);
      EXPECT_EQ(found, run_on(*backend, model, std::span(&x, 1), three.get())) << "with three threads";
      // As on a processor with next to no cache: items one after the other, each on a thread of its own, or all threads
      // on one.
      const auto run = [&](Executor* executor) {
        return run_on(*backend, model, std::span(&x, 1),
                      {.executor = executor, .limits = {}, .cache_bytes = kNextToNoCache});
      };
      const auto by_item = run(nullptr);
      for (std::size_t i = 0; i < expected.size(); ++i) expect_close(expected[i], by_item[i], 1e-4);
      EXPECT_EQ(by_item, run(two.get())) << "by item, with two threads";
      EXPECT_EQ(by_item, run(three.get())) << "by item, with three threads";
      if (HasFailure()) return;
    }
  }
  EXPECT_GT(by_item_count, 400U);
}

}  // namespace
}  // namespace rushlight::test
