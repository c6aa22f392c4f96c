// Convolutions whose windows are read where they lie: each block of output lines converts the lines of the picture that
// it needs once, the zeros of the border beside them, and tiles are loaded from there, whatever tap they are of. Nine
// taps would otherwise convert and copy each pixel nine times.
#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "base/fail.hpp"
#include "runtime/cpu/aligned_buffer.hpp"
#include "runtime/cpu/epilogue.hpp"
#include "runtime/cpu/narrow_choice.hpp"
#include "runtime/cpu/narrow_op.hpp"
#include "runtime/failure.hpp"

namespace rushlight::runtime::cpu {
namespace {

// As in narrow_op.cpp.
constexpr std::size_t kStripsAtOnce = 4;

constexpr std::size_t round_up(std::size_t count, std::size_t step) noexcept {
  return parts_of(count, step) * step;
}

// Where a convolution's operands are in converted lines. Two ways:
//
//   taps: a pixel takes whole lines of operands, and each tap is a run of them;
//   rows: with few channels a row of the window is one line, its pixels side by side.
//
// Positions of one line of the output are one pixel (times the stride) apart. With stride 1 the positions of the next
// line follow at once, behind as many without an output as a window has columns more than one; otherwise, or where that
// makes fewer tiles, each line begins a tile.
struct WindowLayout {
  bool joined = false;
  std::size_t pixel_bytes = 0;
  std::size_t picture_width = 0;  // of a converted line, in pixels
  std::size_t line_bytes = 0;     // of operands
  std::size_t lines = 0;          // of operands
  std::size_t line_rows = 0;      // positions of a line of the output
  bool runs_on = false;           // from one line of the output to the next

  static WindowLayout of(const ConvStep& step, const PlannedTensor& input, const PlannedTensor& output,
                         std::size_t word_operands) {
    const auto taps_h = static_cast<std::size_t>(step.kernel.h);
    const auto taps_w = static_cast<std::size_t>(step.kernel.w);
    const auto channels = static_cast<std::size_t>(input.c);
    const auto width = static_cast<std::size_t>(output.w);
    WindowLayout layout;
    const std::size_t words = parts_of(channels, word_operands);
    layout.joined = step.dilation.w == 1 && taps_w * words <= kLineWords;
    if (layout.joined) {
      layout.pixel_bytes = words * 4;
      layout.line_bytes = taps_w * layout.pixel_bytes;
      layout.lines = taps_h;
    } else {
      layout.pixel_bytes = parts_of(words, kLineWords) * kLineBytes;
      layout.line_bytes = kLineBytes;
      layout.lines = taps_h * taps_w * (layout.pixel_bytes / kLineBytes);
    }
    layout.picture_width =
        static_cast<std::size_t>((output.w - 1) * step.stride.w + (step.kernel.w - 1) * step.dilation.w) + 1;
    const std::size_t apart = round_up(width, kWindowTileRows);
    layout.runs_on = step.stride == IntPair{1} && layout.picture_width < apart;
    layout.line_rows = layout.runs_on ? layout.picture_width : apart;
    return layout;
  }
};

class NarrowWindowOp final : public RowsOp {
 public:
  NarrowWindowOp(const ConvStep& step, const PlannedTensor& input, const PlannedTensor& output,
                 const WindowLayout& layout)
      : step_(step), input_(input), output_(output), layout_(layout) {}

  Status init(const OpContext& context, double cost) {
    const NarrowProducts& products = *context.narrow;
    kernels_ = products.kernels;
    outputs_ = static_cast<std::size_t>(output_.c);
    line_outputs_ = static_cast<std::size_t>(output_.w);
    line_count_ = static_cast<std::size_t>(output_.n * output_.h);
    strips_ = panels_for(outputs_, kStripOutputs);
    const PackedForm form{
        .constant = context.plan.constants[step_.weights],
        .packing = products.packing,
        .width = kStripOutputs,
        .run_taps = layout_.joined ? static_cast<std::size_t>(step_.kernel.w) : 1,
        .tap_operands = layout_.pixel_bytes / 4 * products.word_operands,
    };
    RUSHLIGHT_TRY_ASSIGN(weights_, context.weights.get(form, context.network));
    RUSHLIGHT_TRY_ASSIGN(bias_, context.packed(step_.bias, Packing::vector, kStripOutputs));
    activate_ = kernel_of(step_.epilogue.activation, context.kernels);
    make_line_offsets();
    static_cast<Destination&>(call_) = destination_of(step_.output, step_.epilogue, context.plan);
    call_.row_pitch = pixel_step();
    call_.line_rows = layout_.line_rows;
    call_.line_outputs = line_outputs_;
    call_.line_offsets = line_offsets_.data();
    call_.lines = layout_.lines;
    call_.line_bytes = layout_.line_bytes;
    cut_tasks(context.slots);
    operations_ = 2 * cost;
    return {};
  }

  [[nodiscard]] std::string_view algorithm() const noexcept override { return "bf16, amx, in place"; }

  void run(std::size_t task, float* const* tensors, std::byte* scratch) const noexcept override {
    const Range lines = part_range(task / parts_, line_count_, block_lines_);
    const TensorId residual = step_.epilogue.residual;
    run_block({lines.first * line_outputs_, lines.last * line_outputs_},
              part_range(task % parts_, strips_, part_strips_), tensors[step_.input], tensors[step_.output],
              residual == kNone ? nullptr : tensors[residual], scratch);
  }
  void run_rows(Range rows, const float* input, float* output, const float* residual,
                std::byte* scratch) const noexcept override {
    while (rows.first < rows.last) {
      const std::size_t end = (rows.first / line_outputs_ + block_lines_) * line_outputs_;
      run_block({rows.first, std::min(rows.last, end)}, {0, strips_}, input, output, residual, scratch);
      rows.first = end;
    }
  }

 private:
  [[nodiscard]] std::size_t picture_line_bytes() const noexcept { return layout_.picture_width * layout_.pixel_bytes; }
  [[nodiscard]] std::size_t pixel_step() const noexcept {
    return static_cast<std::size_t>(step_.stride.w) * layout_.pixel_bytes;
  }
  // Lines of the picture that `count` lines of the output of one image need.
  [[nodiscard]] std::size_t picture_lines(std::size_t count) const noexcept {
    return (count - 1) * static_cast<std::size_t>(step_.stride.h) +
           static_cast<std::size_t>((step_.kernel.h - 1) * step_.dilation.h) + 1;
  }

  void make_line_offsets() {
    const auto rows = static_cast<std::size_t>(step_.kernel.h);
    const std::size_t taps = layout_.joined ? 1 : static_cast<std::size_t>(step_.kernel.w);
    const std::size_t row_bytes = static_cast<std::size_t>(step_.dilation.h) * picture_line_bytes();
    const std::size_t tap_bytes = static_cast<std::size_t>(step_.dilation.w) * layout_.pixel_bytes;
    const std::size_t tap_lines = layout_.joined ? 1 : layout_.pixel_bytes / kLineBytes;
    for (std::size_t row = 0; row < rows; ++row) {
      for (std::size_t tap = 0; tap < taps; ++tap) {
        for (std::size_t line = 0; line < tap_lines; ++line) {
          line_offsets_.push_back(row * row_bytes + tap * tap_bytes + line * kLineBytes);
        }
      }
    }
  }

  // Converted lines stay in half of L2 while weights pass through the other.
  void cut_tasks(std::size_t slots) noexcept {
    const auto height = static_cast<std::size_t>(output_.h);
    const std::size_t fitting = l2_cache_bytes() / 2 / std::max<std::size_t>(1, picture_line_bytes());
    std::size_t most_lines = height;
    if (picture_lines(height) > fitting) {
      const std::size_t halo = picture_lines(1) - 1;
      most_lines = fitting > halo ? (fitting - halo) / static_cast<std::size_t>(step_.stride.h) : 1;
    } else {
      most_lines = height * (fitting / picture_lines(height));
    }
    most_lines = std::max<std::size_t>(1, most_lines);
    const std::size_t wanted = slots <= 1 ? 1 : 2 * slots;
    constexpr std::size_t kEnoughRows = 96;
    const std::size_t fewest = parts_of(line_count_, most_lines);
    const std::size_t blocks = std::max(fewest, std::min(wanted, parts_of(line_count_ * line_outputs_, kEnoughRows)));
    block_lines_ = std::max<std::size_t>(1, parts_of(line_count_, std::max<std::size_t>(1, blocks)));
    const std::size_t all_blocks = parts_of(line_count_, block_lines_);
    part_strips_ = round_up(parts_of(strips_, all_blocks == 0 ? 1 : parts_of(wanted, all_blocks)), kStripsAtOnce);
    part_strips_ = std::max(part_strips_, kStripsAtOnce);
    parts_ = parts_of(strips_, part_strips_);
    task_count_ = all_blocks * parts_;

    // A block may begin and end inside of an image.
    const std::size_t images = block_lines_ / height + 2;
    const std::size_t tiles = layout_.runs_on ? parts_of(block_lines_ * layout_.line_rows, kWindowTileRows) + images
                                              : block_lines_ * (layout_.line_rows / kWindowTileRows);
    tile_bytes_ = round_up(tiles * sizeof(WindowTile), kCacheLine);
    const std::size_t lines = block_lines_ * static_cast<std::size_t>(step_.stride.h) + images * picture_lines(1);
    // A tile reads all of its rows.
    const std::size_t behind = kWindowTileRows * pixel_step() + kLineBytes;
    scratch_bytes_ = tile_bytes_ + lines * picture_line_bytes() + behind;
  }

  // Pixels of the output [first, last), counted through the batch.
  void run_block(Range pixels, Range strips, const float* input, float* output, const float* residual,
                 std::byte* scratch) const noexcept {
    auto* const tiles = reinterpret_cast<WindowTile*>(scratch);
    std::byte* picture = scratch + tile_bytes_;
    const std::size_t image_outputs = line_outputs_ * static_cast<std::size_t>(output_.h);
    NarrowWindowCall call = call_;
    call.tiles = tiles;
    WindowTile* next = tiles;
    for (Range piece = pixels; piece.first < pixels.last; piece.first = piece.last) {
      const std::size_t image = piece.first / image_outputs;
      piece.last = std::min(pixels.last, (image + 1) * image_outputs);
      picture = convert_piece(piece, image, input, picture, next);
    }
    call.tile_count = static_cast<std::size_t>(next - tiles);
    const std::size_t column = strips.first * kStripOutputs;
    call.weights = weights_->memory.data() + strips.first * layout_.lines * kStripLineBytes;
    call.bias = bias_ == nullptr ? nullptr : bias_->data() + column;
    call.columns = std::min(outputs_, strips.last * kStripOutputs) - column;
    call.output = output + column;
    call.residual = residual == nullptr ? nullptr : residual + column;
    kernels_->run_windows(call);
    if (activate_ == nullptr) return;
    activate_rows(activate_, output + pixels.first * call_.output_stride + column, pixels.last - pixels.first,
                  call_.output_stride, call.columns);
  }

  // The part of a block that is of one image: its lines of the picture, and its tiles. Returns where the next ones go.
  std::byte* convert_piece(Range pixels, std::size_t image, const float* input, std::byte* picture,
                           WindowTile*& next) const noexcept {
    const std::size_t first_line = image * static_cast<std::size_t>(output_.h);
    const Range lines{pixels.first / line_outputs_ - first_line, parts_of(pixels.last, line_outputs_) - first_line};
    const std::size_t count = picture_lines(lines.last - lines.first);
    const auto top = static_cast<std::int64_t>(lines.first) * step_.stride.h - step_.padding.h;
    for (std::size_t i = 0; i < count; ++i) {
      const std::int64_t h = top + static_cast<std::int64_t>(i);
      std::byte* const to = picture + i * picture_line_bytes();
      if (h < 0 || h >= input_.h) {
        std::memset(to, 0, picture_line_bytes());
      } else {
        convert_line(input + (static_cast<std::int64_t>(image) * input_.h + h) * input_.w * input_.row_stride, to);
      }
    }
    const std::size_t line_step = static_cast<std::size_t>(step_.stride.h) * picture_line_bytes();
    for (std::size_t line = lines.first; line < lines.last; ++line) {
      const std::size_t line_pixel = (first_line + line) * line_outputs_;
      const std::size_t begin = std::max(pixels.first, line_pixel);
      // Positions up to the last output, of this line or of all that follow.
      std::size_t end = std::min(pixels.last, line_pixel + line_outputs_) - line_pixel;
      if (layout_.runs_on) {
        const std::size_t last_line = (first_line + lines.last - 1) * line_outputs_;
        end = (lines.last - 1 - line) * layout_.line_rows + (pixels.last - last_line);
      }
      const std::byte* const rows = picture + (line - lines.first) * line_step;
      // Tiles of a line that runs on may begin between two lines: the next output is then the next line's first.
      for (std::size_t at = begin - line_pixel; at < end; at += kWindowTileRows, ++next) {
        const std::size_t column = at % layout_.line_rows;
        next->rows = rows + at * pixel_step();
        next->output = line_pixel + at / layout_.line_rows * line_outputs_ + std::min(column, line_outputs_);
        next->column = column;
        next->count = std::min(kWindowTileRows, end - at);
      }
      if (layout_.runs_on) break;
    }
    return picture + count * picture_line_bytes();
  }

  void convert_line(const float* line, std::byte* to) const noexcept {
    const auto width = static_cast<std::int64_t>(layout_.picture_width);
    const std::int64_t before = std::min(step_.padding.w, width);
    const std::int64_t inside = std::min(input_.w, width - before);
    const std::size_t pixel = layout_.pixel_bytes;
    std::memset(to, 0, static_cast<std::size_t>(before) * pixel);
    to += static_cast<std::size_t>(before) * pixel;
    kernels_->convert({.input = line,
                       .input_stride = static_cast<std::size_t>(input_.row_stride),
                       .pixels = static_cast<std::size_t>(inside),
                       .channels = static_cast<std::size_t>(input_.c),
                       .output = to,
                       .output_pitch = pixel});
    std::memset(to + static_cast<std::size_t>(inside) * pixel, 0,
                static_cast<std::size_t>(width - before - inside) * pixel);
  }

  ConvStep step_;
  PlannedTensor input_;
  PlannedTensor output_;
  WindowLayout layout_;
  const NarrowKernels* kernels_ = nullptr;
  std::size_t outputs_ = 0;       // channels
  std::size_t line_outputs_ = 0;  // pixels of a line of the output
  std::size_t line_count_ = 0;    // of the output, counted through the batch
  std::size_t strips_ = 0;
  std::size_t block_lines_ = 0;
  std::size_t part_strips_ = 0;
  std::size_t parts_ = 0;
  std::size_t tile_bytes_ = 0;
  NarrowWindowCall call_;  // what all tasks have in common
  ElementKernel activate_ = nullptr;
  std::vector<std::size_t> line_offsets_;
  std::shared_ptr<const PackedArray> weights_;
  std::shared_ptr<const PackedArray> bias_;
};

}  // namespace

Result<std::unique_ptr<RowsOp>> make_narrow_window_op(const ConvStep& step, const OpContext& context) {
  std::unique_ptr<RowsOp> none;
  const NarrowProducts& products = *context.narrow;
  const PlannedTensor& input = context.tensor(step.input);
  const PlannedTensor& output = context.tensor(step.output);
  if (products.kernels == nullptr || products.kernels->run_windows == nullptr) return none;
  if (step.groups != 1 || output.elements() == 0 || input.elements() == 0) return none;
  const WindowLayout layout = WindowLayout::of(step, input, output, products.word_operands);
  const auto rows = static_cast<std::size_t>(output.rows());
  const auto outputs = static_cast<std::size_t>(output.c);
  WindowRows staged;
  if (!staged.init(step, input, output)) return no_memory_for(static_cast<std::uint64_t>(input.c) * 4, "zeros");
  const NarrowShape shape{rows, staged.segments(), staged.segments() * staged.segment_length(), 1, outputs};
  const std::size_t line = kLineWords * products.word_operands;
  const std::size_t positions = static_cast<std::size_t>(output.n * output.h) * layout.line_rows;
  const double cost = cost_of_products(round_up(positions, kWindowTileRows), layout.lines * line,
                                       panels_for(outputs, kStripOutputs) * kStripOutputs) /
                          products.speed +
                      kConversionCost * cost_of_products(static_cast<std::size_t>(input.rows()),
                                                         layout.pixel_bytes / 4 * products.word_operands, 1);
  if (cost >= std::min(cost_of_staged(products, shape), cost_of_widened(shape))) return none;
  auto op = std::make_unique<NarrowWindowOp>(step, input, output, layout);
  RUSHLIGHT_TRY(op->init(context, cost));
  return std::unique_ptr<RowsOp>(std::move(op));
}

}  // namespace rushlight::runtime::cpu
