#include <algorithm>
#include <memory>

#include "runtime/cpu/op.hpp"

namespace rushlight::runtime::cpu {
namespace {

class SoftmaxOp final : public Op {
 public:
  SoftmaxOp(const SoftmaxStep& step, const Kernels& kernels)
      : step_(step), kernel_(kernels.softmax), outer_(static_cast<std::size_t>(step.outer)) {
    slice_ = static_cast<std::size_t>(step.axis * step.inner);
    part_ = std::max<std::size_t>(1, 4096 / std::max<std::size_t>(1, slice_));
    task_count_ = slice_ == 0 ? 0 : parts_of(outer_, part_);
    operations_ = 20.0 * static_cast<double>(outer_) * static_cast<double>(slice_);
  }

  void run(std::size_t task, float* const* tensors, std::byte*) const noexcept override {
    const Range range = part_range(task, outer_, part_);
    for (std::size_t i = range.first; i < range.last; ++i) {
      SoftmaxCall call;
      call.input = tensors[step_.input] + i * slice_;
      call.output = tensors[step_.output] + i * slice_;
      call.axis = static_cast<std::size_t>(step_.axis);
      call.inner = static_cast<std::size_t>(step_.inner);
      kernel_(call);
    }
  }

 private:
  SoftmaxStep step_;
  void (*kernel_)(const SoftmaxCall&);
  std::size_t outer_;
  std::size_t slice_ = 0;
  std::size_t part_ = 1;
};

}  // namespace

MadeOp make_op(const SoftmaxStep& step, const OpContext& context) {
  return std::unique_ptr<Op>(std::make_unique<SoftmaxOp>(step, context.kernels));
}

}  // namespace rushlight::runtime::cpu
