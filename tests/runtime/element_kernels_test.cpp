// The kernels that go element by element, on every instruction set, against double.
#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "runtime/all_kernels.hpp"
#include "runtime/cpu/kernels/kernels.hpp"

namespace rushlight::test {
namespace {

using runtime::cpu::ElementKernel;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr double kEpsilon = std::numeric_limits<float>::epsilon();

// Small ones and large ones, both signs, a value for each lane of any vector and some left over.
std::vector<float> numbers(float largest) {
  std::vector<float> all;
  for (float x = 1e-6F; x < largest; x *= 1.0173F) {
    all.push_back(x);
    all.push_back(-x);
  }
  all.push_back(largest);
  return all;
}

void expect_close(ElementKernel kernel, const std::function<double(double)>& truth, float largest, double epsilons) {
  const std::vector<float> x = numbers(largest);
  std::vector<float> y(x.size() + 1, 7);
  kernel(x.data(), y.data(), x.size());
  EXPECT_EQ(y.back(), 7);  // nothing behind the last one is touched
  double worst = 0;
  float worst_at = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double expected = truth(static_cast<double>(x[i]));
    const double error = std::abs(static_cast<double>(y[i]) - expected) / (std::abs(expected) * kEpsilon);
    if (error > worst || std::isnan(error)) {
      worst = error;
      worst_at = x[i];
    }
  }
  EXPECT_LE(worst, epsilons) << "of " << worst_at;
}

// Two sums and a division follow e^x, which is within one epsilon.
TEST(ElementKernels, ActivationsAreRightToAFewRoundings) {
  for (const NamedKernels& set : all_kernels()) {
    SCOPED_TRACE(set.name);
    expect_close(
        set.kernels->sigmoid, [](double x) { return 1 / (1 + std::exp(-x)); }, 86, 2.5);
    expect_close(
        set.kernels->silu, [](double x) { return x / (1 + std::exp(-x)); }, 86, 2.5);
    expect_close(
        set.kernels->tanh, [](double x) { return std::tanh(x); }, 30, 2.5);
    expect_close(
        set.kernels->hardswish, [](double x) { return x * std::fmin(std::fmax(x + 3, 0), 6) / 6; }, 2.9F, 32);
  }
}

// As torch computes them in float: x / (1 + e^-x) of -inf is -inf / inf.
TEST(ElementKernels, NanAndInfinitiesReachWhatTheyReachInTorch) {
  const std::vector<float> x = {kNan, kInf, -kInf, 1e30F, -1e30F, -0.0F};
  const auto of = [&](ElementKernel kernel) {
    std::vector<float> y(x.size());
    kernel(x.data(), y.data(), x.size());
    return y;
  };
  for (const NamedKernels& set : all_kernels()) {
    SCOPED_TRACE(set.name);
    const std::vector<float> sigmoid = of(set.kernels->sigmoid);
    EXPECT_TRUE(std::isnan(sigmoid[0]));
    EXPECT_EQ((std::vector<float>(sigmoid.begin() + 1, sigmoid.end())), (std::vector<float>{1, 0, 1, 0, 0.5F}));
    const std::vector<float> silu = of(set.kernels->silu);
    EXPECT_TRUE(std::isnan(silu[0]));
    EXPECT_EQ(silu[1], kInf);
    EXPECT_TRUE(std::isnan(silu[2]));
    EXPECT_EQ(silu[3], 1e30F);
    EXPECT_EQ(silu[4], 0);
    EXPECT_EQ(silu[5], 0);
    EXPECT_TRUE(std::signbit(silu[4]) && std::signbit(silu[5]));
    const std::vector<float> tanh = of(set.kernels->tanh);
    EXPECT_TRUE(std::isnan(tanh[0]));
    EXPECT_EQ((std::vector<float>(tanh.begin() + 1, tanh.end())), (std::vector<float>{1, -1, 1, -1, 0}));
  }
}

// e^x down to the smallest denormal, as numerators of a softmax whose sum is 1 and little more.
TEST(ElementKernels, PowersAreRightDownToTheSmallestDenormal) {
  std::vector<float> x = {0};
  for (float power = -80; power > -110; power -= 0.37F) x.push_back(power);
  for (const NamedKernels& set : all_kernels()) {
    SCOPED_TRACE(set.name);
    std::vector<float> y(x.size());
    set.kernels->softmax({.input = x.data(), .output = y.data(), .axis = x.size(), .inner = 1});
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double expected = std::exp(static_cast<double>(x[i]));
      const double denormal = std::numeric_limits<float>::denorm_min();
      EXPECT_NEAR(static_cast<double>(y[i]), expected, 2 * kEpsilon * expected + denormal) << x[i];
    }
  }
}

TEST(ElementKernels, ProductsOfPairsAreThoseOfFloatsWhateverTheirNumber) {
  std::mt19937 random(5);
  std::uniform_real_distribution<float> any(-2, 2);
  for (const NamedKernels& set : all_kernels()) {
    SCOPED_TRACE(set.name);
    for (std::size_t count = 0; count < 70; ++count) {
      std::vector<float> a(count);
      std::vector<float> b(count);
      for (float& x : a) x = any(random);
      for (float& x : b) x = any(random);
      if (count > 3) a[count - 1] = kNan;
      if (count > 3) b[2] = kInf;
      std::vector<float> y(count + 1, 7);
      set.kernels->multiply(a.data(), b.data(), y.data(), count);
      for (std::size_t i = 0; i < count; ++i) {
        if (std::isnan(a[i])) {
          EXPECT_TRUE(std::isnan(y[i]));
        } else {
          EXPECT_EQ(y[i], a[i] * b[i]);
        }
      }
      EXPECT_EQ(y[count], 7);
    }
  }
}

}  // namespace
}  // namespace rushlight::test
