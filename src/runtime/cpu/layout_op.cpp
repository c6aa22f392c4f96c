// From NCHW to NHWC at the borders of a network, and back.
#include <memory>

#include "runtime/cpu/op.hpp"

namespace rushlight::runtime::cpu {
namespace {

// Columns of the input a task takes: their pieces of output are apart from everybody else's.
constexpr std::size_t kPartColumns = 256;

class LayoutOp final : public Op {
 public:
  LayoutOp(const LayoutStep& step, const Kernels& kernels)
      : step_(step),
        kernel_(kernels.transpose),
        rows_(static_cast<std::size_t>(step.rows)),
        columns_(static_cast<std::size_t>(step.columns)),
        parts_(parts_of(columns_, kPartColumns)) {
    task_count_ = static_cast<std::size_t>(step.images) * parts_;
    operations_ = 2 * kPerElement * static_cast<double>(step.images) * static_cast<double>(rows_ * columns_);
  }

  void run(std::size_t task, float* const* tensors, std::byte*) const noexcept override {
    const Range columns = part_range(task % parts_, columns_, kPartColumns);
    const std::size_t image = task / parts_ * rows_ * columns_;
    TransposeCall call;
    call.input = tensors[step_.input] + image;
    call.output = tensors[step_.output] + image;
    call.rows = rows_;
    call.columns = columns_;
    call.first_column = columns.first;
    call.last_column = columns.last;
    kernel_(call);
  }

 private:
  LayoutStep step_;
  void (*kernel_)(const TransposeCall&);
  std::size_t rows_;
  std::size_t columns_;
  std::size_t parts_;
};

}  // namespace

MadeOp make_op(const LayoutStep& step, const OpContext& context) {
  return std::unique_ptr<Op>(std::make_unique<LayoutOp>(step, context.kernels));
}

}  // namespace rushlight::runtime::cpu
