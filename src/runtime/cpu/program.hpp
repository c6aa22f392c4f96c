// A plan on the CPU: its operators one after the other, each spread over the executor's threads.
//
// Item steps (Plan::item_steps) run for each item of the batch before. Threads take whole items where these go around,
// and none waits for another between two steps; otherwise all threads share each operator of one item.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "runtime/backend.hpp"
#include "runtime/cpu/aligned_buffer.hpp"
#include "runtime/cpu/op.hpp"
#include "runtime/cpu/thread_choice.hpp"
#include "runtime/plan.hpp"

namespace rushlight::runtime::cpu {

class CpuProgram final : public Program {
 public:
  // `narrow`: how to multiply, or null; only looked at here. ErrorCode::out_of_memory, ::limit_exceeded, ::cancelled.
  static Result<std::unique_ptr<Program>> make(const Network& network, Plan plan, const Kernels& kernels,
                                               const NarrowProducts* narrow, std::shared_ptr<CpuWeights> weights,
                                               const RunOptions& options, const Machine& machine);

  Status run(std::span<const TensorView> inputs, std::span<const MutableTensorView> outputs) override;
  [[nodiscard]] std::uint64_t workspace_bytes() const noexcept override { return workspace_bytes_; }

 private:
  // A tensor in a caller's buffer.
  struct PortTensor {
    TensorId tensor;
    Place place;
    std::size_t port;
    std::uint64_t offset_bytes;
  };

  // A tensor that lies elsewhere for each item.
  struct ItemTensor {
    TensorId tensor;
    std::uint64_t stride_bytes;
  };
  // Where one item's operators find tensors: addresses_ but for those of the item.
  struct Lane {
    std::vector<float*> addresses;
    std::vector<std::uint64_t> nanoseconds;  // of each operator, for step_times alone
  };

  CpuProgram(std::shared_ptr<CpuWeights> weights, const RunOptions& options);
  Status allocate(const Network& network, const Plan& plan, std::uint64_t table_bytes);
  void make_lanes(const Plan& plan, std::uint64_t first_byte, std::uint64_t pitch_bytes);
  Status run_ops(std::size_t slots);
  // The operators [0, item_ops_) for all items, by all threads or by one for each lane; and for one item.
  Status run_items(std::size_t slots);
  Status run_lanes();
  Status run_item(std::size_t item, Lane& lane, const Workers& workers, bool reports);
  [[nodiscard]] Workers workers(std::size_t slots) noexcept;
  // That so many runs of operators are done: what the progress says about going on.
  [[nodiscard]] Status report(std::size_t done) const;
  void show_input(std::size_t index) const;
  void note_input(const Step& step, const Plan& plan);  // before its operators are added
  void note_step(std::size_t step);                     // that the operators made since the last call belong to

  std::shared_ptr<CpuWeights> weights_;
  RunOptions options_;
  std::vector<std::unique_ptr<Op>> ops_;
  // What RunOptions::recorder wants to see: the input of a product, before `op` runs.
  struct Recorded {
    std::size_t op;
    std::string layer;
    TensorId tensor;
    PlannedTensor rows;
  };

  std::vector<Recorded> recorded_;       // by op; empty without a recorder
  std::vector<std::size_t> step_of_op_;  // for step_times alone; empty otherwise
  std::vector<float*> addresses_;  // of each tensor, and of what Ops share; those of port tensors are set by run()
  std::vector<PortTensor> port_tensors_;
  std::size_t items_ = 1;
  std::size_t item_ops_ = 0;  // from the first one on
  std::vector<ItemTensor> item_tensors_;
  std::vector<Lane> lanes_;        // of items that run at the same time; none without item steps
  std::vector<Tensor> constants_;  // that tensors of Place::constant are
  AlignedBuffer workspace_;        // the arena, for each lane its item arena and what Ops share, scratch for each slot
  std::byte* scratch_ = nullptr;
  std::size_t scratch_pitch_ = 0;
  std::size_t slots_ = 1;      // tasks that may run at the same time
  std::vector<Share> shares_;  // of each slot
  ThreadChoice thread_choice_{false};
  std::uint64_t workspace_bytes_ = 0;
};

}  // namespace rushlight::runtime::cpu
