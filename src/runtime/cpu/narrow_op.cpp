#include "runtime/cpu/narrow_op.hpp"

#include <algorithm>
#include <utility>

#include "base/fail.hpp"
#include "runtime/cpu/aligned_buffer.hpp"
#include "runtime/cpu/epilogue.hpp"
#include "runtime/cpu/narrow_choice.hpp"

namespace rushlight::runtime::cpu {
namespace {

// Rows whose pointers are made at a time; a whole number of every tile's.
constexpr std::size_t kMostBlockRows = 384;
constexpr std::size_t kWidenRows = 96;  // as those of products of floats
// Tasks end where kernels begin anew.
constexpr std::size_t kStripsAtOnce = 8;

// A block of rows is staged once, then strip after strip of weights passes by. Where there is too little to multiply
// for that, rows stay as they are and weights are widened (narrow_choice.hpp).
template <class Rows>
class NarrowOp final : public RowsOp {
 public:
  explicit NarrowOp(Rows rows) : rows_(std::move(rows)) {}

  // `step` is a ConvStep or a LinearStep.
  template <class Step>
  Status init(const Step& step, std::size_t groups, const OpContext& context) {
    const NarrowProducts& products = *context.narrow;
    const PlannedTensor& output = context.tensor(step.output);
    input_ = step.input;
    output_ = step.output;
    residual_ = step.epilogue.residual;
    groups_ = groups;
    row_count_ = static_cast<std::size_t>(output.rows());
    outputs_ = static_cast<std::size_t>(output.c) / groups;
    reads_bf16_ = context.tensor(step.input).is_bf16;
    stores_bf16_ = output.is_bf16;
    depth_ = rows_.segments() * rows_.segment_length() * (reads_bf16_ ? 2 : 1);
    lines_ = parts_of(depth_, kLineWords * products.word_operands);
    strips_ = panels_for(outputs_, kStripOutputs);
    RUSHLIGHT_TRY_ASSIGN(weights_, context.packed(step.weights, products.packing, kStripOutputs, groups));
    RUSHLIGHT_TRY_ASSIGN(bias_, context.packed(step.bias, Packing::vector, kStripOutputs, groups));
    destination_ = destination_of(step.output, step.epilogue, context.plan);
    activate_ = kernel_of(step.epilogue.activation, context.kernels);
    streams_ = !stores_bf16_ && passes_the_caches(output, step.epilogue, activate_);
    widen_ = products.widen;
    choose_way(products);
    cut_tasks(context.slots);
    return {};
  }

  [[nodiscard]] std::string_view algorithm() const noexcept override {
    if (kernels_ == nullptr) return "bf16, widened";
    return way_ == NarrowWay::amx ? "bf16, amx" : "bf16, dot";
  }

  void run(std::size_t task, float* const* tensors, std::byte* scratch) const noexcept override {
    run_block(part_range(task / parts_, row_count_, block_rows_),
              part_range(task % parts_, groups_ * strips_, part_strips_), tensors[input_], tensors[output_],
              residual_ == kNone ? nullptr : tensors[residual_], streams_, scratch);
  }
  void run_rows(Range rows, const float* input, float* output, const float* residual,
                std::byte* scratch) const noexcept override {
    for (std::size_t first = rows.first; first < rows.last; first += block_rows_) {
      run_block({first, std::min(rows.last, first + block_rows_)}, {0, groups_ * strips_}, input, output, residual,
                false, scratch);
    }
  }

 private:
  void choose_way(const NarrowProducts& products) noexcept {
    const NarrowShape shape{row_count_, rows_.segments(), depth_, groups_, outputs_};
    double cost = cost_of_widened(shape);
    if (const double staged = cost_of_staged(products, shape); staged < cost || reads_bf16_ || stores_bf16_) {
      kernels_ = products.kernels;
      way_ = products.way;
      cost = staged;
    }
    operations_ = 2 * cost;
  }

  void cut_tasks(std::size_t slots) noexcept {
    std::size_t most_rows = kWidenRows;
    if (kernels_ != nullptr) {
      // Staged rows stay in half of L2 while weights pass through the other.
      const std::size_t fitting = l2_cache_bytes() / 2 / std::max<std::size_t>(1, lines_ * kLineBytes);
      most_rows = std::clamp(fitting / kStageRows * kStageRows, kStageRows, kMostBlockRows);
    }
    const std::size_t wanted = slots <= 1 ? 1 : 2 * slots;
    // Blocks of one size, in whole tiles.
    const std::size_t fewest = parts_of(row_count_, most_rows);
    const std::size_t blocks = std::max(fewest, std::min(wanted, parts_of(row_count_, kWidenRows)));
    block_rows_ = std::max(kStageRows, round_up(parts_of(row_count_, std::max<std::size_t>(1, blocks)), kStageRows));
    const std::size_t all_blocks = parts_of(row_count_, block_rows_);
    const std::size_t all_strips = groups_ * strips_;
    const std::size_t parts = all_blocks == 0 ? 1 : parts_of(wanted, all_blocks);
    part_strips_ = std::max(kStripsAtOnce, round_up(parts_of(all_strips, parts), kStripsAtOnce));
    parts_ = parts_of(all_strips, part_strips_);
    task_count_ = all_blocks * parts_;
    pointer_bytes_ = round_up(rows_.scratch_bytes(block_rows_), kCacheLine);
    scratch_bytes_ = pointer_bytes_;
    if (kernels_ == nullptr) return;
    scratch_bytes_ += lines_ * block_rows_ * kLineBytes;
  }

  void run_block(Range rows, Range strips, const float* input, float* output, const float* residual, bool streams,
                 std::byte* scratch) const noexcept {
    const std::size_t count = rows.last - rows.first;
    const float* const* const pointers = rows_.fill(input, rows.first, count, scratch);
    std::byte* const staged = scratch + pointer_bytes_;
    output += rows.first * destination_.output_stride;
    if (residual != nullptr) residual += rows.first * destination_.residual_stride;
    for (std::size_t next = strips.first; next < strips.last;) {
      const std::size_t group = next / strips_;
      const std::size_t strip = next % strips_;
      const std::size_t run = std::min(strips_ - strip, strips.last - next);
      const std::size_t first = strip * kStripOutputs;
      const std::size_t column = group * outputs_ + first;
      Destination to = destination_;
      to.output = output + (stores_bf16_ ? column / 2 : column);  // a whole number of strips, of one group
      to.residual = residual == nullptr ? nullptr : residual + column;
      to.streams = streams;
      const Product product = {
          .weights = weights_->memory.data() + next * lines_ * kStripLineBytes,
          .bias = bias_ == nullptr ? nullptr : bias_->data() + next * kStripOutputs,
          .columns = std::min(outputs_ - first, run * kStripOutputs),
      };
      if (kernels_ == nullptr) {
        widen_rows(to, product, pointers, count, group);
      } else {
        if (next == strips.first || strip == 0) stage_rows(pointers, count, group, staged);
        multiply_staged(to, product, staged, count);
      }
      next += run;
    }
    if (activate_ == nullptr) return;
    const auto column_of = [&](std::size_t strip) {
      return strip / strips_ * outputs_ + std::min(strip % strips_ * kStripOutputs, outputs_);
    };
    const std::size_t first = column_of(strips.first);
    activate_rows(activate_, output + first, count, destination_.output_stride, column_of(strips.last) - first);
  }

  struct Product {
    const std::byte* weights;
    const float* bias;
    std::size_t columns;
  };

  void widen_rows(const Destination& to, const Product& product, const float* const* pointers, std::size_t count,
                  std::size_t group) const noexcept {
    GemmCall call;
    static_cast<Destination&>(call) = to;
    call.rows = pointers;
    call.row_pitch = call.row_count = count;
    call.segments = rows_.segments();
    call.segment_length = rows_.segment_length();
    call.row_shift = group * call.segment_length;
    call.weights = product.weights;
    call.bias = product.bias;
    call.columns = product.columns;
    call.skips_zeros = weights_->is_usual;
    widen_(call);
  }

  void stage_rows(const float* const* pointers, std::size_t count, std::size_t group,
                  std::byte* staged) const noexcept {
    StageCall call;
    call.rows = pointers;
    call.row_pitch = call.row_count = count;
    call.segments = rows_.segments();
    call.segment_length = rows_.segment_length();
    call.row_shift = group * call.segment_length;
    call.lines = lines_;
    call.is_bf16 = reads_bf16_;
    call.output = staged;
    kernels_->stage(call);
  }

  void multiply_staged(const Destination& to, const Product& product, const std::byte* staged,
                       std::size_t count) const noexcept {
    NarrowCall call;
    static_cast<Destination&>(call) = to;
    call.rows = staged;
    call.row_count = count;
    call.lines = lines_;
    call.weights = product.weights;
    call.bias = product.bias;
    call.columns = product.columns;
    call.stores_bf16 = stores_bf16_;
    kernels_->run(call);
  }

  Rows rows_;
  TensorId input_ = kNone;
  TensorId output_ = kNone;
  TensorId residual_ = kNone;
  std::size_t groups_ = 1;
  std::size_t row_count_ = 0;
  std::size_t outputs_ = 0;  // of one group
  std::size_t depth_ = 0;    // products an output
  std::size_t lines_ = 0;    // which take so many lines
  std::size_t strips_ = 0;   // of one group
  NarrowWay way_ = NarrowWay::widen;
  const NarrowKernels* kernels_ = nullptr;  // null: weights are widened
  WidenKernel widen_ = nullptr;
  std::size_t block_rows_ = 0;
  std::size_t part_strips_ = 0;
  std::size_t parts_ = 0;
  std::size_t pointer_bytes_ = 0;
  Destination destination_;
  ElementKernel activate_ = nullptr;
  bool reads_bf16_ = false;  // rows are words of two operands
  bool stores_bf16_ = false;
  bool streams_ = false;  // of whole steps; what a stripe hands on is read at once
  std::shared_ptr<const PackedArray> weights_;
  std::shared_ptr<const PackedArray> bias_;
};

using MadeRowsOp = Result<std::unique_ptr<RowsOp>>;

template <class Rows, class Step>
MadeRowsOp make(Rows rows, const Step& step, std::size_t groups, const OpContext& context) {
  auto op = std::make_unique<NarrowOp<Rows>>(std::move(rows));
  RUSHLIGHT_TRY(op->init(step, groups, context));
  return std::unique_ptr<RowsOp>(std::move(op));
}

}  // namespace

bool multiplies_staged(const ConvStep& step, const PlannedTensor& input, const PlannedTensor& output,
                       const NarrowProducts& products) noexcept {
  if (step.groups != 1 || input.is_planar || output.elements() == 0) return false;
  const auto taps = static_cast<std::size_t>(step.kernel.h * step.kernel.w);
  const NarrowShape shape{static_cast<std::size_t>(output.rows()), taps, taps * static_cast<std::size_t>(input.c), 1,
                          static_cast<std::size_t>(output.c)};
  return cost_of_staged(products, shape) < cost_of_widened(shape);
}

MadeRowsOp make_narrow_op(AdjacentRows rows, const ConvStep& step, const OpContext& context) {
  return make(rows, step, static_cast<std::size_t>(step.groups), context);
}
MadeRowsOp make_narrow_op(WindowRows rows, const ConvStep& step, const OpContext& context) {
  return make(std::move(rows), step, static_cast<std::size_t>(step.groups), context);
}
MadeRowsOp make_narrow_op(AdjacentRows rows, const LinearStep& step, const OpContext& context) {
  return make(rows, step, 1, context);
}

}  // namespace rushlight::runtime::cpu
