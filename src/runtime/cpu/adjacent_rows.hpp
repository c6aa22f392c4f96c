// Rows of the input at a fixed distance: Linear, and 1x1 convolutions with stride 1. As WindowRows.
#pragma once

#include <cstddef>

namespace rushlight::runtime::cpu {

struct AdjacentRows {
  std::size_t stride = 0;
  std::size_t length = 0;

  [[nodiscard]] std::size_t segments() const noexcept { return 1; }
  [[nodiscard]] std::size_t segment_length() const noexcept { return length; }
  [[nodiscard]] std::size_t scratch_bytes(std::size_t rows) const noexcept { return rows * sizeof(const float*); }
  const float* const* fill(const float* input, std::size_t first, std::size_t rows, std::byte* scratch) const noexcept {
    const auto pointers = reinterpret_cast<const float**>(scratch);
    for (std::size_t row = 0; row < rows; ++row) pointers[row] = input + (first + row) * stride;
    return pointers;
  }
};

}  // namespace rushlight::runtime::cpu
