// One element at a time: activations, arithmetic with broadcasting, comparisons, choices. Arithmetic is done in double
// and rounded once, but for what torch decides in float32: comparisons, bounds, remainders.
#include <array>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/fail.hpp"
#include "runtime/cpu/general/builder.hpp"
#include "runtime/cpu/general/lines.hpp"
#include "runtime/cpu/general/wide.hpp"

namespace rushlight::runtime::cpu {
namespace {

// About what one element costs.
constexpr double kCheap = 4;
constexpr double kDear = 60;  // calls into libm

// --- any number of float32 operands ---

template <class F>
void add_unary(Builder& b, double cost, F f) {
  const Operand& x = b.input();
  const Operand& y = b.output();
  const Lines<2> lines(y.shape, {y.strides, broadcast_strides(x, y.shape)});
  add_lines(
      b, lines, cost,
      [=, x = x.tensor, y = y.tensor, step = lines.steps](const auto& places, std::size_t count, const Frame& frame) {
        const float* from = frame.at(x) + places[1];
        float* to = frame.at(y) + places[0];
        if (step[0] == 1 && step[1] == 1) {
          for (std::size_t i = 0; i < count; ++i) to[i] = f(from[i]);
        } else {
          for (std::size_t i = 0; i < count; ++i, from += step[1], to += step[0]) *to = f(*from);
        }
      });
}

// Arrays of floats to arrays of floats, by a kernel that was made for it.
void add_unary_kernel(Builder& b, double cost, void (*kernel)(const float*, float*, std::size_t)) {
  const Operand& x = b.input();
  const Operand& y = b.output();
  const Lines<2> lines(y.shape, {y.strides, broadcast_strides(x, y.shape)});
  add_lines(
      b, lines, cost,
      [=, x = x.tensor, y = y.tensor, step = lines.steps](const auto& places, std::size_t count, const Frame& frame) {
        const float* from = frame.at(x) + places[1];
        float* to = frame.at(y) + places[0];
        if (step[0] == 1 && step[1] == 1) return kernel(from, to, count);
        constexpr std::size_t kChunk = 256;
        float buffer[kChunk];
        for (std::size_t first = 0; first < count; first += kChunk) {
          const std::size_t part = std::min(kChunk, count - first);
          for (std::size_t i = 0; i < part; ++i, from += step[1]) buffer[i] = *from;
          kernel(buffer, buffer, part);
          for (std::size_t i = 0; i < part; ++i, to += step[0]) *to = buffer[i];
        }
      });
}

template <class To, class F>
void add_binary(Builder& b, double cost, F f) {
  const Operand& y = b.output();
  const Lines<3> lines(y.shape,
                       {y.strides, broadcast_strides(b.input(0), y.shape), broadcast_strides(b.input(1), y.shape)});
  add_lines(b, lines, cost,
            [=, a = b.input(0).tensor, c = b.input(1).tensor, y = y.tensor, step = lines.steps](
                const auto& places, std::size_t count, const Frame& frame) {
              const float* left = frame.at(a) + places[1];
              const float* right = frame.at(c) + places[2];
              To* to = frame.at<To>(y) + places[0];
              if (step[0] == 1 && step[1] == 1 && step[2] == 1) {
                for (std::size_t i = 0; i < count; ++i) to[i] = f(left[i], right[i]);
              } else if (step[0] == 1 && step[1] == 1 && step[2] == 0) {
                const float constant = *right;
                for (std::size_t i = 0; i < count; ++i) to[i] = f(left[i], constant);
              } else {
                for (std::size_t i = 0; i < count; ++i, left += step[1], right += step[2], to += step[0]) {
                  *to = f(*left, *right);
                }
              }
            });
}

// By its kernel, since networks gate whole pictures: a line of channels by a line of gates.
void add_product(Builder& b) {
  const Operand& y = b.output();
  const Lines<3> lines(y.shape,
                       {y.strides, broadcast_strides(b.input(0), y.shape), broadcast_strides(b.input(1), y.shape)});
  add_lines(b, lines, kCheap,
            [=, kernel = b.kernels().multiply, a = b.input(0).tensor, c = b.input(1).tensor, y = y.tensor,
             step = lines.steps](const auto& places, std::size_t count, const Frame& frame) {
              const float* left = frame.at(a) + places[1];
              const float* right = frame.at(c) + places[2];
              float* to = frame.at(y) + places[0];
              if (step[0] == 1 && step[1] == 1 && step[2] == 1) return kernel(left, right, to, count);
              for (std::size_t i = 0; i < count; ++i, left += step[1], right += step[2], to += step[0]) {
                *to = *left * *right;
              }
            });
}

template <class F>
void add_ternary(Builder& b, double cost, F f) {
  const Operand& y = b.output();
  const Lines<4> lines(y.shape, {y.strides, broadcast_strides(b.input(0), y.shape),
                                 broadcast_strides(b.input(1), y.shape), broadcast_strides(b.input(2), y.shape)});
  add_lines(b, lines, cost,
            [=, p = b.input(0).tensor, q = b.input(1).tensor, r = b.input(2).tensor, y = y.tensor, step = lines.steps](
                const auto& places, std::size_t count, const Frame& frame) {
              const float* first = frame.at(p) + places[1];
              const float* second = frame.at(q) + places[2];
              const float* third = frame.at(r) + places[3];
              float* to = frame.at(y) + places[0];
              for (std::size_t i = 0; i < count; ++i) {
                *to = f(*first, *second, *third);
                first += step[1];
                second += step[2];
                third += step[3];
                to += step[0];
              }
            });
}

// Two tensors, or one and a number. The number reaches f as a double; `number_as_float` rounds it first, as torch does
// where a comparison or a remainder would see the difference.
template <class To, class F>
void add_arithmetic(Builder& b, const std::optional<double>& other, bool number_as_float, double cost, F f) {
  if (!other) {
    return add_binary<To>(b, cost, [f](float x, float y) { return f(x, static_cast<double>(y)); });
  }
  const double number = number_as_float ? static_cast<double>(static_cast<float>(*other)) : *other;
  const Operand& x = b.input();
  const Operand& y = b.output();
  const Lines<2> lines(y.shape, {y.strides, broadcast_strides(x, y.shape)});
  add_lines(
      b, lines, cost,
      [=, x = x.tensor, y = y.tensor, step = lines.steps](const auto& places, std::size_t count, const Frame& frame) {
        const float* from = frame.at(x) + places[1];
        To* to = frame.at<To>(y) + places[0];
        for (std::size_t i = 0; i < count; ++i, from += step[1], to += step[0]) *to = f(*from, number);
      });
}

float rounded(double value) noexcept {
  return static_cast<float>(value);
}

// NaN passes every one of these: comparisons with it are false.
float clamp(float x, float low, float high) noexcept {
  return x < low ? low : (x > high ? high : x);
}
float larger(float a, float b) noexcept {
  return a > b || std::isnan(a) ? a : b;
}
float smaller(float a, float b) noexcept {
  return a < b || std::isnan(a) ? a : b;
}

// torch.div's floor: of the exact quotient, not of the rounded one (c10/util/generic_math.h).
float floor_quotient(float a, float b) noexcept {
  if (b == 0) return a / b;
  const float rest = std::fmod(a, b);
  float quotient = (a - rest) / b;
  if (rest != 0 && (b < 0) != (rest < 0)) quotient -= 1;
  if (quotient == 0) return std::copysign(0.0F, a / b);
  const float whole = std::floor(quotient);
  return quotient - whole > 0.5F ? whole + 1 : whole;
}
float python_remainder(float a, float b) noexcept {
  const float rest = std::fmod(a, b);
  return rest != 0 && (b < 0) != (rest < 0) ? rest + b : rest;
}

// --- masks ---

bool is_true(const void* data, DType dtype, std::ptrdiff_t i) noexcept {
  switch (dtype) {
    case DType::f32:
      return static_cast<const float*>(data)[i] != 0;
    case DType::i64:
      return static_cast<const std::int64_t*>(data)[i] != 0;
    case DType::i32:
      return static_cast<const std::int32_t*>(data)[i] != 0;
    default:
      return static_cast<const std::uint8_t*>(data)[i] != 0;
  }
}

template <class F>
void add_logical(Builder& b, F f) {
  const Operand& y = b.output();
  const Operand& left = b.input(0);
  const Operand& right = b.input(b.input_count() - 1);
  const Lines<3> lines(y.shape, {y.strides, broadcast_strides(left, y.shape), broadcast_strides(right, y.shape)});
  add_lines(b, lines, 3 * kCheap,
            [=, p = left.tensor, p_type = left.dtype, q = right.tensor, q_type = right.dtype, y = y.tensor,
             step = lines.steps](auto places, std::size_t count, const Frame& frame) {
              const void* first = frame.at(p);
              const void* second = frame.at(q);
              auto* to = frame.at<std::uint8_t>(y);
              for (std::size_t i = 0; i < count; ++i) {
                to[places[0]] = f(is_true(first, p_type, places[1]), is_true(second, q_type, places[2])) ? 1 : 0;
                for (std::size_t k = 0; k < 3; ++k) places[k] += step[k];
              }
            });
}

// Moves elements of a size, whatever they mean.
template <class Word>
void add_where(Builder& b) {
  const Operand& y = b.output();
  const Lines<4> lines(y.shape, {y.strides, broadcast_strides(b.input(0), y.shape),
                                 broadcast_strides(b.input(1), y.shape), broadcast_strides(b.input(2), y.shape)});
  add_lines(b, lines, kCheap,
            [=, m = b.input(0).tensor, p = b.input(1).tensor, q = b.input(2).tensor, y = y.tensor, step = lines.steps](
                auto places, std::size_t count, const Frame& frame) {
              const auto* mask = frame.at<std::uint8_t>(m);
              const Word* yes = frame.at<Word>(p);
              const Word* no = frame.at<Word>(q);
              Word* to = frame.at<Word>(y);
              for (std::size_t i = 0; i < count; ++i) {
                to[places[0]] = mask[places[1]] != 0 ? yes[places[2]] : no[places[3]];
                for (std::size_t k = 0; k < 4; ++k) places[k] += step[k];
              }
            });
}

void add_masked_fill(Builder& b, float value) {
  const Operand& y = b.output();
  const Lines<3> lines(y.shape,
                       {y.strides, broadcast_strides(b.input(0), y.shape), broadcast_strides(b.input(1), y.shape)});
  add_lines(b, lines, kCheap,
            [=, x = b.input(0).tensor, m = b.input(1).tensor, y = y.tensor, step = lines.steps](
                auto places, std::size_t count, const Frame& frame) {
              const float* from = frame.at(x);
              const auto* mask = frame.at<std::uint8_t>(m);
              float* to = frame.at(y);
              for (std::size_t i = 0; i < count; ++i) {
                to[places[0]] = mask[places[2]] != 0 ? value : from[places[1]];
                for (std::size_t k = 0; k < 3; ++k) places[k] += step[k];
              }
            });
}

// One slope, or one for each channel: dimension 1.
Status add_prelu(Builder& b) {
  RUSHLIGHT_TRY_ASSIGN(const std::span<const float> slopes, b.parameter("weight"));
  const Operand& x = b.input();
  const Operand& y = b.output();
  Strides slope_strides(x.shape.size(), 0);
  if (slopes.size() > 1) slope_strides[1] = 1;
  const Lines<3> lines(y.shape, {y.strides, x.strides, slope_strides});
  add_lines(b, lines, kCheap,
            [=, x = x.tensor, y = y.tensor, step = lines.steps](auto places, std::size_t count, const Frame& frame) {
              const float* from = frame.at(x) + places[1];
              const float* slope = slopes.data() + places[2];
              float* to = frame.at(y) + places[0];
              for (std::size_t i = 0; i < count; ++i, from += step[1], slope += step[2], to += step[0]) {
                *to = *from > 0 ? *from : *from * *slope;
              }
            });
  return {};
}

void add_clamp(Builder& b, const Clamp& op) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  if (b.input_count() == 2) {
    return add_binary<float>(b, kCheap, [](float x, float low) { return std::isnan(low) ? low : (x < low ? low : x); });
  }
  if (b.input_count() == 3) {
    return add_ternary(b, kCheap, [](float x, float low, float high) { return smaller(larger(x, low), high); });
  }
  const float low = op.min ? rounded(*op.min) : -kInfinity;
  const float high = op.max ? rounded(*op.max) : kInfinity;
  if (std::isnan(low) || std::isnan(high)) {
    return add_unary(b, kCheap, [](float) { return std::numeric_limits<float>::quiet_NaN(); });
  }
  add_unary(b, kCheap, [=](float x) {
    const float raised = x < low ? low : x;
    return raised > high ? high : raised;
  });
}

float lerp(double from, double to, double weight) noexcept {
  return rounded(std::abs(weight) < 0.5 ? from + weight * (to - from) : to - (to - from) * (1 - weight));
}

bool build_activation(Builder& b) {
  switch (b.op().kind()) {
    case OperatorKind::ReLU:
      add_unary(b, kCheap, [](float x) { return x < 0 ? 0.0F : x; });
      return true;
    case OperatorKind::ReLU6:
      add_unary(b, kCheap, [](float x) { return clamp(x, 0, 6); });
      return true;
    case OperatorKind::Hardtanh: {
      const float low = rounded(b.get<Hardtanh>().min_val);
      const float high = rounded(b.get<Hardtanh>().max_val);
      add_unary(b, kCheap, [=](float x) { return clamp(x, low, high); });
      return true;
    }
    case OperatorKind::LeakyReLU: {
      const double slope = b.get<LeakyReLU>().negative_slope;
      add_unary(b, kCheap, [=](float x) { return x > 0 ? x : rounded(wide(x) * slope); });
      return true;
    }
    case OperatorKind::RReLU: {
      const double slope = (b.get<RReLU>().lower + b.get<RReLU>().upper) / 2;
      add_unary(b, kCheap, [=](float x) { return x > 0 ? x : rounded(wide(x) * slope); });
      return true;
    }
    case OperatorKind::ELU: {
      const double alpha = b.get<ELU>().alpha;
      add_unary(b, kDear, [=](float x) { return x > 0 ? x : rounded(std::expm1(wide(x)) * alpha); });
      return true;
    }
    case OperatorKind::SELU: {
      constexpr double kScale = 1.0507009873554804934193349852946;
      constexpr double kAlpha = 1.6732632423543772848170429916717;
      add_unary(b, kDear, [](float x) { return rounded(kScale * (x > 0 ? wide(x) : kAlpha * std::expm1(wide(x)))); });
      return true;
    }
    case OperatorKind::CELU: {
      const double alpha = b.get<CELU>().alpha;
      add_unary(b, kDear, [=](float x) { return x > 0 ? x : rounded(std::expm1(wide(x) / alpha) * alpha); });
      return true;
    }
    case OperatorKind::Threshold: {
      const float threshold = rounded(b.get<Threshold>().threshold);
      const float value = rounded(b.get<Threshold>().value);
      add_unary(b, kCheap, [=](float x) { return x <= threshold ? value : x; });
      return true;
    }
    case OperatorKind::Sigmoid:
      add_unary_kernel(b, kCheap * 4, b.kernels().sigmoid);
      return true;
    case OperatorKind::SiLU:
      add_unary_kernel(b, kCheap * 4, b.kernels().silu);
      return true;
    case OperatorKind::Tanh:
      add_unary_kernel(b, kCheap * 4, b.kernels().tanh);
      return true;
    case OperatorKind::Hardsigmoid:
      add_unary_kernel(b, kCheap, b.kernels().hardsigmoid);
      return true;
    case OperatorKind::Hardswish:
      add_unary_kernel(b, kCheap, b.kernels().hardswish);
      return true;
    case OperatorKind::GELU:
      if (b.get<GELU>().approximate == GeluApproximation::none) {
        add_unary_kernel(b, kCheap * 6, b.kernels().gelu);
      } else {
        add_unary(b, kDear, [](float x32) {
          const double x = wide(x32);
          return rounded(0.5 * x * (1 + std::tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x))));
        });
      }
      return true;
    case OperatorKind::LogSigmoid:
      add_unary(b, kDear,
                [](float x) { return rounded((x < 0 ? wide(x) : 0.0) - std::log1p(std::exp(-std::abs(wide(x))))); });
      return true;
    case OperatorKind::Mish:
      add_unary(b, kDear, [](float x) { return rounded(wide(x) * std::tanh(std::log1p(std::exp(wide(x))))); });
      return true;
    case OperatorKind::Softplus: {
      const double beta = b.get<Softplus>().beta;
      const double threshold = b.get<Softplus>().threshold;
      add_unary(b, kDear, [=](float x) {
        return wide(x) * beta > threshold ? x : rounded(std::log1p(std::exp(wide(x) * beta)) / beta);
      });
      return true;
    }
    case OperatorKind::Softsign:
      add_unary(b, kCheap, [](float x) { return rounded(wide(x) / (1 + std::abs(wide(x)))); });
      return true;
    case OperatorKind::Tanhshrink:
      add_unary(b, kDear, [](float x) { return rounded(wide(x) - std::tanh(wide(x))); });
      return true;
    case OperatorKind::Hardshrink: {
      const float lambda = rounded(b.get<Hardshrink>().lambd);
      add_unary(b, kCheap, [=](float x) { return x >= -lambda && x <= lambda ? 0.0F : x; });
      return true;
    }
    case OperatorKind::Softshrink: {
      const float lambda = rounded(b.get<Softshrink>().lambd);
      add_unary(b, kCheap, [=](float x) {
        if (std::isnan(x)) return x;
        return x > lambda ? x - lambda : (x < -lambda ? x + lambda : 0.0F);
      });
      return true;
    }
    case OperatorKind::GLU:
      add_binary<float>(b, kDear, [](float x, float gate) { return rounded(wide(x) * sigmoid(wide(gate))); });
      return true;
    default:
      return false;
  }
}

// A function of libm, in double.
template <double (*kFunction)(double)>
void add_function(Builder& b) {
  add_unary(b, kDear, [](float x) { return rounded(kFunction(wide(x))); });
}

bool build_unary(Builder& b) {
  switch (b.op().kind()) {
    case OperatorKind::Neg:
      add_unary(b, kCheap, [](float x) { return -x; });
      return true;
    case OperatorKind::Abs:
      add_unary(b, kCheap, [](float x) { return std::abs(x); });
      return true;
    case OperatorKind::Sqrt:
      add_unary(b, kCheap, [](float x) { return std::sqrt(x); });
      return true;
    case OperatorKind::Rsqrt:
      add_unary(b, kCheap, [](float x) { return rounded(1 / std::sqrt(wide(x))); });
      return true;
    case OperatorKind::Exp:
      add_function<std::exp>(b);
      return true;
    case OperatorKind::Expm1:
      add_function<std::expm1>(b);
      return true;
    case OperatorKind::Exp2:
      add_function<std::exp2>(b);
      return true;
    case OperatorKind::Log:
      add_function<std::log>(b);
      return true;
    case OperatorKind::Log2:
      add_function<std::log2>(b);
      return true;
    case OperatorKind::Log10:
      add_function<std::log10>(b);
      return true;
    case OperatorKind::Log1p:
      add_function<std::log1p>(b);
      return true;
    case OperatorKind::Sin:
      add_function<std::sin>(b);
      return true;
    case OperatorKind::Cos:
      add_function<std::cos>(b);
      return true;
    case OperatorKind::Tan:
      add_function<std::tan>(b);
      return true;
    case OperatorKind::Asin:
      add_function<std::asin>(b);
      return true;
    case OperatorKind::Acos:
      add_function<std::acos>(b);
      return true;
    case OperatorKind::Atan:
      add_function<std::atan>(b);
      return true;
    case OperatorKind::Sinh:
      add_function<std::sinh>(b);
      return true;
    case OperatorKind::Cosh:
      add_function<std::cosh>(b);
      return true;
    case OperatorKind::Erf:
      add_function<std::erf>(b);
      return true;
    case OperatorKind::Floor:
      add_unary(b, kCheap, [](float x) { return std::floor(x); });
      return true;
    case OperatorKind::Ceil:
      add_unary(b, kCheap, [](float x) { return std::ceil(x); });
      return true;
    case OperatorKind::Round:  // half to even, as the default rounding direction has it
      add_unary(b, kCheap, [](float x) { return std::nearbyint(x); });
      return true;
    case OperatorKind::Trunc:
      add_unary(b, kCheap, [](float x) { return std::trunc(x); });
      return true;
    case OperatorKind::Frac:
      add_unary(b, kCheap, [](float x) { return x - std::trunc(x); });
      return true;
    case OperatorKind::Reciprocal:
      add_unary(b, kCheap, [](float x) { return 1 / x; });
      return true;
    case OperatorKind::Sign:  // 0 of NaN, as torch
      add_unary(b, kCheap, [](float x) { return x > 0 ? 1.0F : (x < 0 ? -1.0F : 0.0F); });
      return true;
    case OperatorKind::Square:
      add_unary(b, kCheap, [](float x) { return x * x; });
      return true;
    case OperatorKind::IsNan:
      add_arithmetic<std::uint8_t>(b, 0.0, false, kCheap,
                                   [](float x, double) { return static_cast<std::uint8_t>(std::isnan(x)); });
      return true;
    case OperatorKind::IsInf:
      add_arithmetic<std::uint8_t>(b, 0.0, false, kCheap,
                                   [](float x, double) { return static_cast<std::uint8_t>(std::isinf(x)); });
      return true;
    default:
      return false;
  }
}

template <OperatorStruct Op, class F>
void add_comparison(Builder& b, F f) {
  add_arithmetic<std::uint8_t>(b, b.get<Op>().other, true, kCheap,
                               [f](float x, double y) { return static_cast<std::uint8_t>(f(wide(x), y)); });
}

bool build_arithmetic(Builder& b) {
  switch (b.op().kind()) {
    case OperatorKind::Add:
      add_arithmetic<float>(b, b.get<Add>().other, false, kCheap,
                            [alpha = b.get<Add>().alpha](float x, double y) { return rounded(wide(x) + alpha * y); });
      return true;
    case OperatorKind::Sub:
      add_arithmetic<float>(b, b.get<Sub>().other, false, kCheap,
                            [alpha = b.get<Sub>().alpha](float x, double y) { return rounded(wide(x) - alpha * y); });
      return true;
    case OperatorKind::Rsub:
      add_arithmetic<float>(b, b.get<Rsub>().other, false, kCheap,
                            [alpha = b.get<Rsub>().alpha](float x, double y) { return rounded(y - alpha * wide(x)); });
      return true;
    case OperatorKind::Mul:
      if (!b.get<Mul>().other) {
        add_product(b);
      } else {
        add_arithmetic<float>(b, b.get<Mul>().other, false, kCheap,
                              [](float x, double y) { return rounded(wide(x) * y); });
      }
      return true;
    case OperatorKind::Div:
      if (b.get<Div>().rounding_mode == RoundingMode::none) {
        add_arithmetic<float>(b, b.get<Div>().other, false, kCheap,
                              [](float x, double y) { return rounded(wide(x) / y); });
      } else if (b.get<Div>().rounding_mode == RoundingMode::floor) {
        add_arithmetic<float>(b, b.get<Div>().other, true, kDear,
                              [](float x, double y) { return floor_quotient(x, rounded(y)); });
      } else {
        add_arithmetic<float>(b, b.get<Div>().other, true, kCheap,
                              [](float x, double y) { return std::trunc(x / rounded(y)); });
      }
      return true;
    case OperatorKind::Pow:
      // Of a number torch makes roots, which differ from powers at -0 and -inf.
      if (b.get<Pow>().other == 0.5) {
        add_unary(b, kCheap, [](float x) { return std::sqrt(x); });
        return true;
      }
      if (b.get<Pow>().other == -0.5) {
        add_unary(b, kCheap, [](float x) { return rounded(1 / std::sqrt(wide(x))); });
        return true;
      }
      add_arithmetic<float>(b, b.get<Pow>().other, false, kDear,
                            [](float x, double y) { return rounded(std::pow(wide(x), y)); });
      return true;
    case OperatorKind::Fmod:
      add_arithmetic<float>(b, b.get<Fmod>().other, true, kDear,
                            [](float x, double y) { return std::fmod(x, rounded(y)); });
      return true;
    case OperatorKind::Remainder:
      add_arithmetic<float>(b, b.get<Remainder>().other, true, kDear,
                            [](float x, double y) { return python_remainder(x, rounded(y)); });
      return true;
    case OperatorKind::Maximum:
      add_binary<float>(b, kCheap, larger);
      return true;
    case OperatorKind::Minimum:
      add_binary<float>(b, kCheap, smaller);
      return true;
    case OperatorKind::Atan2:
      add_binary<float>(b, kDear, [](float y, float x) { return rounded(std::atan2(wide(y), wide(x))); });
      return true;
    case OperatorKind::Equal:
      add_comparison<Equal>(b, [](double x, double y) { return x == y; });
      return true;
    case OperatorKind::NotEqual:
      add_comparison<NotEqual>(b, [](double x, double y) { return x != y; });
      return true;
    case OperatorKind::Less:
      add_comparison<Less>(b, [](double x, double y) { return x < y; });
      return true;
    case OperatorKind::LessEqual:
      add_comparison<LessEqual>(b, [](double x, double y) { return x <= y; });
      return true;
    case OperatorKind::Greater:
      add_comparison<Greater>(b, [](double x, double y) { return x > y; });
      return true;
    case OperatorKind::GreaterEqual:
      add_comparison<GreaterEqual>(b, [](double x, double y) { return x >= y; });
      return true;
    case OperatorKind::LogicalAnd:
      add_logical(b, [](bool x, bool y) { return x && y; });
      return true;
    case OperatorKind::LogicalOr:
      add_logical(b, [](bool x, bool y) { return x || y; });
      return true;
    case OperatorKind::LogicalXor:
      add_logical(b, [](bool x, bool y) { return x != y; });
      return true;
    case OperatorKind::LogicalNot:
      add_logical(b, [](bool x, bool) { return !x; });
      return true;
    default:
      return false;
  }
}

}  // namespace

Status build_elements(Builder& b) {
  if (build_activation(b) || build_unary(b) || build_arithmetic(b)) return {};
  switch (b.op().kind()) {
    case OperatorKind::PReLU:
      return add_prelu(b);
    case OperatorKind::Where:
      if (size_bytes(b.output().dtype) == 1) {
        add_where<std::uint8_t>(b);
      } else if (size_bytes(b.output().dtype) == 4) {
        add_where<std::uint32_t>(b);
      } else {
        add_where<std::uint64_t>(b);
      }
      return {};
    case OperatorKind::MaskedFill:
      add_masked_fill(b, rounded(b.get<MaskedFill>().value));
      return {};
    case OperatorKind::Clamp:
      add_clamp(b, b.get<Clamp>());
      return {};
    case OperatorKind::Lerp:
      if (b.get<Lerp>().weight) {
        add_binary<float>(b, kCheap, [weight = *b.get<Lerp>().weight](float from, float to) {
          return lerp(wide(from), wide(to), weight);
        });
      } else {
        add_ternary(b, kCheap,
                    [](float from, float to, float weight) { return lerp(wide(from), wide(to), wide(weight)); });
      }
      return {};
    case OperatorKind::AddCMul:
      add_ternary(b, kCheap, [value = b.get<AddCMul>().value](float x, float y, float z) {
        return rounded(wide(x) + value * wide(y) * wide(z));
      });
      return {};
    default:
      return {};
  }
}

}  // namespace rushlight::runtime::cpu
