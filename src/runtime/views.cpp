#include "runtime/views.hpp"

#include <algorithm>
#include <numeric>
#include <vector>

namespace rushlight::runtime {
namespace {

// Dimensions [first, last) of a value.
struct Group {
  std::size_t first = 0;
  std::size_t last = 0;
};

struct ImageGroups {
  Group n, c, pixels;
};

// Which dimensions make up n, c and pixels.
std::optional<ImageGroups> group(const Shape& shape, const Images& images) noexcept {
  std::size_t next = 0;
  const auto take = [&](std::int64_t target, Group& group) {
    group.first = next;
    std::int64_t count = 1;
    while (count != target && next < shape.size()) count *= shape[next++];
    group.last = next;
    return count == target;
  };
  ImageGroups groups;
  if (!take(images.n, groups.n) || !take(images.c, groups.c) || !take(images.pixels(), groups.pixels)) {
    return std::nullopt;
  }
  // Dimensions of size 1 at the end belong to the pixels.
  for (; next < shape.size(); ++next) {
    if (shape[next] != 1) return std::nullopt;
  }
  groups.pixels.last = next;
  return groups;
}

// Whether the dimensions of the group are one, with this distance of its elements. `step` < 0: any; it is set then.
bool joins(const Shape& shape, const Strides& strides, Group group, std::int64_t& step) noexcept {
  std::int64_t expected = step;
  for (std::size_t d = group.last; d-- > group.first;) {
    if (shape[d] == 1) continue;
    if (expected < 0) step = expected = strides[d];
    if (strides[d] != expected) return false;
    expected *= shape[d];
  }
  return true;
}

}  // namespace

std::int64_t product(std::span<const std::int64_t> sizes) noexcept {
  std::int64_t result = 1;
  for (const std::int64_t size : sizes) result *= size;
  return result;
}

Images images_of(const Shape& shape, std::size_t spatial) noexcept {
  const std::size_t channels = shape.size() - spatial - 1;
  Images images{channels == 0 ? 1 : shape[0], shape[channels], 1, 1};
  if (spatial > 0) images.w = shape.back();
  if (spatial == 2) images.h = shape[channels + 1];
  if (spatial > 2) images.w = product(std::span(shape).subspan(channels + 1));
  return images;
}

bool is_contiguous(const Shape& shape, const Strides& strides) noexcept {
  if (product(shape) == 0) return true;
  std::int64_t step = 1;
  return joins(shape, strides, {0, shape.size()}, step);
}

std::optional<Strides> reshape_strides(const Shape& from, const Strides& strides, const Shape& to) {
  if (product(from) == 0) return contiguous_strides(to);
  Strides result(to.size(), 1);
  std::vector<std::size_t> dims;  // of `from`, those that count
  for (std::size_t d = 0; d < from.size(); ++d) {
    if (from[d] != 1) dims.push_back(d);
  }
  // From the back: each run of old dimensions that is one dimension in memory must be a run of new ones.
  std::size_t open = to.size();
  std::size_t i = dims.size();
  while (i > 0) {
    const std::int64_t step = strides[dims[i - 1]];
    std::int64_t old_count = 1;
    do {
      old_count *= from[dims[--i]];
    } while (i > 0 && strides[dims[i - 1]] == old_count * step);
    std::int64_t new_count = 1;
    while (open > 0 && (new_count < old_count || to[open - 1] == 1)) {
      result[--open] = new_count * step;
      new_count *= to[open];
    }
    if (new_count != old_count) return std::nullopt;
  }
  return result;
}

Strides dense_like(const Shape& shape, const Strides& like) {
  std::vector<std::size_t> order(shape.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return like[a] > like[b]; });
  Strides strides(shape.size(), 1);
  std::int64_t step = 1;
  for (std::size_t i = order.size(); i-- > 0;) {
    strides[order[i]] = step;
    step *= std::max<std::int64_t>(1, shape[order[i]]);
  }
  return strides;
}

Strides channels_last_strides(const Shape& shape, std::size_t channels) {
  Strides strides(shape.size(), 1);
  std::int64_t step = std::max<std::int64_t>(1, shape[channels]);
  for (std::size_t d = shape.size(); d-- > 0;) {
    if (d == channels) continue;
    strides[d] = step;
    step *= std::max<std::int64_t>(1, shape[d]);
  }
  return strides;
}

std::optional<Strides> image_strides(const Shape& shape, const Images& images) {
  const std::optional<ImageGroups> groups = group(shape, images);
  if (!groups) return std::nullopt;
  Strides strides(shape.size(), 1);
  const auto fill = [&](Group group, std::int64_t step) {
    for (std::size_t d = group.last; d-- > group.first;) {
      strides[d] = step;
      step *= shape[d];
    }
  };
  fill(groups->pixels, images.c);
  fill(groups->c, 1);
  fill(groups->n, images.c * images.pixels());
  return strides;
}

std::optional<std::int64_t> pixel_stride(const Shape& shape, const Strides& strides, const Images& images) noexcept {
  const std::optional<ImageGroups> groups = group(shape, images);
  if (!groups) return std::nullopt;
  std::int64_t channel_step = 1;
  if (!joins(shape, strides, groups->c, channel_step)) return std::nullopt;
  std::int64_t pixel_step = -1;
  if (!joins(shape, strides, groups->pixels, pixel_step)) return std::nullopt;
  std::int64_t image_step = pixel_step < 0 ? -1 : pixel_step * images.pixels();
  if (!joins(shape, strides, groups->n, image_step)) return std::nullopt;
  if (pixel_step < 0) pixel_step = image_step < 0 ? images.c : image_step;
  if (pixel_step < images.c) return std::nullopt;  // expanded
  return pixel_step;
}

std::optional<std::int64_t> row_stride(const Shape& shape, const Strides& strides) noexcept {
  if (shape.empty() || (shape.back() != 1 && strides.back() != 1)) return std::nullopt;
  std::int64_t step = -1;
  if (!joins(shape, strides, {0, shape.size() - 1}, step)) return std::nullopt;
  if (step < 0) step = shape.back();
  if (step < shape.back()) return std::nullopt;  // expanded
  return step;
}

}  // namespace rushlight::runtime
