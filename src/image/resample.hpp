// Resizing 8-bit planes as PIL and torch do: two passes, each a sum of pixels by whole-number weights.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "rushlight/image.hpp"

namespace rushlight::image {

// A stretch of one side of the result.
struct Stretch {
  std::int64_t begin = 0;
  std::int64_t size = 0;
};

// One side of a resize: the pixels that each position of a stretch is made of.
struct ResampledSide {
  struct Sum {
    std::int64_t first = 0;  // pixel
    std::size_t weight = 0;  // index into `weights`
    std::size_t count = 0;
  };
  std::vector<Sum> sums;
  std::vector<std::int32_t> weights;
  unsigned precision = 0;  // a weight of 1 is 1 << precision

  // The pixels that are looked at; none where there are no sums.
  [[nodiscard]] Stretch source() const noexcept;
};

// `stretch` of what a side of `from` pixels becomes when it is resized to `to`. Sizes are 1 to 2^31 - 1.
[[nodiscard]] ResampledSide resample_side(std::int64_t from, std::int64_t to, Stretch stretch,
                                          Interpolation interpolation, Resampling resampling);

// Pixels that lie in rows, `pitch` bytes apart.
struct ConstRows {
  const std::uint8_t* data;
  std::size_t pitch;
};
struct Rows {
  std::uint8_t* data;
  std::size_t pitch;
};

// Along each of `count` rows, which begin with pixel `first` of the source.
void resample_rows(ConstRows from, std::int64_t first, std::size_t count, const ResampledSide& across, Rows to);
// Down each of `count` columns, which begin with row `first` of the source.
void resample_columns(ConstRows from, std::int64_t first, std::size_t count, const ResampledSide& down, Rows to);

}  // namespace rushlight::image
