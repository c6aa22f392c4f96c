// One element at a time: activations, arithmetic with broadcasting, comparisons; and products of matrices.
#include <algorithm>
#include <utility>

#include "base/fail.hpp"
#include "model/describe.hpp"
#include "model/infer/infer.hpp"

namespace rushlight::model {
namespace {

// Passes its input's shape on.
Inferred same(const Operands& operands) {
  RUSHLIGHT_TRY(check_float(operands));
  return one(operands.shape());
}

Inferred same_with_dim(std::int64_t dim, const Operands& operands) {
  RUSHLIGHT_TRY(check_float(operands));
  RUSHLIGHT_TRY(dimension("dim", dim, operands.shape()));
  return one(operands.shape());
}

// Two tensors, or one and a number.
Status check_operands(const std::optional<double>& other, const Operands& operands) {
  if (other.has_value() == (operands.inputs.size() == 1)) return {};
  return misfit(other ? "it has two inputs and other, expected one of them"
                      : "expected a second input or other, found neither");
}

Result<Shape> broadcast_all(const Operands& operands) {
  Shape shape = operands.shape(0);
  for (std::size_t i = 1; i < operands.inputs.size(); ++i) {
    RUSHLIGHT_TRY_ASSIGN(shape, broadcast(shape, operands.shape(i)));
  }
  return shape;
}

Inferred infer_binary(const std::optional<double>& other, const Operands& operands, DType result) {
  RUSHLIGHT_TRY(check_operands(other, operands));
  for (std::size_t i = 0; i < operands.inputs.size(); ++i) RUSHLIGHT_TRY(check_float(operands, i));
  RUSHLIGHT_TRY_ASSIGN(Shape shape, broadcast_all(operands));
  return one(std::move(shape), result);
}

Inferred infer_test(const Operands& operands) {
  RUSHLIGHT_TRY(check_float(operands));
  return one(operands.shape(), DType::boolean);
}

// Masks, or numbers as masks.
Inferred infer_logical(const Operands& operands) {
  RUSHLIGHT_TRY_ASSIGN(Shape shape, broadcast_all(operands));
  return one(std::move(shape), DType::boolean);
}

// Tensors of any dtype, all of the same.
Status check_equal_dtypes(const Operands& operands, std::size_t first) {
  for (std::size_t i = first + 1; i < operands.inputs.size(); ++i) {
    if (operands.dtype(i) == operands.dtype(first)) continue;
    return wrong_dtype(i, std::string(to_string(operands.dtype(first))), operands.dtype(i));
  }
  return {};
}

// torch.matmul: vectors are rows on the left and columns on the right, dimensions before the last two broadcast.
Result<Shape> matrix_product(const Shape& a, const Shape& b) {
  if (a.empty()) return wrong_rank("1 or more", a);
  if (b.empty()) return wrong_rank("1 or more", b);
  const std::int64_t inner = b.size() == 1 ? b[0] : b[b.size() - 2];
  if (a.back() != kUnknown && inner != kUnknown && a.back() != inner) {
    return misfit("shapes " + shape_text(a) + " and " + shape_text(b) + " do not multiply");
  }
  const auto batch = [](const Shape& shape) {
    return shape.size() <= 2 ? Shape() : Shape(shape.begin(), shape.end() - 2);
  };
  RUSHLIGHT_TRY_ASSIGN(Shape shape, broadcast(batch(a), batch(b)));
  if (a.size() > 1) shape.push_back(a[a.size() - 2]);
  if (b.size() > 1) shape.push_back(b.back());
  return shape;
}

}  // namespace

// Many operators have one rule: a row for each.
#define RUSHLIGHT_INFER(Type, result)                                         \
  Inferred infer([[maybe_unused]] const Type& op, const Operands& operands) { \
    return result;                                                            \
  }
RUSHLIGHT_INFER(ReLU, same(operands))
RUSHLIGHT_INFER(ReLU6, same(operands))
RUSHLIGHT_INFER(Hardtanh, same(operands))
RUSHLIGHT_INFER(LeakyReLU, same(operands))
RUSHLIGHT_INFER(RReLU, same(operands))
RUSHLIGHT_INFER(ELU, same(operands))
RUSHLIGHT_INFER(SELU, same(operands))
RUSHLIGHT_INFER(CELU, same(operands))
RUSHLIGHT_INFER(Threshold, same(operands))
RUSHLIGHT_INFER(Sigmoid, same(operands))
RUSHLIGHT_INFER(LogSigmoid, same(operands))
RUSHLIGHT_INFER(Tanh, same(operands))
RUSHLIGHT_INFER(Hardsigmoid, same(operands))
RUSHLIGHT_INFER(Hardswish, same(operands))
RUSHLIGHT_INFER(SiLU, same(operands))
RUSHLIGHT_INFER(Mish, same(operands))
RUSHLIGHT_INFER(Softplus, same(operands))
RUSHLIGHT_INFER(Softsign, same(operands))
RUSHLIGHT_INFER(Tanhshrink, same(operands))
RUSHLIGHT_INFER(Hardshrink, same(operands))
RUSHLIGHT_INFER(Softshrink, same(operands))
RUSHLIGHT_INFER(GELU, same(operands))
RUSHLIGHT_INFER(Neg, same(operands))
RUSHLIGHT_INFER(Abs, same(operands))
RUSHLIGHT_INFER(Sqrt, same(operands))
RUSHLIGHT_INFER(Rsqrt, same(operands))
RUSHLIGHT_INFER(Exp, same(operands))
RUSHLIGHT_INFER(Expm1, same(operands))
RUSHLIGHT_INFER(Exp2, same(operands))
RUSHLIGHT_INFER(Log, same(operands))
RUSHLIGHT_INFER(Log2, same(operands))
RUSHLIGHT_INFER(Log10, same(operands))
RUSHLIGHT_INFER(Log1p, same(operands))
RUSHLIGHT_INFER(Floor, same(operands))
RUSHLIGHT_INFER(Ceil, same(operands))
RUSHLIGHT_INFER(Round, same(operands))
RUSHLIGHT_INFER(Trunc, same(operands))
RUSHLIGHT_INFER(Frac, same(operands))
RUSHLIGHT_INFER(Reciprocal, same(operands))
RUSHLIGHT_INFER(Sign, same(operands))
RUSHLIGHT_INFER(Sin, same(operands))
RUSHLIGHT_INFER(Cos, same(operands))
RUSHLIGHT_INFER(Tan, same(operands))
RUSHLIGHT_INFER(Asin, same(operands))
RUSHLIGHT_INFER(Acos, same(operands))
RUSHLIGHT_INFER(Atan, same(operands))
RUSHLIGHT_INFER(Sinh, same(operands))
RUSHLIGHT_INFER(Cosh, same(operands))
RUSHLIGHT_INFER(Erf, same(operands))
RUSHLIGHT_INFER(Square, same(operands))
RUSHLIGHT_INFER(IsNan, infer_test(operands))
RUSHLIGHT_INFER(IsInf, infer_test(operands))
RUSHLIGHT_INFER(LogicalNot, infer_logical(operands))
RUSHLIGHT_INFER(LogicalAnd, infer_logical(operands))
RUSHLIGHT_INFER(LogicalOr, infer_logical(operands))
RUSHLIGHT_INFER(LogicalXor, infer_logical(operands))
RUSHLIGHT_INFER(Add, infer_binary(op.other, operands, DType::f32))
RUSHLIGHT_INFER(Sub, infer_binary(op.other, operands, DType::f32))
RUSHLIGHT_INFER(Rsub, infer_binary(op.other, operands, DType::f32))
RUSHLIGHT_INFER(Mul, infer_binary(op.other, operands, DType::f32))
RUSHLIGHT_INFER(Div, infer_binary(op.other, operands, DType::f32))
RUSHLIGHT_INFER(Pow, infer_binary(op.other, operands, DType::f32))
RUSHLIGHT_INFER(Fmod, infer_binary(op.other, operands, DType::f32))
RUSHLIGHT_INFER(Remainder, infer_binary(op.other, operands, DType::f32))
RUSHLIGHT_INFER(Maximum, infer_binary(std::nullopt, operands, DType::f32))
RUSHLIGHT_INFER(Minimum, infer_binary(std::nullopt, operands, DType::f32))
RUSHLIGHT_INFER(Atan2, infer_binary(std::nullopt, operands, DType::f32))
RUSHLIGHT_INFER(Equal, infer_binary(op.other, operands, DType::boolean))
RUSHLIGHT_INFER(NotEqual, infer_binary(op.other, operands, DType::boolean))
RUSHLIGHT_INFER(Less, infer_binary(op.other, operands, DType::boolean))
RUSHLIGHT_INFER(LessEqual, infer_binary(op.other, operands, DType::boolean))
RUSHLIGHT_INFER(Greater, infer_binary(op.other, operands, DType::boolean))
RUSHLIGHT_INFER(GreaterEqual, infer_binary(op.other, operands, DType::boolean))
#undef RUSHLIGHT_INFER

Inferred infer(const PReLU& op, const Operands& operands) {
  RUSHLIGHT_TRY(check_float(operands));
  const Shape& shape = operands.shape();
  if (op.num_parameters == kFromWeights || op.num_parameters == 1) return one(shape);
  // Channels are dimension 1; where there is none, there is one channel.
  const std::int64_t channels = shape.size() > 1 ? shape[1] : 1;
  if (channels != kUnknown && channels != op.num_parameters) {
    return expected_found(count_text(static_cast<std::size_t>(op.num_parameters), "channel"), std::to_string(channels),
                          shape);
  }
  return one(shape);
}

Inferred infer(const GLU& op, const Operands& operands) {
  RUSHLIGHT_TRY(check_float(operands));
  Shape shape = operands.shape();
  if (shape.empty()) return wrong_rank("1 or more", shape);
  RUSHLIGHT_TRY_ASSIGN(const std::size_t dim, dimension("dim", op.dim, shape));
  if (shape[dim] != kUnknown && shape[dim] % 2 != 0) {
    return expected_found("an even size", std::to_string(shape[dim]), operands.shape());
  }
  if (shape[dim] != kUnknown) shape[dim] /= 2;
  return one(std::move(shape));
}

Inferred infer(const Softmax& op, const Operands& operands) {
  return same_with_dim(op.dim, operands);
}
Inferred infer(const LogSoftmax& op, const Operands& operands) {
  return same_with_dim(op.dim, operands);
}
Inferred infer(const Softmin& op, const Operands& operands) {
  return same_with_dim(op.dim, operands);
}
Inferred infer(const Softmax2d&, const Operands& operands) {
  RUSHLIGHT_TRY(check_float(operands));
  RUSHLIGHT_TRY(picture_of_any_size(operands.shape(), 2));
  return one(operands.shape());
}

Inferred infer(const Where&, const Operands& operands) {
  RUSHLIGHT_TRY(check_mask(operands, 0));
  RUSHLIGHT_TRY(check_equal_dtypes(operands, 1));
  RUSHLIGHT_TRY_ASSIGN(Shape shape, broadcast_all(operands));
  return one(std::move(shape), operands.dtype(1));
}

Inferred infer(const MaskedFill&, const Operands& operands) {
  RUSHLIGHT_TRY(check_float(operands));
  RUSHLIGHT_TRY(check_mask(operands, 1));
  RUSHLIGHT_TRY_ASSIGN(Shape shape, broadcast_all(operands));
  return one(std::move(shape));
}

Inferred infer(const Clamp& op, const Operands& operands) {
  for (std::size_t i = 0; i < operands.inputs.size(); ++i) RUSHLIGHT_TRY(check_float(operands, i));
  const bool numbers = op.min.has_value() || op.max.has_value();
  if (numbers == (operands.inputs.size() > 1)) {
    return misfit(numbers ? "it has bounds as numbers and as inputs"
                          : "expected min, max or further inputs, found none");
  }
  RUSHLIGHT_TRY_ASSIGN(Shape shape, broadcast_all(operands));
  return one(std::move(shape));
}

Inferred infer(const Lerp& op, const Operands& operands) {
  for (std::size_t i = 0; i < operands.inputs.size(); ++i) RUSHLIGHT_TRY(check_float(operands, i));
  if (op.weight.has_value() == (operands.inputs.size() == 3)) {
    return misfit(op.weight ? "it has three inputs and weight, expected one of them"
                            : "expected a third input or weight, found neither");
  }
  RUSHLIGHT_TRY_ASSIGN(Shape shape, broadcast_all(operands));
  return one(std::move(shape));
}

Inferred infer(const AddCMul&, const Operands& operands) {
  for (std::size_t i = 0; i < 3; ++i) RUSHLIGHT_TRY(check_float(operands, i));
  RUSHLIGHT_TRY_ASSIGN(Shape shape, broadcast_all(operands));
  return one(std::move(shape));
}

Inferred infer(const MatMul&, const Operands& operands) {
  for (std::size_t i = 0; i < 2; ++i) RUSHLIGHT_TRY(check_float(operands, i));
  RUSHLIGHT_TRY_ASSIGN(Shape shape, matrix_product(operands.shape(0), operands.shape(1)));
  return one(std::move(shape));
}

Inferred infer(const Bmm&, const Operands& operands) {
  const Shape& a = operands.shape(0);
  const Shape& b = operands.shape(1);
  for (std::size_t i = 0; i < 2; ++i) {
    RUSHLIGHT_TRY(check_float(operands, i));
    if (operands.shape(i).size() != 3) return wrong_rank("3", operands.shape(i));
  }
  if (a[0] != kUnknown && b[0] != kUnknown && a[0] != b[0]) {
    return misfit("shapes " + shape_text(a) + " and " + shape_text(b) + " do not multiply");
  }
  RUSHLIGHT_TRY_ASSIGN(Shape shape, matrix_product(a, b));
  return one(std::move(shape));
}

Inferred infer(const AddMM&, const Operands& operands) {
  for (std::size_t i = 0; i < 3; ++i) RUSHLIGHT_TRY(check_float(operands, i));
  for (std::size_t i = 1; i < 3; ++i) {
    if (operands.shape(i).size() != 2) return wrong_rank("2", operands.shape(i));
  }
  RUSHLIGHT_TRY_ASSIGN(Shape shape, matrix_product(operands.shape(1), operands.shape(2)));
  RUSHLIGHT_TRY_ASSIGN(const Shape sum, broadcast(operands.shape(0), shape));
  if (sum.size() != shape.size()) return wrong_rank("2 or fewer", operands.shape(0));
  return one(std::move(shape));
}

// Letters name dimensions; those that the right side lacks are summed over. One letter each: no dots, no capitals that
// torch's own rule would sort differently are needed when the right side is given, and it must be.
Inferred infer(const Einsum& op, const Operands& operands) {
  std::string equation;
  for (const char letter : op.equation) {
    if (letter != ' ') equation += letter;
  }
  const std::size_t arrow = equation.find("->");
  if (arrow == std::string::npos) return misfit("equation: expected a right side behind ->, found none");
  std::int64_t sizes[128];
  bool seen[128] = {};
  std::size_t operand = 0;
  std::size_t place = 0;
  const auto is_letter = [](char letter) {
    return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z');
  };
  const auto close = [&]() -> Status {
    if (operand >= operands.inputs.size() || place != operands.shape(operand).size()) {
      return misfit("equation '" + op.equation + "' does not fit the ranks of its inputs");
    }
    RUSHLIGHT_TRY(check_float(operands, operand));
    ++operand;
    place = 0;
    return {};
  };
  for (std::size_t i = 0; i < arrow; ++i) {
    const char letter = equation[i];
    if (letter == ',') {
      RUSHLIGHT_TRY(close());
      continue;
    }
    if (!is_letter(letter)) return misfit("equation: expected letters, commas and ->, found another character");
    if (operand >= operands.inputs.size() || place >= operands.shape(operand).size()) {
      return misfit("equation '" + op.equation + "' does not fit the ranks of its inputs");
    }
    const std::int64_t size = operands.shape(operand)[place++];
    const auto index = static_cast<std::size_t>(letter);
    if (seen[index] && size != kUnknown && sizes[index] != kUnknown && size != sizes[index] && size != 1 &&
        sizes[index] != 1) {
      return misfit(std::string("equation: dimension ") + letter + " has sizes " + std::to_string(sizes[index]) +
                    " and " + std::to_string(size));
    }
    if (!seen[index] || sizes[index] == 1 || (sizes[index] == kUnknown && size != 1)) sizes[index] = size;
    seen[index] = true;
  }
  RUSHLIGHT_TRY(close());
  if (operand != operands.inputs.size()) {
    return misfit("equation '" + op.equation + "' has " + count_text(operand, "operand") + ", found " +
                  std::to_string(operands.inputs.size()));
  }
  Shape shape;
  bool used[128] = {};
  for (std::size_t i = arrow + 2; i < equation.size(); ++i) {
    const char letter = equation[i];
    if (!is_letter(letter) || !seen[static_cast<std::size_t>(letter)] || used[static_cast<std::size_t>(letter)]) {
      return misfit("equation: the right side has letters of the left side, each once");
    }
    used[static_cast<std::size_t>(letter)] = true;
    shape.push_back(sizes[static_cast<std::size_t>(letter)]);
  }
  return one(std::move(shape));
}

}  // namespace rushlight::model
