// Depthwise convolutions.
#include <algorithm>
#include <cstdint>
#include <iterator>
#include <memory>
#include <utility>

#include "base/fail.hpp"
#include "runtime/cpu/aligned_buffer.hpp"
#include "runtime/cpu/epilogue.hpp"
#include "runtime/cpu/op.hpp"
#include "runtime/cpu/window_rows.hpp"
#include "runtime/failure.hpp"

namespace rushlight::runtime::cpu {
namespace {

constexpr std::size_t kBlockPixels = 96;
// Pointers of one block stay within a part of L1.
constexpr std::size_t kBlockPointers = 4096;

// Any window, by pointers to its taps.
class DepthwiseOp final : public RowsOp {
 public:
  explicit DepthwiseOp(WindowRows rows) : rows_(std::move(rows)) {}

  Status init(const ConvStep& step, const OpContext& context) {
    const PlannedTensor& output = context.tensor(step.output);
    input_ = step.input;
    output_ = step.output;
    residual_ = step.epilogue.residual;
    row_count_ = static_cast<std::size_t>(output.rows());
    RUSHLIGHT_TRY_ASSIGN(weights_, context.packed(step.weights, Packing::depthwise));
    RUSHLIGHT_TRY_ASSIGN(bias_, context.packed(step.bias, Packing::vector));
    call_.taps = rows_.segments();
    call_.channels = static_cast<std::size_t>(output.c);
    call_.weights = weights_->data();
    call_.weight_stride = parts_of(call_.channels, kPanelPadding) * kPanelPadding;
    call_.bias = bias_ == nullptr ? nullptr : bias_->data();
    static_cast<Destination&>(call_) = destination_of(step.output, step.epilogue, context.plan);
    activate_ = kernel_of(step.epilogue.activation, context.kernels);
    kernel_ = context.kernels.depthwise;
    block_rows_ = std::clamp<std::size_t>(kBlockPointers / rows_.segments(), 8, kBlockPixels);
    task_count_ = parts_of(row_count_, block_rows_);
    scratch_bytes_ = rows_.scratch_bytes(block_rows_);
    operations_ = 4.0 * static_cast<double>(row_count_) * static_cast<double>(call_.taps * call_.channels);
    return {};
  }

  void run(std::size_t task, float* const* tensors, std::byte* scratch) const noexcept override {
    run_block(part_range(task, row_count_, block_rows_), tensors[input_], tensors[output_],
              residual_ == kNone ? nullptr : tensors[residual_], scratch);
  }
  void run_rows(Range rows, const float* input, float* output, const float* residual,
                std::byte* scratch) const noexcept override {
    for (std::size_t first = rows.first; first < rows.last; first += block_rows_) {
      run_block({first, std::min(rows.last, first + block_rows_)}, input, output, residual, scratch);
    }
  }

 private:
  void run_block(Range rows, const float* input, float* output, const float* residual,
                 std::byte* scratch) const noexcept {
    DepthwiseCall call = call_;
    call.row_count = call.row_pitch = rows.last - rows.first;
    call.rows = rows_.fill(input, rows.first, call.row_count, scratch);
    call.output = output + rows.first * call.output_stride;
    if (residual != nullptr) call.residual = residual + rows.first * call.residual_stride;
    kernel_(call);
    if (activate_ == nullptr) return;
    activate_rows(activate_, call.output, call.row_count, call.output_stride, call.channels);
  }

  WindowRows rows_;
  void (*kernel_)(const DepthwiseCall&) = nullptr;
  ElementKernel activate_ = nullptr;
  TensorId input_ = kNone;
  TensorId output_ = kNone;
  TensorId residual_ = kNone;
  std::size_t row_count_ = 0;
  std::size_t block_rows_ = 0;
  DepthwiseCall call_;
  std::shared_ptr<const PackedArray> weights_;
  std::shared_ptr<const PackedArray> bias_;
};

// Windows whose columns are neighbours, line by line.
class DepthwiseLineOp final : public RowsOp {
 public:
  // The kernel for such a window, or null.
  static auto kernel_for(const ConvStep& step, const Kernels& kernels) -> void (*)(const DepthwiseLineCall&) {
    const std::int64_t columns = step.kernel.w;
    const bool fits = (columns == 3 || columns == 5 || columns == 7) && (step.stride.w == 1 || step.stride.w == 2) &&
                      step.dilation.w == 1 && step.kernel.h <= static_cast<std::int64_t>(kDepthwiseLines);
    if (!fits) return nullptr;
    return kernels
        .depthwise_line[static_cast<std::size_t>(columns - 3) / 2][static_cast<std::size_t>(step.stride.w - 1)];
  }

  Status init(const ConvStep& step, const OpContext& context) {
    const PlannedTensor& input = context.tensor(step.input);
    const PlannedTensor& output = context.tensor(step.output);
    step_ = step;
    kernel_ = kernel_for(step, context.kernels);
    RUSHLIGHT_TRY_ASSIGN(weights_, context.packed(step.weights, Packing::depthwise));
    RUSHLIGHT_TRY_ASSIGN(bias_, context.packed(step.bias, Packing::vector));
    height_ = input.h;
    out_height_ = static_cast<std::size_t>(output.h);
    out_width_ = static_cast<std::size_t>(output.w);
    pixels_ = static_cast<std::size_t>(output.rows());
    zeros_ = AlignedBuffer::allocate(static_cast<std::size_t>(input.c) * sizeof(float));
    if (zeros_.data() == nullptr) return no_memory_for(static_cast<std::uint64_t>(input.c) * sizeof(float), "zeros");
    std::fill_n(zeros_.floats(), input.c, 0.0F);
    call_.zeros = zeros_.floats();
    call_.line_count = static_cast<std::size_t>(step.kernel.h);
    call_.width = input.w;
    call_.column_stride = input.row_stride;
    call_.channels = static_cast<std::size_t>(output.c);
    call_.weights = weights_->data();
    call_.weight_stride = parts_of(call_.channels, kPanelPadding) * kPanelPadding;
    call_.bias = bias_ == nullptr ? nullptr : bias_->data();
    static_cast<Destination&>(call_) = destination_of(step.output, step.epilogue, context.plan);
    activate_ = kernel_of(step.epilogue.activation, context.kernels);
    const std::size_t lines = parts_of(kBlockPixels, std::max<std::size_t>(1, out_width_));
    block_pixels_ = std::max<std::size_t>(1, lines * out_width_);
    task_count_ = parts_of(pixels_, block_pixels_);
    const double taps = static_cast<double>(step.kernel.h * step.kernel.w);
    operations_ = 3.0 * taps * static_cast<double>(pixels_) * static_cast<double>(call_.channels);
    return {};
  }

  void run(std::size_t task, float* const* tensors, std::byte* scratch) const noexcept override {
    const TensorId residual = step_.epilogue.residual;
    run_rows(part_range(task, pixels_, block_pixels_), tensors[step_.input], tensors[step_.output],
             residual == kNone ? nullptr : tensors[residual], scratch);
  }
  void run_rows(Range rows, const float* input, float* output, const float* residual,
                std::byte*) const noexcept override {
    const float* lines[kDepthwiseLines];
    DepthwiseLineCall call = call_;
    call.lines = lines;
    for (std::size_t pixel = rows.first; pixel < rows.last; pixel += call.outputs) {
      const std::size_t column = pixel % out_width_;
      const std::size_t line = pixel / out_width_ % out_height_;
      const auto image = static_cast<std::int64_t>(pixel / out_width_ / out_height_);
      for (std::size_t h = 0; h < call.line_count; ++h) {
        const std::int64_t from = static_cast<std::int64_t>(line) * step_.stride.h - step_.padding.h +
                                  static_cast<std::int64_t>(h) * step_.dilation.h;
        const bool inside = from >= 0 && from < height_;
        lines[h] = inside ? input + (image * height_ + from) * call.width * call.column_stride : nullptr;
      }
      call.outputs = std::min(out_width_ - column, rows.last - pixel);
      call.first_column = static_cast<std::int64_t>(column) * step_.stride.w - step_.padding.w;
      call.output = output + pixel * call.output_stride;
      if (residual != nullptr) call.residual = residual + pixel * call.residual_stride;
      kernel_(call);
      if (activate_ != nullptr) {
        activate_rows(activate_, call.output, call.outputs, call.output_stride, call.channels);
      }
    }
  }

 private:
  ConvStep step_;
  void (*kernel_)(const DepthwiseLineCall&) = nullptr;
  ElementKernel activate_ = nullptr;
  std::int64_t height_ = 0;
  std::size_t out_height_ = 0, out_width_ = 0;
  std::size_t pixels_ = 0;
  std::size_t block_pixels_ = 1;
  DepthwiseLineCall call_;
  AlignedBuffer zeros_;
  std::shared_ptr<const PackedArray> weights_;
  std::shared_ptr<const PackedArray> bias_;
};

}  // namespace

Result<std::unique_ptr<RowsOp>> make_depthwise_op(const ConvStep& step, const OpContext& context) {
  if (DepthwiseLineOp::kernel_for(step, context.kernels) != nullptr) {
    auto op = std::make_unique<DepthwiseLineOp>();
    RUSHLIGHT_TRY(op->init(step, context));
    return std::unique_ptr<RowsOp>(std::move(op));
  }
  WindowRows rows;
  if (!rows.init(step, context.tensor(step.input), context.tensor(step.output))) {
    return no_memory_for(static_cast<std::uint64_t>(context.tensor(step.input).c) * 4, "zeros");
  }
  auto op = std::make_unique<DepthwiseOp>(std::move(rows));
  RUSHLIGHT_TRY(op->init(step, context));
  return std::unique_ptr<RowsOp>(std::move(op));
}

}  // namespace rushlight::runtime::cpu
