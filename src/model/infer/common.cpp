#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "base/checked.hpp"
#include "base/fail.hpp"
#include "model/describe.hpp"
#include "model/infer/infer.hpp"

namespace rushlight::model {
namespace {

// floor(a / b) for b > 0; C++ rounds to zero.
std::int64_t floor_div(std::int64_t a, std::int64_t b) noexcept {
  return a / b - (a % b != 0 && a < 0 ? 1 : 0);
}

// The number of places, which is 0 or less when the window does not fit; nullopt on overflow.
// pooling_output_shape_pad_lr in ATen/native/Pool.h; without ceil_mode it is conv_output_size of ConvUtils.h too.
std::optional<std::int64_t> places(std::int64_t size, const Window& window) noexcept {
  const auto reach = checked_mul(window.dilation, window.kernel - 1);
  const auto both_sides = checked_mul(window.padding, std::int64_t{2});
  if (!reach || !both_sides) return std::nullopt;
  const auto padded = checked_add(size, *both_sides);
  if (!padded) return std::nullopt;
  std::int64_t slack = *padded - 1;  // padded >= 0 and reach >= 0: the differences cannot wrap
  const auto room = checked_sub(slack, *reach);
  if (!room) return std::nullopt;
  slack = *room;
  if (window.ceil_mode) {
    const auto raised = checked_add(slack, window.stride - 1);
    if (!raised) return std::nullopt;
    slack = *raised;
  }
  std::int64_t count = floor_div(slack, window.stride) + 1;
  // The last window must start inside the input or the padding before it.
  if (window.ceil_mode && count > 0 && (count - 1) * window.stride >= size + window.padding) --count;
  return count;
}

}  // namespace

std::string sides_text(std::span<const std::int64_t> sides) {
  std::string text;
  for (const std::int64_t side : sides) {
    text += (text.empty() ? "" : "x") + (side == kUnknown ? std::string("?") : std::to_string(side));
  }
  return text;
}

Error misfit(std::string message, std::string expected, std::string found) {
  return Error::of({.category = Category::model,
                    .code = "GRAPH-SHAPE",
                    .message = std::move(message),
                    .found = std::move(found),
                    .expected = std::move(expected)});
}

Error expected_found(const std::string& expected, const std::string& found, const Shape& where) {
  return misfit("expected " + expected + ", found " + found + " in " + shape_text(where), expected, found);
}

Error wrong_rank(const std::string& expected, const Shape& found) {
  return misfit("expected an input of " + expected + " dimensions, found " + shape_text(found), expected,
                std::to_string(found.size()));
}

Error wrong_dtype(std::size_t input, const std::string& expected, DType found) {
  const std::string text(to_string(found));
  return misfit("input " + std::to_string(input + 1) + ": expected " + expected + ", found " + text, expected, text);
}

Error overflows(const Shape& shape) {
  return misfit("sizes overflow 64 bits in " + shape_text(shape));
}

Inferred one(Shape shape, DType dtype) {
  std::vector<EdgeType> outputs;
  outputs.push_back({dtype, std::move(shape)});
  return outputs;
}

Status check_float(const Operands& operands, std::size_t i) {
  if (operands.dtype(i) == DType::f32) return {};
  return wrong_dtype(i, "float32", operands.dtype(i));
}
Status check_indices(const Operands& operands, std::size_t i) {
  if (operands.dtype(i) == DType::i64 || operands.dtype(i) == DType::i32) return {};
  return wrong_dtype(i, "int64 or int32", operands.dtype(i));
}
Status check_mask(const Operands& operands, std::size_t i) {
  if (operands.dtype(i) == DType::boolean) return {};
  return wrong_dtype(i, "bool", operands.dtype(i));
}

Result<std::size_t> dimension(std::string_view name, std::int64_t dim, const Shape& shape) {
  const auto rank = static_cast<std::int64_t>(std::max<std::size_t>(shape.size(), 1));
  if (dim < -rank || dim >= rank) {
    return misfit(std::string(name) + " " + std::to_string(dim) + " lies outside " + shape_text(shape),
                  std::to_string(-rank) + " to " + std::to_string(rank - 1), std::to_string(dim));
  }
  return static_cast<std::size_t>(dim < 0 ? dim + rank : dim);
}

Result<std::vector<std::size_t>> dimensions(const Shape& dims, const Shape& shape) {
  std::vector<std::size_t> found;
  if (dims.empty()) {
    for (std::size_t i = 0; i < shape.size(); ++i) found.push_back(i);
    return found;
  }
  for (const std::int64_t dim : dims) {
    RUSHLIGHT_TRY_ASSIGN(const std::size_t index, dimension("dim", dim, shape));
    if (std::find(found.begin(), found.end(), index) != found.end()) {
      return misfit("dim " + std::to_string(dim) + " occurs twice in " + shape_text(dims));
    }
    found.push_back(index);
  }
  return found;
}

Status check_norm_of(const Shape& dims, double order, const Shape& shape) {
  RUSHLIGHT_TRY_ASSIGN(const std::vector<std::size_t> gone, dimensions(dims, shape));
  const bool is_extremum = order < 0 || std::isinf(order);
  for (const std::size_t dim : gone) {
    if (!is_extremum || shape.empty() || shape[dim] != 0) continue;
    return misfit("expected sizes of at least 1, found " + shape_text(shape));
  }
  return {};
}

Result<Shape> broadcast(const Shape& a, const Shape& b) {
  Shape shape(std::max(a.size(), b.size()));
  for (std::size_t i = 0; i < shape.size(); ++i) {
    const std::int64_t x = i < a.size() ? a[a.size() - 1 - i] : 1;
    const std::int64_t y = i < b.size() ? b[b.size() - 1 - i] : 1;
    std::int64_t& out = shape[shape.size() - 1 - i];
    if (x == y || y == 1) {
      out = x;
    } else if (x == 1) {
      out = y;
    } else if (x == kUnknown || y == kUnknown) {
      out = x == kUnknown ? y : x;  // the unknown one can only be 1 or the same
    } else {
      return misfit("shapes " + shape_text(a) + " and " + shape_text(b) + " do not broadcast");
    }
  }
  return shape;
}

std::optional<std::int64_t> element_count(std::span<const std::int64_t> sizes) noexcept {
  std::int64_t count = 1;
  bool known = true;
  for (const std::int64_t size : sizes) {
    if (size == kUnknown) {
      known = false;
      continue;
    }
    const auto product = checked_mul(count, size);
    if (!product) return std::nullopt;
    count = *product;
  }
  return known ? count : kUnknown;
}

Result<Picture> picture_of_any_size(const Shape& shape, std::size_t spatial) {
  if (shape.size() != spatial + 1 && shape.size() != spatial + 2) {
    return wrong_rank(std::to_string(spatial + 1) + " or " + std::to_string(spatial + 2), shape);
  }
  return Picture{shape.size() - spatial - 1};
}

Result<Picture> picture(const Shape& shape, std::size_t spatial) {
  RUSHLIGHT_TRY_ASSIGN(const Picture image, picture_of_any_size(shape, spatial));
  for (std::size_t i = image.channels; i < shape.size(); ++i) {
    if (shape[i] == 0) return misfit("expected sizes of at least 1, found " + shape_text(shape));
  }
  return image;
}

Result<Shape> slide(Shape shape, std::size_t first, std::span<const Window> windows) {
  const Shape before(shape.begin() + static_cast<std::ptrdiff_t>(first), shape.end());
  for (std::size_t i = 0; i < windows.size(); ++i) {
    if (before[i] == kUnknown) continue;
    const std::optional<std::int64_t> count = places(before[i], windows[i]);
    if (!count) return overflows(shape);
    if (*count < 1) {
      Shape spans;
      Shape padded;
      for (std::size_t side = 0; side < windows.size(); ++side) {
        const Window& window = windows[side];
        spans.push_back((window.kernel - 1) * window.dilation + 1);
        padded.push_back(before[side] == kUnknown ? kUnknown : before[side] + 2 * window.padding);
      }
      const std::string found = sides_text(padded);
      return misfit("a window of " + sides_text(spans) + " does not fit the padded input of " + found, {}, found);
    }
    shape[first + i] = *count;
  }
  return shape;
}

std::vector<std::int64_t> amounts(std::int64_t value) {
  return {value};
}
std::vector<std::int64_t> amounts(IntPair value) {
  return {value.h, value.w};
}
std::vector<std::int64_t> amounts(IntTriple value) {
  return {value.d, value.h, value.w};
}

}  // namespace rushlight::model
