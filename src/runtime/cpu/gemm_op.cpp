// Convolutions, 1x1 convolutions and Linear: blocks of rows times panels of weights.
#include <algorithm>
#include <memory>
#include <utility>

#include "base/fail.hpp"
#include "runtime/cpu/adjacent_rows.hpp"
#include "runtime/cpu/conv_choice.hpp"
#include "runtime/cpu/epilogue.hpp"
#include "runtime/cpu/gemm_choice.hpp"
#include "runtime/cpu/line_filter.hpp"
#include "runtime/cpu/narrow_op.hpp"
#include "runtime/cpu/op.hpp"
#include "runtime/cpu/window_rows.hpp"
#include "runtime/cpu/winograd.hpp"
#include "runtime/failure.hpp"

namespace rushlight::runtime::cpu {
namespace {

// With fewer of them the weights of a panel are read for too little.
constexpr std::size_t kLeastBlockRows = 24;
// One row waits for its weights, which come faster in several streams.
constexpr std::size_t kLeastPanelsOfOneRow = 6;

template <class Rows>
class GemmOp final : public RowsOp {
 public:
  explicit GemmOp(Rows rows) : rows_(std::move(rows)) {}

  // `step` is a ConvStep or a LinearStep.
  template <class Step>
  Status init(const Step& step, std::size_t groups, const OpContext& context) {
    const PlannedTensor& output = context.tensor(step.output);
    input_ = step.input;
    output_ = step.output;
    residual_ = step.epilogue.residual;
    groups_ = groups;
    row_count_ = static_cast<std::size_t>(output.rows());
    outputs_ = static_cast<std::size_t>(output.c) / groups;
    depth_ = rows_.segments() * rows_.segment_length();
    const GemmChoice<GemmKernel> choice = choose_gemm(context.kernels, outputs_, groups == 1);
    kernel_ = choice.kernel;
    last_kernel_ = choice.last;
    panels_ = panels_for(outputs_, kernel_.width);
    const std::size_t last_width = last_kernel_.width == kernel_.width ? 0 : last_kernel_.width;
    RUSHLIGHT_TRY_ASSIGN(weights_, context.packed(step.weights, Packing::panels, kernel_.width, groups, last_width));
    RUSHLIGHT_TRY_ASSIGN(bias_, context.packed(step.bias, Packing::vector, kernel_.width, groups));

    call_.segments = rows_.segments();
    call_.segment_length = rows_.segment_length();
    call_.chain = gemm_chain(context.options.precision);
    call_.skips_zeros = weights_->is_usual;
    static_cast<Destination&>(call_) = destination_of(step.output, step.epilogue, context.plan);
    activate_ = kernel_of(step.epilogue.activation, context.kernels);

    operations_ =
        2.0 * static_cast<double>(row_count_) * static_cast<double>(depth_) * static_cast<double>(groups_ * outputs_);

    cut_tasks(context.slots);
    return {};
  }

  void prepare(std::size_t block, float* const* tensors, std::byte* scratch) const noexcept override {
    const Range rows = block_of({0, row_count_}, block, blocks_);
    rows_.fill(tensors[input_], rows.first, rows.last - rows.first, scratch);
  }
  void run(std::size_t task, float* const* tensors, std::byte* scratch) const noexcept override {
    run_block(block_of({0, row_count_}, task / parts_, blocks_), even_part(task % parts_, groups_ * panels_, parts_),
              tensors[output_], residual_ == kNone ? nullptr : tensors[residual_],
              reinterpret_cast<const float* const*>(scratch));
  }
  void run_rows(Range rows, const float* input, float* output, const float* residual,
                std::byte* scratch) const noexcept override {
    const std::size_t blocks = parts_of(rows.last - rows.first, block_rows_);
    for (std::size_t i = 0; i < blocks; ++i) {
      const Range block = block_of(rows, i, blocks);
      run_block(block, {0, groups_ * panels_}, output, residual,
                rows_.fill(input, block.first, block.last - block.first, scratch));
    }
  }

 private:
  // Blocks of about equal size: a small one at the end would read all weights again for a few rows. Where there are
  // several, as many for each thread: what it writes it reads again in the next step.
  void cut_tasks(std::size_t slots) noexcept {
    const std::size_t most = std::clamp<std::size_t>(kBlockPointers / rows_.segments() / 8 * 8, 8, kBlockRows);
    block_rows_ = std::max<std::size_t>(1, most / kernel_.rows) * kernel_.rows;
    blocks_ = parts_of(row_count_, block_rows_);
    if (blocks_ > 1) {
      const std::size_t even = parts_of(blocks_, slots) * slots;
      if (row_count_ / even >= kLeastBlockRows) blocks_ = even;
    }
    const std::size_t all_panels = groups_ * panels_;
    const std::size_t wanted = slots <= 1 ? kEnoughTasks : wanted_tasks(slots);
    parts_ = std::clamp<std::size_t>(blocks_ == 0 ? 1 : parts_of(wanted, blocks_), 1, all_panels);
    if (row_count_ == 1) {
      // Threads are streams too, where there are several.
      const std::size_t threads = std::min(slots, useful_slots());
      const std::size_t fewest = parts_of(all_panels, kLeastPanelsOfOneRow);
      parts_ = std::min(parts_, std::min(parts_of(fewest, threads) * threads, all_panels));
    }
    block_tasks_ = parts_;
    task_count_ = blocks_ * parts_;
    scratch_bytes_ = rows_.scratch_bytes(block_rows_);
  }
  // Block `index` of so many, in whole tiles but for the last.
  [[nodiscard]] Range block_of(Range rows, std::size_t index, std::size_t blocks) const noexcept {
    const Range tiles = even_part(index, parts_of(rows.last - rows.first, kernel_.rows), blocks);
    return {rows.first + tiles.first * kernel_.rows, std::min(rows.last, rows.first + tiles.last * kernel_.rows)};
  }

  // `pointers` are what rows_.fill() makes.
  void run_block(Range rows, Range panels, float* output, const float* residual,
                 const float* const* pointers) const noexcept {
    GemmCall call = call_;
    call.row_count = call.row_pitch = rows.last - rows.first;
    call.rows = pointers;
    output += rows.first * call.output_stride;
    if (residual != nullptr) residual += rows.first * call.residual_stride;
    for (std::size_t next = panels.first; next < panels.last;) {
      const std::size_t group = next / panels_;
      const std::size_t panel = next % panels_;
      const std::size_t column = group * outputs_ + panel * kernel_.width;
      call.row_shift = group * call.segment_length;
      // The last panel may have a kernel of its own.
      const std::size_t alike = last_kernel_.width == kernel_.width ? panels_ : panels_ - 1;
      const bool is_last = panel == alike;
      call.panel_count = is_last ? 1 : std::min(alike - panel, panels.last - next);
      call.columns = std::min(outputs_ - panel * kernel_.width, call.panel_count * kernel_.width);
      call.weights = weights_->data() + next * depth_ * kernel_.width;
      call.bias = bias_ == nullptr ? nullptr : bias_->data() + next * kernel_.width;
      call.output = output + column;
      call.residual = residual == nullptr ? nullptr : residual + column;
      (is_last ? last_kernel_ : kernel_).run(call);
      next += call.panel_count;
    }
    if (activate_ == nullptr) return;
    const auto column_of = [&](std::size_t panel) {
      return panel / panels_ * outputs_ + std::min(panel % panels_ * kernel_.width, outputs_);
    };
    const std::size_t first = column_of(panels.first);
    const std::size_t count = column_of(panels.last) - first;
    activate_rows(activate_, output + first, call.row_count, call.output_stride, count);
  }

  Rows rows_;
  TensorId input_ = kNone;
  TensorId output_ = kNone;
  TensorId residual_ = kNone;
  std::size_t groups_ = 1;
  std::size_t row_count_ = 0;
  std::size_t outputs_ = 0;  // of one group
  std::size_t depth_ = 0;    // products a output
  GemmKernel kernel_;
  GemmKernel last_kernel_;
  std::size_t panels_ = 0;      // of one group
  std::size_t block_rows_ = 0;  // at most
  std::size_t blocks_ = 0;
  std::size_t parts_ = 0;  // of a block's panels
  GemmCall call_;          // what all tasks have in common
  ElementKernel activate_ = nullptr;
  std::shared_ptr<const PackedArray> weights_;
  std::shared_ptr<const PackedArray> bias_;
};

using MadeRowsOp = Result<std::unique_ptr<RowsOp>>;

template <class Rows, class Step>
MadeRowsOp make_gemm(Rows rows, const Step& step, std::size_t groups, const OpContext& context) {
  if (context.narrow != nullptr) return make_narrow_op(std::move(rows), step, context);
  auto op = std::make_unique<GemmOp<Rows>>(std::move(rows));
  RUSHLIGHT_TRY(op->init(step, groups, context));
  return std::unique_ptr<RowsOp>(std::move(op));
}

}  // namespace

MadeOp make_op(const ConvStep& step, const OpContext& context) {
  RUSHLIGHT_TRY_ASSIGN(std::unique_ptr<Op> lines, make_line_filter_op(step, context));
  if (lines != nullptr) return lines;
  const ConvAlgorithm algorithm = choose_conv_algorithm(step, context);
  if (algorithm != ConvAlgorithm::direct) {
    RUSHLIGHT_TRY_ASSIGN(std::unique_ptr<Op> op, make_winograd_op(step, algorithm, context));
    if (op != nullptr) return op;
  }
  RUSHLIGHT_TRY_ASSIGN(std::unique_ptr<Op> op, make_rows_op(step, context));
  return op;
}

Result<std::unique_ptr<RowsOp>> make_rows_op(const ConvStep& step, const OpContext& context) {
  const PlannedTensor& input = context.tensor(step.input);
  const PlannedTensor& output = context.tensor(step.output);
  if (input.is_planar) return make_planes_op(step, context);
  const bool pointwise = step.kernel == IntPair{1} && step.stride == IntPair{1} && step.padding == IntPair{0};
  if (pointwise && input.h == output.h && input.w == output.w) {
    const AdjacentRows rows{static_cast<std::size_t>(input.row_stride),
                            static_cast<std::size_t>(in_words(input).c / step.groups)};
    return make_gemm(rows, step, static_cast<std::size_t>(step.groups), context);
  }
  if (step.groups == input.c && step.groups == output.c && step.groups > 1) return make_depthwise_op(step, context);
  if (context.narrow != nullptr) {
    RUSHLIGHT_TRY_ASSIGN(std::unique_ptr<RowsOp> op, make_narrow_window_op(step, context));
    if (op != nullptr) return op;
  }
  return make_window_op(step, input, context);
}

Result<std::unique_ptr<RowsOp>> make_window_op(const ConvStep& step, const PlannedTensor& input,
                                               const OpContext& context) {
  WindowRows rows;
  if (!rows.init(step, in_words(input), context.tensor(step.output)))
    return no_memory_for(static_cast<std::uint64_t>(input.c) * 4, "zeros");
  return make_gemm(std::move(rows), step, static_cast<std::size_t>(step.groups), context);
}

MadeOp make_op(const LinearStep& step, const OpContext& context) {
  const PlannedTensor& input = context.tensor(step.input);
  const AdjacentRows rows{static_cast<std::size_t>(input.row_stride), static_cast<std::size_t>(input.c)};
  RUSHLIGHT_TRY_ASSIGN(std::unique_ptr<Op> op, make_gemm(rows, step, 1, context));
  return op;
}

}  // namespace rushlight::runtime::cpu
