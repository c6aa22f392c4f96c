// Elements that were written on a machine of the other byte order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "rushlight/dtype.hpp"

namespace rushlight {

// The bytes that are reversed together: an element, or half of a complex one.
[[nodiscard]] std::uint32_t swap_unit(DType dtype) noexcept;

// Reverses the bytes of every whole unit, in place. `unit` is 1 (which changes nothing), 2, 4 or 8.
void swap_units(std::span<std::byte> bytes, std::uint32_t unit) noexcept;

}  // namespace rushlight
