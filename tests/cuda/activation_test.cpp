// Activations of epilogues as kernels compute them, against torch's definitions in double.
#include "cuda/kernels/activation.cuh"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>

namespace rushlight::cuda {
namespace {

using Kind = Activation::Kind;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr Kind kKinds[] = {Kind::none, Kind::relu,        Kind::clamp,     Kind::sigmoid, Kind::silu,
                           Kind::tanh, Kind::hardsigmoid, Kind::hardswish, Kind::gelu};

Activation of(Kind kind) {
  return {.kind = kind, .low = -1.25F, .high = 2.5F};
}

double defined(Kind kind, double x) {
  switch (kind) {
    case Kind::none:
      return x;
    case Kind::relu:
      return std::fmax(x, 0);
    case Kind::clamp:
      return std::fmin(std::fmax(x, -1.25), 2.5);
    case Kind::sigmoid:
      return 1 / (1 + std::exp(-x));
    case Kind::silu:
      return x / (1 + std::exp(-x));
    case Kind::tanh:
      return std::tanh(x);
    case Kind::hardsigmoid:
      return std::fmin(std::fmax(x + 3, 0), 6) / 6;
    case Kind::hardswish:
      return x * std::fmin(std::fmax(x + 3, 0), 6) / 6;
    case Kind::gelu:
      return x * std::erfc(-x / std::sqrt(2.0)) / 2;
  }
  return 0;
}

TEST(CudaActivation, ValuesAreTheDefinitionsToAFewRoundings) {
  for (const Kind kind : kKinds) {
    for (int i = -4000; i <= 4000; ++i) {
      const float x = static_cast<float>(i) / 256.0F;
      const double wanted = defined(kind, static_cast<double>(x));
      // Hardswish and hardsigmoid round x + 3, whose error stays where the sum nearly cancels.
      const double sum = kind == Kind::hardsigmoid || kind == Kind::hardswish ? 4e-7 : 0;
      // erfc() takes a rounded argument of which its logarithm is the square.
      const double argument = kind == Kind::gelu && x < 0 ? 1.2e-7 * static_cast<double>(x * x) * std::abs(wanted) : 0;
      ASSERT_NEAR(static_cast<double>(activate(of(kind), x)), wanted, 1e-6 * std::abs(wanted) + sum + argument + 1e-40)
          << "kind " << static_cast<int>(kind) << " of " << x;
    }
  }
}

TEST(CudaActivation, NaNStaysAndBoundsAreBounds) {
  for (const Kind kind : kKinds) EXPECT_TRUE(std::isnan(activate(of(kind), kNaN))) << static_cast<int>(kind);
  EXPECT_EQ(activate(of(Kind::clamp), kInfinity), 2.5F);
  EXPECT_EQ(activate(of(Kind::clamp), -kInfinity), -1.25F);
  EXPECT_EQ(activate(of(Kind::sigmoid), -kInfinity), 0.0F);
  EXPECT_EQ(activate(of(Kind::sigmoid), kInfinity), 1.0F);
  EXPECT_EQ(activate(of(Kind::sigmoid), -100.0F), 0.0F);
  EXPECT_EQ(activate(of(Kind::silu), kInfinity), kInfinity);
  EXPECT_EQ(activate(of(Kind::tanh), kInfinity), 1.0F);
  EXPECT_EQ(activate(of(Kind::hardswish), -5.0F), 0.0F);
  EXPECT_EQ(activate(of(Kind::gelu), kInfinity), kInfinity);
  EXPECT_TRUE(std::signbit(activate(of(Kind::relu), -0.0F)));
}

}  // namespace
}  // namespace rushlight::cuda
