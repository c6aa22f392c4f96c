// Where the operands of a convolution's outputs lie: for each output pixel and each tap of the window a pointer to a
// run of floats. Strides, dilation and padding are all in these pointers; kernels know nothing of them. What is called
// a float may be any four bytes: two or four numbers of fewer bits.
#pragma once

#include <cstddef>

#include "runtime/cpu/aligned_buffer.hpp"
#include "runtime/plan.hpp"

namespace rushlight::runtime::cpu {

// A tensor of bfloat16 as one of words.
[[nodiscard]] inline PlannedTensor in_words(PlannedTensor tensor) noexcept {
  if (tensor.is_bf16) tensor.c /= 2;
  return tensor;
}

class WindowRows {
 public:
  WindowRows() = default;
  // `padding` is what lies outside the input. False when there is no memory for a row of it.
  bool init(const ConvStep& step, const PlannedTensor& input, const PlannedTensor& output, float padding = 0);

  // Runs a row, and floats a run. Usually one run for each tap, of all channels. Where there are few channels, the taps
  // of a window's row are one run: they are neighbours in memory.
  [[nodiscard]] std::size_t segments() const noexcept { return segments_; }
  [[nodiscard]] std::size_t segment_length() const noexcept { return segment_length_; }
  // Scratch for fill() with `rows` rows.
  [[nodiscard]] std::size_t scratch_bytes(std::size_t rows) const noexcept;

  // Pointers [segments][rows] for output pixels first .. first + rows - 1, counted through the whole batch. They point
  // into the input, to padding, or into `scratch`, at whose beginning they lie themselves.
  const float* const* fill(const float* input, std::size_t first, std::size_t rows, std::byte* scratch) const noexcept;

 private:
  // Neighbours in a line of the output.
  struct Line {
    std::ptrdiff_t image = 0;
    std::ptrdiff_t h = 0;
    std::ptrdiff_t w = 0;  // of the first one
    std::ptrdiff_t count = 0;
  };
  // The pointers of one segment are `pitch` apart from those of the next.
  void fill_taps(const float* input, const Line& line, std::size_t pitch, const float** to) const noexcept;
  // Returns where the next copies go.
  float* fill_joined(const float* input, const Line& line, std::size_t pitch, const float** to,
                     float* copies) const noexcept;

  std::ptrdiff_t height_ = 0;  // of the input
  std::ptrdiff_t width_ = 0;
  std::ptrdiff_t pixel_stride_ = 0;
  std::ptrdiff_t out_height_ = 0;
  std::ptrdiff_t out_width_ = 0;
  std::ptrdiff_t kernel_h_ = 0, kernel_w_ = 0;
  std::ptrdiff_t stride_h_ = 0, stride_w_ = 0;
  std::ptrdiff_t padding_h_ = 0, padding_w_ = 0;
  std::ptrdiff_t dilation_h_ = 0, dilation_w_ = 0;
  bool joined_ = false;
  bool has_border_ = false;  // whether windows reach beyond the ends of lines
  std::size_t segments_ = 0;
  std::size_t segment_length_ = 0;
  float padding_value_ = 0;
  AlignedBuffer padding_row_;
};

}  // namespace rushlight::runtime::cpu
