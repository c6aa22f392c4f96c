// Loops over operands of any strides: the dimensions sorted as they lie in memory, those that are one in all operands
// joined, so that what is dense is one long line.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <numeric>
#include <utility>
#include <vector>

#include "runtime/cpu/general/builder.hpp"

namespace rushlight::runtime::cpu {

// The strides of an operand seen in the shape it broadcasts to.
[[nodiscard]] inline Strides broadcast_strides(const Operand& operand, const Shape& shape) {
  Strides strides(shape.size(), 0);
  const std::size_t added = shape.size() - operand.shape.size();
  for (std::size_t i = 0; i < operand.shape.size(); ++i) {
    if (operand.shape[i] != 1) strides[added + i] = operand.strides[i];
  }
  return strides;
}

// The place of the i-th item, in C order, of a nest of dimensions.
struct Nest {
  struct Dimension {
    std::size_t size;
    std::ptrdiff_t stride;
  };
  std::vector<Dimension> dimensions;  // outermost first
  std::size_t count = 1;

  void push(std::int64_t size, std::int64_t stride) {
    dimensions.push_back({size_of(size), static_cast<std::ptrdiff_t>(stride)});
    count *= size_of(size);
  }
  [[nodiscard]] std::ptrdiff_t at(std::size_t item) const noexcept {
    std::ptrdiff_t place = 0;
    for (std::size_t d = dimensions.size(); d-- > 0;) {
      place += static_cast<std::ptrdiff_t>(item % dimensions[d].size) * dimensions[d].stride;
      item /= dimensions[d].size;
    }
    return place;
  }
};

// N operands of one shape, line by line. Operand 0 decides the order: it is the output.
template <std::size_t N>
struct Lines {
  using Places = std::array<std::ptrdiff_t, N>;
  struct Dimension {
    std::size_t size;
    Places strides;
  };
  std::vector<Dimension> outer;
  std::size_t count = 1;   // of lines
  std::size_t length = 1;  // of each
  Places steps{};          // along a line

  Lines() = default;
  Lines(const Shape& shape, const std::array<Strides, N>& strides) {
    std::vector<std::size_t> order;
    for (std::size_t d = 0; d < shape.size(); ++d) {
      if (shape[d] != 1) order.push_back(d);
    }
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return std::abs(strides[0][a]) > std::abs(strides[0][b]); });
    std::vector<Dimension> joined;
    for (const std::size_t d : order) {
      Dimension next{size_of(shape[d]), {}};
      for (std::size_t i = 0; i < N; ++i) next.strides[i] = static_cast<std::ptrdiff_t>(strides[i][d]);
      if (!joined.empty() && joins(joined.back(), next)) {
        joined.back().size *= next.size;
        joined.back().strides = next.strides;
      } else {
        joined.push_back(next);
      }
    }
    if (!joined.empty()) {
      length = joined.back().size;
      steps = joined.back().strides;
      joined.pop_back();
    }
    outer = std::move(joined);
    for (const Dimension& dimension : outer) count *= dimension.size;
    if (length == 0) count = 0;
  }

  // Where a line begins in each operand.
  [[nodiscard]] Places start(std::size_t line) const noexcept {
    Places places{};
    for (std::size_t d = outer.size(); d-- > 0;) {
      const auto i = static_cast<std::ptrdiff_t>(line % outer[d].size);
      for (std::size_t k = 0; k < N; ++k) places[k] += i * outer[d].strides[k];
      line /= outer[d].size;
    }
    return places;
  }

 private:
  static bool joins(const Dimension& outside, const Dimension& inside) noexcept {
    for (std::size_t i = 0; i < N; ++i) {
      if (outside.strides[i] != inside.strides[i] * static_cast<std::ptrdiff_t>(inside.size)) return false;
    }
    return true;
  }
};

// f(places, count, frame) for pieces of lines: element k of operand i lies at places[i] + k * steps[i].
template <std::size_t N, class F>
void add_lines(Builder& b, const Lines<N>& lines, double operations_each, F f) {
  const std::size_t part = Builder::part_of(operations_each);
  const double operations = operations_each * static_cast<double>(lines.count * lines.length);
  if (lines.length >= part) {
    const std::size_t parts = parts_of(lines.length, part);
    b.add(lines.count * parts, operations, 0, [lines, parts, part, f](std::size_t task, const Frame& frame) {
      auto places = lines.start(task / parts);
      const Range range = part_range(task % parts, lines.length, part);
      for (std::size_t i = 0; i < N; ++i) places[i] += static_cast<std::ptrdiff_t>(range.first) * lines.steps[i];
      f(places, range.last - range.first, frame);
    });
    return;
  }
  const std::size_t lines_each = lines.length == 0 ? 1 : std::max<std::size_t>(1, part / lines.length);
  b.add(parts_of(lines.count, lines_each), operations, 0, [lines, lines_each, f](std::size_t task, const Frame& frame) {
    const Range range = part_range(task, lines.count, lines_each);
    for (std::size_t line = range.first; line < range.last; ++line) f(lines.start(line), lines.length, frame);
  });
}

}  // namespace rushlight::runtime::cpu
