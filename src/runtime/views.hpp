// Values seen through strides: what permutations, slices and reshapes are before anybody moves an element.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "rushlight/tensor.hpp"

namespace rushlight::runtime {

// n images of c channels: the geometry behind a channels-last tensor.
struct Images {
  std::int64_t n = 0;
  std::int64_t c = 0;
  std::int64_t h = 1;
  std::int64_t w = 1;

  [[nodiscard]] std::int64_t pixels() const noexcept { return h * w; }
  friend bool operator==(const Images&, const Images&) = default;
};

// Part of a buffer: element (i, j, ...) lies at offset + i * strides[0] + j * strides[1] + ..., all in elements. The
// shape is the value's.
struct View {
  std::uint32_t buffer = 0;
  std::int64_t offset = 0;
  Strides strides;
};

[[nodiscard]] std::int64_t product(std::span<const std::int64_t> sizes) noexcept;

// [N, C, ...] or, without a batch, [C, ...] with `spatial` further dimensions; of three, two are one line of pixels.
[[nodiscard]] Images images_of(const Shape& shape, std::size_t spatial) noexcept;

// C order without gaps; dimensions of size 1 do not count.
[[nodiscard]] bool is_contiguous(const Shape& shape, const Strides& strides) noexcept;

// The strides of the same elements in another shape; nullopt when no strides can say it.
[[nodiscard]] std::optional<Strides> reshape_strides(const Shape& from, const Strides& strides, const Shape& to);

// Strides without gaps or overlap, the dimensions in the order in which they lie in `like`.
[[nodiscard]] Strides dense_like(const Shape& shape, const Strides& like);

// Dimension `channels` innermost, the others in C order.
[[nodiscard]] Strides channels_last_strides(const Shape& shape, std::size_t channels);

// The strides of a value whose elements [n][c][pixels] lie as [n][pixels][c]; nullopt when a dimension joins channels
// and others.
[[nodiscard]] std::optional<Strides> image_strides(const Shape& shape, const Images& images);

// The other way round: the distance of pixels when the value lies as [n][pixels][c] with adjacent channels.
[[nodiscard]] std::optional<std::int64_t> pixel_stride(const Shape& shape, const Strides& strides,
                                                       const Images& images) noexcept;

// The distance of rows of the last dimension, adjacent inside; nullopt when there is no single one.
[[nodiscard]] std::optional<std::int64_t> row_stride(const Shape& shape, const Strides& strides) noexcept;

}  // namespace rushlight::runtime
