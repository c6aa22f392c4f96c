// HostStep: a step of a plan that the device has no kernel for. Its operands come down into a staging buffer, the
// host's backend computes there, and what it made goes up.
//
// Nothing here is CUDA's: the emulation copies from memory to memory. Steps run one after the other, so all of a
// program share one staging buffer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "runtime/backend.hpp"
#include "runtime/plan.hpp"
#include "rushlight/result.hpp"

namespace rushlight::cuda {

// The bytes between the first element of an operand and the end of the last one, gaps included.
struct OperandRange {
  std::int64_t begin_bytes = 0;  // from element 0; negative where strides are
  std::uint64_t size_bytes = 0;
};
[[nodiscard]] OperandRange range_of(const runtime::Operand& operand);

class HostStep {
 public:
  // `host`: a backend that can compile_plan(); `weights`: what its make_weights() gave for this network.
  static Result<std::shared_ptr<HostStep>> make(const runtime::Network& network, const runtime::Plan& plan,
                                                const runtime::GeneralStep& step, std::string name,
                                                const runtime::Backend& host,
                                                const std::shared_ptr<runtime::PackedWeights>& weights,
                                                const runtime::RunOptions& options);

  [[nodiscard]] std::uint64_t staging_bytes() const noexcept { return staging_bytes_; }
  // Of the host's program, without the staging buffer.
  [[nodiscard]] std::uint64_t workspace_bytes() const noexcept { return program_->workspace_bytes(); }

  // Element 0 of each operand, on the device. `staging` is aligned to kArenaAlignment and holds staging_bytes().
  void place(std::span<std::byte* const> inputs, std::span<std::byte* const> outputs, std::byte* staging);

  struct Copy {
    std::byte* device = nullptr;
    std::byte* host = nullptr;
    std::uint64_t size_bytes = 0;
  };
  // After place(): before compute(), and after it.
  [[nodiscard]] std::span<const Copy> down() const noexcept { return down_; }
  [[nodiscard]] std::span<const Copy> up() const noexcept { return up_; }

  // On the calling thread alone.
  void compute();
  // Of the last compute(): an index that points nowhere. To be asked before the next one, in the same queue or after a
  // wait for it.
  [[nodiscard]] const Status& status() const noexcept { return status_; }

 private:
  struct Staged {
    OperandRange range;
    std::uint64_t offset_bytes = 0;  // of the range, in the staging buffer
    bool goes_down = false;
    bool goes_up = false;
  };
  void add(const runtime::Operand& operand, bool is_constant, bool is_output);

  std::unique_ptr<runtime::Program> program_;
  std::vector<Staged> operands_;
  std::uint64_t staging_bytes_ = 0;
  std::vector<Copy> down_;
  std::vector<Copy> up_;
  std::vector<TensorView> inputs_;
  std::vector<MutableTensorView> outputs_;
  Status status_;
};

// The work of a stream at this place.
struct HostCall {
  std::shared_ptr<HostStep> step;
};

}  // namespace rushlight::cuda
