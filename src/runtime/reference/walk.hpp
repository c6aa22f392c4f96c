// Ways through arrays in C order that several families share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "runtime/reference/call.hpp"
#include "rushlight/graph.hpp"

namespace rushlight::runtime::reference {

inline std::size_t at(std::int64_t index) noexcept {
  return static_cast<std::size_t>(index);
}

inline std::size_t count_of(std::span<const std::int64_t> shape) noexcept {
  std::size_t count = 1;
  for (const std::int64_t size : shape) count *= at(size);
  return count;
}

// f of every element of the first input.
template <class F>
[[nodiscard]] Status map(const Call& call, const F& f) {
  const std::span<const double> x = call.input().values;
  const std::span<double> y = call.output().values;
  for (std::size_t i = 0; i < x.size(); ++i) y[i] = f(x[i]);
  return {};
}

// A shape seen from one dimension: [outer, size, inner]. A scalar has one dimension of size 1.
struct Axis {
  std::size_t outer = 1;
  std::size_t size = 1;
  std::size_t inner = 1;
  [[nodiscard]] std::size_t place(std::size_t o, std::size_t k, std::size_t i) const noexcept {
    return (o * size + k) * inner + i;
  }
};
// dim counts from the end when it is negative.
inline std::size_t dimension_of(std::int64_t dim, std::span<const std::int64_t> shape) noexcept {
  const std::int64_t rank = shape.empty() ? 1 : static_cast<std::int64_t>(shape.size());
  return at(dim < 0 ? dim + rank : dim);
}
inline Axis axis_of(std::span<const std::int64_t> shape, std::int64_t dim) noexcept {
  if (shape.empty()) return {};
  const std::size_t d = dimension_of(dim, shape);
  return {count_of(shape.first(d)), at(shape[d]), count_of(shape.subspan(d + 1))};
}
// Calls f(outer, inner) for each line along an axis.
template <class F>
void for_each_line(const Axis& axis, F&& f) {
  for (std::size_t o = 0; o < axis.outer; ++o) {
    for (std::size_t i = 0; i < axis.inner; ++i) f(o, i);
  }
}

// NumPy's broadcasting: where an operand's element for place `flat` of the output lies. Missing leading dimensions and
// those of size 1 do not count.
inline std::size_t broadcast_place(std::size_t flat, std::span<const std::int64_t> output,
                                   std::span<const std::int64_t> operand) noexcept {
  std::size_t place = 0;
  std::size_t step = 1;
  for (std::size_t d = 0; d < operand.size(); ++d) {
    const std::size_t size = at(output[output.size() - 1 - d]);
    const std::size_t own = at(operand[operand.size() - 1 - d]);
    if (own != 1) place += flat % size * step;
    step *= own;
    flat /= size;
  }
  return place;
}

// --- pictures of one to three spatial dimensions, as [N, C, D, H, W] ---

// A value for each spatial dimension; those that an operator lacks have `fill`.
inline IntTriple spread(std::int64_t value, std::int64_t fill) noexcept {
  return {fill, fill, value};
}
inline IntTriple spread(IntPair value, std::int64_t fill) noexcept {
  return {fill, value.h, value.w};
}
inline IntTriple spread(IntTriple value, std::int64_t) noexcept {
  return value;
}
inline constexpr std::size_t spatial_of(std::int64_t) noexcept {
  return 1;
}
inline constexpr std::size_t spatial_of(IntPair) noexcept {
  return 2;
}
inline constexpr std::size_t spatial_of(IntTriple) noexcept {
  return 3;
}

struct Volume {
  std::int64_t n = 1;
  std::int64_t c = 1;
  std::int64_t d = 1;
  std::int64_t h = 1;
  std::int64_t w = 1;

  // Without a batch dimension it is one picture.
  Volume(std::span<const std::int64_t> shape, std::size_t spatial) noexcept {
    const std::size_t rank = shape.size();
    if (rank > spatial + 1) n = shape[0];
    c = shape[rank - spatial - 1];
    w = shape[rank - 1];
    if (spatial > 1) h = shape[rank - 2];
    if (spatial > 2) d = shape[rank - 3];
  }
  [[nodiscard]] std::size_t place(std::int64_t in, std::int64_t ic, std::int64_t id, std::int64_t ih,
                                  std::int64_t iw) const noexcept {
    return at((((in * c + ic) * d + id) * h + ih) * w + iw);
  }
  [[nodiscard]] bool has(std::int64_t id, std::int64_t ih, std::int64_t iw) const noexcept {
    return id >= 0 && id < d && ih >= 0 && ih < h && iw >= 0 && iw < w;
  }
};
// Calls f(d, h, w) for each place of a box.
template <class F>
void for_each_in(const IntTriple& box, F&& f) {
  for (std::int64_t d = 0; d < box.d; ++d) {
    for (std::int64_t h = 0; h < box.h; ++h) {
      for (std::int64_t w = 0; w < box.w; ++w) f(d, h, w);
    }
  }
}
// Calls f(n, c, d, h, w) for each place.
template <class F>
void for_each_place(const Volume& volume, F&& f) {
  for (std::int64_t n = 0; n < volume.n; ++n) {
    for (std::int64_t c = 0; c < volume.c; ++c) {
      for_each_in({volume.d, volume.h, volume.w},
                  [&](std::int64_t d, std::int64_t h, std::int64_t w) { f(n, c, d, h, w); });
    }
  }
}

// Where the element at `place` of a padded dimension comes from; -1: from nowhere, it is padding of a constant.
inline std::int64_t padded_source(PadMode mode, std::int64_t place, std::int64_t size) noexcept {
  if (place >= 0 && place < size) return place;
  switch (mode) {
    case PadMode::constant:
      return -1;
    case PadMode::reflect:
      return place < 0 ? -place : 2 * (size - 1) - place;
    case PadMode::replicate:
      return place < 0 ? 0 : size - 1;
    case PadMode::circular:
      return place < 0 ? place + size : place - size;
  }
  return -1;
}

}  // namespace rushlight::runtime::reference
