// Line after line of the output: the lines of planes under its windows are transformed once, kept while windows reach
// them, and multiplied from there.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>

#include "base/fail.hpp"
#include "runtime/cpu/aligned_buffer.hpp"
#include "runtime/cpu/epilogue.hpp"
#include "runtime/cpu/line_filter.hpp"
#include "runtime/cpu/op.hpp"
#include "runtime/cpu/plain_weights.hpp"
#include "runtime/failure.hpp"

namespace rushlight::runtime::cpu {
namespace {

// Parts of the picture a thread: one that is held up leaves some to the others.
constexpr std::size_t kPartsOfAThread = 8;
// Both of two neighbours transform the lines that both read.
constexpr std::size_t kLeastPartLines = 8;
// Of the products of the direct way. Where more are left, for outputs that tiles have beyond a line's end, the sums
// around them take what is gained.
constexpr double kWorthIt = 0.8;

// The form for this layer, or null.
const LineForm* suitable_form(const ConvStep& step, const OpContext& context) noexcept {
  const PlannedTensor& output = context.tensor(step.output);
  if (output.elements() == 0) return nullptr;  // nothing to cut into parts
  if (output.h == 1) return nullptr;           // a signal: threads share lines, and there is one
  const std::size_t outputs = context.options.precision == Precision::fast ? 4 : 2;
  const auto width = static_cast<double>(output.w);
  for (const LineForm& form : kLineForms) {
    if (form.outputs != outputs || static_cast<std::int64_t>(form.taps) != step.kernel.w ||
        static_cast<std::int64_t>(form.stride) != step.stride.w || step.dilation != IntPair{1}) {
      continue;
    }
    const std::size_t tile = context.kernels.line_filters.groups * form.outputs;
    const auto tiles = parts_of(static_cast<std::size_t>(width), tile);
    const auto products =
        static_cast<double>(tiles * context.kernels.line_filters.groups) * static_cast<double>(form.positions);
    return products <= kWorthIt * width * static_cast<double>(form.taps) ? &form : nullptr;
  }
  return nullptr;
}

class LineFilterOp final : public RowsOp {
 public:
  LineFilterOp(const ConvStep& step, const LineForm& form, const OpContext& context)
      : step_(step),
        form_(form),
        kernels_(context.kernels.line_filters.*form.kernels),
        planes_(context.tensor(step.input)),
        channels_(static_cast<std::size_t>(planes_.c)),
        window_lines_(static_cast<std::size_t>(step.kernel.h)),
        out_height_(static_cast<std::size_t>(context.tensor(step.output).h)),
        out_width_(static_cast<std::size_t>(context.tensor(step.output).w)),
        outputs_(static_cast<std::size_t>(context.tensor(step.output).c)) {}

  // False where the weights are not usual ones.
  Result<bool> init(const OpContext& context) {
    const LineFilters& filters = context.kernels.line_filters;
    RUSHLIGHT_TRY_ASSIGN(weights_, context.packed(step_.weights, form_.packing, filters.width));
    if (!weights_->is_usual) return false;
    RUSHLIGHT_TRY_ASSIGN(bias_, context.packed(step_.bias, Packing::vector));
    RUSHLIGHT_TRY(plain_.init(step_, context));
    tile_pixels_ = filters.groups * form_.outputs;
    tiles_ = parts_of(out_width_, tile_pixels_);
    tile_floats_ = channels_ * form_.positions * filters.groups;
    channel_floats_ = form_.positions * filters.groups;
    zeros_ = AlignedBuffer::allocate(tiles_ * tile_floats_ * sizeof(float));
    if (zeros_.data() == nullptr) return no_memory_for(tiles_ * tile_floats_ * sizeof(float), "zeros");
    std::fill_n(zeros_.floats(), tiles_ * tile_floats_, 0.0F);

    // A line as transforms read it: zeros, columns of the picture, zeros.
    columns_ = tiles_ * tile_pixels_ * form_.stride + form_.taps - form_.stride;
    before_ = std::min(static_cast<std::size_t>(step_.padding.w), columns_);
    inside_ = std::min(columns_ - before_, static_cast<std::size_t>(planes_.w));
    destination_ = destination_of(step_.output, step_.epilogue, context.plan);
    activate_ = kernel_of(step_.epilogue.activation, context.kernels);

    const auto images = static_cast<std::size_t>(planes_.n);
    const std::size_t wanted = context.slots <= 1 ? 1 : parts_of(kPartsOfAThread * context.slots, images);
    part_lines_ = std::min(std::max(parts_of(out_height_, wanted), kLeastPartLines), out_height_);
    parts_ = parts_of(out_height_, part_lines_);
    task_count_ = images * parts_;
    scratch_bytes_ = static_cast<std::size_t>(lay_out(nullptr).second);
    operations_ = 2.0 * static_cast<double>(images * out_height_ * out_width_) *
                  static_cast<double>(plain_.window_floats() * outputs_);
    return true;
  }

  [[nodiscard]] std::string_view algorithm() const noexcept override { return form_.text; }

  void run(std::size_t task, float* const* tensors, std::byte* memory) const noexcept override {
    const std::size_t first_line = task / parts_ * out_height_;
    const Range part = part_range(task % parts_, out_height_, part_lines_);
    const TensorId residual = step_.epilogue.residual;
    run_rows({(first_line + part.first) * out_width_, (first_line + part.last) * out_width_}, tensors[step_.input],
             tensors[step_.output], residual == kNone ? nullptr : tensors[residual], memory);
  }

  void run_rows(Range rows, const float* input, float* output, const float* residual,
                std::byte* memory) const noexcept override {
    const Scratch scratch = lay_out(memory).first;
    const auto height = static_cast<std::size_t>(planes_.h);
    const std::size_t image_floats = channels_ * height * static_cast<std::size_t>(planes_.w);
    std::fill_n(scratch.columns, columns_, 0.0F);
    LineFilterCall call;
    static_cast<Destination&>(call) = destination_;
    call.lines = scratch.lines;
    call.line_count = window_lines_;
    call.channels = channels_;
    call.tile_count = tiles_;
    call.pixels = out_width_;
    call.weights = weights_->data();
    call.bias = bias_ == nullptr ? nullptr : bias_->data();
    call.columns = outputs_;
    call.odd = scratch.odd;
    std::int64_t next = 0;  // of the picture's lines to transform
    const std::size_t end_line = rows.last / out_width_;
    for (std::size_t line = rows.first / out_width_; line < end_line; ++line) {
      const std::size_t line_of_image = line % out_height_;
      if (line_of_image == 0) next = 0;
      const float* const image = input + line / out_height_ * image_floats;
      const std::int64_t top = static_cast<std::int64_t>(line_of_image) * step_.stride.h - step_.padding.h;
      const std::int64_t end = std::min(top + step_.kernel.h, planes_.h);
      for (next = std::max(next, top); next < end; ++next) transform(image, next, scratch);
      std::fill_n(scratch.odd, tiles_, false);
      for (std::size_t i = 0; i < window_lines_; ++i) {
        const std::int64_t at = top + static_cast<std::int64_t>(i);
        const bool is_inside = at >= 0 && at < planes_.h;
        scratch.lines[i] = is_inside ? scratch.transformed + slot_of(at) * tiles_ * tile_floats_ : zeros_.floats();
        if (!is_inside) continue;
        for (std::size_t t = 0; t < tiles_; ++t) scratch.odd[t] |= scratch.odd_lines[slot_of(at) * tiles_ + t];
      }
      const std::size_t pixel = line * out_width_;
      call.output = output + pixel * call.output_stride;
      call.residual = residual == nullptr ? nullptr : residual + pixel * call.residual_stride;
      kernels_.run(call);
      for (std::size_t t = 0; t < tiles_; ++t) {
        if (scratch.odd[t]) compute_plainly(image, top, t, call, scratch);
      }
      if (activate_ != nullptr) activate_rows(activate_, call.output, out_width_, call.output_stride, outputs_);
    }
  }

 private:
  struct Scratch {
    float* transformed;   // [slot][tile][channel][position][group]
    float* columns;       // of one line
    float* window;        // [channel][line][tap]
    const float** lines;  // under a window
    bool* odd_lines;      // [slot][tile]
    bool* odd;            // tiles of the output's line
  };
  // Where the arrays lie from `memory` on, and how many bytes they take.
  [[nodiscard]] std::pair<Scratch, std::uintptr_t> lay_out(std::byte* memory) const noexcept {
    std::uintptr_t used = 0;
    const auto take = [&](std::size_t bytes) {
      const std::uintptr_t at = used;
      used += round_up(bytes, kCacheLine);
      return reinterpret_cast<std::uintptr_t>(memory) + at;
    };
    Scratch scratch;
    scratch.transformed = reinterpret_cast<float*>(take(window_lines_ * tiles_ * tile_floats_ * sizeof(float)));
    scratch.columns = reinterpret_cast<float*>(take(columns_ * sizeof(float)));
    scratch.window = reinterpret_cast<float*>(take(plain_.window_floats() * sizeof(float)));
    scratch.lines = reinterpret_cast<const float**>(take(window_lines_ * sizeof(float*)));
    scratch.odd_lines = reinterpret_cast<bool*>(take(window_lines_ * tiles_));
    scratch.odd = reinterpret_cast<bool*>(take(tiles_));
    return {scratch, used};
  }

  // Lines that one window reaches have slots of their own.
  [[nodiscard]] std::size_t slot_of(std::int64_t line) const noexcept {
    return static_cast<std::size_t>(line) % window_lines_;
  }

  void transform(const float* input, std::int64_t line, const Scratch& scratch) const noexcept {
    const std::size_t slot = slot_of(line);
    const auto width = static_cast<std::size_t>(planes_.w);
    LineTransformCall call;
    call.input = scratch.columns;
    call.tile_count = tiles_;
    call.channels = channels_;
    call.output = scratch.transformed + slot * tiles_ * tile_floats_;
    call.odd = scratch.odd_lines + slot * tiles_;
    std::fill_n(call.odd, tiles_, false);
    for (std::size_t c = 0; c < channels_; ++c, call.output += channel_floats_) {
      const std::size_t at = (c * static_cast<std::size_t>(planes_.h) + static_cast<std::size_t>(line)) * width;
      std::copy_n(input + at, inside_, scratch.columns + before_);
      kernels_.transform(call);
    }
  }

  // A tile with infinities, NaN or enormous values in its input.
  void compute_plainly(const float* input, std::int64_t top, std::size_t tile, const LineFilterCall& line,
                       const Scratch& scratch) const noexcept {
    const std::size_t end = std::min(out_width_, (tile + 1) * tile_pixels_);
    for (std::size_t pixel = tile * tile_pixels_; pixel < end; ++pixel) {
      float* to = scratch.window;
      for (std::size_t c = 0; c < channels_; ++c) {
        for (std::int64_t h = top; h < top + step_.kernel.h; ++h) {
          std::int64_t w = static_cast<std::int64_t>(pixel) * step_.stride.w - step_.padding.w;
          for (std::int64_t tap = 0; tap < step_.kernel.w; ++tap, ++w) {
            const bool is_inside = h >= 0 && h < planes_.h && w >= 0 && w < planes_.w;
            *to++ = is_inside ? input[(static_cast<std::int64_t>(c) * planes_.h + h) * planes_.w + w] : 0.0F;
          }
        }
      }
      Destination at = line;
      at.output += pixel * at.output_stride;
      if (at.residual != nullptr) at.residual += pixel * at.residual_stride;
      plain_.compute(scratch.window, {0, outputs_}, line.bias, at);
    }
  }

  ConvStep step_;
  const LineForm& form_;
  LineKernels kernels_;
  PlannedTensor planes_;
  std::size_t channels_;
  std::size_t window_lines_;
  std::size_t out_height_;
  std::size_t out_width_;
  std::size_t outputs_;
  std::size_t tile_pixels_ = 0;
  std::size_t tiles_ = 0;           // of a line
  std::size_t tile_floats_ = 0;     // of a transformed line
  std::size_t channel_floats_ = 0;  // of a tile
  std::size_t columns_ = 0;         // of a line, with `before_` zeros and then `inside_` ones of the picture
  std::size_t before_ = 0;
  std::size_t inside_ = 0;
  std::size_t part_lines_ = 1;  // of the output, a task
  std::size_t parts_ = 0;       // of one image
  Destination destination_;
  ElementKernel activate_ = nullptr;
  std::shared_ptr<const PackedArray> weights_;
  std::shared_ptr<const PackedArray> bias_;
  PlainWeights plain_;
  AlignedBuffer zeros_;
};

}  // namespace

Result<std::unique_ptr<RowsOp>> make_line_filter_op(const ConvStep& step, const OpContext& context) {
  // Weights of any other way are larger than those of the direct one; and narrow numbers multiply as fast.
  if (context.options.low_memory || context.narrow != nullptr) return std::unique_ptr<RowsOp>();
  const PlannedTensor& input = context.tensor(step.input);
  if (!input.is_planar && !(input.c == 1 && input.is_dense())) return std::unique_ptr<RowsOp>();
  const LineForm* const form = suitable_form(step, context);
  if (form == nullptr) return std::unique_ptr<RowsOp>();
  auto op = std::make_unique<LineFilterOp>(step, *form, context);
  RUSHLIGHT_TRY_ASSIGN(const bool is_usual, op->init(context));
  if (!is_usual) return std::unique_ptr<RowsOp>();
  return std::unique_ptr<RowsOp>(std::move(op));
}

}  // namespace rushlight::runtime::cpu
