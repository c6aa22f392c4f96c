// Small networks of the tutorials' kinds against PyTorch (make_nets.py).
#include <gtest/gtest.h>

#include "runtime/nets.hpp"
#include "runtime/networks.hpp"

namespace rushlight::test {
namespace {

// clang-format off
#include "runtime/nets.inc"
// clang-format on

void check(Graph graph, const Shape& input_shape, std::span<const double> torch, std::span<const double> in_double) {
  const Model model = made_up_model(std::move(graph));
  const Tensor x = made_up("input", input_shape);
  double largest = 0;
  double torch_error = 0;
  for (std::size_t i = 0; i < torch.size(); ++i) {
    largest = std::max(largest, std::fabs(in_double[i]));
    torch_error = std::max(torch_error, std::fabs(torch[i] - in_double[i]));
  }
  ASSERT_GT(largest, 0.1);
  const auto error_of = [&](const runtime::Backend& backend) {
    const std::vector<float> found = run_on(backend, model, std::span(&x, 1))[0];
    EXPECT_EQ(torch.size(), found.size());
    double error = 0;
    for (std::size_t i = 0; i < found.size(); ++i) {
      error = std::max(error, std::fabs(static_cast<double>(found[i]) - in_double[i]));
      EXPECT_LE(std::fabs(static_cast<double>(found[i]) - torch[i]), 1e-5 * largest) << "at " << i;
    }
    return error;
  };
  // The reference computes in double throughout: what is left is the rounding of the output, half an ulp of float32.
  EXPECT_LE(error_of(*runtime::reference::make_backend().value()), 6e-8 * largest);
  for (const auto& backend : cpu_backends()) {
    SCOPED_TRACE(backend->name());
    EXPECT_LE(error_of(*backend), std::max(4 * torch_error, 2e-6 * largest));
  }
}

TEST(Nets, Mlp784_128_10) {
  check(mlp_net(), {3, 784}, k_mlp, k_mlp_double);
}
TEST(Nets, SimpleModel10_20_10) {
  check(simple_net(), {5, 10}, k_simple, k_simple_double);
}
TEST(Nets, MlpWithBatchNormAndSoftmax) {
  check(normed_mlp_net(), {4, 12}, k_normed_mlp, k_normed_mlp_double);
}
TEST(Nets, FashionCnn) {
  check(fashion_net(), {2, 1, 28, 28}, k_fashion, k_fashion_double);
}
TEST(Nets, VggLike) {
  check(vgg_net(), {2, 3, 26, 30}, k_vgg, k_vgg_double);
}
TEST(Nets, ResNetLike) {
  check(resnet_net(), {2, 3, 45, 39}, k_resnet, k_resnet_double);
}

}  // namespace
}  // namespace rushlight::test
