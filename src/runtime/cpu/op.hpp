// Op: a step of a plan, ready to run on the CPU: weights packed, tasks cut, everything known but the addresses.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "runtime/cpu/conv_choice.hpp"
#include "runtime/cpu/kernels/kernels.hpp"
#include "runtime/cpu/narrow_choice.hpp"
#include "runtime/cpu/packed_weights.hpp"
#include "runtime/plan.hpp"
#include "rushlight/result.hpp"

namespace rushlight::runtime::cpu {

// Items [first, last) of `count`, cut into equal parts of `part` items.
struct Range {
  std::size_t first;
  std::size_t last;
};
[[nodiscard]] constexpr std::size_t parts_of(std::size_t count, std::size_t part) noexcept {
  return (count + part - 1) / part;
}
[[nodiscard]] constexpr std::size_t round_up(std::size_t count, std::size_t part) noexcept {
  return parts_of(count, part) * part;
}
[[nodiscard]] constexpr Range part_range(std::size_t task, std::size_t count, std::size_t part) noexcept {
  const std::size_t first = task * part;
  return {first, count - first < part ? count : first + part};
}

// Part `index` of `count` items in `parts` parts of equal size or nearly so.
[[nodiscard]] constexpr Range even_part(std::size_t index, std::size_t count, std::size_t parts) noexcept {
  return {index * count / parts, (index + 1) * count / parts};
}

// Tasks are independent of each other. How many there are may depend on the number of threads, what they compute never.
class Op {
 public:
  virtual ~Op() = default;
  Op(const Op&) = delete;
  Op& operator=(const Op&) = delete;

  // tensors[id] is where a tensor begins. `scratch` holds scratch_bytes() bytes, aligned to a cache line: what
  // prepare() left there for the task's block, and room for this call.
  virtual void run(std::size_t task, float* const* tensors, std::byte* scratch) const noexcept = 0;
  // What tasks [block * block_tasks(), (block + 1) * block_tasks()) have in common, left in `scratch` for those of them
  // that run there next.
  virtual void prepare(std::size_t /*block*/, float* const* /*tensors*/, std::byte* /*scratch*/) const noexcept {}

  [[nodiscard]] std::size_t task_count() const noexcept { return task_count_; }
  // 0: nothing is to be prepared.
  [[nodiscard]] std::size_t block_tasks() const noexcept { return block_tasks_; }
  [[nodiscard]] std::size_t scratch_bytes() const noexcept { return scratch_bytes_; }
  // What a task of another Op of the same step may read of this one's tasks; the program lends it (OpContext::shared).
  [[nodiscard]] std::size_t shared_bytes() const noexcept { return shared_bytes_; }
  void set_shared_bytes(std::size_t bytes) noexcept { shared_bytes_ = bytes; }
  // Whether to ask for failure() after the tasks: of operators that follow numbers from outside.
  [[nodiscard]] bool can_fail() const noexcept { return can_fail_; }
  [[nodiscard]] virtual Status failure() const { return {}; }
  [[nodiscard]] double operations() const noexcept { return operations_; }
  // For people, where there was a choice: "winograd 2x2". Of the Ops of a step the first that says something speaks.
  [[nodiscard]] virtual std::string_view algorithm() const noexcept { return {}; }
  // How many threads are worth waking for it: 1 where the work is small.
  [[nodiscard]] std::size_t useful_slots() const noexcept {
    return operations_ < 2 * kShare ? 1 : static_cast<std::size_t>(std::min(operations_ / kShare, kMostShares));
  }

 protected:
  Op() = default;

  // An element that is read or written costs as much as so many operations on registers: with AVX-512 a core of 2022
  // does 120 of them in a nanosecond and moves 11 to 15 floats between L2 and registers. Steps that only move elements
  // are cut early, too, since what each thread wrote in the step before lies in its own core's cache: one thread took
  // up to four times as long to pool what both had made.
  static constexpr double kPerElement = 8;

  // Into how many tasks to cut `operations_` for several threads: enough that none waits long for the last one, and
  // each worth having.
  [[nodiscard]] std::size_t wanted_tasks(std::size_t slots) const noexcept {
    const std::size_t worthwhile = static_cast<std::size_t>(std::min(operations_ / kShare, kMostShares));
    return std::clamp<std::size_t>(worthwhile, slots, kTasksEach * slots);
  }

  std::size_t task_count_ = 0;
  std::size_t block_tasks_ = 0;
  std::size_t scratch_bytes_ = 0;
  double operations_ = 0;  // roughly; one of a multiply-add is one, one element moved kPerElement
  bool can_fail_ = false;

 private:
  // Some us of a core: what a thread is given at least, since having it come costs about as much.
  static constexpr double kShare = 250'000;
  static constexpr double kMostShares = 1e6;  // that a size_t holds whatever operations_ is
  // Half a task is what a thread waits for at the end, and with cores that others use as well that happens each time.
  static constexpr std::size_t kTasksEach = 32;

  std::size_t shared_bytes_ = 0;
};

// A slot's tasks of the Op that runs: the first that nobody has taken. On a line of its own.
struct alignas(kCacheLine) Share {
  std::atomic<std::size_t> next{0};
};
// What tasks run on.
struct Workers {
  Executor* executor = nullptr;   // null: the calling thread alone
  std::size_t slots = 1;          // tasks that may run at the same time
  std::byte* scratch = nullptr;   // of the first slot
  std::size_t scratch_pitch = 0;  // from one to the next
  Share* shares = nullptr;        // of each slot
};
// All tasks of an Op. Each slot has a share of neighbouring tasks: what it wrote in one step lies in its own core's
// cache when the next step reads it. Whoever is done with its share helps the others, task by task, so that a thread
// that loses its core holds up one task at most.
void run_tasks(const Op& op, const Workers& workers, float* const* tensors) noexcept;

// An Op whose output rows (pixels, counted through the batch) can be computed in pieces: any, of convolutions as
// make_rows_op() makes them; of others, whole lines of pictures.
class RowsOp : public Op {
 public:
  // Row i of the output goes to output + i * its stride, and so for the residual; input pixels likewise. What the rows
  // do not read need not be there. `scratch` is as for run().
  virtual void run_rows(Range rows, const float* input, float* output, const float* residual,
                        std::byte* scratch) const noexcept = 0;
};

// Where element 0 of all rows would be if `buffer`, which begins with a later one, held them all: `skipped` floats
// before it.
[[nodiscard]] inline float* before(float* buffer, std::size_t skipped) noexcept {
  return reinterpret_cast<float*>(reinterpret_cast<std::uintptr_t>(buffer) - skipped * sizeof(float));
}

// What Ops are made for, as far as CPUID tells.
struct Machine {
  std::string_view name;  // under which a Tuning keeps what was measured here
  MemoryCost memory = {};
};

// What makers of Ops need.
struct OpContext {
  const Network& network;
  const Plan& plan;
  const Kernels& kernels;
  CpuWeights& weights;
  const RunOptions& options;
  const Machine& machine;
  const NarrowProducts* narrow;             // how to multiply, or null: in float
  std::atomic<std::uint64_t>& table_bytes;  // of all Ops made so far: what they keep besides weights and activations
  std::size_t slots = 1;  // tasks that may run at the same time; what is computed must not depend on it
  const ConvChoices* conv_choices = nullptr;  // null: all go by the rule
  std::string_view step_name = {};            // of the step whose Ops are made
  std::int64_t items = 1;                     // of which it computes one at a time (Plan::item_steps)

  [[nodiscard]] const PlannedTensor& tensor(TensorId id) const { return plan.tensors[id]; }
  // Stands behind the plan's tensors in the table of addresses: memory that the Ops of one step share.
  [[nodiscard]] TensorId shared() const { return static_cast<TensorId>(plan.tensors.size()); }
  // Null for kNone.
  [[nodiscard]] Result<std::shared_ptr<const PackedArray>> packed(ConstantId id, Packing packing, std::size_t width = 0,
                                                                  std::size_t groups = 1,
                                                                  std::size_t last_width = 0) const;
};

using MadeOp = Result<std::unique_ptr<Op>>;

[[nodiscard]] MadeOp make_op(const ConvStep& step, const OpContext& context);
// A convolution as it is computed directly.
[[nodiscard]] Result<std::unique_ptr<RowsOp>> make_rows_op(const ConvStep& step, const OpContext& context);
// The same, as if the input had another geometry.
[[nodiscard]] Result<std::unique_ptr<RowsOp>> make_window_op(const ConvStep& step, const PlannedTensor& input,
                                                             const OpContext& context);
// On a planar input.
[[nodiscard]] Result<std::unique_ptr<RowsOp>> make_planes_op(const ConvStep& step, const OpContext& context);
// Whole lines.
[[nodiscard]] Result<std::unique_ptr<RowsOp>> make_rows_op(const MaxPoolStep& step, const OpContext& context);
// One channel in, one channel out, for each group.
[[nodiscard]] Result<std::unique_ptr<RowsOp>> make_depthwise_op(const ConvStep& step, const OpContext& context);
[[nodiscard]] MadeOp make_op(const StripeStep& step, const OpContext& context);
// The same row by row, whatever other ways its first layer has.
[[nodiscard]] MadeOp make_stripe_op(const StripeStep& step, const OpContext& context);
[[nodiscard]] MadeOp make_op(const LinearStep& step, const OpContext& context);
[[nodiscard]] MadeOp make_op(const NormStep& step, const OpContext& context);
[[nodiscard]] MadeOp make_op(const MaxPoolStep& step, const OpContext& context);
[[nodiscard]] MadeOp make_op(const AvgPoolStep& step, const OpContext& context);
[[nodiscard]] MadeOp make_op(const AdaptiveAvgPoolStep& step, const OpContext& context);
[[nodiscard]] MadeOp make_op(const ReluStep& step, const OpContext& context);
[[nodiscard]] MadeOp make_op(const AddStep& step, const OpContext& context);
[[nodiscard]] MadeOp make_op(const BroadcastAddStep& step, const OpContext& context);
[[nodiscard]] MadeOp make_op(const SoftmaxStep& step, const OpContext& context);
[[nodiscard]] MadeOp make_op(const LayoutStep& step, const OpContext& context);
[[nodiscard]] MadeOp make_op(const CopyStep& step, const OpContext& context);

// With Precision::int8: a convolution or Linear on 8-bit codes, as two Ops that run one after the other. Empty where it
// is computed in float32: depthwise ones, groups of few channels, weights that are infinite or NaN, sums that 32 bits
// might not hold. ErrorCode::mismatch when the calibration does not know the step.
[[nodiscard]] Result<std::vector<std::unique_ptr<Op>>> make_int8_ops(const ConvStep& step, const OpContext& context);
[[nodiscard]] Result<std::vector<std::unique_ptr<Op>>> make_int8_ops(const LinearStep& step, const OpContext& context);

// They run one after the other.
[[nodiscard]] Result<std::vector<std::unique_ptr<Op>>> make_general_ops(const GeneralStep& step,
                                                                        const OpContext& context);

}  // namespace rushlight::runtime::cpu
