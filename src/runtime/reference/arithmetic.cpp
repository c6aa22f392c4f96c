// Arithmetic, comparisons and functions of one element at a time. Operands broadcast as in NumPy.
#include <cmath>
#include <optional>

#include "runtime/reference/operators.hpp"
#include "runtime/reference/power.hpp"
#include "runtime/reference/walk.hpp"

namespace rushlight::runtime::reference {
namespace {

// The element of input `i` for place `flat` of the output.
double operand(const Call& call, std::size_t i, std::size_t flat) {
  return call.input(i).values[broadcast_place(flat, call.output().shape, call.input(i).shape)];
}

// f(a, b): the second operand is an input or a number.
template <class F>
Status combine(const Call& call, const std::optional<double>& number, const F& f) {
  const std::span<double> y = call.output().values;
  for (std::size_t i = 0; i < y.size(); ++i) y[i] = f(operand(call, 0, i), number ? *number : operand(call, 1, i));
  return {};
}
template <class F>
Status combine(const Call& call, const F& f) {
  return combine(call, std::nullopt, f);
}

// A number beside float32 is float32 where it decides instead of being computed with.
template <class F>
Status compare(const Call& call, std::optional<double> number, const F& f) {
  if (number) number = static_cast<double>(static_cast<float>(*number));
  return combine(call, number, [&](double a, double b) { return f(a, b) ? 1.0 : 0.0; });
}

// div_floor_floating in c10/util/generic_math.h: Python's //, a quotient of exact fmod.
double floor_quotient(double a, double b) {
  if (b == 0) return a / b;
  const double rest = std::fmod(a, b);
  double quotient = (a - rest) / b;
  if (rest != 0 && (b < 0) != (rest < 0)) quotient -= 1;
  if (quotient == 0) return std::copysign(0.0, a / b);
  const double whole = std::floor(quotient);
  return quotient - whole > 0.5 ? whole + 1 : whole;
}

// With the sign of the divisor, as Python's %.
double remainder_of(double a, double b) {
  const double rest = std::fmod(a, b);
  return rest != 0 && (b < 0) != (rest < 0) ? rest + b : rest;
}

double maximum(double a, double b) {
  if (std::isnan(a) || std::isnan(b)) return a + b;
  return a > b ? a : b;
}
double minimum(double a, double b) {
  if (std::isnan(a) || std::isnan(b)) return a + b;
  return a < b ? a : b;
}

double divide(RoundingMode mode, double a, double b) {
  switch (mode) {
    case RoundingMode::none:
      return a / b;
    case RoundingMode::floor:
      return floor_quotient(a, b);
    case RoundingMode::trunc:
      return std::trunc(a / b);
  }
  return a / b;
}

}  // namespace

Status compute(const Add& op, const Call& call) {
  return combine(call, op.other, [&](double a, double b) { return a + op.alpha * b; });
}
Status compute(const Sub& op, const Call& call) {
  return combine(call, op.other, [&](double a, double b) { return a - op.alpha * b; });
}
Status compute(const Rsub& op, const Call& call) {
  return combine(call, op.other, [&](double a, double b) { return b - op.alpha * a; });
}
Status compute(const Mul& op, const Call& call) {
  return combine(call, op.other, [](double a, double b) { return a * b; });
}
Status compute(const Div& op, const Call& call) {
  return combine(call, op.other, [&](double a, double b) { return divide(op.rounding_mode, a, b); });
}
Status compute(const Pow& op, const Call& call) {
  if (op.other) return combine(call, op.other, power);
  return combine(call, [](double a, double b) { return std::pow(a, b); });
}
Status compute(const Fmod& op, const Call& call) {
  return combine(call, op.other, [](double a, double b) { return std::fmod(a, b); });
}
Status compute(const Remainder& op, const Call& call) {
  return combine(call, op.other, remainder_of);
}
Status compute(const Maximum&, const Call& call) {
  return combine(call, maximum);
}
Status compute(const Minimum&, const Call& call) {
  return combine(call, minimum);
}
Status compute(const Atan2&, const Call& call) {
  return combine(call, [](double a, double b) { return std::atan2(a, b); });
}

Status compute(const Equal& op, const Call& call) {
  return compare(call, op.other, [](double a, double b) { return a == b; });
}
Status compute(const NotEqual& op, const Call& call) {
  return compare(call, op.other, [](double a, double b) { return a != b; });
}
Status compute(const Less& op, const Call& call) {
  return compare(call, op.other, [](double a, double b) { return a < b; });
}
Status compute(const LessEqual& op, const Call& call) {
  return compare(call, op.other, [](double a, double b) { return a <= b; });
}
Status compute(const Greater& op, const Call& call) {
  return compare(call, op.other, [](double a, double b) { return a > b; });
}
Status compute(const GreaterEqual& op, const Call& call) {
  return compare(call, op.other, [](double a, double b) { return a >= b; });
}
Status compute(const LogicalAnd&, const Call& call) {
  return compare(call, std::nullopt, [](double a, double b) { return a != 0 && b != 0; });
}
Status compute(const LogicalOr&, const Call& call) {
  return compare(call, std::nullopt, [](double a, double b) { return a != 0 || b != 0; });
}
Status compute(const LogicalXor&, const Call& call) {
  return compare(call, std::nullopt, [](double a, double b) { return (a != 0) != (b != 0); });
}

Status compute(const Where&, const Call& call) {
  const std::span<double> y = call.output().values;
  for (std::size_t i = 0; i < y.size(); ++i) y[i] = operand(call, operand(call, 0, i) != 0 ? 1 : 2, i);
  return {};
}
Status compute(const MaskedFill& op, const Call& call) {
  return combine(call, [&](double x, double mask) { return mask != 0 ? op.value : x; });
}

// Where the bounds cross, the upper one holds. NaN bounds make NaN.
Status compute(const Clamp& op, const Call& call) {
  const std::span<double> y = call.output().values;
  for (std::size_t i = 0; i < y.size(); ++i) {
    const std::optional<double> least = call.inputs.size() > 1 ? operand(call, 1, i) : op.min;
    const std::optional<double> most = call.inputs.size() > 2 ? operand(call, 2, i) : op.max;
    double value = operand(call, 0, i);
    if (least) value = maximum(value, *least);
    if (most) value = minimum(value, *most);
    y[i] = value;
  }
  return {};
}

Status compute(const Lerp& op, const Call& call) {
  const std::span<double> y = call.output().values;
  for (std::size_t i = 0; i < y.size(); ++i) {
    const double a = operand(call, 0, i);
    const double b = operand(call, 1, i);
    const double weight = op.weight ? *op.weight : operand(call, 2, i);
    y[i] = std::fabs(weight) < 0.5 ? a + weight * (b - a) : b - (b - a) * (1 - weight);
  }
  return {};
}
Status compute(const AddCMul& op, const Call& call) {
  const std::span<double> y = call.output().values;
  for (std::size_t i = 0; i < y.size(); ++i) {
    y[i] = operand(call, 0, i) + op.value * operand(call, 1, i) * operand(call, 2, i);
  }
  return {};
}

#define RUSHLIGHT_FUNCTION(Type, expression)               \
  Status compute(const Type&, const Call& call) {          \
    return map(call, [](double x) { return expression; }); \
  }
RUSHLIGHT_FUNCTION(Neg, -x)
RUSHLIGHT_FUNCTION(Abs, std::fabs(x))
RUSHLIGHT_FUNCTION(Sqrt, std::sqrt(x))
RUSHLIGHT_FUNCTION(Rsqrt, 1 / std::sqrt(x))
RUSHLIGHT_FUNCTION(Exp, std::exp(x))
RUSHLIGHT_FUNCTION(Expm1, std::expm1(x))
RUSHLIGHT_FUNCTION(Exp2, std::exp2(x))
RUSHLIGHT_FUNCTION(Log, std::log(x))
RUSHLIGHT_FUNCTION(Log2, std::log2(x))
RUSHLIGHT_FUNCTION(Log10, std::log10(x))
RUSHLIGHT_FUNCTION(Log1p, std::log1p(x))
RUSHLIGHT_FUNCTION(Floor, std::floor(x))
RUSHLIGHT_FUNCTION(Ceil, std::ceil(x))
RUSHLIGHT_FUNCTION(Round, std::nearbyint(x))  // half to even
RUSHLIGHT_FUNCTION(Trunc, std::trunc(x))
RUSHLIGHT_FUNCTION(Frac, x - std::trunc(x))
RUSHLIGHT_FUNCTION(Reciprocal, 1 / x)
RUSHLIGHT_FUNCTION(Sign, x > 0 ? 1.0 : x < 0 ? -1.0 : 0.0)  // of NaN too
RUSHLIGHT_FUNCTION(Sin, std::sin(x))
RUSHLIGHT_FUNCTION(Cos, std::cos(x))
RUSHLIGHT_FUNCTION(Tan, std::tan(x))
RUSHLIGHT_FUNCTION(Asin, std::asin(x))
RUSHLIGHT_FUNCTION(Acos, std::acos(x))
RUSHLIGHT_FUNCTION(Atan, std::atan(x))
RUSHLIGHT_FUNCTION(Sinh, std::sinh(x))
RUSHLIGHT_FUNCTION(Cosh, std::cosh(x))
RUSHLIGHT_FUNCTION(Erf, std::erf(x))
RUSHLIGHT_FUNCTION(Square, x* x)
RUSHLIGHT_FUNCTION(IsNan, std::isnan(x) ? 1.0 : 0.0)
RUSHLIGHT_FUNCTION(IsInf, std::isinf(x) ? 1.0 : 0.0)
RUSHLIGHT_FUNCTION(LogicalNot, x == 0 ? 1.0 : 0.0)
#undef RUSHLIGHT_FUNCTION

}  // namespace rushlight::runtime::reference
