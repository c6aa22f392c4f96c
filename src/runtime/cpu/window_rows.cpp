#include "runtime/cpu/window_rows.hpp"

#include <algorithm>
#include <cstring>

namespace rushlight::runtime::cpu {
namespace {

// With fewer channels a run of one tap is too short to be worth its pointer; beyond this many floats the copies that
// pixels at the border need cost more than the pointers they save.
constexpr std::ptrdiff_t kFewChannels = 16;
constexpr std::ptrdiff_t kLongestJoinedRun = 64;

// Output pixels in order, row by row and image by image.
struct Pixel {
  std::ptrdiff_t image;
  std::ptrdiff_t h;
  std::ptrdiff_t w;

  Pixel(std::size_t index, std::ptrdiff_t height, std::ptrdiff_t width) noexcept
      : image(static_cast<std::ptrdiff_t>(index) / (height * width)),
        h(static_cast<std::ptrdiff_t>(index) / width % height),
        w(static_cast<std::ptrdiff_t>(index) % width) {}
  void advance(std::ptrdiff_t height, std::ptrdiff_t width) noexcept {
    if (++w < width) return;
    w = 0;
    if (++h < height) return;
    h = 0;
    ++image;
  }
};

}  // namespace

bool WindowRows::init(const ConvStep& step, const PlannedTensor& input, const PlannedTensor& output) {
  height_ = input.h;
  width_ = input.w;
  pixel_stride_ = input.row_stride;
  out_height_ = output.h;
  out_width_ = output.w;
  kernel_h_ = step.kernel.h;
  kernel_w_ = step.kernel.w;
  stride_h_ = step.stride.h;
  stride_w_ = step.stride.w;
  padding_h_ = step.padding.h;
  padding_w_ = step.padding.w;
  dilation_h_ = step.dilation.h;
  dilation_w_ = step.dilation.w;
  joined_ = input.is_dense() && step.groups == 1 && dilation_w_ == 1 && kernel_w_ > 1 && input.c < kFewChannels &&
            kernel_w_ * input.c <= kLongestJoinedRun;
  segments_ = static_cast<std::size_t>(joined_ ? kernel_h_ : kernel_h_ * kernel_w_);
  segment_length_ = static_cast<std::size_t>(joined_ ? kernel_w_ * input.c : input.c / step.groups);
  // A group's channels begin somewhere in the row: all of it must be zero.
  const std::size_t zeros = joined_ ? segment_length_ : static_cast<std::size_t>(input.c);
  zeros_ = AlignedBuffer::allocate(zeros * sizeof(float));
  if (zeros_.data() == nullptr) return false;
  std::fill_n(zeros_.floats(), zeros, 0.0F);
  return true;
}

std::size_t WindowRows::scratch_bytes(std::size_t rows) const noexcept {
  const std::size_t copies = joined_ ? rows * segments_ * segment_length_ * sizeof(float) : 0;
  return rows * segments_ * sizeof(const float*) + copies;
}

const float* const* WindowRows::fill(const float* input, std::size_t first, std::size_t rows,
                                     std::byte* scratch) const noexcept {
  const auto pointers = reinterpret_cast<const float**>(scratch);
  if (joined_) {
    fill_joined(input, first, rows, pointers, reinterpret_cast<float*>(scratch + rows * segments_ * sizeof(float*)));
  } else {
    fill_taps(input, first, rows, pointers);
  }
  return pointers;
}

void WindowRows::fill_taps(const float* input, std::size_t first, std::size_t rows,
                           const float** pointers) const noexcept {
  Pixel pixel(first, out_height_, out_width_);
  for (std::size_t row = 0; row < rows; ++row, pixel.advance(out_height_, out_width_)) {
    const float** tap = pointers + row;
    for (std::ptrdiff_t kh = 0; kh < kernel_h_; ++kh) {
      const std::ptrdiff_t h = pixel.h * stride_h_ - padding_h_ + kh * dilation_h_;
      const bool row_inside = h >= 0 && h < height_;
      const std::ptrdiff_t line = (pixel.image * height_ + h) * width_;
      std::ptrdiff_t w = pixel.w * stride_w_ - padding_w_;
      for (std::ptrdiff_t kw = 0; kw < kernel_w_; ++kw, w += dilation_w_, tap += rows) {
        const bool inside = row_inside && w >= 0 && w < width_;
        *tap = inside ? input + (line + w) * pixel_stride_ : zeros_.floats();
      }
    }
  }
}

void WindowRows::fill_joined(const float* input, std::size_t first, std::size_t rows, const float** pointers,
                             float* copies) const noexcept {
  Pixel pixel(first, out_height_, out_width_);
  for (std::size_t row = 0; row < rows; ++row, pixel.advance(out_height_, out_width_)) {
    const float** tap = pointers + row;
    const std::ptrdiff_t w = pixel.w * stride_w_ - padding_w_;
    const std::ptrdiff_t before = std::clamp<std::ptrdiff_t>(-w, 0, kernel_w_);  // taps left of the input
    const std::ptrdiff_t after = std::clamp<std::ptrdiff_t>(width_ - w, before, kernel_w_);
    for (std::ptrdiff_t kh = 0; kh < kernel_h_; ++kh, tap += rows) {
      const std::ptrdiff_t h = pixel.h * stride_h_ - padding_h_ + kh * dilation_h_;
      if (h < 0 || h >= height_ || before == after) {
        *tap = zeros_.floats();
        continue;
      }
      const std::ptrdiff_t line = (pixel.image * height_ + h) * width_;
      if (before == 0 && after == kernel_w_) {
        *tap = input + (line + w) * pixel_stride_;
        continue;
      }
      std::fill_n(copies, segment_length_, 0.0F);
      std::memcpy(copies + before * pixel_stride_, input + (line + w + before) * pixel_stride_,
                  static_cast<std::size_t>((after - before) * pixel_stride_) * sizeof(float));
      *tap = copies;
      copies += segment_length_;
    }
  }
}

}  // namespace rushlight::runtime::cpu
