// A plan on the CPU: its operators one after the other, each spread over the executor's threads.
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

  CpuProgram(std::shared_ptr<CpuWeights> weights, const RunOptions& options);
  Status allocate(const Network& network, const Plan& plan, std::uint64_t table_bytes);
  Status run_ops(std::size_t slots);
  void run_op(const Op& op, std::size_t slots) noexcept;
  // What comes after an operator: its failure, and what the progress says about going on.
  [[nodiscard]] Status finish_op(std::size_t index);
  Status run_timed(std::size_t slots);
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
  std::vector<Tensor> constants_;  // that tensors of Place::constant are
  AlignedBuffer workspace_;        // the arena, what Ops share, then scratch for each slot
  std::byte* scratch_ = nullptr;
  std::size_t scratch_pitch_ = 0;
  std::size_t slots_ = 1;      // tasks that may run at the same time
  std::vector<Share> shares_;  // of each slot
  ThreadChoice thread_choice_{false};
  std::uint64_t workspace_bytes_ = 0;
};

}  // namespace rushlight::runtime::cpu
