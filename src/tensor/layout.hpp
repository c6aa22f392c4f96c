// Shapes and strides: what a view reaches, in arithmetic that says when it does not fit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "rushlight/dtype.hpp"
#include "rushlight/result.hpp"
#include "rushlight/tensor.hpp"

namespace rushlight {

// torch's own iterators stop there (ATen/core/TensorBase, "at most 64 dimensions").
inline constexpr std::size_t kMaxDims = 64;

// Logical values in one storage unit, as far as shapes count values and not units: shapes of quint4x2 and quint2x4 do,
// those of float4_e2m1fn_x2 and the bits types count units.
[[nodiscard]] std::uint32_t values_per_unit(DType dtype) noexcept;

// What a view covers, in elements as its shape counts them.
struct Extent {
  std::int64_t numel = 0;
  // From the first element to one past the last in memory, gaps included; 0 when numel is 0.
  std::int64_t span = 0;
};

// The product of the sizes; any zero makes it zero, whatever the others are.
// TENSOR-DIMS (limit), TENSOR-SIZE (negative), TENSOR-OVERFLOW.
Result<std::int64_t> checked_numel(std::span<const std::int64_t> shape);

// Everything that must hold before one byte of a view may be read: format-spec/04, [T-10] to [T-16].
// A view without elements needs no bytes, so its strides and offset only have to be >= 0.
Result<Extent> check_geometry(DType dtype, std::span<const std::int64_t> shape, std::span<const std::int64_t> strides,
                              std::int64_t storage_offset, std::uint64_t storage_size_bytes);

// C order without gaps; dimensions of size 1 may have any stride, and so may all when there is no element.
[[nodiscard]] bool is_contiguous(std::span<const std::int64_t> shape, std::span<const std::int64_t> strides) noexcept;

// contiguous_strides() into memory of the caller: out.size() == shape.size().
void fill_contiguous_strides(std::span<const std::int64_t> shape, std::span<std::int64_t> out) noexcept;

// "[2, 3]".
[[nodiscard]] std::string shape_text(std::span<const std::int64_t> shape);

}  // namespace rushlight
