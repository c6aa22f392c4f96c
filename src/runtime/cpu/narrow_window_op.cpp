// Convolutions whose windows are read where they lie (window_picture.hpp): each block of output lines converts the
// lines of the picture that it needs once, with their border. Nine taps would otherwise convert and copy each pixel
// nine times.
#include <algorithm>
#include <cstring>
#include <utility>

#include "base/fail.hpp"
#include "runtime/cpu/aligned_buffer.hpp"
#include "runtime/cpu/epilogue.hpp"
#include "runtime/cpu/narrow_choice.hpp"
#include "runtime/cpu/narrow_op.hpp"
#include "runtime/cpu/window_picture.hpp"
#include "runtime/failure.hpp"

namespace rushlight::runtime::cpu {
namespace {

// Tasks end where kernels begin anew.
constexpr std::size_t kWindowStripsAtOnce = 4;
// Outputs of a block, where several threads want one.
constexpr std::size_t kEnoughRows = 96;

class NarrowWindowOp final : public RowsOp {
 public:
  NarrowWindowOp(const ConvStep& step, const PlannedTensor& input, const PlannedTensor& output, WindowPicture picture)
      : step_(step), input_(input), output_(output), picture_(std::move(picture)) {}

  Status init(const OpContext& context, double cost) {
    const NarrowProducts& products = *context.narrow;
    kernels_ = products.kernels;
    outputs_ = static_cast<std::size_t>(output_.c);
    line_count_ = static_cast<std::size_t>(output_.n * output_.h);
    strips_ = panels_for(outputs_, kStripOutputs);
    RUSHLIGHT_TRY_ASSIGN(
        weights_, context.weights.get(picture_.form_of_weights(context.plan.constants[step_.weights], products.packing),
                                      context.network));
    RUSHLIGHT_TRY_ASSIGN(bias_, context.packed(step_.bias, Packing::vector, kStripOutputs));
    activate_ = kernel_of(step_.epilogue.activation, context.kernels);
    static_cast<Destination&>(call_) = destination_of(step_.output, step_.epilogue, context.plan);
    streams_ = !output_.is_bf16 && passes_the_caches(output_, step_.epilogue, activate_);
    call_.stores_bf16 = output_.is_bf16;
    picture_.describe(call_);
    cut_tasks(context.slots);
    operations_ = 2 * cost;
    return {};
  }

  [[nodiscard]] std::string_view algorithm() const noexcept override { return "bf16, amx, in place"; }

  void run(std::size_t task, float* const* tensors, std::byte* scratch) const noexcept override {
    const std::size_t width = picture_.line_outputs();
    const Range lines = part_range(task / parts_, line_count_, block_lines_);
    const TensorId residual = step_.epilogue.residual;
    run_block({lines.first * width, lines.last * width}, part_range(task % parts_, strips_, part_strips_),
              tensors[step_.input], tensors[step_.output], residual == kNone ? nullptr : tensors[residual], streams_,
              scratch);
  }
  void run_rows(Range rows, const float* input, float* output, const float* residual,
                std::byte* scratch) const noexcept override {
    const std::size_t width = picture_.line_outputs();
    while (rows.first < rows.last) {
      const std::size_t end = (rows.first / width + block_lines_) * width;
      run_block({rows.first, std::min(rows.last, end)}, {0, strips_}, input, output, residual, false, scratch);
      rows.first = end;
    }
  }

 private:
  // Converted lines stay in half of L2 while weights pass through the other.
  void cut_tasks(std::size_t slots) noexcept {
    const auto height = static_cast<std::size_t>(output_.h);
    const auto stride = static_cast<std::size_t>(step_.stride.h);
    const std::size_t fitting = l2_cache_bytes() / 2 / picture_.line_bytes();
    const std::size_t of_image = picture_.lines_for(height);
    std::size_t most_lines = height * (fitting / of_image);
    if (of_image > fitting)
      most_lines = fitting > picture_.lines_for(1) ? (fitting - picture_.lines_for(1)) / stride : 1;
    most_lines = std::max<std::size_t>(1, most_lines);
    const std::size_t wanted = slots <= 1 ? 1 : 2 * slots;
    const std::size_t fewest = parts_of(line_count_, most_lines);
    const std::size_t enough = parts_of(line_count_ * picture_.line_outputs(), kEnoughRows);
    block_lines_ = parts_of(line_count_, std::max(fewest, std::min(wanted, enough)));
    const std::size_t blocks = parts_of(line_count_, block_lines_);
    part_strips_ = round_up(parts_of(strips_, parts_of(wanted, blocks)), kWindowStripsAtOnce);
    parts_ = parts_of(strips_, part_strips_);
    task_count_ = blocks * parts_;

    // A block may begin and end inside of an image.
    const std::size_t images = block_lines_ / height + 2;
    tile_bytes_ = round_up(picture_.most_tiles(block_lines_, images) * sizeof(WindowTile), kCacheLine);
    const std::size_t lines = block_lines_ * stride + images * picture_.lines_for(1);
    scratch_bytes_ = tile_bytes_ + lines * picture_.line_bytes() + picture_.overrun_bytes();
  }

  // Pixels of the output, counted through the batch.
  void run_block(Range pixels, Range strips, const float* input, float* output, const float* residual, bool streams,
                 std::byte* scratch) const noexcept {
    auto* const tiles = reinterpret_cast<WindowTile*>(scratch);
    std::byte* picture = scratch + tile_bytes_;
    WindowTile* end = tiles;
    for (Range piece = pixels; piece.first < pixels.last; piece.first = piece.last) {
      const std::size_t image = piece.first / picture_.image_outputs();
      piece.last = std::min(pixels.last, (image + 1) * picture_.image_outputs());
      end = picture_.place_tiles(piece, picture, end);
      picture = convert(piece, image, input, picture);
    }
    const std::size_t column = strips.first * kStripOutputs;
    NarrowWindowCall call = call_;
    call.tiles = tiles;
    call.tile_count = static_cast<std::size_t>(end - tiles);
    call.weights = weights_->memory.data() + strips.first * call.lines * kStripLineBytes;
    call.bias = bias_ == nullptr ? nullptr : bias_->data() + column;
    call.columns = std::min(outputs_, strips.last * kStripOutputs) - column;
    call.output = output + (output_.is_bf16 ? column / 2 : column);
    call.residual = residual == nullptr ? nullptr : residual + column;
    call.streams = streams;
    kernels_->run_windows(call);
    if (activate_ == nullptr) return;
    activate_rows(activate_, output + pixels.first * call_.output_stride + column, pixels.last - pixels.first,
                  call_.output_stride, call.columns);
  }

  // The lines that pixels of one image read. Returns their end.
  std::byte* convert(Range pixels, std::size_t image, const float* input, std::byte* to) const noexcept {
    const std::size_t before = image * static_cast<std::size_t>(output_.h);  // lines of the output
    const std::size_t first = pixels.first / picture_.line_outputs() - before;
    const std::size_t last = (pixels.last - 1) / picture_.line_outputs() - before;
    const std::size_t count = picture_.lines_for(last - first + 1);
    for (std::size_t i = 0; i < count; ++i, to += picture_.line_bytes()) {
      const std::int64_t h = picture_.first_line(first) + static_cast<std::int64_t>(i);
      if (h < 0 || h >= input_.h) {
        std::memset(to, 0, picture_.line_bytes());
      } else {
        convert_line(input + (static_cast<std::int64_t>(image) * input_.h + h) * input_.w * input_.row_stride, to);
      }
    }
    return to;
  }

  void convert_line(const float* line, std::byte* to) const noexcept {
    const WindowPicture::Columns columns = picture_.columns();
    const std::size_t pixel = picture_.pixel_bytes();
    std::memset(to, 0, columns.before * pixel);
    to += columns.before * pixel;
    if (input_.is_bf16) {
      copy_pixels(line, columns.inside, to);
    } else {
      kernels_->convert({.input = line,
                         .input_stride = static_cast<std::size_t>(input_.row_stride),
                         .pixels = columns.inside,
                         .channels = static_cast<std::size_t>(input_.c),
                         .output = to,
                         .output_pitch = pixel});
    }
    std::memset(to + columns.inside * pixel, 0, columns.after * pixel);
  }

  // Of bfloat16, with zeros up to whole lines behind each.
  void copy_pixels(const float* from, std::size_t count, std::byte* to) const noexcept {
    const std::size_t pixel = picture_.pixel_bytes();
    const auto stride = static_cast<std::size_t>(input_.row_stride);
    const std::size_t bytes = stride * sizeof(float);
    if (bytes == pixel) {
      std::memcpy(to, from, count * pixel);
      return;
    }
    for (std::size_t i = 0; i < count; ++i, from += stride, to += pixel) {
      std::memcpy(to, from, bytes);
      std::memset(to + bytes, 0, pixel - bytes);
    }
  }

  ConvStep step_;
  PlannedTensor input_;
  PlannedTensor output_;
  WindowPicture picture_;
  const NarrowKernels* kernels_ = nullptr;
  std::size_t outputs_ = 0;     // channels
  std::size_t line_count_ = 0;  // of the output, counted through the batch
  std::size_t strips_ = 0;
  std::size_t block_lines_ = 0;
  std::size_t part_strips_ = 0;
  std::size_t parts_ = 0;
  std::size_t tile_bytes_ = 0;
  NarrowWindowCall call_;  // what all tasks have in common
  bool streams_ = false;   // of whole steps; what a stripe hands on is read at once
  ElementKernel activate_ = nullptr;
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
  WindowPicture picture(step, input, output, products.word_operands);
  // Counted as of floats, whatever the input is: so the choice, and with it the order of sums, is the same.
  PlannedTensor floats = input;
  floats.is_bf16 = false;
  if (input.is_bf16) floats.row_stride = floats.c;
  WindowRows staged;
  if (!staged.init(step, floats, output)) return no_memory_for(static_cast<std::uint64_t>(input.c) * 4, "zeros");
  const auto outputs = static_cast<std::size_t>(output.c);
  const NarrowShape shape{static_cast<std::size_t>(output.rows()), staged.segments(),
                          staged.segments() * staged.segment_length(), 1, outputs};
  const double cost =
      cost_of_products(picture.positions(), picture.operand_lines() * kLineWords * products.word_operands,
                       panels_for(outputs, kStripOutputs) * kStripOutputs) /
          products.speed +
      kConversionCost * cost_of_products(static_cast<std::size_t>(input.rows()),
                                         picture.pixel_bytes() / 4 * products.word_operands, 1);
  const bool may_widen = !input.is_bf16 && !output.is_bf16;
  const double staged_cost = cost_of_staged(products, shape);
  if (cost >= (may_widen ? std::min(staged_cost, cost_of_widened(shape)) : staged_cost)) return none;
  auto op = std::make_unique<NarrowWindowOp>(step, input, output, std::move(picture));
  RUSHLIGHT_TRY(op->init(context, cost));
  return std::unique_ptr<RowsOp>(std::move(op));
}

}  // namespace rushlight::runtime::cpu
