// Whole networks through plan, calls and emulated kernels, against the reference backend.
#include <gtest/gtest.h>

#include <algorithm>
#include <initializer_list>

#include "cuda/emulated_backend.hpp"
#include "cuda/kernels/attention.cuh"
#include "cuda/network_cases.hpp"
#include "runtime/networks.hpp"

namespace rushlight::cuda {
namespace {

class EmulatedNetworks : public testing::TestWithParam<int> {};

TEST_P(EmulatedNetworks, GiveWhatTheReferenceGives) {
  const int processors = GetParam();
  for (const NetworkCase& network : network_cases()) {
    SCOPED_TRACE(network.name);
    const auto expected = test::run_on(*runtime::reference::make_backend().value(), network.model, network.inputs);
    const auto found = test::run_on(*emulation::make_backend(processors), network.model, network.inputs);
    ASSERT_EQ(expected.size(), found.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
      test::expect_close(expected[i], found[i], kNetworkTolerance);
    }
  }
}

TEST(EmulatedNetwork, OnTensorCoresIsWithinItsPrecision) {
  for (const Precision precision : {Precision::strict, Precision::tf32, Precision::bf16, Precision::fp16}) {
    SCOPED_TRACE(to_string(precision));
    for (const NetworkCase& network : network_cases()) {
      SCOPED_TRACE(network.name);
      const auto expected = test::run_on(*runtime::reference::make_backend().value(), network.model, network.inputs);
      const auto found = test::run_on(*emulation::make_backend(132, kAllTensorCores), network.model, network.inputs,
                                      nullptr, precision);
      ASSERT_EQ(expected.size(), found.size());
      for (std::size_t i = 0; i < expected.size(); ++i) {
        test::expect_close(expected[i], found[i],
                           precision == Precision::strict ? kNetworkTolerance : kRoundedNetworkTolerance);
      }
    }
  }
}

TEST(EmulatedNetwork, OfAnEmptyBatchHasNothingToDo) {
  const Model model =
      test::made_up_model(Sequential{Conv2d{.in_channels = 2, .out_channels = 3, .kernel_size = 3}, ReLU{}, Flatten{}}
                              .graph({2, 5, 5})
                              .value());
  const runtime::Network network{model.graph(), model.state_dict()};
  const auto backend = emulation::make_backend();
  const Shape in_shape = {0, 2, 5, 5};
  const Shape out_shape = {0, 27};
  const auto program = backend->compile(network, {&in_shape, 1}, backend->make_weights(network).value(), {}).value();
  const TensorView in{.data = &in_shape, .shape = in_shape};
  float untouched = 7.0F;
  const MutableTensorView out{.data = &untouched, .shape = out_shape};
  EXPECT_TRUE(program->run({&in, 1}, {&out, 1}));
  EXPECT_EQ(untouched, 7.0F);
}

// What has no kernel goes to the host and comes back: heads wider than kAttentionSize, one operand a view with negative
// strides.
constexpr std::int64_t kWideHead = kAttentionSize + 44;
Model with_host_layers() {
  GraphBuilder g;
  const Edge words = g.input("words", {-1, 5}, DType::i64);
  const Edge image = g.input("image", {-1, 4, 6, 6});
  const Edge x = g.apply("embedding", Embedding{.num_embeddings = 9, .embedding_dim = kWideHead}, words);
  const Edge back = g.apply("back", Flip{.dims = {1}}, x);
  g.output("states", g.apply("attention", ScaledDotProductAttention{}, {x, back, x}));
  const Edge conv = g.apply("conv", Conv2d{.in_channels = 4, .out_channels = 3, .kernel_size = 3, .padding = 1}, image);
  g.output("map", g.apply("flip", Flip{.dims = {3}}, conv));
  return test::made_up_model(g.build().value());
}

Tensor words_of(std::initializer_list<std::int64_t> words) {
  return Tensor::from_values(std::span(words.begin(), words.size()), {1, static_cast<std::int64_t>(words.size())})
      .value();
}

TEST(EmulatedNetwork, LayersWithoutAKernelAreComputedByTheHostAndNamed) {
  const Model model = with_host_layers();
  const std::vector<Tensor> inputs = {words_of({0, 8, 3, 3, 1}), test::made_up("image", {1, 4, 6, 6})};
  Session reference = model.session(Device::cpu(), {.implementation = Implementation::reference}).value();
  const std::vector<Tensor> expected = reference.run(inputs).value();
  const auto backend = emulation::make_backend();
  const auto found = test::run_on(*backend, model, inputs);
  ASSERT_EQ(expected.size(), 2U);
  for (std::size_t i = 0; i < 2; ++i) test::expect_close(test::floats_of(expected[i]), found[i], kNetworkTolerance);

  const runtime::Network network{model.graph(), model.state_dict()};
  const std::vector<Shape> shapes = {{1, 5}, {1, 4, 6, 6}};
  const auto program = backend->compile(network, shapes, backend->make_weights(network).value(), {}).value();
  const std::span<const std::string> layers = program->host_layers();
  EXPECT_EQ(std::ranges::count(layers, "attention"), 1);
  EXPECT_EQ(std::ranges::count(layers, "conv"), 0);
}

TEST(EmulatedNetwork, AnIndexThatPointsNowhereIsAnErrorOfItsLayer) {
  const Model model = with_host_layers();
  const runtime::Network network{model.graph(), model.state_dict()};
  const auto backend = emulation::make_backend();
  const std::vector<Shape> shapes = {{1, 5}, {1, 4, 6, 6}};
  const auto program = backend->compile(network, shapes, backend->make_weights(network).value(), {}).value();
  const Tensor image = test::made_up("image", {1, 4, 6, 6});
  std::vector<float> states(5 * kWideHead);
  std::vector<float> map(108);
  const Shape out_shapes[] = {{1, 5, kWideHead}, {1, 3, 6, 6}};
  const MutableTensorView out[] = {{.data = states.data(), .shape = out_shapes[0]},
                                   {.data = map.data(), .shape = out_shapes[1]}};
  const auto run = [&](const Tensor& words) {
    const TensorView in[] = {{.data = words.bytes().value().data(), .dtype = DType::i64, .shape = shapes[0]},
                             {.data = image.bytes().value().data(), .shape = shapes[1]}};
    return program->run(in, out);
  };
  const Status failed = run(words_of({0, 8, 3, 9, 1}));
  ASSERT_FALSE(failed);
  EXPECT_NE(failed.error().finding.message.find("layer 'embedding'"), std::string::npos)
      << failed.error().finding.message;
  EXPECT_TRUE(run(words_of({0, 8, 3, 3, 1})));
}

// Of one multiprocessor and of many: large tiles and small ones.
INSTANTIATE_TEST_SUITE_P(Gpus, EmulatedNetworks, testing::Values(1, 132));

}  // namespace
}  // namespace rushlight::cuda
