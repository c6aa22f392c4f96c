#include "runtime/cpu/window_rows.hpp"

#include <algorithm>
#include <cstring>

namespace rushlight::runtime::cpu {
namespace {

// With fewer channels a run of one tap is too short to be worth its pointer; beyond this many floats the copies that
// pixels at the border need cost more than the pointers they save. Signals in one dimension have few such pixels.
constexpr std::ptrdiff_t kFewChannels = 16;
constexpr std::ptrdiff_t kLongestJoinedRun = 64;
constexpr std::ptrdiff_t kLongestJoinedLine = 4096;

// Pixels [first, last) of those whose position first + i * step lies in [0, size), i < count.
struct Inside {
  std::ptrdiff_t first;
  std::ptrdiff_t last;
};
Inside inside(std::ptrdiff_t start, std::ptrdiff_t step, std::ptrdiff_t count, std::ptrdiff_t size) noexcept {
  const std::ptrdiff_t first = start < 0 ? (-start + step - 1) / step : 0;
  const std::ptrdiff_t last = start < size ? (size - start + step - 1) / step : 0;
  return {std::min(first, count), std::clamp(last, std::min(first, count), count)};
}

}  // namespace

bool WindowRows::init(const ConvStep& step, const PlannedTensor& input, const PlannedTensor& output, float padding) {
  padding_value_ = padding;
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
            kernel_w_ * input.c <= (kernel_h_ == 1 ? kLongestJoinedLine : kLongestJoinedRun);
  has_border_ = padding_w_ > 0 || step.columns_under(out_width_) > width_;
  segments_ = static_cast<std::size_t>(joined_ ? kernel_h_ : kernel_h_ * kernel_w_);
  segment_length_ = static_cast<std::size_t>(joined_ ? kernel_w_ * input.c : input.c / step.groups);
  // A group's channels begin somewhere in the row: all of it must be padding.
  const std::size_t count = joined_ ? segment_length_ : static_cast<std::size_t>(input.c);
  padding_row_ = AlignedBuffer::allocate(count * sizeof(float));
  if (padding_row_.data() == nullptr) return false;
  std::fill_n(padding_row_.floats(), count, padding_value_);
  return true;
}

std::size_t WindowRows::scratch_bytes(std::size_t rows) const noexcept {
  const std::size_t copies = joined_ && has_border_ ? rows * segments_ * segment_length_ * sizeof(float) : 0;
  return rows * segments_ * sizeof(const float*) + copies;
}

const float* const* WindowRows::fill(const float* input, std::size_t first, std::size_t rows,
                                     std::byte* scratch) const noexcept {
  const auto pointers = reinterpret_cast<const float**>(scratch);
  auto* copies = reinterpret_cast<float*>(scratch + rows * segments_ * sizeof(float*));
  // Neighbours of one line of the output at a time: their windows are neighbours too.
  auto pixel = static_cast<std::ptrdiff_t>(first);
  const auto end = static_cast<std::ptrdiff_t>(first + rows);
  const float** to = pointers;
  while (pixel < end) {
    Line line;
    line.w = pixel % out_width_;
    line.h = pixel / out_width_ % out_height_;
    line.image = pixel / out_width_ / out_height_;
    line.count = std::min(end - pixel, out_width_ - line.w);
    if (joined_) {
      copies = fill_joined(input, line, rows, to, copies);
    } else {
      fill_taps(input, line, rows, to);
    }
    to += line.count;
    pixel += line.count;
  }
  return pointers;
}

void WindowRows::fill_taps(const float* input, const Line& line, std::size_t pitch, const float** to) const noexcept {
  for (std::ptrdiff_t kh = 0; kh < kernel_h_; ++kh) {
    const std::ptrdiff_t h = line.h * stride_h_ - padding_h_ + kh * dilation_h_;
    const bool row_inside = h >= 0 && h < height_;
    const std::ptrdiff_t row = (line.image * height_ + h) * width_;
    std::ptrdiff_t w = line.w * stride_w_ - padding_w_;
    for (std::ptrdiff_t kw = 0; kw < kernel_w_; ++kw, w += dilation_w_, to += pitch) {
      const Inside columns = row_inside ? inside(w, stride_w_, line.count, width_) : Inside{0, 0};
      const float* const outside = padding_row_.floats();
      std::fill(to, to + columns.first, outside);
      const float* from = input + (row + w + columns.first * stride_w_) * pixel_stride_;
      const std::ptrdiff_t step = stride_w_ * pixel_stride_;
      for (std::ptrdiff_t i = columns.first; i < columns.last; ++i, from += step) to[i] = from;
      std::fill(to + columns.last, to + line.count, outside);
    }
  }
}

float* WindowRows::fill_joined(const float* input, const Line& line, std::size_t pitch, const float** to,
                               float* copies) const noexcept {
  const std::ptrdiff_t w = line.w * stride_w_ - padding_w_;
  // Windows that lie inside as a whole: their first column does, and their last one.
  const Inside begin = inside(w, stride_w_, line.count, width_);
  const Inside end = inside(w + kernel_w_ - 1, stride_w_, line.count, width_);
  const Inside whole{std::min(begin.first, end.last), std::max(std::min(begin.first, end.last), end.last)};
  for (std::ptrdiff_t kh = 0; kh < kernel_h_; ++kh, to += pitch) {
    const std::ptrdiff_t h = line.h * stride_h_ - padding_h_ + kh * dilation_h_;
    if (h < 0 || h >= height_) {
      std::fill(to, to + line.count, padding_row_.floats());
      continue;
    }
    const float* const row = input + (line.image * height_ + h) * width_ * pixel_stride_;
    const auto copy = [&](std::ptrdiff_t i) {
      const std::ptrdiff_t at = w + i * stride_w_;
      const std::ptrdiff_t before = std::clamp<std::ptrdiff_t>(-at, 0, kernel_w_);  // taps left of the input
      const std::ptrdiff_t after = std::clamp<std::ptrdiff_t>(width_ - at, before, kernel_w_);
      std::fill_n(copies, segment_length_, padding_value_);
      if (before < after) {
        std::memcpy(copies + before * pixel_stride_, row + (at + before) * pixel_stride_,
                    static_cast<std::size_t>((after - before) * pixel_stride_) * sizeof(float));
      }
      to[i] = copies;
      copies += segment_length_;
    };
    for (std::ptrdiff_t i = 0; i < whole.first; ++i) copy(i);
    const float* from = row + (w + whole.first * stride_w_) * pixel_stride_;
    const std::ptrdiff_t step = stride_w_ * pixel_stride_;
    for (std::ptrdiff_t i = whole.first; i < whole.last; ++i, from += step) to[i] = from;
    for (std::ptrdiff_t i = whole.last; i < line.count; ++i) copy(i);
  }
  return copies;
}

}  // namespace rushlight::runtime::cpu
