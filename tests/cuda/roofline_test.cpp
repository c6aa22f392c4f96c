// The arithmetic of bench_cuda that needs no GPU: its networks are torchvision's, and rooflines add up.
#include <gtest/gtest.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "bench/cuda/networks.hpp"
#include "bench/cuda/roofline.hpp"
#include "bench/cuda/targets.hpp"
#include "runtime/plan.hpp"
#include "runtime/step_times.hpp"

namespace rushlight::bench {
namespace {

constexpr DevicePeaks kPeaks = {
    .fma_flops = 100, .tf32_flops = 600, .bf16_flops = 1200, .fp16_flops = 1100, .memory_bytes = 10};

TEST(Roofline, ALayerTakesTheLongerOfArithmeticAndMemory) {
  const std::vector<runtime::TimedStep> busy = {{.name = "a", .kind = "conv", .macs = 6000, .bytes = 10}};
  EXPECT_DOUBLE_EQ(roofline(busy, kPeaks, Precision::tf32).seconds, 20);  // 12,000 operations at 600 a second
  EXPECT_DOUBLE_EQ(roofline(busy, kPeaks, Precision::tf32).compute_seconds, 20);
  const std::vector<runtime::TimedStep> wide = {{.name = "a", .kind = "conv", .macs = 60, .bytes = 1000}};
  EXPECT_DOUBLE_EQ(roofline(wide, kPeaks, Precision::tf32).seconds, 100);
  EXPECT_DOUBLE_EQ(roofline(wide, kPeaks, Precision::tf32).memory_seconds, 100);
}

TEST(Roofline, LayersAddUpEachWithItsOwnBound) {
  const std::vector<runtime::TimedStep> steps = {{.name = "a", .kind = "conv", .macs = 6000, .bytes = 10},
                                                 {.name = "b", .kind = "max_pool", .bytes = 50},
                                                 {.name = "c", .kind = "linear", .macs = 30, .bytes = 1000}};
  const Roofline found = roofline(steps, kPeaks, Precision::bf16);
  EXPECT_DOUBLE_EQ(found.compute_seconds, 10);
  EXPECT_DOUBLE_EQ(found.memory_seconds, 105);
  EXPECT_DOUBLE_EQ(found.seconds, 115);
  EXPECT_EQ(found.macs, 6030);
  EXPECT_EQ(found.bytes, 1060U);
  EXPECT_EQ(roofline({}, kPeaks, Precision::bf16).seconds, 0);
}

TEST(Roofline, EachPrecisionHasThePeakOfItsUnit) {
  EXPECT_EQ(product_flops(kPeaks, Precision::strict), 200);  // three products of TF32
  EXPECT_EQ(product_flops({.fma_flops = 300, .tf32_flops = 600}, Precision::strict), 300);
  EXPECT_EQ(product_flops(kPeaks, Precision::tf32), 600);
  EXPECT_EQ(product_flops(kPeaks, Precision::bf16), 1200);
  EXPECT_EQ(product_flops(kPeaks, Precision::fp16), 1100);
  EXPECT_EQ(weight_bytes(Precision::strict), 4U);
  EXPECT_EQ(weight_bytes(Precision::tf32), 4U);
  EXPECT_EQ(weight_bytes(Precision::bf16), 2U);
  EXPECT_EQ(weight_bytes(Precision::fp16), 2U);
}

TEST(Roofline, DepthwiseLayersMultiplyFloats) {
  const std::vector<runtime::TimedStep> steps = {
      {.name = "a", .kind = "conv", .algorithm = "depthwise", .macs = 500, .bytes = 10}};
  EXPECT_DOUBLE_EQ(roofline(steps, kPeaks, Precision::bf16).seconds, 10);
}

// What the literature says of torchvision's networks: parameters, and multiply-adds of one picture.
TEST(BenchNetworks, HaveTheSizesOfTorchvisions) {
  struct Known {
    std::string_view name;
    std::int64_t parameters, macs;
  };
  for (const Known& known :
       {Known{"mlp", 101'770, 101'632}, Known{"fashion_cnn", 421'834, 4'241'152},
        Known{"resnet18", 11'689'512, 1'814'073'344}, Known{"resnet50", 25'557'032, 4'089'184'256},
        Known{"vgg16", 138'357'544, 15'470'264'320}, Known{"mobilenet_v2", 3'504'872, 300'774'272}}) {
    SCOPED_TRACE(known.name);
    const auto networks = bench_networks();
    const auto found =
        std::find_if(networks.begin(), networks.end(), [&](const BenchNetwork& n) { return n.name == known.name; });
    ASSERT_NE(found, networks.end());
    const Graph graph = found->graph();
    StateDict state;
    std::int64_t parameters = 0;
    for (const ParameterSpec& parameter : graph.parameters()) {
      const Tensor zeros = Tensor::zeros(DType::f32, parameter.shape).value();
      // Running statistics are buffers, which nobody counts as parameters.
      if (!parameter.name.ends_with("running_mean") && !parameter.name.ends_with("running_var")) {
        parameters += zeros.numel();
      }
      state.insert(parameter.name, zeros);
    }
    EXPECT_EQ(parameters, known.parameters);

    const runtime::Network network{graph, state};
    Shape shape = found->item;
    shape.insert(shape.begin(), 1);
    const runtime::Plan plan = runtime::make_plan(network, {&shape, 1}, {}, {.fuses_activations = true}).value();
    const Roofline one = roofline(runtime::describe_steps(network, plan), kPeaks, Precision::strict);
    EXPECT_EQ(one.macs, known.macs);

    shape[0] = 8;
    const runtime::Plan eight = runtime::make_plan(network, {&shape, 1}, {}, {.fuses_activations = true}).value();
    const Roofline more = roofline(runtime::describe_steps(network, eight), kPeaks, Precision::strict);
    EXPECT_EQ(more.macs, 8 * known.macs);
    EXPECT_LT(more.bytes, 8 * one.bytes);  // weights are read once
    EXPECT_GT(more.seconds, one.seconds);
  }
}

TEST(BenchNetworks, WeightsFollowFromTheSeedAndKeepTheSizeOfActivations) {
  const Graph graph = bench_networks()[1].graph();
  const StateDict weights = made_up_weights(graph, 5);
  const StateDict same = made_up_weights(graph, 5);
  const StateDict other = made_up_weights(graph, 6);
  const auto values = weights.find("conv2.weight")->values<float>().value();
  EXPECT_TRUE(std::ranges::equal(values, same.find("conv2.weight")->values<float>().value()));
  EXPECT_FALSE(std::ranges::equal(values, other.find("conv2.weight")->values<float>().value()));
  double squares = 0;
  for (const float value : values) squares += static_cast<double>(value) * static_cast<double>(value);
  EXPECT_NEAR(squares / static_cast<double>(values.size()), 2.0 / (32 * 9), 2e-4);
  for (const float value : weights.find("bn1.running_var")->values<float>().value()) {
    EXPECT_GT(value, 0.85F);
    EXPECT_LT(value, 1.15F);
  }
}

TEST(BenchTargets, AreJudgedByTheFastestWayToLaunch) {
  const std::vector<MeasuredLatency> measured = {
      {"resnet50", 1, "bf16", "device", 0.3e-3}, {"resnet50", 1, "bf16", "device", 0.2e-3},
      {"resnet50", 1, "bf16", "host", 0.1e-3},   {"resnet50", 64, "bf16", "device", 2.1e-3},
      {"resnet50", 64, "tf32", "device", 3e-3},  {"mlp", 1, "tf32", "host", 1e-6},
  };
  const std::vector<Judged> judged = judge(measured);
  ASSERT_EQ(judged.size(), std::size(kTargets));
  EXPECT_EQ(judged[0].verdict, Verdict::met);
  EXPECT_EQ(judged[0].seconds, 0.2e-3);
  EXPECT_EQ(judged[1].verdict, Verdict::missed);
  EXPECT_EQ(judged[2].verdict, Verdict::met);  // the bound itself
  EXPECT_EQ(judged[3].verdict, Verdict::not_measured);
  EXPECT_EQ(judged[4].verdict, Verdict::not_measured);  // another precision
  EXPECT_EQ(to_string(judged[1].verdict), "missed");
}

}  // namespace
}  // namespace rushlight::bench
