// Which element of a tensor a byte of its storage belongs to.
#pragma once

#include <cstdint>
#include <optional>

#include "rushlight/tensor.hpp"

namespace rushlight::open {

// The C-order index of the first element that holds the byte; nullopt when the view does not reach it, or when its
// strides overlap in a way that needs more than a glance.
[[nodiscard]] std::optional<std::int64_t> element_at_byte(const Tensor& tensor, std::uint64_t storage_byte);

}  // namespace rushlight::open
