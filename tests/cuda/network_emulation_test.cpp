// Whole networks through plan, calls and emulated kernels, against the reference backend.
#include <gtest/gtest.h>

#include "cuda/emulated_backend.hpp"
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

// Of one multiprocessor and of many: large tiles and small ones.
INSTANTIATE_TEST_SUITE_P(Gpus, EmulatedNetworks, testing::Values(1, 132));

}  // namespace
}  // namespace rushlight::cuda
