#include "cuda/host_step.hpp"

#include <utility>

#include "base/fail.hpp"

namespace rushlight::cuda {

OperandRange range_of(const runtime::Operand& operand) {
  if (operand.elements() == 0) return {};
  std::int64_t first = 0;
  std::int64_t last = 0;
  for (std::size_t i = 0; i < operand.shape.size(); ++i) {
    const std::int64_t reach = (operand.shape[i] - 1) * operand.strides[i];
    (reach < 0 ? first : last) += reach;
  }
  const auto size = static_cast<std::int64_t>(size_bytes(operand.dtype));
  return {first * size, static_cast<std::uint64_t>((last - first + 1) * size)};
}

Result<std::shared_ptr<HostStep>> HostStep::make(const runtime::Network& network, const runtime::Plan& plan,
                                                 const runtime::GeneralStep& step, std::string name,
                                                 const runtime::Backend& host,
                                                 const std::shared_ptr<runtime::PackedWeights>& weights,
                                                 const runtime::RunOptions& options) {
  auto result = std::make_shared<HostStep>();
  runtime::RunOptions own = options;
  own.precision = Precision::strict;
  // compute() is called on a thread of the driver's, and there alone it runs: a pool may be at work for a task that
  // waits for the GPU, and an executor of the caller's need not be for several threads.
  own.executor = nullptr;
  own.calibration = nullptr;
  own.tuning = nullptr;
  // The device's program speaks of its steps.
  own.progress = nullptr;
  own.step_times = nullptr;
  own.recorder = nullptr;
  RUSHLIGHT_TRY_ASSIGN(result->program_,
                       host.compile_plan(network, runtime::plan_of_step(plan, step, std::move(name)), weights, own));
  const auto is_constant = [&](const runtime::Operand& operand) {
    return plan.tensors[operand.tensor].place == runtime::Place::constant;
  };
  for (const runtime::Operand& operand : step.inputs) result->add(operand, is_constant(operand), false);
  for (const runtime::Operand& operand : step.outputs) result->add(operand, false, true);
  return result;
}

void HostStep::add(const runtime::Operand& operand, bool is_constant, bool is_output) {
  Staged staged;
  // The host has constants in its own memory.
  if (!is_constant) staged.range = range_of(operand);
  staged.offset_bytes = staging_bytes_;
  const auto written = static_cast<std::uint64_t>(operand.elements()) * size_bytes(operand.dtype);
  // What lies between the elements of an output goes up with them, and so it has to come down.
  staged.goes_down = staged.range.size_bytes > (is_output ? written : 0);
  staged.goes_up = is_output && staged.range.size_bytes > 0;
  // Each begins a cache line.
  constexpr std::uint64_t kLine = runtime::kArenaAlignment;
  staging_bytes_ += (staged.range.size_bytes + kLine - 1) / kLine * kLine;
  operands_.push_back(staged);
}

void HostStep::place(std::span<std::byte* const> inputs, std::span<std::byte* const> outputs, std::byte* staging) {
  down_.clear();
  up_.clear();
  inputs_.clear();
  outputs_.clear();
  for (std::size_t i = 0; i < operands_.size(); ++i) {
    const Staged& staged = operands_[i];
    const bool is_input = i < inputs.size();
    std::byte* const device = is_input ? inputs[i] : outputs[i - inputs.size()];
    const Copy copy{device + staged.range.begin_bytes, staging + staged.offset_bytes, staged.range.size_bytes};
    if (staged.goes_down) down_.push_back(copy);
    if (staged.goes_up) up_.push_back(copy);
    // The program knows shapes and strides: it asks where element 0 is.
    std::byte* const first = copy.host - staged.range.begin_bytes;
    if (is_input) {
      inputs_.push_back(TensorView{.data = first, .shape = {}});
    } else {
      outputs_.push_back(MutableTensorView{.data = first, .shape = {}});
    }
  }
}

void HostStep::compute() {
  status_ = program_->run(inputs_, outputs_);
}

}  // namespace rushlight::cuda
