#include "runtime/cpu/program.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <iterator>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

#include "base/checked.hpp"
#include "base/fail.hpp"
#include "base/no_memory.hpp"
#include "runtime/activation_recorder.hpp"
#include "runtime/cpu/tuner.hpp"
#include "runtime/failure.hpp"
#include "runtime/step_times.hpp"

namespace rushlight::runtime::cpu {
namespace {

// More threads than this find nothing to do in one operator, and each slot has its scratch.
constexpr std::size_t kMostSlots = 256;

constexpr std::size_t weight_bytes(Precision precision) noexcept {
  return precision == Precision::bf16 ? 2 : precision == Precision::int8 ? 1 : sizeof(float);
}

using Clock = std::chrono::steady_clock;
using Ops = std::vector<std::unique_ptr<Op>>;

Result<Ops> make_ops(const Step& step, const OpContext& context) {
  if (const auto* general = std::get_if<GeneralStep>(&step.work)) return make_general_ops(*general, context);
  if (context.options.precision == Precision::int8) {
    Ops ops;
    if (const auto* conv = std::get_if<ConvStep>(&step.work)) {
      RUSHLIGHT_TRY_ASSIGN(ops, make_int8_ops(*conv, context));
    } else if (const auto* linear = std::get_if<LinearStep>(&step.work)) {
      RUSHLIGHT_TRY_ASSIGN(ops, make_int8_ops(*linear, context));
    }
    if (!ops.empty()) return ops;
  }
  const auto make = [&](const auto& work) -> MadeOp {
    if constexpr (std::is_same_v<std::decay_t<decltype(work)>, GeneralStep>) {
      return std::unique_ptr<Op>();
    } else {
      return make_op(work, context);
    }
  };
  RUSHLIGHT_TRY_ASSIGN(std::unique_ptr<Op> op, std::visit(make, step.work));
  Ops ops;
  ops.push_back(std::move(op));
  return ops;
}

}  // namespace

CpuProgram::CpuProgram(std::shared_ptr<CpuWeights> weights, const RunOptions& options)
    : weights_(std::move(weights)), options_(options) {
  if (options_.executor != nullptr) {
    slots_ = std::clamp<std::size_t>(options_.executor->concurrency(), 1, kMostSlots);
  }
}

Result<std::unique_ptr<Program>> CpuProgram::make(const Network& network, Plan plan, const Kernels& kernels,
                                                  const NarrowProducts* narrow, std::shared_ptr<CpuWeights> weights,
                                                  const RunOptions& options, const Machine& machine) {
  CpuWeights& shared_weights = *weights;
  std::atomic<std::uint64_t> table_bytes{0};
  std::unique_ptr<CpuProgram> program(new CpuProgram(std::move(weights), options));
  if (options.step_times != nullptr) {
    options.step_times->steps = describe_steps(network, plan, weight_bytes(options.precision));
  }
  OpContext context{network, plan, kernels, shared_weights, options, machine, narrow, table_bytes, program->slots_};
  RUSHLIGHT_TRY_ASSIGN(const ConvChoices conv_choices, tune(context, machine.name));
  context.conv_choices = &conv_choices;
  // Packing weights is most of the work, and each step's are its own.
  std::vector<Ops> made(plan.steps.size());
  std::vector<Status> statuses(plan.steps.size());
  const auto make = [&](std::size_t i) {
    OpContext of_step = context;
    of_step.step_name = plan.steps[i].name;
    Result<Ops> ops = make_ops(plan.steps[i], of_step);
    if (ops) {
      made[i] = *std::move(ops);
    } else {
      statuses[i] = std::move(ops).error();
    }
  };
  if (options.executor == nullptr) {
    for (std::size_t i = 0; i < plan.steps.size(); ++i) make(i);
  } else {
    for_each_index(*options.executor, plan.steps.size(), make);
  }
  for (std::size_t i = 0; i < plan.steps.size(); ++i) {
    RUSHLIGHT_TRY(std::move(statuses[i]));
    program->note_input(plan.steps[i], plan);
    std::move(made[i].begin(), made[i].end(), std::back_inserter(program->ops_));
    program->note_step(i);
  }
  // Where no operator is worth two threads the caller's does everything.
  std::size_t useful_slots = 1;
  for (const std::unique_ptr<Op>& op : program->ops_) {
    useful_slots = std::max(useful_slots, std::min(op->useful_slots(), op->task_count()));
  }
  program->slots_ = std::min(program->slots_, useful_slots);
  program->thread_choice_ = ThreadChoice(program->slots_ > 1);
  program->shares_ = std::vector<Share>(program->slots_);
  RUSHLIGHT_TRY(program->allocate(network, plan, table_bytes));
  return std::unique_ptr<Program>(std::move(program));
}

Status CpuProgram::allocate(const Network& network, const Plan& plan, std::uint64_t table_bytes) {
  std::size_t shared_bytes = 0;
  for (const std::unique_ptr<Op>& op : ops_) {
    scratch_pitch_ = std::max(scratch_pitch_, op->scratch_bytes());
    shared_bytes = std::max(shared_bytes, op->shared_bytes());
  }
  // What comes behind each of them begins a cache line.
  shared_bytes = parts_of(shared_bytes, kCacheLine) * kCacheLine;
  scratch_pitch_ = parts_of(scratch_pitch_, kCacheLine) * kCacheLine;
  const auto with_shared = checked_add<std::uint64_t>(plan.arena_bytes, shared_bytes);
  const auto bytes = with_shared ? checked_add<std::uint64_t>(*with_shared, slots_ * scratch_pitch_) : std::nullopt;
  const auto with_tables = bytes ? checked_add(*bytes, table_bytes) : std::nullopt;
  if (!with_tables || *with_tables > options_.limits.arena_bytes) {
    return arena_too_large(with_tables, options_.limits);
  }
  // Where nothing lies addresses are still added to: no null pointer goes that way, from here or from run().
  workspace_ = AlignedBuffer::allocate(std::max<std::uint64_t>(*bytes, kCacheLine));
  if (workspace_.data() == nullptr) return no_memory_for(*bytes, "activations");
  workspace_bytes_ = *with_tables;
  scratch_ = workspace_.data() + plan.arena_bytes + shared_bytes;
  std::vector<std::byte*> values(plan.constants.size(), nullptr);
  for (TensorId id = 0; id < plan.tensors.size(); ++id) {
    const PlannedTensor& tensor = plan.tensors[id];
    if (tensor.place == Place::arena) {
      addresses_.push_back(reinterpret_cast<float*>(workspace_.data() + tensor.offset_bytes));
    } else if (tensor.place == Place::constant) {
      if (values[tensor.port] == nullptr) {
        RUSHLIGHT_TRY_ASSIGN(Tensor value, materialise(plan.constants[tensor.port], network));
        RUSHLIGHT_TRY_ASSIGN(const std::span<const std::byte> memory, value.bytes());
        values[tensor.port] = memory.empty() ? workspace_.data() : const_cast<std::byte*>(memory.data());
        constants_.push_back(std::move(value));
      }
      addresses_.push_back(reinterpret_cast<float*>(values[tensor.port] + tensor.offset_bytes));
    } else {
      addresses_.push_back(nullptr);
      port_tensors_.push_back({id, tensor.place, tensor.port, tensor.offset_bytes});
    }
  }
  addresses_.push_back(reinterpret_cast<float*>(workspace_.data() + plan.arena_bytes));
  return {};
}

Status CpuProgram::run(std::span<const TensorView> inputs, std::span<const MutableTensorView> outputs) {
  for (const PortTensor& port : port_tensors_) {
    // Inputs are never written; one table of addresses for all tensors is worth the cast.
    void* const data = port.place == Place::input ? const_cast<void*>(inputs[port.port].data) : outputs[port.port].data;
    std::byte* const first = data == nullptr ? workspace_.data() : static_cast<std::byte*>(data);
    addresses_[port.tensor] = reinterpret_cast<float*>(first + port.offset_bytes);
  }
  const std::size_t slots = thread_choice_.takes_all() ? slots_ : 1;
  const auto run = [&] { return options_.step_times != nullptr ? run_timed(slots) : run_ops(slots); };
  if (!thread_choice_.is_trying()) {
    RUSHLIGHT_TRY(run());
    thread_choice_.note(0);
    return {};
  }
  const Clock::time_point begin = Clock::now();
  RUSHLIGHT_TRY(run());
  thread_choice_.note(static_cast<std::uint64_t>((Clock::now() - begin) / std::chrono::nanoseconds(1)));
  return {};
}

Status CpuProgram::run_ops(std::size_t slots) {
  for (std::size_t i = 0; i < ops_.size(); ++i) {
    if (options_.recorder != nullptr) show_input(i);
    run_op(*ops_[i], slots);
    RUSHLIGHT_TRY(finish_op(i));
  }
  return {};
}

Status CpuProgram::finish_op(std::size_t index) {
  if (ops_[index]->can_fail()) RUSHLIGHT_TRY(ops_[index]->failure());
  if (options_.progress != nullptr && !options_.progress->on_progress("run", index + 1, ops_.size())) {
    return run_was_cancelled();
  }
  return {};
}

void CpuProgram::note_input(const Step& step, const Plan& plan) {
  if (options_.recorder == nullptr) return;
  TensorId input = kNone;
  if (const auto* conv = std::get_if<ConvStep>(&step.work)) input = conv->input;
  if (const auto* linear = std::get_if<LinearStep>(&step.work)) input = linear->input;
  if (input != kNone) recorded_.push_back({ops_.size(), step.name, input, plan.tensors[input]});
}

void CpuProgram::show_input(std::size_t index) const {
  const auto found = std::lower_bound(recorded_.begin(), recorded_.end(), index,
                                      [](const Recorded& recorded, std::size_t op) { return recorded.op < op; });
  if (found == recorded_.end() || found->op != index) return;
  options_.recorder->record(found->layer, addresses_[found->tensor], static_cast<std::size_t>(found->rows.rows()),
                            static_cast<std::size_t>(found->rows.c), static_cast<std::size_t>(found->rows.row_stride));
}

void CpuProgram::note_step(std::size_t step) {
  if (options_.step_times == nullptr) return;
  for (std::size_t i = step_of_op_.size(); i < ops_.size(); ++i) {
    std::string& algorithm = options_.step_times->steps[step].algorithm;
    if (algorithm.empty()) algorithm = ops_[i]->algorithm();
  }
  step_of_op_.resize(ops_.size(), step);
}

Status CpuProgram::run_timed(std::size_t slots) {
  std::vector<TimedStep>& steps = options_.step_times->steps;
  for (TimedStep& step : steps) step.nanoseconds = 0;
  Clock::time_point before = Clock::now();
  for (std::size_t i = 0; i < ops_.size(); ++i) {
    run_op(*ops_[i], slots);
    RUSHLIGHT_TRY(finish_op(i));
    const Clock::time_point now = Clock::now();
    steps[step_of_op_[i]].nanoseconds += static_cast<std::uint64_t>((now - before) / std::chrono::nanoseconds(1));
    before = now;
  }
  return {};
}

void CpuProgram::run_op(const Op& op, std::size_t slots) noexcept {
  run_tasks(op, {options_.executor, slots, scratch_, scratch_pitch_, shares_.data()}, addresses_.data());
}

}  // namespace rushlight::runtime::cpu
