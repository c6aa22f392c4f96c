#include "runtime/step_times.hpp"

#include <type_traits>
#include <variant>

#include "model/macs.hpp"
#include "model/parameters.hpp"

namespace rushlight::runtime {
namespace {

std::uint64_t float_bytes(std::int64_t count) noexcept {
  return static_cast<std::uint64_t>(count) * sizeof(float);
}

// Weights of `weight_bytes` each and biases of a step with `per_output` weights for each of its outputs.
template <class Work>
void add_weights(TimedStep& timed, const Work& work, const PlannedTensor& output, std::int64_t per_output,
                 std::size_t weight_bytes) {
  timed.macs += output.elements() * per_output;
  timed.bytes += static_cast<std::uint64_t>(output.c * per_output) * weight_bytes;
  if (work.bias != kNone) timed.bytes += float_bytes(output.c);
}

void add_operands(TimedStep& timed, const std::vector<Operand>& operands) {
  for (const Operand& operand : operands) {
    timed.bytes += static_cast<std::uint64_t>(operand.elements()) * size_bytes(operand.dtype);
  }
}

bool is_depthwise(const ConvStep& work, const Plan& plan) {
  const std::int64_t channels = plan.tensors[work.input].c;
  return channels > 1 && channels == work.groups && channels == plan.tensors[work.output].c;
}

void add_convolution(TimedStep& timed, const ConvStep& work, const Plan& plan, std::size_t weight_bytes) {
  const std::int64_t per_output = plan.tensors[work.input].c / work.groups * work.kernel.h * work.kernel.w;
  add_weights(timed, work, plan.tensors[work.output], per_output,
              is_depthwise(work, plan) ? sizeof(float) : weight_bytes);
}
void add_work(TimedStep& timed, const ConvStep& work, const Network&, const Plan& plan, std::size_t weight_bytes) {
  add_convolution(timed, work, plan, weight_bytes);
  if (is_depthwise(work, plan)) timed.algorithm = "depthwise";
}
void add_work(TimedStep& timed, const StripeStep& work, const Network&, const Plan& plan, std::size_t weight_bytes) {
  add_convolution(timed, work.first, plan, weight_bytes);
  if (const auto* window = std::get_if<ConvStep>(&work.window)) {
    add_convolution(timed, *window, plan, weight_bytes);
  }
  if (work.last) add_convolution(timed, *work.last, plan, weight_bytes);
}
void add_work(TimedStep& timed, const LinearStep& work, const Network&, const Plan& plan, std::size_t weight_bytes) {
  add_weights(timed, work, plan.tensors[work.output], plan.tensors[work.input].c, weight_bytes);
}
void add_work(TimedStep& timed, const NormStep& work, const Network&, const Plan& plan, std::size_t) {
  timed.bytes += float_bytes(3 * plan.tensors[work.output].c);
}
void add_work(TimedStep& timed, const GeneralStep& work, const Network& network, const Plan&, std::size_t) {
  add_operands(timed, work.inputs);
  add_operands(timed, work.outputs);
  const Node& node = network.graph.nodes()[work.node];
  // Lowering may put operators of its own before and after a node's, which read no parameters.
  if (work.op.kind() != node.op.kind()) return;
  for (const model::ParameterShape& parameter : model::parameter_shapes(node.op)) {
    const Tensor* const tensor = network.parameters.find(node.parameter(parameter.name));
    if (tensor != nullptr) timed.bytes += float_bytes(tensor->numel());
  }
  if (!work.inputs.empty() && !work.outputs.empty()) {
    timed.macs = model::macs_of(work.op, work.inputs[0].shape, work.outputs[0].shape);
  }
}
template <class Work>
void add_work(TimedStep&, const Work&, const Network&, const Plan&, std::size_t) {}

}  // namespace

std::vector<TimedStep> describe_steps(const Network& network, const Plan& plan, std::size_t weight_bytes) {
  std::vector<TimedStep> steps;
  steps.reserve(plan.steps.size());
  for (std::size_t i = 0; i < plan.steps.size(); ++i) {
    const Step& step = plan.steps[i];
    const std::int64_t items = i < plan.item_steps ? plan.items : 1;
    TimedStep timed;
    timed.name = step.name;
    timed.kind = kind_text(step);
    if (!std::holds_alternative<GeneralStep>(step.work)) {
      const StepTensors tensors = tensors_of(step);
      const auto of_items = static_cast<std::uint64_t>(items);
      for (const TensorId id : tensors.inputs) timed.bytes += of_items * plan.tensors[id].size_bytes();
      for (const TensorId id : tensors.outputs) timed.bytes += of_items * plan.tensors[id].size_bytes();
    }
    std::visit([&](const auto& work) { add_work(timed, work, network, plan, weight_bytes); }, step.work);
    timed.macs *= items;
    steps.push_back(std::move(timed));
  }
  return steps;
}

}  // namespace rushlight::runtime
