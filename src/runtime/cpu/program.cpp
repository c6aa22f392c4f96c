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

// And begins anew.
std::uint64_t nanoseconds_since(Clock::time_point& before) noexcept {
  const Clock::time_point now = Clock::now();
  return static_cast<std::uint64_t>((now - std::exchange(before, now)) / std::chrono::nanoseconds(1));
}

// Items that run at the same time, each on a thread of its own. One at a time where threads would be left over for a
// good part of the time.
std::size_t lanes_for(const Plan& plan, std::size_t slots) noexcept {
  const auto items = static_cast<std::size_t>(plan.items);
  return items % slots == 0 || items >= 4 * slots ? std::min(items, slots) : 1;
}

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
  const std::size_t lanes = lanes_for(plan, program->slots_);
  // Packing weights is most of the work, and each step's are its own.
  std::vector<Ops> made(plan.steps.size());
  std::vector<Status> statuses(plan.steps.size());
  const auto make = [&](std::size_t i) {
    OpContext of_step = context;
    of_step.step_name = plan.steps[i].name;
    if (i < plan.item_steps) {
      of_step.items = plan.items;
      if (lanes > 1) of_step.slots = 1;
    }
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
    if (i < plan.item_steps) program->item_ops_ = program->ops_.size();
  }
  // Where no operator is worth two threads the caller's does everything.
  std::size_t useful_slots = 1;
  for (const std::unique_ptr<Op>& op : program->ops_) {
    useful_slots = std::max(useful_slots, std::min(op->useful_slots(), op->task_count()));
  }
  program->slots_ = std::min(program->slots_, std::max(useful_slots, lanes));
  program->items_ = static_cast<std::size_t>(plan.items);
  program->lanes_.resize(plan.item_steps > 0 ? lanes : 0);
  program->thread_choice_ = ThreadChoice(program->slots_ > 1);
  program->shares_ = std::vector<Share>(program->slots_);
  RUSHLIGHT_TRY(program->allocate(network, plan, table_bytes));
  return std::unique_ptr<Program>(std::move(program));
}

void CpuProgram::make_lanes(const Plan& plan, std::uint64_t first_byte, std::uint64_t pitch_bytes) {
  for (std::size_t i = 0; i < lanes_.size(); ++i) {
    std::byte* const memory = workspace_.data() + first_byte + i * pitch_bytes;
    std::vector<float*>& addresses = lanes_[i].addresses;
    addresses.assign(addresses_.size(), nullptr);
    for (TensorId id = 0; id < plan.tensors.size(); ++id) {
      const PlannedTensor& tensor = plan.tensors[id];
      if (tensor.buffer == kNone || !plan.buffers[tensor.buffer].is_of_item) continue;
      addresses[id] = reinterpret_cast<float*>(memory + (tensor.offset_bytes - plan.arena_bytes));
    }
    addresses.back() = reinterpret_cast<float*>(memory + plan.item_arena_bytes);
    if (options_.step_times != nullptr) lanes_[i].nanoseconds.resize(item_ops_);
  }
  for (TensorId id = 0; id < plan.tensors.size(); ++id) {
    if (plan.tensors[id].item_stride_bytes > 0) item_tensors_.push_back({id, plan.tensors[id].item_stride_bytes});
  }
}

Status CpuProgram::allocate(const Network& network, const Plan& plan, std::uint64_t table_bytes) {
  std::size_t shared_bytes = 0;
  for (const std::unique_ptr<Op>& op : ops_) {
    scratch_pitch_ = std::max(scratch_pitch_, op->scratch_bytes());
    shared_bytes = std::max(shared_bytes, op->shared_bytes());
  }
  // What comes behind each of them begins a cache line.
  shared_bytes = round_up(shared_bytes, kCacheLine);
  scratch_pitch_ = round_up(scratch_pitch_, kCacheLine);
  const std::size_t lanes = std::max<std::size_t>(1, lanes_.size());
  const auto lane_bytes = checked_add<std::uint64_t>(plan.item_arena_bytes, shared_bytes);
  const auto all_lanes = lane_bytes ? checked_mul<std::uint64_t>(*lane_bytes, lanes) : std::nullopt;
  const auto with_lanes = all_lanes ? checked_add<std::uint64_t>(plan.arena_bytes, *all_lanes) : std::nullopt;
  const auto bytes = with_lanes ? checked_add<std::uint64_t>(*with_lanes, slots_ * scratch_pitch_) : std::nullopt;
  const auto with_tables = bytes ? checked_add(*bytes, table_bytes) : std::nullopt;
  if (!with_tables || *with_tables > options_.limits.arena_bytes) {
    return arena_too_large(with_tables, options_.limits);
  }
  // Where nothing lies addresses are still added to: no null pointer goes that way, from here or from run().
  workspace_ = AlignedBuffer::allocate(std::max<std::uint64_t>(*bytes, kCacheLine));
  if (workspace_.data() == nullptr) return no_memory_for(*bytes, "activations");
  workspace_bytes_ = *with_tables;
  scratch_ = workspace_.data() + *with_lanes;
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
  addresses_.push_back(reinterpret_cast<float*>(workspace_.data() + plan.arena_bytes + plan.item_arena_bytes));
  make_lanes(plan, plan.arena_bytes, *lane_bytes);
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
  if (!thread_choice_.is_trying()) {
    RUSHLIGHT_TRY(run_ops(slots));
    thread_choice_.note(0, 0);
    return {};
  }
  const auto nanoseconds = [] {
    return static_cast<std::uint64_t>(Clock::now().time_since_epoch() / std::chrono::nanoseconds(1));
  };
  const std::uint64_t begin = nanoseconds();
  RUSHLIGHT_TRY(run_ops(slots));
  thread_choice_.note(begin, nanoseconds());
  return {};
}

Status CpuProgram::run_ops(std::size_t slots) {
  std::vector<TimedStep>* const times = options_.step_times == nullptr ? nullptr : &options_.step_times->steps;
  if (times != nullptr) {
    for (TimedStep& step : *times) step.nanoseconds = 0;
  }
  if (item_ops_ > 0) RUSHLIGHT_TRY(run_items(slots));
  const Workers all = workers(slots);
  Clock::time_point before = times == nullptr ? Clock::time_point() : Clock::now();
  for (std::size_t i = item_ops_; i < ops_.size(); ++i) {
    if (options_.recorder != nullptr) show_input(i);
    run_tasks(*ops_[i], all, addresses_.data());
    if (ops_[i]->can_fail()) RUSHLIGHT_TRY(ops_[i]->failure());
    RUSHLIGHT_TRY(report((items_ - 1) * item_ops_ + i + 1));
    if (times != nullptr) (*times)[step_of_op_[i]].nanoseconds += nanoseconds_since(before);
  }
  return {};
}

Status CpuProgram::run_items(std::size_t slots) {
  for (Lane& lane : lanes_) std::fill(lane.nanoseconds.begin(), lane.nanoseconds.end(), 0U);
  if (slots <= 1 || lanes_.size() <= 1) {
    for (std::size_t item = 0; item < items_; ++item) RUSHLIGHT_TRY(run_item(item, lanes_[0], workers(slots), true));
  } else {
    RUSHLIGHT_TRY(run_lanes());
  }
  if (options_.step_times == nullptr) return {};
  // Of lanes that ran side by side, the time that passed.
  const std::size_t side_by_side = slots <= 1 ? 1 : lanes_.size();
  for (const Lane& lane : lanes_) {
    for (std::size_t i = 0; i < item_ops_; ++i) {
      options_.step_times->steps[step_of_op_[i]].nanoseconds += lane.nanoseconds[i] / side_by_side;
    }
  }
  return {};
}

Status CpuProgram::run_lanes() {
  // Who is told how far it is, on this thread, may say stop: then items go in rows.
  const std::size_t row = options_.progress == nullptr ? items_ : lanes_.size();
  for (std::size_t first = 0; first < items_; first += row) {
    const std::size_t end = std::min(items_, first + row);
    std::atomic<std::size_t> next{first};
    options_.executor->for_each_index(std::min(lanes_.size(), end - first), [&](std::size_t lane) {
      const Workers alone = {.scratch = scratch_ + lane * scratch_pitch_};
      for (std::size_t item = next.fetch_add(1, std::memory_order_relaxed); item < end;
           item = next.fetch_add(1, std::memory_order_relaxed)) {
        (void)run_item(item, lanes_[lane], alone, false);
      }
    });
    // None of their operators can fail: those that follow numbers from outside are GeneralSteps'.
    RUSHLIGHT_TRY(report(end * item_ops_));
  }
  return {};
}

Status CpuProgram::run_item(std::size_t item, Lane& lane, const Workers& workers, bool reports) {
  for (const ItemTensor& each : item_tensors_) {
    std::byte* const first = reinterpret_cast<std::byte*>(addresses_[each.tensor]);
    lane.addresses[each.tensor] = reinterpret_cast<float*>(first + item * each.stride_bytes);
  }
  const bool is_timed = options_.step_times != nullptr;
  Clock::time_point before = is_timed ? Clock::now() : Clock::time_point();
  for (std::size_t i = 0; i < item_ops_; ++i) {
    run_tasks(*ops_[i], workers, lane.addresses.data());
    if (reports) RUSHLIGHT_TRY(report(item * item_ops_ + i + 1));
    if (is_timed) lane.nanoseconds[i] += nanoseconds_since(before);
  }
  return {};
}

Status CpuProgram::report(std::size_t done) const {
  const std::size_t total = (items_ - 1) * item_ops_ + ops_.size();
  if (options_.progress != nullptr && !options_.progress->on_progress("run", done, total)) return run_was_cancelled();
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

Workers CpuProgram::workers(std::size_t slots) noexcept {
  return {options_.executor, slots, scratch_, scratch_pitch_, shares_.data()};
}

}  // namespace rushlight::runtime::cpu
