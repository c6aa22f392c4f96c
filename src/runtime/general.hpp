// How operators without a step of their own want their operands in memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "rushlight/operators.hpp"

namespace rushlight::runtime {

enum class Arrangement : std::uint8_t {
  elements,  // any strides; the output lies as the largest input does
  views,     // any strides; outputs in C order
  dense,     // C order
  pictures,  // channels last, whatever the number of spatial dimensions; outputs likewise
};
[[nodiscard]] Arrangement arrangement_of(const Operator& op) noexcept;

// Spatial dimensions of a picture with this many dimensions in all: those behind the channels.
[[nodiscard]] std::size_t spatial_dimensions(const Operator& op, std::size_t rank) noexcept;

// Whether output element i depends on no other elements of inputs that lie as the output does than their i-th: then
// the output may be on such an input's memory.
[[nodiscard]] bool works_in_place(const Operator& op) noexcept;

// Whether it may write pictures with gaps between pixels: a part of another one's channels.
[[nodiscard]] bool leaves_gaps(const Operator& op) noexcept;

// Whether the output's part of one item, along the first dimension, depends on no other item of its inputs. Where all
// of them have their items there.
[[nodiscard]] bool works_by_item(const Operator& op) noexcept;

}  // namespace rushlight::runtime
