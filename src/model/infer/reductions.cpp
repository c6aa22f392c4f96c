#include <algorithm>
#include <utility>

#include "base/fail.hpp"
#include "model/describe.hpp"
#include "model/infer/infer.hpp"

namespace rushlight::model {
namespace {

Result<Shape> reduced(const Shape& shape, const Shape& dims, bool keepdim) {
  RUSHLIGHT_TRY_ASSIGN(const std::vector<std::size_t> gone, dimensions(dims, shape));
  Shape result;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    const bool is_gone = std::find(gone.begin(), gone.end(), i) != gone.end();
    if (!is_gone) result.push_back(shape[i]);
    if (is_gone && keepdim) result.push_back(1);
  }
  return result;
}

template <class Op>
Inferred infer_reduction(const Op& op, const Operands& operands) {
  RUSHLIGHT_TRY(check_float(operands));
  RUSHLIGHT_TRY_ASSIGN(Shape shape, reduced(operands.shape(), op.dim, op.keepdim));
  return one(std::move(shape));
}

// max and its like have no value of nothing.
template <class Op>
Inferred infer_extremum(const Op& op, const Operands& operands) {
  RUSHLIGHT_TRY_ASSIGN(const std::vector<std::size_t> gone, dimensions(op.dim, operands.shape()));
  for (const std::size_t dim : gone) {
    if (!operands.shape().empty() && operands.shape()[dim] == 0)
      return misfit("expected sizes of at least 1, found " + shape_text(operands.shape()));
  }
  return infer_reduction(op, operands);
}

Shape dims_of(const std::optional<std::int64_t>& dim) {
  return dim ? Shape{*dim} : Shape();
}

template <class Op>
Inferred infer_indexed(const Op& op, const Operands& operands, bool indices_only) {
  RUSHLIGHT_TRY(check_float(operands));
  const Shape dims = dims_of(op.dim);
  RUSHLIGHT_TRY_ASSIGN(const std::vector<std::size_t> gone, dimensions(dims, operands.shape()));
  for (const std::size_t dim : gone) {
    if (!operands.shape().empty() && operands.shape()[dim] == 0) {
      return misfit("expected sizes of at least 1, found " + shape_text(operands.shape()));
    }
  }
  RUSHLIGHT_TRY_ASSIGN(Shape shape, reduced(operands.shape(), dims, op.keepdim && op.dim.has_value()));
  if (indices_only) {
    // argmax keeps dimensions without a dim as well.
    if (op.keepdim && !op.dim) shape.assign(operands.shape().size(), 1);
    return one(std::move(shape), DType::i64);
  }
  std::vector<EdgeType> outputs = {{DType::f32, shape}};
  if (op.dim) outputs.push_back({DType::i64, std::move(shape)});
  return outputs;
}

template <class Op>
Inferred infer_distance(const Op&, const Operands& operands, const Shape& dims, bool keepdim) {
  for (std::size_t i = 0; i < 2; ++i) RUSHLIGHT_TRY(check_float(operands, i));
  RUSHLIGHT_TRY_ASSIGN(const Shape both, broadcast(operands.shape(0), operands.shape(1)));
  RUSHLIGHT_TRY_ASSIGN(Shape shape, reduced(both, dims, keepdim));
  return one(std::move(shape));
}

}  // namespace

Inferred infer(const Mean& op, const Operands& operands) {
  return infer_reduction(op, operands);
}
Inferred infer(const Sum& op, const Operands& operands) {
  return infer_reduction(op, operands);
}
Inferred infer(const Prod& op, const Operands& operands) {
  return infer_reduction(op, operands);
}
Inferred infer(const Std& op, const Operands& operands) {
  return infer_reduction(op, operands);
}
Inferred infer(const Var& op, const Operands& operands) {
  return infer_reduction(op, operands);
}
Inferred infer(const VectorNorm& op, const Operands& operands) {
  RUSHLIGHT_TRY(check_norm_of(op.dim, op.ord, operands.shape()));
  return infer_reduction(op, operands);
}
Inferred infer(const LogSumExp& op, const Operands& operands) {
  return infer_reduction(op, operands);
}
Inferred infer(const Amax& op, const Operands& operands) {
  return infer_extremum(op, operands);
}
Inferred infer(const Amin& op, const Operands& operands) {
  return infer_extremum(op, operands);
}
Inferred infer(const Max& op, const Operands& operands) {
  return infer_indexed(op, operands, false);
}
Inferred infer(const Min& op, const Operands& operands) {
  return infer_indexed(op, operands, false);
}
Inferred infer(const ArgMax& op, const Operands& operands) {
  return infer_indexed(op, operands, true);
}
Inferred infer(const ArgMin& op, const Operands& operands) {
  return infer_indexed(op, operands, true);
}

Inferred infer(const CumSum& op, const Operands& operands) {
  RUSHLIGHT_TRY(check_float(operands));
  RUSHLIGHT_TRY(dimension("dim", op.dim, operands.shape()));
  return one(operands.shape());
}

Inferred infer(const TopK& op, const Operands& operands) {
  RUSHLIGHT_TRY(check_float(operands));
  Shape shape = operands.shape();
  RUSHLIGHT_TRY_ASSIGN(const std::size_t dim, dimension("dim", op.dim, shape));
  const std::int64_t size = shape.empty() ? 1 : shape[dim];
  if (size != kUnknown && *op.k > size) {
    return expected_found("at least " + std::to_string(*op.k) + " values", std::to_string(size), shape);
  }
  if (shape.empty() && *op.k == 0) return misfit("k: expected 1 of a single number, found 0");
  if (!shape.empty()) shape[dim] = *op.k;
  return std::vector<EdgeType>{{DType::f32, shape}, {DType::i64, shape}};
}

Inferred infer(const CosineSimilarity& op, const Operands& operands) {
  return infer_distance(op, operands, {op.dim}, false);
}
Inferred infer(const PairwiseDistance& op, const Operands& operands) {
  RUSHLIGHT_TRY_ASSIGN(const Shape both, broadcast(operands.shape(0), operands.shape(1)));
  RUSHLIGHT_TRY(check_norm_of({-1}, op.p, both));
  return infer_distance(op, operands, {-1}, op.keepdim);
}

}  // namespace rushlight::model
