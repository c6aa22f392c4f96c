#include "open/element_position.hpp"

#include <algorithm>
#include <numeric>
#include <vector>

namespace rushlight::open {

std::optional<std::int64_t> element_at_byte(const Tensor& tensor, std::uint64_t storage_byte) {
  if (tensor.numel() == 0) return std::nullopt;
  const auto unit = static_cast<std::int64_t>(storage_byte / size_bytes(tensor.dtype()));
  std::int64_t rest = unit - tensor.storage_offset();
  if (rest < 0) return std::nullopt;
  const std::span<const std::int64_t> shape = tensor.shape();
  const std::span<const std::int64_t> strides = tensor.strides();
  std::vector<std::size_t> by_stride(shape.size());
  std::iota(by_stride.begin(), by_stride.end(), std::size_t{0});
  std::stable_sort(by_stride.begin(), by_stride.end(),
                   [&](std::size_t a, std::size_t b) { return strides[a] > strides[b]; });
  std::vector<std::int64_t> index(shape.size(), 0);
  for (const std::size_t dim : by_stride) {
    if (strides[dim] == 0) continue;
    index[dim] = std::min(rest / strides[dim], shape[dim] - 1);
    rest -= index[dim] * strides[dim];
  }
  if (rest != 0) return std::nullopt;
  std::int64_t position = 0;
  for (std::size_t dim = 0; dim < shape.size(); ++dim) position = position * shape[dim] + index[dim];
  return position;
}

}  // namespace rushlight::open
