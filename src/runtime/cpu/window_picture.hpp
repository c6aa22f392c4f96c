// A convolution's windows in a picture of narrow numbers, for tiles that are loaded from there, whatever tap they are
// of.
//
// The picture is the input converted, with its border. Its pixels take whole words, and operands come in lines of up to
// 16 words (kernels.hpp), in one of two ways:
//
//   taps: a pixel takes whole lines, and each tap is a run of them;
//   rows: with few channels a row of the window is one line, its pixels side by side.
//
// Positions of one line of the output are one pixel (times the stride) apart. With stride 1 the positions of the next
// line follow at once, behind as many without an output as a window has columns more than one; otherwise, or where that
// makes fewer tiles, each line begins a tile.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "runtime/cpu/kernels/kernels.hpp"
#include "runtime/cpu/op.hpp"
#include "runtime/cpu/packed_weights.hpp"
#include "runtime/plan.hpp"

namespace rushlight::runtime::cpu {

class WindowPicture {
 public:
  WindowPicture() = default;
  // Of one group, with neither tensor empty. A word has `word_operands` of the narrow numbers.
  WindowPicture(const ConvStep& step, const PlannedTensor& input, const PlannedTensor& output,
                std::size_t word_operands);

  // Of the picture: a pixel, and a line of them.
  [[nodiscard]] std::size_t pixel_bytes() const noexcept { return pixel_bytes_; }
  [[nodiscard]] std::size_t line_bytes() const noexcept { return width_ * pixel_bytes_; }
  // Lines that `count` neighbouring lines of the output read, all of one image.
  [[nodiscard]] std::size_t lines_for(std::size_t count) const noexcept { return (count - 1) * stride_h_ + reach_h_; }
  // The line of the input that is the first one line `line` of the output reads; negative above the input.
  [[nodiscard]] std::int64_t first_line(std::size_t line) const noexcept {
    return static_cast<std::int64_t>(line * stride_h_) - padding_.h;
  }
  // What tiles may read behind the last line.
  [[nodiscard]] std::size_t overrun_bytes() const noexcept { return kWindowTileRows * row_pitch_ + kLineBytes; }

  // Pixels of a line, from the left: without an input, with one, and the others without again.
  struct Columns {
    std::size_t before;
    std::size_t inside;
    std::size_t after;
  };
  [[nodiscard]] Columns columns() const noexcept { return columns_; }

  // Of an output.
  [[nodiscard]] std::size_t operand_lines() const noexcept { return line_offsets_.size(); }
  [[nodiscard]] std::size_t line_outputs() const noexcept { return line_outputs_; }
  [[nodiscard]] std::size_t image_outputs() const noexcept { return line_outputs_ * height_; }
  // Of all images, those without an output included, up to whole tiles.
  [[nodiscard]] std::size_t positions() const noexcept;

  // Everything but tiles, weights, bias and columns. Points into this object.
  void describe(TileOperands& operands) const noexcept;
  [[nodiscard]] PackedForm form_of_weights(const Constant& weights, Packing packing) const;

  // How many tiles `lines` lines of the output of up to `images` images have at most.
  [[nodiscard]] std::size_t most_tiles(std::size_t lines, std::size_t images) const noexcept;
  // Tiles of these pixels of the output, counted through the batch and all of one image. `picture` is the first line
  // that the first pixel's line reads. Returns the end of the tiles.
  WindowTile* place_tiles(Range pixels, const std::byte* picture, WindowTile* tiles) const noexcept;

 private:
  std::size_t word_operands_ = 1;
  bool joined_ = false;  // the second way
  IntPair padding_;
  std::size_t taps_w_ = 1;
  std::size_t stride_h_ = 1;
  std::size_t reach_h_ = 1;  // lines from a window's first one to its last
  std::size_t images_ = 0;
  std::size_t height_ = 0;  // of the output
  std::size_t line_outputs_ = 0;
  std::size_t pixel_bytes_ = 0;
  std::size_t width_ = 0;          // of the picture, in pixels
  std::size_t row_pitch_ = 0;      // bytes from position to position
  std::size_t operand_bytes_ = 0;  // of a line of operands
  std::size_t line_rows_ = 0;      // positions of a line of the output
  bool runs_on_ = false;           // from one line of the output to the next
  Columns columns_{};
  std::vector<std::size_t> line_offsets_;
};

}  // namespace rushlight::runtime::cpu
