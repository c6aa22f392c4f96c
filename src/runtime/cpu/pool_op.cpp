// Poolings: for each output pixel a window of the input, clipped to it.
#include <algorithm>
#include <memory>

#include "base/fail.hpp"
#include "runtime/cpu/op.hpp"

namespace rushlight::runtime::cpu {
namespace {

using Index = std::ptrdiff_t;

// The part of a window that lies inside the input, along one dimension: `count` places from `first` on.
struct Clipped {
  Index first = 0;
  Index count = 0;
};

// Places start, start + step, ... (`count` of them) that lie in [0, size).
Clipped clip(Index start, Index step, Index count, Index size) noexcept {
  const Index skipped = start < 0 ? (-start + step - 1) / step : 0;
  const Index reach = size - start;  // places beyond it are outside
  const Index within = reach <= 0 ? 0 : std::min(count, (reach + step - 1) / step);
  return {start + skipped * step, std::max<Index>(0, within - skipped)};
}

// MaxPoolStep, AvgPoolStep and AdaptiveAvgPoolStep say where windows are and what to divide by.
class MaxRule {
 public:
  explicit MaxRule(const MaxPoolStep& step) : step_(step) {}
  [[nodiscard]] static auto kernel(const Kernels& kernels) { return kernels.max_window; }
  [[nodiscard]] Index step_h() const noexcept { return step_.dilation.h; }
  [[nodiscard]] Index step_w() const noexcept { return step_.dilation.w; }
  [[nodiscard]] Clipped down(Index oh, Index height, Index) const noexcept {
    return clip(oh * step_.stride.h - step_.padding.h, step_.dilation.h, step_.kernel.h, height);
  }
  [[nodiscard]] Clipped across(Index ow, Index width, Index) const noexcept {
    return clip(ow * step_.stride.w - step_.padding.w, step_.dilation.w, step_.kernel.w, width);
  }
  [[nodiscard]] static Index divisor(Index, Index, Index, Index, Index) noexcept { return 1; }
  [[nodiscard]] double window_area() const noexcept { return static_cast<double>(step_.kernel.h * step_.kernel.w); }

 private:
  MaxPoolStep step_;
};

class AvgRule {
 public:
  explicit AvgRule(const AvgPoolStep& step) : step_(step) {}
  [[nodiscard]] static auto kernel(const Kernels& kernels) { return kernels.mean_window; }
  [[nodiscard]] static Index step_h() noexcept { return 1; }
  [[nodiscard]] static Index step_w() noexcept { return 1; }
  [[nodiscard]] Clipped down(Index oh, Index height, Index) const noexcept {
    return clip(oh * step_.stride.h - step_.padding.h, 1, step_.kernel.h, height);
  }
  [[nodiscard]] Clipped across(Index ow, Index width, Index) const noexcept {
    return clip(ow * step_.stride.w - step_.padding.w, 1, step_.kernel.w, width);
  }
  [[nodiscard]] Index divisor(Index oh, Index ow, Index inside, Index height, Index width) const noexcept {
    if (step_.divisor_override != 0) return step_.divisor_override;
    if (!step_.count_include_pad) return inside;
    // An overhanging window counts up to the end of the padding, not beyond it.
    const Index h0 = oh * step_.stride.h - step_.padding.h;
    const Index w0 = ow * step_.stride.w - step_.padding.w;
    return std::min<Index>(step_.kernel.h, height + step_.padding.h - h0) *
           std::min<Index>(step_.kernel.w, width + step_.padding.w - w0);
  }
  [[nodiscard]] double window_area() const noexcept { return static_cast<double>(step_.kernel.h * step_.kernel.w); }

 private:
  AvgPoolStep step_;
};

class AdaptiveRule {
 public:
  AdaptiveRule(const PlannedTensor& input, const PlannedTensor& output)
      : area_((static_cast<double>(input.h) / static_cast<double>(output.h) + 1) *
              (static_cast<double>(input.w) / static_cast<double>(output.w) + 1)) {}
  [[nodiscard]] static auto kernel(const Kernels& kernels) { return kernels.mean_window; }
  [[nodiscard]] static Index step_h() noexcept { return 1; }
  [[nodiscard]] static Index step_w() noexcept { return 1; }
  [[nodiscard]] static Clipped down(Index oh, Index height, Index out_height) noexcept {
    const Index first = oh * height / out_height;
    return {first, ((oh + 1) * height + out_height - 1) / out_height - first};
  }
  [[nodiscard]] static Clipped across(Index ow, Index width, Index out_width) noexcept {
    return down(ow, width, out_width);
  }
  [[nodiscard]] static Index divisor(Index, Index, Index inside, Index, Index) noexcept { return inside; }
  [[nodiscard]] double window_area() const noexcept { return area_; }

 private:
  double area_;
};

template <class Rule>
class PoolOp final : public RowsOp {
 public:
  PoolOp(const Rule& rule, TensorId input, TensorId output, const OpContext& context)
      : rule_(rule),
        input_id_(input),
        output_id_(output),
        input_(context.tensor(input)),
        output_(context.tensor(output)),
        kernel_(Rule::kernel(context.kernels)) {
    const auto lines = static_cast<std::size_t>(output_.n * output_.h);
    // A task takes whole lines of the output, at least some thousand floats.
    const auto line_floats = static_cast<std::size_t>(std::max<Index>(1, output_.w * output_.c));
    part_ = std::max<std::size_t>(1, 4096 / line_floats);
    lines_ = lines;
    task_count_ = parts_of(lines, part_);
    operations_ = std::max(2.0 * static_cast<double>(output_.elements()) * rule_.window_area(),
                           kPerElement * static_cast<double>(input_.elements() + output_.elements()));
  }

  void run(std::size_t task, float* const* tensors, std::byte*) const noexcept override {
    const Range lines = part_range(task, lines_, part_);
    for (std::size_t line = lines.first; line < lines.last; ++line) {
      run_line(line, tensors[input_id_], tensors[output_id_]);
    }
  }
  void run_rows(Range rows, const float* input, float* output, const float*, std::byte*) const noexcept override {
    const auto width = static_cast<std::size_t>(output_.w);
    for (std::size_t line = rows.first / width; line < rows.last / width; ++line) run_line(line, input, output);
  }

 private:
  void run_line(std::size_t line, const float* input, float* output) const noexcept {
    const Index image = static_cast<Index>(line) / output_.h;
    const Index oh = static_cast<Index>(line) % output_.h;
    WindowCall call;
    call.channels = static_cast<std::size_t>(input_.c);
    call.row_stride = static_cast<std::size_t>(rule_.step_h() * input_.w * input_.row_stride);
    call.column_stride = static_cast<std::size_t>(rule_.step_w() * input_.row_stride);
    const Clipped down = rule_.down(oh, input_.h, output_.h);
    call.rows = static_cast<std::size_t>(down.count);
    for (Index ow = 0; ow < output_.w; ++ow) {
      const Clipped across = rule_.across(ow, input_.w, output_.w);
      call.columns = static_cast<std::size_t>(across.count);
      const Index inside = down.count * across.count;
      // Windows that hold nothing give torch's 0 for a mean; the maximum of nothing is -inf.
      call.divisor = inside == 0 ? 1.0F : static_cast<float>(rule_.divisor(oh, ow, inside, input_.h, input_.w));
      call.first = input + ((image * input_.h + down.first) * input_.w + across.first) * input_.row_stride;
      call.output = output + ((image * output_.h + oh) * output_.w + ow) * output_.row_stride;
      kernel_(call);
    }
  }

  Rule rule_;
  TensorId input_id_;
  TensorId output_id_;
  PlannedTensor input_;
  PlannedTensor output_;
  void (*kernel_)(const WindowCall&);
  std::size_t lines_ = 0;
  std::size_t part_ = 1;
};

}  // namespace

Result<std::unique_ptr<RowsOp>> make_rows_op(const MaxPoolStep& step, const OpContext& context) {
  return std::unique_ptr<RowsOp>(std::make_unique<PoolOp<MaxRule>>(MaxRule(step), step.input, step.output, context));
}

MadeOp make_op(const MaxPoolStep& step, const OpContext& context) {
  RUSHLIGHT_TRY_ASSIGN(std::unique_ptr<Op> op, make_rows_op(step, context));
  return op;
}

MadeOp make_op(const AvgPoolStep& step, const OpContext& context) {
  return std::unique_ptr<Op>(std::make_unique<PoolOp<AvgRule>>(AvgRule(step), step.input, step.output, context));
}

MadeOp make_op(const AdaptiveAvgPoolStep& step, const OpContext& context) {
  const AdaptiveRule rule(context.tensor(step.input), context.tensor(step.output));
  return std::unique_ptr<Op>(std::make_unique<PoolOp<AdaptiveRule>>(rule, step.input, step.output, context));
}

}  // namespace rushlight::runtime::cpu
