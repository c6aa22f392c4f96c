// Shapes and dtypes of every operator's outputs: one overload of infer() for each row of operators.def, in a file for
// each family. Sizes of -1 are not known yet. Attributes have passed attribute_problem(); ranks and sizes come from
// anywhere.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rushlight/graph.hpp"
#include "rushlight/result.hpp"

namespace rushlight::model {

inline constexpr std::int64_t kUnknown = -1;

struct Operands {
  std::span<const EdgeType> inputs;
  std::size_t output_count;  // of the node; at most what operators.def allows

  [[nodiscard]] const Shape& shape(std::size_t i = 0) const { return inputs[i].shape; }
  [[nodiscard]] DType dtype(std::size_t i = 0) const { return inputs[i].dtype; }
};

// As many as the operands say, or fewer: then the operator has no more.
using Inferred = Result<std::vector<EdgeType>>;

#define RUSHLIGHT_OPERATOR(Type, spec, torch, min_inputs, max_inputs, max_outputs) \
  Inferred infer(const Type& op, const Operands& operands);
#include "rushlight/operators.def"

// --- what the families share ---

Error misfit(std::string message, std::string expected = {}, std::string found = {});
Error expected_found(const std::string& expected, const std::string& found, const Shape& where);
Error wrong_rank(const std::string& expected, const Shape& found);
Error wrong_dtype(std::size_t input, const std::string& expected, DType found);
Error overflows(const Shape& shape);

Inferred one(Shape shape, DType dtype = DType::f32);

// That input i is float32, or indices (int64 or int32), or a mask.
Status check_float(const Operands& operands, std::size_t i = 0);
Status check_indices(const Operands& operands, std::size_t i);
Status check_mask(const Operands& operands, std::size_t i);

// torch's rule for a dim argument: -rank .. rank - 1, where a scalar counts as one dimension.
Result<std::size_t> dimension(std::string_view name, std::int64_t dim, const Shape& shape);
// Each in range, none twice. Empty: all of them.
Result<std::vector<std::size_t>> dimensions(const Shape& dims, const Shape& shape);
// That numbers along these dimensions have a norm of this order: of nothing there is none that is negative or infinite.
Status check_norm_of(const Shape& dims, double order, const Shape& shape);
// NumPy's broadcasting: aligned at the last dimension, sizes equal or one of them 1.
Result<Shape> broadcast(const Shape& a, const Shape& b);
// -1 when a size is not known, nullopt on overflow.
std::optional<std::int64_t> element_count(std::span<const std::int64_t> sizes) noexcept;

// Which dimensions of a picture-like tensor are spatial: [N, C, ...] or [C, ...] with `spatial` of them.
struct Picture {
  std::size_t channels;  // index of the dimension; the spatial ones follow
};
Result<Picture> picture_of_any_size(const Shape& shape, std::size_t spatial);
// Only the batch may be empty.
Result<Picture> picture(const Shape& shape, std::size_t spatial);

// One side of a window that slides over one dimension.
struct Window {
  std::int64_t kernel;
  std::int64_t stride;
  std::int64_t padding;
  std::int64_t dilation;
  bool ceil_mode;
};
// Replaces the sizes from `first` on by the number of places of each window.
Result<Shape> slide(Shape shape, std::size_t first, std::span<const Window> windows);

// What a PadAs is for these shapes, which have as many dimensions; sizes that are not known are left alone.
Result<Pad> pad_of(const PadAs& op, const Shape& shape, const Shape& other);

// The amounts of an attribute, one for each spatial dimension.
std::vector<std::int64_t> amounts(std::int64_t value);
std::vector<std::int64_t> amounts(IntPair value);
std::vector<std::int64_t> amounts(IntTriple value);
// "3x3"; a question mark for a size that is not known.
std::string sides_text(std::span<const std::int64_t> sides);

}  // namespace rushlight::model
