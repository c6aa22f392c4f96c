#include "tensor/layout.hpp"

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "base/checked.hpp"

namespace rushlight {
namespace {

constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();

Error geometry_error(std::string code, std::string message, std::string found, std::string expected) {
  return Error::of({.category = Category::tensor,
                    .code = std::move(code),
                    .message = std::move(message),
                    .found = std::move(found),
                    .expected = std::move(expected)});
}

Status check_sizes(std::span<const std::int64_t> shape) {
  if (shape.size() > kMaxDims) {
    const std::string count = std::to_string(shape.size());
    return Error::of({.category = Category::limit,
                      .code = "TENSOR-DIMS",
                      .message = "a tensor has " + count + " dimensions, expected at most " + std::to_string(kMaxDims),
                      .found = count,
                      .expected = "at most " + std::to_string(kMaxDims)});
  }
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] >= 0) continue;
    const std::string size = std::to_string(shape[i]);
    return geometry_error("TENSOR-SIZE",
                          "the size of dimension " + std::to_string(i) + " is " + size + ", expected 0 or more", size,
                          "0 or more");
  }
  return {};
}

Error sizes_overflow(std::span<const std::int64_t> shape) {
  return geometry_error("TENSOR-OVERFLOW", "sizes " + shape_text(shape) + " overflow a 64-bit count", shape_text(shape),
                        "");
}

}  // namespace

std::uint32_t values_per_unit(DType dtype) noexcept {
  return info(dtype).kind == DTypeKind::quantized ? info(dtype).packed : 1;
}

std::string shape_text(std::span<const std::int64_t> shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (i > 0) text += ", ";
    text += std::to_string(shape[i]);
  }
  return text + "]";
}

Result<std::int64_t> checked_numel(std::span<const std::int64_t> shape) {
  if (Status sizes = check_sizes(shape); !sizes) return std::move(sizes).error();
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return std::int64_t{0};
  std::int64_t numel = 1;
  for (const std::int64_t size : shape) {
    const auto product = checked_mul(numel, size);
    if (!product) return sizes_overflow(shape);
    numel = *product;
  }
  return numel;
}

Result<Extent> check_geometry(DType dtype, std::span<const std::int64_t> shape, std::span<const std::int64_t> strides,
                              std::int64_t storage_offset, std::uint64_t storage_size_bytes) {
  Result<std::int64_t> numel = checked_numel(shape);
  if (!numel) return std::move(numel).error();
  if (strides.size() != shape.size()) {
    return geometry_error("TENSOR-STRIDE",
                          "a tensor of " + std::to_string(shape.size()) + " dimensions has " +
                              std::to_string(strides.size()) + " strides",
                          std::to_string(strides.size()), std::to_string(shape.size()));
  }
  for (std::size_t i = 0; i < strides.size(); ++i) {
    if (strides[i] >= 0) continue;
    const std::string stride = std::to_string(strides[i]);
    return geometry_error("TENSOR-STRIDE",
                          "the stride of dimension " + std::to_string(i) + " is " + stride + ", expected 0 or more",
                          stride, "0 or more");
  }
  if (storage_offset < 0) {
    const std::string offset = std::to_string(storage_offset);
    return geometry_error("TENSOR-OFFSET", "the storage offset is " + offset + ", expected 0 or more", offset,
                          "0 or more");
  }
  if (!checked_mul(*numel, std::int64_t{size_bytes(dtype)})) return sizes_overflow(shape);
  if (*numel == 0) return Extent{};

  std::int64_t reach = 0;  // of the last element, from the first
  std::optional<std::int64_t> last;
  bool fits = true;
  for (std::size_t i = 0; i < shape.size() && fits; ++i) {
    const auto step = checked_mul(shape[i] - 1, strides[i]);
    const auto sum = step ? checked_add(reach, *step) : std::nullopt;
    fits = sum.has_value();
    if (fits) reach = *sum;
  }
  if (fits) last = checked_add(storage_offset, reach);
  const std::uint64_t units = storage_size_bytes / size_bytes(dtype);
  const std::uint64_t per_unit = values_per_unit(dtype);
  if (last && static_cast<std::uint64_t>(*last) / per_unit < units) return Extent{*numel, reach + 1};

  const std::string geometry = "sizes " + shape_text(shape) + ", strides " + shape_text(strides) + " and offset " +
                               std::to_string(storage_offset);
  // A count of values that overflows belongs to a storage nobody has: then units say enough.
  const std::string held = std::to_string(units > kMax / per_unit ? units : units * per_unit);
  return geometry_error("TENSOR-BOUNDS",
                        geometry + " reach " + (last ? "element " + std::to_string(*last) : "beyond 64 bits") +
                            ", the storage holds " + held + " of " + std::string(to_string(dtype)) + " (" +
                            std::to_string(storage_size_bytes) + " bytes)",
                        last ? std::to_string(*last) : "", "below " + held);
}

bool is_contiguous(std::span<const std::int64_t> shape, std::span<const std::int64_t> strides) noexcept {
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return true;
  std::int64_t expected = 1;
  for (std::size_t i = shape.size(); i-- > 0;) {
    if (shape[i] == 1) continue;
    if (strides[i] != expected) return false;
    expected *= shape[i];  // at most numel, which fits
  }
  return true;
}

void fill_contiguous_strides(std::span<const std::int64_t> shape, std::span<std::int64_t> out) noexcept {
  std::int64_t stride = 1;
  for (std::size_t i = shape.size(); i-- > 0;) {
    out[i] = stride;
    // As torch: a size of 0 counts as 1. Huge sizes beside a 0 saturate: no element is ever reached through them.
    stride = checked_mul(stride, std::max<std::int64_t>(shape[i], 1)).value_or(kMax);
  }
}

Strides contiguous_strides(std::span<const std::int64_t> shape) {
  Strides strides(shape.size());
  fill_contiguous_strides(shape, strides);
  return strides;
}

}  // namespace rushlight
