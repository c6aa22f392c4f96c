// Batches whose first steps run for one item after the other.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "runtime/networks.hpp"
#include "runtime/plan.hpp"
#include "runtime/step_times.hpp"

namespace rushlight::test {
namespace {

constexpr std::int64_t kItems = 6;
constexpr std::int64_t kSide = 24;
constexpr std::uint64_t kCacheBytes = 16 << 10;  // less than a batch's operands, and not a hundred times an item's

Conv2d conv(std::int64_t in, std::int64_t out, std::int64_t size = 3, std::int64_t stride = 1) {
  return {.in_channels = in, .out_channels = out, .kernel_size = size, .stride = stride, .padding = size / 2};
}

// Large pictures and few weights, then the other way round: a residual and a concatenation reach from the one into the
// other.
Graph network() {
  GraphBuilder g;
  const Edge first = g.apply("first", ReLU{}, g.apply("one", conv(3, 8), g.input("x")));
  const Edge second = g.apply("", SiLU{}, g.apply("two", conv(8, 8), first));
  const Edge sum = g.apply("", Add{}, g.apply("three", conv(8, 8, 1), second), first);
  const Edge small = g.apply("pool", MaxPool2d{.kernel_size = 4}, sum);
  const Edge wide = g.apply("wide", conv(8, 160), small);
  const Edge back = g.apply("back", conv(160, 8), wide);
  const Edge both = g.apply("cat", Cat{.dim = 1}, small, g.apply("", Add{}, back, small));
  const Edge flat = g.apply("flat", Flatten{}, both);
  g.output("scores", g.apply("last", Linear{.in_features = 16 * kSide * kSide / 16, .out_features = 10}, flat));
  g.output("second", second);
  return g.build().value();
}
// Down and up again, with operators that have no steps of their own.
Graph u_shape() {
  GraphBuilder g;
  const Edge first = g.apply("", ReLU{}, g.apply("one", conv(3, 8), g.input("x")));
  const Edge down = g.apply("two", conv(8, 16), g.apply("pool", MaxPool2d{.kernel_size = 2}, first));
  const Edge gate =
      g.apply("", Sigmoid{}, g.apply("fc", conv(16, 16, 1), g.apply("mean", AdaptiveAvgPool2d{{1, 1}}, down)));
  const Edge gated = g.apply("mul", Mul{}, down, gate);
  const Edge grown = g.apply("grow", ConvTranspose2d{16, 8, 2, 2}, gated);
  const Edge larger = g.apply("larger", Upsample{.scale_factor = {2.0}, .mode = InterpolationMode::bilinear}, gated);
  const Edge joined = g.apply("cat", Cat{.dim = 1}, {first, grown, larger});
  const Edge norm =
      g.apply("norm", GroupNorm{.num_groups = 4, .num_channels = 8}, g.apply("three", conv(32, 8), joined));
  g.output("scores", g.apply("last", conv(8, 2, 1), norm));
  g.output("second", first);
  return g.build().value();
}
Shape input_shape(std::int64_t items = kItems) {
  return {items, 3, kSide, kSide};
}

std::string planned(const Graph& graph, const Shape& shape, std::uint64_t cache_bytes = kCacheBytes) {
  const StateDict none;
  const runtime::PlanOptions options{.fuses_activations = true, .item_cache_bytes = cache_bytes};
  return to_string(runtime::make_plan({graph, none}, std::span(&shape, 1), {}, options).value());
}

TEST(ItemSteps, EndWhereWeightsAreMoreThanOperands) {
  EXPECT_EQ(
      "one layout 72x1x1x24 -> 1x24x24x3 (of 6 items)\n"
      "one conv 1x24x24x3 -> 1x24x24x8 k3x3 s1x1 p1x1 +relu (of 6 items)\n"
      "two conv 1x24x24x8 -> 1x24x24x8 k3x3 s1x1 p1x1 +silu (of 6 items)\n"
      "three conv 1x24x24x8 -> 1x24x24x8 k1x1 s1x1 p0x0 +residual (of 6 items)\n"
      "pool maxpool 1x24x24x8 -> 1x6x6x8 k4x4 s4x4 p0x0 (of 6 items)\n"
      "wide conv 6x6x6x8 -> 6x6x6x160 k3x3 s1x1 p1x1\n"
      "back conv 6x6x6x160 -> 6x6x6x8 k3x3 s1x1 p1x1 +residual\n"
      "last linear 6x1x1x576 -> 6x1x1x10 (output)\n"
      "output 'second' layout 6x24x24x8 -> 1152x1x1x24 (output)\n",
      planned(network(), input_shape()));
  EXPECT_EQ(std::string::npos, planned(network(), input_shape(1)).find("items")) << "no batch";
  EXPECT_EQ(std::string::npos, planned(network(), input_shape(), 10 << 20).find("items"))
      << "all of it is in the cache";
  EXPECT_EQ(std::string::npos, planned(network(), input_shape(60), 1 << 20).find("items")) << "an item is soon done";
}

TEST(ItemSteps, MayBeOfOperatorsWithoutStepsOfTheirOwn) {
  // "first" is the caller's: it alone is copied into the concatenation.
  EXPECT_EQ(
      "one layout 72x1x1x24 -> 1x24x24x3 (of 6 items)\n"
      "one conv 1x24x24x3 -> 1x24x24x8 k3x3 s1x1 p1x1 +relu (of 6 items)\n"
      "pool maxpool 1x24x24x8 -> 1x12x12x8 k2x2 s2x2 p0x0 (of 6 items)\n"
      "two conv 1x12x12x8 -> 1x12x12x16 k3x3 s1x1 p1x1 (of 6 items)\n"
      "mean adaptiveavgpool 1x12x12x16 -> 1x1x1x16 (of 6 items)\n"
      "fc conv 1x1x1x16 -> 1x1x1x16 k1x1 s1x1 p0x0 +sigmoid (of 6 items)\n"
      "mul mul [1, 16, 12, 12], [1, 16, 1, 1] -> [1, 16, 12, 12] (of 6 items)\n"
      "grow convtranspose2d [1, 16, 12, 12] -> [1, 8, 24, 24] (of 6 items)\n"
      "larger upsample [1, 16, 12, 12] -> [1, 16, 24, 24] (of 6 items)\n"
      "cat identity [1, 8, 24, 24] -> [1, 8, 24, 24] (of 6 items)\n"
      "three conv 1x24x24x32 -> 1x24x24x8 k3x3 s1x1 p1x1 (of 6 items)\n"
      "norm groupnorm [1, 8, 24, 24] -> [1, 8, 24, 24] (of 6 items)\n"
      "last conv 1x24x24x8 -> 1x24x24x2 k1x1 s1x1 p0x0 (of 6 items)\n"
      "output 'scores' layout 1x24x24x2 -> 48x1x1x24 (output) (of 6 items)\n"
      "output 'second' layout 1x24x24x8 -> 192x1x1x24 (output) (of 6 items)\n",
      planned(u_shape(), input_shape()));
}

// What one item gives must hang on neither its neighbours nor the number of threads, and all must be right.
void expect_same_bits_everywhere(const Graph& graph) {
  const Model model = made_up_model(graph);
  Calibration calibration;
  for (const Node& node : model.graph().nodes()) calibration.layers[node.name] = {.low = -4, .high = 4};
  const std::vector<float> item = values_for("item", {3, kSide, kSide});
  const std::vector<float> batch = values_for("others", input_shape());
  const auto reference = runtime::reference::make_backend().value();
  std::vector<std::unique_ptr<Executor>> pools;
  for (const unsigned threads : {2U, 3U, 4U, 8U}) pools.push_back(make_thread_pool(threads));
  pools.push_back(nullptr);
  for (const auto& backend : cpu_backends()) {
    for (const Precision precision : {Precision::strict, Precision::fast, Precision::bf16, Precision::int8}) {
      SCOPED_TRACE(std::string(backend->name()) + ", " + std::to_string(static_cast<int>(precision)));
      std::vector<std::vector<float>> expected;
      for (const std::size_t position : {std::size_t{0}, std::size_t{2}, std::size_t{kItems - 1}}) {
        std::vector<float> here = batch;
        std::copy(item.begin(), item.end(), here.begin() + static_cast<std::ptrdiff_t>(position * item.size()));
        const Tensor x = tensor_of(here, input_shape());
        const auto right = run_on(*reference, model, std::span(&x, 1));
        const auto run = [&](Executor* executor, std::uint64_t cache_bytes) {
          return run_on(*backend, model, std::span(&x, 1),
                        {.executor = executor,
                         .precision = precision,
                         .calibration = &calibration,
                         .limits = {},
                         .cache_bytes = cache_bytes});
        };
        const auto at_once = run(nullptr, std::uint64_t{1} << 30);
        for (const auto& pool : pools) {
          const auto found = run(pool.get(), kCacheBytes);
          EXPECT_EQ(at_once, found) << "other bits than all items at once";
          std::vector<std::vector<float>> of_item;
          for (std::size_t i = 0; i < found.size(); ++i) {
            const bool is_exact = precision == Precision::strict || precision == Precision::fast;
            if (is_exact) expect_close(right[i], found[i], 3e-5);
            const auto width = static_cast<std::ptrdiff_t>(found[i].size()) / kItems;
            const auto first = found[i].begin() + static_cast<std::ptrdiff_t>(position) * width;
            of_item.emplace_back(first, first + width);
          }
          if (expected.empty()) expected = of_item;
          ASSERT_EQ(expected, of_item) << "position " << position;
        }
      }
    }
  }
}

TEST(ItemSteps, BitsDependOnNeitherThreadsNorThePlaceInABatch) {
  expect_same_bits_everywhere(network());
}

TEST(ItemSteps, BitsOfOtherOperatorsDependOnNeitherThreadsNorThePlaceInABatch) {
  expect_same_bits_everywhere(u_shape());
}

class Progressed final : public Progress {
 public:
  explicit Progressed(std::uint64_t last) : last_(last) {}
  bool on_progress(std::string_view, std::uint64_t done, std::uint64_t total) override {
    EXPECT_LT(done_, done);
    EXPECT_LE(done, total);
    done_ = done;
    total_ = total;
    return done < last_;
  }
  std::uint64_t done_ = 0;
  std::uint64_t total_ = 0;

 private:
  std::uint64_t last_;
};

// The program of the network, and memory for its operands.
class Runner {
 public:
  explicit Runner(runtime::RunOptions options) {
    options.cache_bytes = kCacheBytes;
    const Shape shape = input_shape();
    program_ =
        backend_->compile(network_, std::span(&shape, 1), backend_->make_weights(network_).value(), options).value();
  }
  Status run() {
    const std::vector<TensorView> in = {{.data = x_.data(), .shape = in_shape_}};
    const std::vector<MutableTensorView> out = {{.data = scores_.data(), .shape = scores_shape_},
                                                {.data = second_.data(), .shape = second_shape_}};
    return program_->run(in, out);
  }
  [[nodiscard]] const std::vector<float>& scores() const { return scores_; }

 private:
  Model model_ = made_up_model(network());
  runtime::Network network_{model_.graph(), model_.state_dict()};
  std::shared_ptr<const runtime::Backend> backend_ = runtime::cpu::make_backend().value();
  std::unique_ptr<runtime::Program> program_;
  Shape in_shape_ = input_shape();
  Shape scores_shape_ = {kItems, 10};
  Shape second_shape_ = {kItems, 8, kSide, kSide};
  std::vector<float> x_ = values_for("input", in_shape_);
  std::vector<float> scores_ = std::vector<float>(kItems * 10);
  std::vector<float> second_ = std::vector<float>(kItems * 8 * kSide * kSide);
};

// Cancelled between two items, after them, or never: the next run is right.
TEST(ItemSteps, CanBeCancelledAndRunAgain) {
  const auto pool = make_thread_pool(2);
  Runner undisturbed{{}};
  ASSERT_TRUE(undisturbed.run());
  for (Executor* const executor : {static_cast<Executor*>(nullptr), pool.get()}) {
    for (const std::uint64_t last : {1U, 9U, 1000U}) {
      Progressed progress(last);
      Runner runner({.executor = executor, .progress = &progress, .limits = {}});
      const Status status = runner.run();
      if (last == 1000) {
        ASSERT_TRUE(status);
        EXPECT_EQ(progress.total_, progress.done_);
        EXPECT_EQ(undisturbed.scores(), runner.scores());
        continue;
      }
      ASSERT_FALSE(status);
      EXPECT_EQ(ErrorCode::cancelled, status.error().code);
      progress = Progressed(1000);
      ASSERT_TRUE(runner.run());
      EXPECT_EQ(undisturbed.scores(), runner.scores());
    }
  }
}

TEST(ItemSteps, TheirTimesAndWorkAreThoseOfAllItems) {
  const auto pool = make_thread_pool(2);
  for (Executor* const executor : {static_cast<Executor*>(nullptr), pool.get()}) {
    runtime::StepTimes times;
    Runner runner({.executor = executor, .limits = {}, .step_times = &times});
    ASSERT_TRUE(runner.run());
    ASSERT_TRUE(runner.run());
    const auto one = std::find_if(times.steps.begin(), times.steps.end(),
                                  [](const runtime::TimedStep& step) { return step.name == "one"; });
    ASSERT_NE(times.steps.end(), one);
    EXPECT_EQ(kItems * kSide * kSide * 8 * 27, one->macs);
    EXPECT_EQ(sizeof(float) * (kItems * kSide * kSide * (8 + 3) + 8 * 27 + 8), one->bytes);
    for (const runtime::TimedStep& step : times.steps) EXPECT_GT(step.nanoseconds, 0U) << step.name;
  }
}

// An item's own operands take the room of one item, for each that is on its way.
TEST(ItemSteps, TakeLessMemory) {
  GraphBuilder g;
  const Edge x = g.apply("two", conv(8, 8), g.apply("one", conv(3, 8), g.input("x")));
  g.output("y", g.apply("pool", MaxPool2d{.kernel_size = 4}, x));
  const Model model = made_up_model(g.build().value());
  const runtime::Network all{model.graph(), model.state_dict()};
  const auto backend = runtime::cpu::make_backend().value();
  const Shape shape = input_shape();
  const auto workspace_bytes = [&](Executor* executor, std::uint64_t cache_bytes) {
    const runtime::RunOptions options{.executor = executor, .limits = {}, .cache_bytes = cache_bytes};
    return backend->compile(all, std::span(&shape, 1), backend->make_weights(all).value(), options)
        .value()
        ->workspace_bytes();
  };
  const auto pool = make_thread_pool(2);
  const std::uint64_t picture = kSide * kSide * 8 * sizeof(float);
  const std::uint64_t alone = workspace_bytes(nullptr, kCacheBytes);
  EXPECT_LE(alone, workspace_bytes(nullptr, std::uint64_t{1} << 30) - 2 * picture * (kItems - 1));
  EXPECT_GT(workspace_bytes(pool.get(), kCacheBytes), alone + 2 * picture);
}

}  // namespace
}  // namespace rushlight::test
