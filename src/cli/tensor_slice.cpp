#include "cli/tensor_slice.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <string>
#include <vector>

#include "rushlight/text.hpp"

namespace rushlight::cli {
namespace {

std::string_view trimmed(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  return text;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t at = text.find(separator);
    parts.push_back(trimmed(text.substr(0, at)));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + 1);
  }
}

Error bad_slice(std::string message) {
  return Error::of({.category = Category::argument,
                    .code = "ARG-SLICE",
                    .message = std::move(message),
                    .expected = "indices and ranges as in Python: '0, :8, ::2'"});
}

}  // namespace

Result<Tensor> sliced(const Tensor& tensor, std::string_view slice) {
  const std::vector<std::string_view> terms = split(slice, ',');
  const auto shape = tensor.shape();
  const auto strides = tensor.strides();
  if (terms.size() > shape.size()) {
    return bad_slice(fmt::format("slice has {} terms, the tensor {} dimensions", terms.size(), shape.size()));
  }
  Shape new_shape;
  Strides new_strides;
  std::int64_t offset = tensor.storage_offset();
  for (std::size_t dim = 0; dim < shape.size(); ++dim) {
    const std::int64_t size = shape[dim];
    if (dim >= terms.size()) {
      new_shape.push_back(size);
      new_strides.push_back(strides[dim]);
      continue;
    }
    const std::vector<std::string_view> numbers = split(terms[dim], ':');
    std::vector<std::optional<std::int64_t>> bounds;
    for (const std::string_view text : numbers) {
      std::int64_t value = 0;
      if (text.empty()) {
        bounds.emplace_back();
        continue;
      }
      const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
      if (problem != std::errc() || end != text.data() + text.size()) {
        return bad_slice(fmt::format("'{}' in the slice is no integer", escaped(text)));
      }
      bounds.emplace_back(value);
    }
    if (bounds.size() > 3 || (bounds.size() == 1 && !bounds[0])) {
      return bad_slice(fmt::format("'{}' is no index and no range", escaped(terms[dim])));
    }
    const auto from_end = [size](std::int64_t value) { return value < 0 ? value + size : value; };
    if (bounds.size() == 1) {
      const std::int64_t index = from_end(*bounds[0]);
      if (index < 0 || index >= size) {
        return bad_slice(fmt::format("index {} is outside dimension {} of size {}", *bounds[0], dim, size));
      }
      offset += index * strides[dim];
      continue;
    }
    const std::int64_t step = bounds.size() == 3 ? bounds[2].value_or(1) : 1;
    if (step < 1) return bad_slice(fmt::format("step {} is not positive", step));
    const std::int64_t begin = std::clamp<std::int64_t>(from_end(bounds[0].value_or(0)), 0, size);
    const std::int64_t end = std::clamp<std::int64_t>(from_end(bounds[1].value_or(size)), 0, size);
    const std::int64_t length = end > begin ? (end - begin - 1) / step + 1 : 0;
    new_shape.push_back(length);
    // One element or none makes no step, so a huge one need not be multiplied.
    new_strides.push_back(length > 1 ? strides[dim] * step : strides[dim]);
    if (length > 0) offset += begin * strides[dim];
  }
  return Tensor::view(tensor.storage(), tensor.dtype(), std::move(new_shape), std::move(new_strides), offset,
                      tensor.options());
}

}  // namespace rushlight::cli
