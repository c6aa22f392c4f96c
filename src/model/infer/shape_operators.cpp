// What moves values and computes none: any dtype passes.
#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <utility>

#include "base/checked.hpp"
#include "base/fail.hpp"
#include "model/describe.hpp"
#include "model/infer/infer.hpp"

namespace rushlight::model {
namespace {

Inferred like(const Operands& operands, Shape shape) {
  return one(std::move(shape), operands.dtype());
}

// One size of -1 in `wanted` follows from the number of elements.
Result<Shape> reshaped(const Shape& from, const Shape& wanted) {
  Shape shape = wanted;
  std::size_t open = shape.size();
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] < -1) return misfit("expected sizes of at least 0, or -1, found " + shape_text(wanted));
    if (shape[i] != -1) continue;
    if (open != shape.size()) return misfit("only one size can be -1, found " + shape_text(wanted));
    open = i;
  }
  const std::optional<std::int64_t> have = element_count(from);
  Shape fixed = shape;
  if (open != shape.size()) fixed[open] = 1;
  const std::optional<std::int64_t> known = element_count(fixed);
  if (!have || !known) return overflows(have ? wanted : from);
  const Error wrong = misfit(shape_text(from) + " cannot take the shape " + shape_text(wanted));
  if (*have == kUnknown) return shape;
  if (open == shape.size()) return *have == *known ? Result<Shape>(shape) : Result<Shape>(wrong);
  if (*known == 0 || *have % *known != 0) return wrong;
  shape[open] = *have / *known;
  return shape;
}

std::ptrdiff_t offset(std::size_t index) {
  return static_cast<std::ptrdiff_t>(index);
}

// torch's slices: bounds are clamped to the dimension.
std::int64_t clamp_place(std::int64_t place, std::int64_t size) {
  if (place < 0) place = place < -size ? 0 : place + size;
  return std::min(place, size);
}

Result<Shape> sliced(const Shape& shape, std::int64_t dim_in, std::int64_t start, std::int64_t end, std::int64_t step) {
  if (shape.empty()) return wrong_rank("1 or more", shape);
  RUSHLIGHT_TRY_ASSIGN(const std::size_t dim, dimension("dim", dim_in, shape));
  Shape result = shape;
  if (shape[dim] == kUnknown) return result;
  const std::int64_t first = clamp_place(start, shape[dim]);
  const std::int64_t last = std::max(first, clamp_place(end, shape[dim]));
  result[dim] = last == first ? 0 : (last - first - 1) / step + 1;
  return result;
}

// The first of them, where fewer are asked for.
Inferred pieces(const Operands& operands, std::size_t dim, const std::vector<std::int64_t>& sizes) {
  if (sizes.size() < operands.output_count) {
    return misfit("it gives " + count_text(sizes.size(), "piece") + " of " + shape_text(operands.shape()) +
                  ", expected " + std::to_string(operands.output_count));
  }
  std::vector<EdgeType> outputs;
  for (const std::int64_t size : std::span(sizes).first(operands.output_count)) {
    outputs.push_back({operands.dtype(), operands.shape()});
    outputs.back().shape[dim] = size;
  }
  return outputs;
}

// Pieces of `size` each, the last one of the rest. At least one, as in torch.
std::vector<std::int64_t> cut(std::int64_t total, std::int64_t size) {
  std::vector<std::int64_t> sizes;
  for (std::int64_t done = 0; done < total && sizes.size() <= kAnyNumber; done += size) {
    sizes.push_back(std::min(size, total - done));
  }
  if (sizes.empty()) sizes.push_back(0);
  return sizes;
}

}  // namespace

Inferred infer(const Identity&, const Operands& operands) {
  return like(operands, operands.shape());
}
Inferred infer(const Dropout&, const Operands& operands) {
  return like(operands, operands.shape());
}

Inferred infer(const Flatten& op, const Operands& operands) {
  const Shape& shape = operands.shape();
  RUSHLIGHT_TRY_ASSIGN(const std::size_t start, dimension("start_dim", op.start_dim, shape));
  RUSHLIGHT_TRY_ASSIGN(const std::size_t end, dimension("end_dim", op.end_dim, shape));
  if (start > end) {
    return misfit("start_dim " + std::to_string(op.start_dim) + " comes after end_dim " + std::to_string(op.end_dim) +
                  " in " + shape_text(shape));
  }
  if (shape.empty()) return like(operands, Shape{1});
  Shape flat(shape.begin(), shape.begin() + offset(start));
  const std::optional<std::int64_t> joined = element_count(std::span(shape).subspan(start, end - start + 1));
  if (!joined) return overflows(shape);
  flat.push_back(*joined);
  flat.insert(flat.end(), shape.begin() + offset(end) + 1, shape.end());
  return like(operands, std::move(flat));
}

Inferred infer(const Unflatten& op, const Operands& operands) {
  const Shape& shape = operands.shape();
  if (shape.empty()) return wrong_rank("1 or more", shape);
  RUSHLIGHT_TRY_ASSIGN(const std::size_t dim, dimension("dim", op.dim, shape));
  RUSHLIGHT_TRY_ASSIGN(const Shape sizes, reshaped({shape[dim]}, op.unflattened_size));
  Shape result(shape.begin(), shape.begin() + offset(dim));
  result.insert(result.end(), sizes.begin(), sizes.end());
  result.insert(result.end(), shape.begin() + offset(dim) + 1, shape.end());
  return like(operands, std::move(result));
}

Inferred infer(const Reshape& op, const Operands& operands) {
  RUSHLIGHT_TRY_ASSIGN(Shape shape, reshaped(operands.shape(), op.shape));
  return like(operands, std::move(shape));
}

Inferred infer(const Squeeze& op, const Operands& operands) {
  const Shape& shape = operands.shape();
  if (shape.empty()) {
    RUSHLIGHT_TRY(dimensions(op.dim, Shape{1}));
    return like(operands, shape);
  }
  RUSHLIGHT_TRY_ASSIGN(const std::vector<std::size_t> dims, dimensions(op.dim, shape));
  Shape result;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    const bool named = std::find(dims.begin(), dims.end(), i) != dims.end();
    if (named && shape[i] == kUnknown && !op.dim.empty()) {
      return misfit("dim " + std::to_string(i) + " of " + shape_text(shape) + " is open: it may or may not be 1");
    }
    if (!named || shape[i] != 1) result.push_back(shape[i]);
  }
  return like(operands, std::move(result));
}

Inferred infer(const Unsqueeze& op, const Operands& operands) {
  Shape shape = operands.shape();
  const auto rank = static_cast<std::int64_t>(shape.size()) + 1;
  if (op.dim < -rank || op.dim >= rank) {
    return misfit("dim " + std::to_string(op.dim) + " lies outside " + shape_text(shape) + " with one more dimension");
  }
  shape.insert(shape.begin() + (op.dim < 0 ? op.dim + rank : op.dim), 1);
  return like(operands, std::move(shape));
}

Inferred infer(const Permute& op, const Operands& operands) {
  const Shape& shape = operands.shape();
  if (op.dims.size() != shape.size()) return wrong_rank(std::to_string(op.dims.size()), shape);
  RUSHLIGHT_TRY_ASSIGN(const std::vector<std::size_t> dims, dimensions(op.dims, shape));
  Shape result;
  for (const std::size_t dim : dims) result.push_back(shape[dim]);
  return like(operands, std::move(result));
}

Inferred infer(const Transpose& op, const Operands& operands) {
  Shape shape = operands.shape();
  RUSHLIGHT_TRY_ASSIGN(const std::size_t a, dimension("dim0", op.dim0, shape));
  RUSHLIGHT_TRY_ASSIGN(const std::size_t b, dimension("dim1", op.dim1, shape));
  if (!shape.empty()) std::swap(shape[a], shape[b]);
  return like(operands, std::move(shape));
}

Inferred infer(const Chunk& op, const Operands& operands) {
  const Shape& shape = operands.shape();
  if (shape.empty()) return wrong_rank("1 or more", shape);
  RUSHLIGHT_TRY_ASSIGN(const std::size_t dim, dimension("dim", op.dim, shape));
  if (shape[dim] == kUnknown) {
    return pieces(operands, dim, std::vector<std::int64_t>(operands.output_count, kUnknown));
  }
  // Of nothing torch gives as many empty chunks as asked for.
  if (shape[dim] == 0) {
    if (op.chunks > static_cast<std::int64_t>(kAnyNumber)) return misfit("chunks: too many");
    return pieces(operands, dim, std::vector<std::int64_t>(static_cast<std::size_t>(op.chunks), 0));
  }
  const std::int64_t size = (shape[dim] - 1) / op.chunks + 1;
  return pieces(operands, dim, cut(shape[dim], size));
}

Inferred infer(const Split& op, const Operands& operands) {
  const Shape& shape = operands.shape();
  if (shape.empty()) return wrong_rank("1 or more", shape);
  RUSHLIGHT_TRY_ASSIGN(const std::size_t dim, dimension("dim", op.dim, shape));
  const Shape& sections = op.split_size_or_sections;
  for (const std::int64_t size : sections) {
    if (size < 0 || (sections.size() == 1 && size == 0 && shape[dim] != 0)) {
      return misfit("split_size_or_sections: expected sizes of at least " +
                    std::to_string(sections.size() == 1 ? 1 : 0) + ", found " + shape_text(sections));
    }
  }
  if (sections.size() == 1) {
    if (shape[dim] == kUnknown) {
      return pieces(operands, dim, std::vector<std::int64_t>(operands.output_count, kUnknown));
    }
    return pieces(operands, dim, cut(shape[dim], std::max<std::int64_t>(sections[0], 1)));
  }
  std::int64_t total = 0;
  for (const std::int64_t size : sections) {
    const auto sum = checked_add(total, size);
    if (!sum) return overflows(sections);
    total = *sum;
  }
  if (shape[dim] != kUnknown && total != shape[dim]) {
    return expected_found("sections that sum to " + std::to_string(shape[dim]), std::to_string(total), shape);
  }
  return pieces(operands, dim, sections);
}

Inferred infer(const Unbind& op, const Operands& operands) {
  const Shape& shape = operands.shape();
  if (shape.empty()) return wrong_rank("1 or more", shape);
  RUSHLIGHT_TRY_ASSIGN(const std::size_t dim, dimension("dim", op.dim, shape));
  if (shape[dim] != kUnknown && shape[dim] < static_cast<std::int64_t>(operands.output_count)) {
    return expected_found(count_text(operands.output_count, "piece"), std::to_string(shape[dim]), shape);
  }
  Shape rest = shape;
  rest.erase(rest.begin() + offset(dim));
  return std::vector<EdgeType>(operands.output_count, {operands.dtype(), rest});
}

Inferred infer(const Slice& op, const Operands& operands) {
  const std::int64_t end = op.end.value_or(std::numeric_limits<std::int64_t>::max());
  RUSHLIGHT_TRY_ASSIGN(Shape shape, sliced(operands.shape(), op.dim, op.start, end, op.step));
  return like(operands, std::move(shape));
}

Inferred infer(const Narrow& op, const Operands& operands) {
  Shape shape = operands.shape();
  if (shape.empty()) return wrong_rank("1 or more", shape);
  RUSHLIGHT_TRY_ASSIGN(const std::size_t dim, dimension("dim", op.dim, shape));
  if (shape[dim] != kUnknown) {
    const std::int64_t start = op.start < 0 ? op.start + shape[dim] : op.start;
    if (start < 0 || start > shape[dim] || *op.length > shape[dim] - start) {
      return misfit("start " + std::to_string(op.start) + " and length " + std::to_string(*op.length) +
                    " lie outside dimension " + std::to_string(dim) + " of " + shape_text(shape));
    }
  }
  shape[dim] = *op.length;
  return like(operands, std::move(shape));
}

Inferred infer(const Select& op, const Operands& operands) {
  Shape shape = operands.shape();
  if (shape.empty()) return wrong_rank("1 or more", shape);
  RUSHLIGHT_TRY_ASSIGN(const std::size_t dim, dimension("dim", op.dim, shape));
  if (shape[dim] != kUnknown && (op.index < -shape[dim] || op.index >= shape[dim])) {
    return misfit("index " + std::to_string(op.index) + " lies outside dimension " + std::to_string(dim) + " of " +
                  shape_text(shape));
  }
  shape.erase(shape.begin() + offset(dim));
  return like(operands, std::move(shape));
}

Inferred infer(const IndexSelect& op, const Operands& operands) {
  RUSHLIGHT_TRY(check_indices(operands, 1));
  Shape shape = operands.shape();
  RUSHLIGHT_TRY_ASSIGN(const std::size_t dim, dimension("dim", op.dim, shape));
  if (operands.shape(1).size() > 1) return wrong_rank("0 or 1", operands.shape(1));
  const std::int64_t count = operands.shape(1).empty() ? 1 : operands.shape(1)[0];
  if (!shape.empty()) shape[dim] = count;
  return like(operands, std::move(shape));
}

Inferred infer(const Gather& op, const Operands& operands) {
  RUSHLIGHT_TRY(check_indices(operands, 1));
  const Shape& shape = operands.shape(0);
  const Shape& index = operands.shape(1);
  RUSHLIGHT_TRY_ASSIGN(const std::size_t dim, dimension("dim", op.dim, shape));
  if (index.size() != shape.size()) return wrong_rank(std::to_string(shape.size()), index);
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (i == dim || index[i] == kUnknown || shape[i] == kUnknown || index[i] <= shape[i]) continue;
    return misfit("indices of " + shape_text(index) + " reach beyond " + shape_text(shape));
  }
  return like(operands, index);
}

Inferred infer(const Cat& op, const Operands& operands) {
  Shape shape = operands.shape(0);
  if (shape.empty()) return wrong_rank("1 or more", shape);
  RUSHLIGHT_TRY_ASSIGN(const std::size_t dim, dimension("dim", op.dim, shape));
  for (std::size_t i = 1; i < operands.inputs.size(); ++i) {
    const Shape& other = operands.shape(i);
    if (operands.dtype(i) != operands.dtype(0)) {
      return wrong_dtype(i, std::string(to_string(operands.dtype(0))), operands.dtype(i));
    }
    if (other.size() != shape.size()) return wrong_rank(std::to_string(shape.size()), other);
    for (std::size_t d = 0; d < shape.size(); ++d) {
      if (d == dim) continue;
      if (shape[d] == kUnknown) shape[d] = other[d];
      if (other[d] != kUnknown && other[d] != shape[d]) {
        return misfit("shapes " + shape_text(operands.shape(0)) + " and " + shape_text(other) + " differ outside dim " +
                      std::to_string(op.dim));
      }
    }
    if (shape[dim] == kUnknown || other[dim] == kUnknown) {
      shape[dim] = kUnknown;
      continue;
    }
    const auto sum = checked_add(shape[dim], other[dim]);
    if (!sum) return overflows(other);
    shape[dim] = *sum;
  }
  return like(operands, std::move(shape));
}

Inferred infer(const Stack& op, const Operands& operands) {
  Shape shape = operands.shape(0);
  for (std::size_t i = 1; i < operands.inputs.size(); ++i) {
    const Shape& other = operands.shape(i);
    if (operands.dtype(i) != operands.dtype(0)) {
      return wrong_dtype(i, std::string(to_string(operands.dtype(0))), operands.dtype(i));
    }
    bool fits = other.size() == shape.size();
    for (std::size_t d = 0; fits && d < shape.size(); ++d) {
      if (shape[d] == kUnknown) shape[d] = other[d];
      fits = other[d] == kUnknown || other[d] == shape[d];
    }
    if (!fits) return misfit("shapes " + shape_text(operands.shape(0)) + " and " + shape_text(other) + " differ");
  }
  const auto rank = static_cast<std::int64_t>(shape.size()) + 1;
  if (op.dim < -rank || op.dim >= rank) {
    return misfit("dim " + std::to_string(op.dim) + " lies outside " + shape_text(shape) + " with one more dimension");
  }
  shape.insert(shape.begin() + (op.dim < 0 ? op.dim + rank : op.dim),
               static_cast<std::int64_t>(operands.inputs.size()));
  return like(operands, std::move(shape));
}

Inferred infer(const Expand& op, const Operands& operands) {
  const Shape& shape = operands.shape();
  if (op.size.size() < shape.size()) return wrong_rank(std::to_string(op.size.size()) + " or fewer", shape);
  Shape result = op.size;
  const std::size_t added = op.size.size() - shape.size();
  for (std::size_t i = 0; i < result.size(); ++i) {
    const std::int64_t own = i < added ? 1 : shape[i - added];
    const bool keeps = result[i] == -1 && i >= added;
    if (keeps) {
      result[i] = own;
    } else if (result[i] < 0 || (own != 1 && own != kUnknown && own != result[i])) {
      return misfit(shape_text(shape) + " cannot expand to " + shape_text(op.size));
    }
  }
  return like(operands, std::move(result));
}

Inferred infer(const ExpandAs& op, const Operands& operands) {
  const Shape& shape = operands.shape(0);
  const Shape& other = operands.shape(1);
  if (op.dims.empty()) {
    RUSHLIGHT_TRY_ASSIGN(Shape both, broadcast(shape, other));
    if (both.size() != other.size()) return wrong_rank(std::to_string(other.size()) + " or fewer", shape);
    return like(operands, std::move(both));
  }
  Shape result = shape;
  RUSHLIGHT_TRY_ASSIGN(const std::vector<std::size_t> dims, dimensions(op.dims, shape));
  for (const std::size_t dim : dims) {
    if (dim >= other.size()) return wrong_rank("more than " + std::to_string(dim), other);
    if (shape[dim] != 1 && shape[dim] != kUnknown && other[dim] != kUnknown && shape[dim] != other[dim]) {
      return misfit(shape_text(shape) + " cannot expand to the sizes of " + shape_text(other));
    }
    result[dim] = other[dim];
  }
  return like(operands, std::move(result));
}

Inferred infer(const Repeat& op, const Operands& operands) {
  const Shape& shape = operands.shape();
  if (op.repeats.size() < shape.size()) return wrong_rank(std::to_string(op.repeats.size()) + " or fewer", shape);
  Shape result;
  const std::size_t added = op.repeats.size() - shape.size();
  for (std::size_t i = 0; i < op.repeats.size(); ++i) {
    if (op.repeats[i] < 0) return misfit("repeats: expected at least 0, found " + shape_text(op.repeats));
    const std::int64_t own = i < added ? 1 : shape[i - added];
    const std::optional<std::int64_t> size = element_count(Shape{own, op.repeats[i]});
    if (!size) return overflows(shape);
    result.push_back(*size);
  }
  return like(operands, std::move(result));
}

Inferred infer(const Flip& op, const Operands& operands) {
  RUSHLIGHT_TRY(dimensions(op.dims, operands.shape()));
  return like(operands, operands.shape());
}

Inferred infer(const Roll& op, const Operands& operands) {
  RUSHLIGHT_TRY(dimensions(op.dims, operands.shape()));
  if (operands.shape().empty() && !op.dims.empty()) return wrong_rank("1 or more", operands.shape());
  const std::size_t expected = op.dims.empty() ? 1 : op.dims.size();
  if (op.shifts.size() != expected) {
    return misfit("shifts: expected " + count_text(expected, "number") + ", found " + shape_text(op.shifts));
  }
  return like(operands, operands.shape());
}

Inferred infer(const Parameter& op, const Operands&) {
  for (const std::int64_t size : op.shape) {
    if (size < kUnknown) return misfit("shape: expected sizes of at least 0, found " + shape_text(op.shape));
  }
  return one(op.shape, op.integer ? DType::i64 : DType::f32);
}

Inferred infer(const Constant& op, const Operands&) {
  for (const std::int64_t size : op.shape) {
    if (size < 0) return misfit("shape: expected sizes of at least 0, found " + shape_text(op.shape));
  }
  const std::optional<std::int64_t> count = element_count(op.shape);
  if (!count) return overflows(op.shape);
  if (static_cast<std::uint64_t>(*count) != op.values.size()) {
    return misfit("values: expected " + std::to_string(*count) + " for " + shape_text(op.shape) + ", found " +
                  std::to_string(op.values.size()));
  }
  for (const double value : op.values) {
    if (!op.integer || (std::trunc(value) == value && std::fabs(value) <= 0x1p53)) continue;
    return misfit("values: expected whole numbers of at most 2^53, found " + std::to_string(value));
  }
  return one(op.shape, op.integer ? DType::i64 : DType::f32);
}

}  // namespace rushlight::model
