#include "runtime/cpu/op.hpp"

#include <algorithm>

namespace rushlight::runtime::cpu {
namespace {

// One thread's way through tasks of an Op.
class TaskRunner {
 public:
  TaskRunner(const Op& op, float* const* tensors, std::byte* scratch) noexcept
      : op_(op), tensors_(tensors), scratch_(scratch) {}

  void run(std::size_t task) noexcept {
    if (op_.block_tasks() > 0 && (!has_block_ || task / op_.block_tasks() != block_)) {
      has_block_ = true;
      block_ = task / op_.block_tasks();
      op_.prepare(block_, tensors_, scratch_);
    }
    op_.run(task, tensors_, scratch_);
  }

 private:
  const Op& op_;
  float* const* tensors_;
  std::byte* scratch_;
  std::size_t block_ = 0;  // what `scratch_` holds, if has_block_
  bool has_block_ = false;
};

}  // namespace

void run_tasks(const Op& op, const Workers& workers, float* const* tensors) noexcept {
  const std::size_t count = op.task_count();
  const std::size_t slots = std::min({workers.slots, count, op.useful_slots()});
  if (slots <= 1) {
    TaskRunner runner(op, tensors, workers.scratch);
    for (std::size_t task = 0; task < count; ++task) runner.run(task);
    return;
  }
  for (std::size_t slot = 0; slot < slots; ++slot) {
    workers.shares[slot].next.store(slot * count / slots, std::memory_order_relaxed);
  }
  workers.executor->for_each_index(slots, [&](std::size_t slot) {
    TaskRunner runner(op, tensors, workers.scratch + slot * workers.scratch_pitch);
    for (std::size_t i = 0; i < slots; ++i) {
      const std::size_t owner = (slot + i) % slots;
      const std::size_t end = (owner + 1) * count / slots;
      std::atomic<std::size_t>& next = workers.shares[owner].next;
      for (std::size_t task = next.fetch_add(1, std::memory_order_relaxed); task < end;
           task = next.fetch_add(1, std::memory_order_relaxed)) {
        runner.run(task);
      }
    }
  });
}

Result<std::shared_ptr<const PackedArray>> OpContext::packed(ConstantId id, Packing packing, std::size_t width,
                                                             std::size_t groups, std::size_t last_width) const {
  if (id == kNone) return std::shared_ptr<const PackedArray>();
  return weights.get({plan.constants[id], packing, width, groups, last_width}, network);
}

}  // namespace rushlight::runtime::cpu
