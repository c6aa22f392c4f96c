// Activations. NaN stays NaN in all of them.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "runtime/reference/operators.hpp"
#include "runtime/reference/walk.hpp"

namespace rushlight::runtime::reference {
namespace {

// As torch compares float32 with a number: the number is one of float32 too.
double rounded(double number) {
  return static_cast<double>(static_cast<float>(number));
}

double clamp(double x, double least, double most) {
  return x < least ? least : x > most ? most : x;
}
double sigmoid(double x) {
  return 1 / (1 + std::exp(-x));
}
double leaky(double x, double slope) {
  return x > 0 ? x : x * slope;
}

// exp(x - largest) and its sum: the row of +inf, or all of -inf, becomes NaN by itself.
template <bool kLog>
Status softmax(const Call& call, std::int64_t dim, double sign) {
  const std::span<const double> x = call.input().values;
  const std::span<double> y = call.output().values;
  const Axis axis = axis_of(call.input().shape, dim);
  for_each_line(axis, [&](std::size_t o, std::size_t i) {
    double largest = -std::numeric_limits<double>::infinity();
    for (std::size_t k = 0; k < axis.size; ++k) largest = std::max(largest, sign * x[axis.place(o, k, i)]);
    double sum = 0;
    for (std::size_t k = 0; k < axis.size; ++k) sum += std::exp(sign * x[axis.place(o, k, i)] - largest);
    for (std::size_t k = 0; k < axis.size; ++k) {
      const double above = sign * x[axis.place(o, k, i)] - largest;
      y[axis.place(o, k, i)] = kLog ? above - std::log(sum) : std::exp(above) / sum;
    }
  });
  return {};
}

}  // namespace

Status compute(const ReLU&, const Call& call) {
  return map(call, [](double x) { return x < 0 ? 0.0 : x; });
}
Status compute(const ReLU6&, const Call& call) {
  return map(call, [](double x) { return clamp(x, 0, 6); });
}
Status compute(const Hardtanh& op, const Call& call) {
  return map(call, [&](double x) { return clamp(x, op.min_val, op.max_val); });
}
Status compute(const LeakyReLU& op, const Call& call) {
  return map(call, [&](double x) { return leaky(x, op.negative_slope); });
}
// In eval mode.
Status compute(const RReLU& op, const Call& call) {
  return map(call, [&](double x) { return leaky(x, (op.lower + op.upper) / 2); });
}

// One weight, or one for each place of dimension 1.
Status compute(const PReLU&, const Call& call) {
  const std::span<const double> x = call.input().values;
  const std::span<const float> weight = call.parameter("weight");
  const Axis channels = axis_of(call.input().shape, call.input().shape.size() > 1 ? 1 : 0);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::size_t c = weight.size() == 1 ? 0 : i / channels.inner % channels.size;
    call.output().values[i] = leaky(x[i], static_cast<double>(weight[c]));
  }
  return {};
}

Status compute(const ELU& op, const Call& call) {
  return map(call, [&](double x) { return x > 0 ? x : op.alpha * std::expm1(x); });
}
Status compute(const SELU&, const Call& call) {
  constexpr double kAlpha = 1.6732632423543772848170429916717;
  constexpr double kScale = 1.0507009873554804934193349852946;
  return map(call, [](double x) { return kScale * (x > 0 ? x : kAlpha * std::expm1(x)); });
}
Status compute(const CELU& op, const Call& call) {
  return map(call, [&](double x) { return x > 0 ? x : op.alpha * std::expm1(x / op.alpha); });
}
Status compute(const Threshold& op, const Call& call) {
  return map(call, [&](double x) { return x <= rounded(op.threshold) ? op.value : x; });
}
Status compute(const Sigmoid&, const Call& call) {
  return map(call, sigmoid);
}
Status compute(const LogSigmoid&, const Call& call) {
  return map(call, [](double x) { return (x < 0 ? x : 0.0) - std::log1p(std::exp(-std::fabs(x))); });
}
Status compute(const Tanh&, const Call& call) {
  return map(call, [](double x) { return std::tanh(x); });
}
Status compute(const Hardsigmoid&, const Call& call) {
  return map(call, [](double x) { return clamp(x + 3, 0, 6) / 6; });
}
Status compute(const Hardswish&, const Call& call) {
  return map(call, [](double x) { return x * clamp(x + 3, 0, 6) / 6; });
}
Status compute(const SiLU&, const Call& call) {
  return map(call, [](double x) { return x / (1 + std::exp(-x)); });
}
Status compute(const Mish&, const Call& call) {
  return map(call, [](double x) { return x * std::tanh(std::log1p(std::exp(x))); });
}
Status compute(const Softplus& op, const Call& call) {
  return map(call,
             [&](double x) { return x * op.beta > op.threshold ? x : std::log1p(std::exp(x * op.beta)) / op.beta; });
}
Status compute(const Softsign&, const Call& call) {
  return map(call, [](double x) { return x / (1 + std::fabs(x)); });
}
Status compute(const Tanhshrink&, const Call& call) {
  return map(call, [](double x) { return x - std::tanh(x); });
}
Status compute(const Hardshrink& op, const Call& call) {
  const double limit = rounded(op.lambd);
  return map(call, [&](double x) { return x >= -limit && x <= limit ? 0.0 : x; });
}
Status compute(const Softshrink& op, const Call& call) {
  const double limit = rounded(op.lambd);
  return map(call, [&](double x) {
    if (std::isnan(x)) return x;
    return x > limit ? x - op.lambd : x < -limit ? x + op.lambd : 0.0;
  });
}
Status compute(const GELU& op, const Call& call) {
  if (op.approximate == GeluApproximation::tanh) {
    constexpr double kScale = std::numbers::sqrt2 * std::numbers::inv_sqrtpi;  // sqrt(2 / pi)
    return map(call, [](double x) { return 0.5 * x * (1 + std::tanh(kScale * (x + 0.044715 * x * x * x))); });
  }
  return map(call, [](double x) { return 0.5 * x * (1 + std::erf(x / std::numbers::sqrt2)); });
}

// The first half of a dimension, gated by the second.
Status compute(const GLU& op, const Call& call) {
  const std::span<const double> x = call.input().values;
  const Axis in = axis_of(call.input().shape, op.dim);
  const Axis out = axis_of(call.output().shape, op.dim);
  for_each_line(out, [&](std::size_t o, std::size_t i) {
    for (std::size_t k = 0; k < out.size; ++k) {
      call.output().values[out.place(o, k, i)] = x[in.place(o, k, i)] * sigmoid(x[in.place(o, k + out.size, i)]);
    }
  });
  return {};
}

Status compute(const Softmax& op, const Call& call) {
  return softmax<false>(call, op.dim, 1);
}
Status compute(const LogSoftmax& op, const Call& call) {
  return softmax<true>(call, op.dim, 1);
}
Status compute(const Softmin& op, const Call& call) {
  return softmax<false>(call, op.dim, -1);
}
// Over the channels of [N, C, H, W] or [C, H, W].
Status compute(const Softmax2d&, const Call& call) {
  return softmax<false>(call, -3, 1);
}

}  // namespace rushlight::runtime::reference
