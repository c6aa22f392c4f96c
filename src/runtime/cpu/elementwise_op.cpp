// Everything that looks at one element at a time, and copies.
#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "base/fail.hpp"
#include "runtime/cpu/op.hpp"

namespace rushlight::runtime::cpu {
namespace {

// Floats a task takes: a few pages, whatever the shapes.
constexpr std::size_t kPartFloats = 16384;

class NormOp final : public Op {
 public:
  Status init(const NormStep& step, const OpContext& context) {
    const PlannedTensor& output = context.tensor(step.output);
    input_ = step.input;
    output_ = step.output;
    kernel_ = context.kernels.norm;
    RUSHLIGHT_TRY_ASSIGN(mean_, context.packed(step.mean, Packing::vector));
    RUSHLIGHT_TRY_ASSIGN(scale_, context.packed(step.scale, Packing::vector));
    RUSHLIGHT_TRY_ASSIGN(shift_, context.packed(step.shift, Packing::vector));
    call_.channels = static_cast<std::size_t>(output.c);
    call_.input_stride = static_cast<std::size_t>(context.tensor(step.input).row_stride);
    call_.output_stride = static_cast<std::size_t>(output.row_stride);
    call_.mean = mean_->data();
    call_.scale = scale_->data();
    call_.shift = shift_->data();
    call_.relu = step.relu;
    rows_ = static_cast<std::size_t>(output.rows());
    part_ = std::max<std::size_t>(1, kPartFloats / std::max<std::size_t>(1, call_.channels));
    task_count_ = parts_of(rows_, part_);
    operations_ = 2 * kPerElement * static_cast<double>(output.elements());
    return {};
  }

  void run(std::size_t task, float* const* tensors, std::byte*) const noexcept override {
    const Range rows = part_range(task, rows_, part_);
    NormCall call = call_;
    call.input = tensors[input_] + rows.first * call.input_stride;
    call.output = tensors[output_] + rows.first * call.output_stride;
    call.rows = rows.last - rows.first;
    kernel_(call);
  }

 private:
  TensorId input_ = kNone;
  TensorId output_ = kNone;
  void (*kernel_)(const NormCall&) = nullptr;
  NormCall call_;
  std::size_t rows_ = 0;
  std::size_t part_ = 1;
  std::shared_ptr<const PackedArray> mean_, scale_, shift_;
};

// f(tensors, range of elements), for steps over dense tensors.
template <class F>
class ElementsOp final : public Op {
 public:
  ElementsOp(std::size_t count, double operations_each, F f) : f_(std::move(f)), count_(count) {
    task_count_ = parts_of(count, kPartFloats);
    operations_ = std::max(operations_each, 2 * kPerElement) * static_cast<double>(count);
  }
  void run(std::size_t task, float* const* tensors, std::byte*) const noexcept override {
    f_(tensors, part_range(task, count_, kPartFloats));
  }

 private:
  F f_;
  std::size_t count_;
};

template <class F>
MadeOp make_elements(const OpContext& context, TensorId output, double operations_each, F f) {
  const auto count = static_cast<std::size_t>(context.tensor(output).elements());
  return std::unique_ptr<Op>(std::make_unique<ElementsOp<F>>(count, operations_each, std::move(f)));
}

// A broadcast sum, line by line of the last dimension. Sums of equal shapes are AddSteps.
class BroadcastAddOp final : public Op {
 public:
  BroadcastAddOp(const BroadcastAddStep& step, const Kernels& kernels) : step_(step), kernel_(kernels.add) {
    line_ = step_.shape.empty() ? 1 : static_cast<std::size_t>(step_.shape.back());
    std::size_t elements = 1;
    for (const std::int64_t size : step_.shape) elements *= static_cast<std::size_t>(size);
    lines_ = line_ == 0 ? 0 : elements / line_;
    part_ = std::max<std::size_t>(1, kPartFloats / std::max<std::size_t>(1, line_));
    task_count_ = parts_of(lines_, part_);
    operations_ = 3 * kPerElement * static_cast<double>(elements);
  }

  void run(std::size_t task, float* const* tensors, std::byte*) const noexcept override {
    const Range lines = part_range(task, lines_, part_);
    for (std::size_t line = lines.first; line < lines.last; ++line) {
      const float* a = tensors[step_.a] + offset(line, step_.a_strides);
      const float* b = tensors[step_.b] + offset(line, step_.b_strides);
      float* output = tensors[step_.output] + line * line_;
      const std::ptrdiff_t a_step = step_.a_strides.empty() ? 0 : step_.a_strides.back();
      const std::ptrdiff_t b_step = step_.b_strides.empty() ? 0 : step_.b_strides.back();
      if (a_step == 1 && b_step == 1) {
        kernel_({.a = a, .b = b, .output = output, .count = line_, .relu = step_.relu});
        continue;
      }
      for (std::size_t i = 0; i < line_; ++i, a += a_step, b += b_step) {
        const float sum = *a + *b;
        output[i] = step_.relu && sum < 0.0F ? 0.0F : sum;
      }
    }
  }

 private:
  // Where a line of the output begins in an operand.
  [[nodiscard]] std::ptrdiff_t offset(std::size_t line, const std::vector<std::int64_t>& strides) const noexcept {
    std::ptrdiff_t result = 0;
    for (std::size_t d = step_.shape.size(); d-- > 1;) {
      const auto size = static_cast<std::size_t>(step_.shape[d - 1]);
      result += static_cast<std::ptrdiff_t>(line % size) * strides[d - 1];
      line /= size;
    }
    return result;
  }

  BroadcastAddStep step_;
  void (*kernel_)(const AddCall&);
  std::size_t line_ = 0;
  std::size_t lines_ = 0;
  std::size_t part_ = 1;
};

}  // namespace

MadeOp make_op(const NormStep& step, const OpContext& context) {
  auto op = std::make_unique<NormOp>();
  RUSHLIGHT_TRY(op->init(step, context));
  return std::unique_ptr<Op>(std::move(op));
}

MadeOp make_op(const ReluStep& step, const OpContext& context) {
  const auto kernel = context.kernels.relu;
  return make_elements(context, step.output, 2, [step, kernel](float* const* tensors, Range range) {
    kernel(tensors[step.input] + range.first, tensors[step.output] + range.first, range.last - range.first);
  });
}

MadeOp make_op(const AddStep& step, const OpContext& context) {
  const auto kernel = context.kernels.add;
  return make_elements(context, step.output, 3, [step, kernel](float* const* tensors, Range range) {
    AddCall call;
    call.a = tensors[step.a] + range.first;
    call.b = tensors[step.b] + range.first;
    call.output = tensors[step.output] + range.first;
    call.count = range.last - range.first;
    call.relu = step.relu;
    kernel(call);
  });
}

MadeOp make_op(const BroadcastAddStep& step, const OpContext& context) {
  return std::unique_ptr<Op>(std::make_unique<BroadcastAddOp>(step, context.kernels));
}

MadeOp make_op(const CopyStep& step, const OpContext& context) {
  return make_elements(context, step.output, 2, [step](float* const* tensors, Range range) {
    std::memcpy(tensors[step.output] + range.first, tensors[step.input] + range.first,
                (range.last - range.first) * sizeof(float));
  });
}

}  // namespace rushlight::runtime::cpu
