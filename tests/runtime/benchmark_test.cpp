// What benchmark() reports, but for the times themselves: no test hangs on those.
#include "rushlight/benchmark.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>
#include <vector>

#include "base/cpu_features.hpp"
#include "base/processors.hpp"
#include "runtime/all_kernels.hpp"
#include "runtime/cpu/speed.hpp"
#include "runtime/nets.hpp"
#include "runtime/networks.hpp"

namespace rushlight::test {
namespace {

BenchmarkOptions quick() {
  BenchmarkOptions options;
  options.seconds = 0;  // three runs
  options.machine = false;
  return options;
}

TEST(Benchmark, RunsAtLeastThreeTimesWhateverTheTime) {
  const Benchmark report = benchmark(made_up_model(fashion_net()), quick()).value();
  EXPECT_EQ(3U, report.milliseconds.size());
  EXPECT_EQ(Device::cpu(), report.device);
  EXPECT_EQ(to_string(usable_isa()), report.isa);
  EXPECT_EQ((std::vector<Shape>{{1, 1, 28, 28}}), report.inputs);
  EXPECT_EQ(1, report.items);
  EXPECT_EQ(4'241'152, report.macs);
  EXPECT_GT(report.workspace_bytes, 0U);
  EXPECT_TRUE(report.steps.empty());
  EXPECT_EQ(0, report.machine_operations_per_second);
}

TEST(Benchmark, TellsHowFarAPrecisionIsFromStrict) {
  BenchmarkOptions options = quick();
  EXPECT_FALSE(benchmark(made_up_model(fashion_net()), options).value().error);
  options.session.precision = Precision::bf16;
  const std::optional<double> error = benchmark(made_up_model(fashion_net()), options).value().error;
  ASSERT_TRUE(error);
  EXPECT_GT(*error, 1e-5);  // weights lose 16 bits
  EXPECT_LT(*error, 2e-2);
}

TEST(Benchmark, AnOutputThatIsNaNThroughoutHasNoError) {
  BenchmarkOptions options = quick();
  options.session.precision = Precision::fast;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  std::vector<float> pixels(784 * 2, 0.5F);
  std::fill(pixels.begin() + 784, pixels.end(), nan);
  options.inputs = {tensor_of(pixels, {2, 784})};
  const std::optional<double> of_one_row = benchmark(made_up_model(mlp_net()), options).value().error;
  ASSERT_TRUE(of_one_row);
  EXPECT_LT(*of_one_row, 1e-4);
  options.inputs = {tensor_of(std::vector<float>(784, nan), {1, 784})};
  const std::optional<double> error = benchmark(made_up_model(mlp_net()), options).value().error;
  ASSERT_TRUE(error);
  EXPECT_TRUE(std::isnan(*error));
}

TEST(Benchmark, TheBatchIsThatOfMadeUpInputs) {
  BenchmarkOptions options = quick();
  options.batch = 5;
  const Benchmark report = benchmark(made_up_model(mlp_net()), options).value();
  EXPECT_EQ((std::vector<Shape>{{5, 784}}), report.inputs);
  EXPECT_EQ(5, report.items);
  EXPECT_EQ(5 * (784 * 128 + 128 * 10), report.macs);
  options.inputs = {Tensor::zeros(DType::f32, {2, 784}).value()};
  EXPECT_EQ(2, benchmark(made_up_model(mlp_net()), options).value().items);
}

TEST(Benchmark, StepsAreThoseOfThePlanAndAddUpToTheNetwork) {
  for (const unsigned threads : {1U, 2U}) {
    BenchmarkOptions options = quick();
    options.batch = 2;
    options.layers = true;
    options.session.threads = threads;
    const Benchmark report = benchmark(made_up_model(fashion_net()), options).value();
    std::int64_t macs = 0;
    std::vector<std::string> names;
    for (const BenchmarkStep& step : report.steps) {
      macs += step.macs;
      names.push_back(step.name + " " + step.kind);
      EXPECT_GE(step.milliseconds, 0) << step.name;
      EXPECT_GT(step.bytes, 0U) << step.name;
    }
    EXPECT_EQ(report.macs, macs);
    const auto find = [&](std::string_view name) {
      return std::find(names.begin(), names.end(), name) - names.begin();
    };
    ASSERT_LT(find("conv1 conv"), std::ssize(names));
    ASSERT_LT(find("fc2 linear"), std::ssize(names));
    // [2, 64 * 7 * 7] times [128, 64 * 7 * 7] with a bias gives [2, 128].
    const BenchmarkStep& fc1 = report.steps[static_cast<std::size_t>(find("fc1 linear"))];
    EXPECT_EQ(2 * 3136 * 128, fc1.macs);
    EXPECT_EQ(4U * (2 * 3136 + 128 * 3136 + 128 + 2 * 128), fc1.bytes);
  }
}

TEST(Benchmark, OperatorsWithoutAStepOfTheirOwnCountTheirWork) {
  BenchmarkOptions options = quick();
  options.layers = true;
  const Model model =
      made_up_model(Sequential{{"grow", ConvTranspose2d{3, 5, 2, 2}}, ReLU{}, Flatten{2}, {"conv", Conv1d{5, 4, 7}}}
                        .graph({3, 6, 6})
                        .value());
  const Benchmark report = benchmark(model, options).value();
  EXPECT_EQ(3 * 36 * 5 * 4 + 4 * 138 * 5 * 7, report.macs);
  std::int64_t macs = 0;
  for (const BenchmarkStep& step : report.steps) macs += step.macs;
  EXPECT_EQ(report.macs, macs);
}

TEST(Benchmark, TheReferenceTellsNoSteps) {
  BenchmarkOptions options = quick();
  options.layers = true;
  options.session.implementation = Implementation::reference;
  const Benchmark report = benchmark(made_up_model(mlp_net()), options).value();
  EXPECT_EQ(3U, report.milliseconds.size());
  EXPECT_TRUE(report.steps.empty());
  EXPECT_EQ("", report.isa);
}

TEST(Benchmark, TheMachineIsMeasuredOnRequest) {
  BenchmarkOptions options = quick();
  options.machine = true;
  const Benchmark report = benchmark(made_up_model(mlp_net()), options).value();
  EXPECT_GT(report.machine_operations_per_second, 0);
  EXPECT_GT(report.machine_bytes_per_second, 0);
}

// Many more threads than processors would take as many times as long.
TEST(Benchmark, TheMachineIsMeasuredWithAsManyThreadsAsItHasProcessors) {
  class Counting final : public Executor {
   public:
    [[nodiscard]] unsigned concurrency() const noexcept override { return 1024; }
    void run(std::size_t count, void (*task)(void*, std::size_t), void* context) noexcept override {
      most = std::max(most, count);
      for (std::size_t i = 0; i < count; ++i) task(context, i);
    }
    std::size_t most = 0;
  } executor;
  const runtime::DeviceSpeed speed = runtime::cpu::measure_speed(*all_kernels().front().kernels, &executor);
  EXPECT_GT(speed.operations_per_second, 0);
  EXPECT_EQ(std::size_t{usable_processors()}, std::max<std::size_t>(executor.most, 1));
}

TEST(Benchmark, SaysWhatIsWrong) {
  const auto message = [](const Graph& graph, const BenchmarkOptions& options) {
    const auto report = benchmark(made_up_model(graph), options);
    return report ? std::string("it ran") : report.error().finding.message;
  };
  BenchmarkOptions options = quick();
  options.batch = 0;
  EXPECT_EQ("batch: expected at least 1, found 0", message(mlp_net(), options));
  options = quick();
  options.seconds = -1;
  EXPECT_EQ("seconds: expected 0 to 1000000", message(mlp_net(), options));
  EXPECT_EQ("input 'input': its shape is open, declared as [-1, 3, -1, -1]", message(vgg_net(), quick()));
  options = quick();
  options.input_shapes = {{1, 3, 32, 32}};
  EXPECT_EQ("it ran", message(vgg_net(), options));
  options.inputs = {Tensor::zeros(DType::f32, {1, 784}).value(), Tensor::zeros(DType::f32, {1, 784}).value()};
  EXPECT_EQ("expected 1 input, found 2", message(mlp_net(), options));
  options.inputs = {Tensor::zeros(DType::f32, {0, 784}).value()};
  EXPECT_EQ("input 'input': nothing to measure, found [0, 784]", message(mlp_net(), options));
}

TEST(Benchmark, CanBeStopped) {
  class Never final : public Progress {
    bool on_progress(std::string_view, std::uint64_t, std::uint64_t) override { return false; }
  } never;
  BenchmarkOptions options = quick();
  options.seconds = 600;
  options.progress = &never;
  const Result<Benchmark> report = benchmark(made_up_model(mlp_net()), options);
  ASSERT_FALSE(report);
  EXPECT_EQ(ErrorCode::cancelled, report.error().code);
}

TEST(Benchmark, PercentilesLieBetweenNeighbours) {
  Benchmark report;
  EXPECT_EQ(0, report.percentile(50));
  report.milliseconds = {4, 1, 3, 2};
  EXPECT_EQ(1, report.percentile(0));
  EXPECT_EQ(2.5, report.percentile(50));
  EXPECT_EQ(4, report.percentile(100));
  EXPECT_EQ(4, report.percentile(1000));
}

}  // namespace
}  // namespace rushlight::test
