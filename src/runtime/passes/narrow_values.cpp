#include "runtime/passes/narrow_values.hpp"

#include <cstddef>
#include <variant>
#include <vector>

namespace rushlight::runtime {
namespace {

// Activations that are a clamp are applied before an output is rounded, others to the floats that were stored.
bool is_clamp(const Activation& activation) {
  return activation.kind == Activation::Kind::none || activation.kind == Activation::Kind::relu ||
         activation.kind == Activation::Kind::clamp;
}

class NarrowValues {
 public:
  NarrowValues(Plan& plan, const PlanOptions& options)
      : plan_(plan), options_(options), uses_(plan.tensors.size()), tensors_of_buffer_(plan.buffers.size()) {}

  void run() {
    for (const PlannedTensor& tensor : plan_.tensors) {
      if (tensor.buffer != kNone) ++tensors_of_buffer_[tensor.buffer];
    }
    for (const Step& step : plan_.steps) note(step);
    for (TensorId id = 0; id < plan_.tensors.size(); ++id) {
      const Use& use = uses_[id];
      if (!use.is_made || !use.is_read || use.is_float || !may_be_narrow(plan_.tensors[id])) continue;
      PlannedTensor& tensor = plan_.tensors[id];
      tensor.is_bf16 = true;
      tensor.row_stride = tensor.c / 2;
      plan_.buffers[tensor.buffer].size_bytes = tensor.size_bytes();
    }
  }

 private:
  struct Use {
    bool is_made = false;   // by a step that can store bfloat16
    bool is_read = false;   // by one that rounds it
    bool is_float = false;  // to somebody
  };

  void note(const Step& step) {
    const StepTensors tensors = tensors_of(step);
    const ConvStep* reader = std::get_if<ConvStep>(&step.work);
    const ConvStep* const maker = reader;
    if (const auto* stripes = std::get_if<StripeStep>(&step.work)) reader = &stripes->first;
    for (std::size_t i = 0; i < tensors.inputs.size(); ++i) {
      Use& use = uses_[tensors.inputs[i]];
      const bool is_operand = i == 0 && reader != nullptr && multiplies(*reader);
      (is_operand ? use.is_read : use.is_float) = true;
    }
    for (const TensorId id : tensors.outputs) {
      const bool can_round = maker != nullptr && multiplies(*maker) && maker->epilogue.residual == kNone &&
                             is_clamp(maker->epilogue.activation);
      (can_round ? uses_[id].is_made : uses_[id].is_float) = true;
    }
  }
  [[nodiscard]] bool multiplies(const ConvStep& step) const {
    return options_.multiplies_bf16(step, plan_.tensors[step.input], plan_.tensors[step.output]);
  }
  // Two of them are a word, and kernels count in words.
  [[nodiscard]] bool may_be_narrow(const PlannedTensor& tensor) const {
    return tensor.place == Place::arena && tensor.buffer != kNone && tensors_of_buffer_[tensor.buffer] == 1 &&
           tensor.begin_bytes == 0 && tensor.is_dense() && tensor.c % 2 == 0 && tensor.elements() > 0;
  }

  Plan& plan_;
  const PlanOptions& options_;
  std::vector<Use> uses_;  // of each tensor
  std::vector<std::size_t> tensors_of_buffer_;
};

}  // namespace

void narrow_values(Plan& plan, const PlanOptions& options) {
  NarrowValues(plan, options).run();
}

}  // namespace rushlight::runtime
