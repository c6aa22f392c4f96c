#include "runtime/cpu/window_picture.hpp"

#include <algorithm>

namespace rushlight::runtime::cpu {
WindowPicture::WindowPicture(const ConvStep& step, const PlannedTensor& input, const PlannedTensor& output,
                             std::size_t word_operands)
    : word_operands_(word_operands),
      padding_(step.padding),
      taps_w_(static_cast<std::size_t>(step.kernel.w)),
      stride_h_(static_cast<std::size_t>(step.stride.h)),
      reach_h_(static_cast<std::size_t>((step.kernel.h - 1) * step.dilation.h) + 1),
      images_(static_cast<std::size_t>(output.n)),
      height_(static_cast<std::size_t>(output.h)),
      line_outputs_(static_cast<std::size_t>(output.w)) {
  const std::size_t words = parts_of(static_cast<std::size_t>(input.c), word_operands);
  joined_ = step.dilation.w == 1 && taps_w_ * words <= kLineWords;
  pixel_bytes_ = joined_ ? words * 4 : parts_of(words, kLineWords) * kLineBytes;
  operand_bytes_ = joined_ ? taps_w_ * pixel_bytes_ : kLineBytes;
  width_ = static_cast<std::size_t>((output.w - 1) * step.stride.w + (step.kernel.w - 1) * step.dilation.w) + 1;
  columns_.before = std::min(static_cast<std::size_t>(step.padding.w), width_);
  columns_.inside = std::min(static_cast<std::size_t>(input.w), width_ - columns_.before);
  columns_.after = width_ - columns_.before - columns_.inside;
  row_pitch_ = static_cast<std::size_t>(step.stride.w) * pixel_bytes_;
  const std::size_t apart = round_up(line_outputs_, kWindowTileRows);
  runs_on_ = step.stride == IntPair{1} && width_ < apart;
  line_rows_ = runs_on_ ? width_ : apart;

  const std::size_t taps = joined_ ? 1 : taps_w_;
  const std::size_t tap_lines = joined_ ? 1 : pixel_bytes_ / kLineBytes;
  for (std::size_t row = 0; row < static_cast<std::size_t>(step.kernel.h); ++row) {
    for (std::size_t tap = 0; tap < taps; ++tap) {
      const std::size_t first = row * static_cast<std::size_t>(step.dilation.h) * line_bytes() +
                                tap * static_cast<std::size_t>(step.dilation.w) * pixel_bytes_;
      for (std::size_t line = 0; line < tap_lines; ++line) line_offsets_.push_back(first + line * kLineBytes);
    }
  }
}

std::size_t WindowPicture::positions() const noexcept {
  return round_up(images_ * height_ * line_rows_, kWindowTileRows);
}

void WindowPicture::describe(TileOperands& operands) const noexcept {
  operands.row_pitch = row_pitch_;
  operands.line_rows = line_rows_;
  operands.line_outputs = line_outputs_;
  operands.line_offsets = line_offsets_.data();
  operands.lines = line_offsets_.size();
  operands.line_bytes = operand_bytes_;
}

PackedForm WindowPicture::form_of_weights(const Constant& weights, Packing packing) const {
  return {.constant = weights,
          .packing = packing,
          .width = kStripOutputs,
          .run_taps = joined_ ? taps_w_ : 1,
          .tap_operands = pixel_bytes_ / 4 * word_operands_};
}

std::size_t WindowPicture::most_tiles(std::size_t lines, std::size_t images) const noexcept {
  if (runs_on_) return parts_of(lines * line_rows_, kWindowTileRows) + images;
  return lines * (line_rows_ / kWindowTileRows);
}

WindowTile* WindowPicture::place_tiles(Range pixels, const std::byte* picture, WindowTile* tiles) const noexcept {
  const std::size_t first_line = pixels.first / line_outputs_;
  const std::size_t last_line = (pixels.last - 1) / line_outputs_;
  for (std::size_t line = first_line; line <= last_line; ++line, picture += stride_h_ * line_bytes()) {
    const std::size_t line_pixel = line * line_outputs_;
    // Positions up to the last output, of this line or of all that follow.
    std::size_t end = std::min(pixels.last - line_pixel, line_outputs_);
    if (runs_on_) end = (last_line - line) * line_rows_ + (pixels.last - last_line * line_outputs_);
    for (std::size_t at = std::max(pixels.first, line_pixel) - line_pixel; at < end; at += kWindowTileRows, ++tiles) {
      const std::size_t column = at % line_rows_;
      tiles->rows = picture + at * row_pitch_;
      // Between two lines the next output is the next line's first.
      tiles->output = line_pixel + at / line_rows_ * line_outputs_ + std::min(column, line_outputs_);
      tiles->column = column;
      tiles->count = std::min(kWindowTileRows, end - at);
    }
    if (runs_on_) break;
  }
  return tiles;
}

}  // namespace rushlight::runtime::cpu
