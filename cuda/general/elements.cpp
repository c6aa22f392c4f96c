// One element at a time: which function of map_functions.def an operator is, with which numbers.
#include <optional>

#include "cuda/general/maker.hpp"

namespace rushlight::cuda {
namespace {

double as_float(double number) noexcept {
  return static_cast<double>(static_cast<float>(number));
}

struct Mapped {
  MapFunction function = MapFunction::relu;
  double y = 0;  // where the operator has no second operand, and so on
  double z = 0;
  double r = 1;
};

std::optional<Mapped> activation(const GeneralMaker& maker) {
  using F = MapFunction;
  switch (maker.op().kind()) {
    case OperatorKind::ReLU:
      return Mapped{F::relu};
    case OperatorKind::ReLU6:
      return Mapped{F::clamp, 0, 6};
    case OperatorKind::Hardtanh: {
      const Hardtanh& op = maker.get<Hardtanh>();
      return Mapped{F::clamp, as_float(op.min_val), as_float(op.max_val)};
    }
    case OperatorKind::LeakyReLU:
      return Mapped{F::leaky_relu, maker.get<LeakyReLU>().negative_slope};
    case OperatorKind::RReLU:
      return Mapped{F::leaky_relu, (maker.get<RReLU>().lower + maker.get<RReLU>().upper) / 2};
    case OperatorKind::ELU:
      return Mapped{F::elu, maker.get<ELU>().alpha};
    case OperatorKind::SELU:
      return Mapped{F::selu};
    case OperatorKind::CELU:
      return Mapped{F::celu, maker.get<CELU>().alpha};
    case OperatorKind::Threshold: {
      const Threshold& op = maker.get<Threshold>();
      return Mapped{F::threshold, as_float(op.threshold), as_float(op.value)};
    }
    case OperatorKind::Sigmoid:
      return Mapped{F::sigmoid};
    case OperatorKind::SiLU:
      return Mapped{F::silu};
    case OperatorKind::Tanh:
      return Mapped{F::tanh};
    case OperatorKind::Hardsigmoid:
      return Mapped{F::hardsigmoid};
    case OperatorKind::Hardswish:
      return Mapped{F::hardswish};
    case OperatorKind::GELU:
      return Mapped{maker.get<GELU>().approximate == GeluApproximation::none ? F::gelu : F::gelu_tanh};
    case OperatorKind::LogSigmoid:
      return Mapped{F::log_sigmoid};
    case OperatorKind::Mish:
      return Mapped{F::mish};
    case OperatorKind::Softplus:
      return Mapped{F::softplus, maker.get<Softplus>().beta, maker.get<Softplus>().threshold};
    case OperatorKind::Softsign:
      return Mapped{F::softsign};
    case OperatorKind::Tanhshrink:
      return Mapped{F::tanhshrink};
    case OperatorKind::Hardshrink:
      return Mapped{F::hardshrink, as_float(maker.get<Hardshrink>().lambd)};
    case OperatorKind::Softshrink:
      return Mapped{F::softshrink, as_float(maker.get<Softshrink>().lambd)};
    case OperatorKind::GLU:
      return Mapped{F::gated};
    default:
      return std::nullopt;
  }
}

std::optional<Mapped> function(OperatorKind kind) {
  using F = MapFunction;
  switch (kind) {
    case OperatorKind::Neg:
      return Mapped{F::neg};
    case OperatorKind::Abs:
      return Mapped{F::abs};
    case OperatorKind::Sqrt:
      return Mapped{F::sqrt};
    case OperatorKind::Rsqrt:
      return Mapped{F::rsqrt};
    case OperatorKind::Exp:
      return Mapped{F::exp};
    case OperatorKind::Expm1:
      return Mapped{F::expm1};
    case OperatorKind::Exp2:
      return Mapped{F::exp2};
    case OperatorKind::Log:
      return Mapped{F::log};
    case OperatorKind::Log2:
      return Mapped{F::log2};
    case OperatorKind::Log10:
      return Mapped{F::log10};
    case OperatorKind::Log1p:
      return Mapped{F::log1p};
    case OperatorKind::Sin:
      return Mapped{F::sin};
    case OperatorKind::Cos:
      return Mapped{F::cos};
    case OperatorKind::Tan:
      return Mapped{F::tan};
    case OperatorKind::Asin:
      return Mapped{F::asin};
    case OperatorKind::Acos:
      return Mapped{F::acos};
    case OperatorKind::Atan:
      return Mapped{F::atan};
    case OperatorKind::Sinh:
      return Mapped{F::sinh};
    case OperatorKind::Cosh:
      return Mapped{F::cosh};
    case OperatorKind::Erf:
      return Mapped{F::erf};
    case OperatorKind::Floor:
      return Mapped{F::floor};
    case OperatorKind::Ceil:
      return Mapped{F::ceil};
    case OperatorKind::Round:
      return Mapped{F::round};
    case OperatorKind::Trunc:
      return Mapped{F::trunc};
    case OperatorKind::Frac:
      return Mapped{F::frac};
    case OperatorKind::Reciprocal:
      return Mapped{F::reciprocal};
    case OperatorKind::Sign:
      return Mapped{F::sign};
    case OperatorKind::Square:
      return Mapped{F::square};
    case OperatorKind::IsNan:
      return Mapped{F::isnan};
    case OperatorKind::IsInf:
      return Mapped{F::isinf};
    case OperatorKind::LogicalAnd:
      return Mapped{F::logical_and};
    case OperatorKind::LogicalOr:
      return Mapped{F::logical_or};
    case OperatorKind::LogicalXor:
      return Mapped{F::logical_xor};
    case OperatorKind::LogicalNot:
      return Mapped{F::logical_not};
    case OperatorKind::Maximum:
      return Mapped{F::maximum};
    case OperatorKind::Minimum:
      return Mapped{F::minimum};
    case OperatorKind::Atan2:
      return Mapped{F::atan2};
    default:
      return std::nullopt;
  }
}

// A number decides in float32 where torch compares or divides with remainder.
template <OperatorStruct Op>
Mapped with_number(const GeneralMaker& maker, MapFunction function, bool as_float32) {
  const double number = maker.get<Op>().other.value_or(0);
  return {function, as_float32 ? as_float(number) : number};
}

std::optional<Mapped> arithmetic(const GeneralMaker& maker) {
  using F = MapFunction;
  switch (maker.op().kind()) {
    case OperatorKind::Add:
      return Mapped{F::add, maker.get<Add>().other.value_or(0), 0, maker.get<Add>().alpha};
    case OperatorKind::Sub:
      return Mapped{F::sub, maker.get<Sub>().other.value_or(0), 0, maker.get<Sub>().alpha};
    case OperatorKind::Rsub:
      return Mapped{F::rsub, maker.get<Rsub>().other.value_or(0), 0, maker.get<Rsub>().alpha};
    case OperatorKind::Mul:
      return with_number<Mul>(maker, F::mul, false);
    case OperatorKind::Div:
      switch (maker.get<Div>().rounding_mode) {
        case RoundingMode::none:
          return with_number<Div>(maker, F::div, false);
        case RoundingMode::floor:
          return with_number<Div>(maker, F::div_floor, true);
        case RoundingMode::trunc:
          return with_number<Div>(maker, F::div_trunc, true);
      }
      return std::nullopt;
    case OperatorKind::Pow:
      // Of a number torch makes roots, which differ from powers at -0 and -inf.
      if (maker.get<Pow>().other == 0.5) return Mapped{F::sqrt};
      if (maker.get<Pow>().other == -0.5) return Mapped{F::rsqrt};
      return with_number<Pow>(maker, F::pow, false);
    case OperatorKind::Fmod:
      return with_number<Fmod>(maker, F::fmod, true);
    case OperatorKind::Remainder:
      return with_number<Remainder>(maker, F::remainder, true);
    case OperatorKind::Equal:
      return with_number<Equal>(maker, F::eq, true);
    case OperatorKind::NotEqual:
      return with_number<NotEqual>(maker, F::ne, true);
    case OperatorKind::Less:
      return with_number<Less>(maker, F::lt, true);
    case OperatorKind::LessEqual:
      return with_number<LessEqual>(maker, F::le, true);
    case OperatorKind::Greater:
      return with_number<Greater>(maker, F::gt, true);
    case OperatorKind::GreaterEqual:
      return with_number<GreaterEqual>(maker, F::ge, true);
    case OperatorKind::MaskedFill:
      return Mapped{F::masked_fill, 0, as_float(maker.get<MaskedFill>().value)};
    case OperatorKind::Lerp:
      return Mapped{F::lerp, 0, maker.get<Lerp>().weight.value_or(0)};
    case OperatorKind::AddCMul:
      return Mapped{F::addcmul, 0, 0, maker.get<AddCMul>().value};
    case OperatorKind::Clamp: {
      const Clamp& op = maker.get<Clamp>();
      if (maker.input_count() == 2) return Mapped{F::raised};
      if (maker.input_count() == 3) return Mapped{F::bounded};
      return Mapped{F::limited, as_float(op.min.value_or(-kInfiniteDouble)),
                    as_float(op.max.value_or(kInfiniteDouble))};
    }
    default:
      return std::nullopt;
  }
}

bool add_map(GeneralMaker& maker, const Mapped& mapped, const float* slopes, const Strides& slope_strides) {
  MapArguments a;
  a.function = mapped.function;
  a.numbers[1] = mapped.y;
  a.numbers[2] = mapped.z;
  a.numbers[kMapInputs] = mapped.r;
  const runtime::Operand& output = maker.output();
  std::array<Strides, kMapInputs + 1> strides;
  strides.fill(Strides(output.shape.size(), 0));
  strides[0] = output.strides;
  for (std::size_t i = 0; i < maker.input_count(); ++i) {
    const runtime::Operand& input = maker.input(i);
    a.inputs[i] = maker.input_at(i);
    a.elements[i] = element_of(input.dtype);
    strides[i + 1] = broadcast_strides(input, output.shape);
  }
  if (slopes != nullptr) a.inputs[1] = slopes;
  if (!slope_strides.empty()) strides[2] = slope_strides;
  a.output = maker.output_at();
  a.makes_mask = output.dtype == DType::boolean;
  const auto shape = strided(output.shape, strides);
  if (!shape) return false;
  a.shape = *shape;
  maker.add(a);
  return true;
}

// One slope, or one for each channel: dimension 1.
bool add_prelu(GeneralMaker& maker) {
  Strides strides(maker.input().shape.size(), 0);
  if (maker.get<PReLU>().num_parameters > 1) strides[1] = 1;
  return add_map(maker, {MapFunction::leaky_relu}, maker.parameter("weight"), strides);
}

}  // namespace

bool make_elements(GeneralMaker& maker) {
  if (maker.op().kind() == OperatorKind::PReLU) return add_prelu(maker);
  std::optional<Mapped> mapped = activation(maker);
  if (!mapped) mapped = function(maker.op().kind());
  if (!mapped) mapped = arithmetic(maker);
  return mapped && maker.output_count() == 1 && maker.input_count() <= kMapInputs &&
         add_map(maker, *mapped, nullptr, {});
}

}  // namespace rushlight::cuda
