// A network compiled for one GPU and fixed shapes: calls of kernels over one workspace, and the ways to run them.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cuda/calls.hpp"
#include "cuda/device_memory.hpp"
#include "cuda/graph.hpp"
#include "cuda/run_outcomes.hpp"
#include "cuda/stream.hpp"
#include "cuda/upload.hpp"
#include "runtime/backend.hpp"
#include "rushlight/result.hpp"

namespace rushlight::cuda {

// A port's place in the workspace. Kernels never see the caller's buffers: addresses stay what they were when the calls
// were made, so that a graph of them can be replayed, and host and device buffers are alike.
struct PortBuffer {
  std::uint64_t offset_bytes = 0;
  std::uint64_t size_bytes = 0;
};

struct ProgramParts {
  int device = 0;
  runtime::RunOptions options;
  std::shared_ptr<runtime::PackedWeights> weights;  // where the calls' constants lie
  DeviceBuffer workspace;                           // the arena, then the ports
  std::vector<Call> calls;
  bool starts_early = false;  // kernels, where the one before is a kernel too
  std::vector<PortBuffer> inputs;
  std::vector<PortBuffer> outputs;
  PinnedBuffer notes;    // what the GPU says of indices
  PinnedBuffer staging;  // operands of steps that the host computes
  std::uint64_t host_bytes = 0;
  std::vector<std::string> host_layers;
};

class CudaProgram final : public runtime::Program {
 public:
  // Records the calls as a graph, unless options.progress is asked after each of them or options.step_times wants to
  // know how long each takes. Where the driver refuses, they are launched one by one in every run: launching() says so.
  // Fails when the device does.
  static Result<std::unique_ptr<CudaProgram>> make(ProgramParts parts);
  ~CudaProgram() override;

  Status run(std::span<const TensorView> inputs, std::span<const MutableTensorView> outputs) override;
  Result<std::uint64_t> run_async(std::span<const TensorView> inputs, std::span<const MutableTensorView> outputs,
                                  void* stream) override;
  [[nodiscard]] Status wait(std::uint64_t ticket) override;
  [[nodiscard]] bool is_over(std::uint64_t ticket) override;
  [[nodiscard]] void* event_of(std::uint64_t ticket) override { return mark_of(ticket).get(); }
  [[nodiscard]] std::uint64_t workspace_bytes() const noexcept override {
    return parts_.workspace.size_bytes() + parts_.host_bytes;
  }
  [[nodiscard]] std::span<const std::string> host_layers() const noexcept override { return parts_.host_layers; }
  [[nodiscard]] std::string_view launching() const noexcept override { return launching_; }

 private:
  CudaProgram(ProgramParts parts, Stream stream, std::vector<Event> marks);

  // Ticket t has the mark t % kMarks, and shares it with later ones: runs end in their order, so that who waits for a
  // later one has waited for this. No run ever has to find a mark that is free.
  static constexpr std::size_t kMarks = 8;
  [[nodiscard]] const Event& mark_of(std::uint64_t ticket) const noexcept {
    return marks_[static_cast<std::size_t>(ticket % kMarks)];
  }
  // Where a caller's queue stands when a run takes its place there: forgotten as soon as our stream waits for it.
  [[nodiscard]] const Event& entry_mark() const noexcept { return marks_[kMarks]; }

  Status record();
  Result<Graph> capture();
  Status enqueue(std::span<const TensorView> inputs, std::span<const MutableTensorView> outputs);
  Status enqueue_within(cudaStream_t queue, std::span<const TensorView> inputs,
                        std::span<const MutableTensorView> outputs, const Event& end);
  Status copy_outputs(std::span<const MutableTensorView> outputs);
  Status launch_all(Progress* progress);
  Status read_times();
  Status enqueue_outcome();
  [[nodiscard]] Status calls_status() const;
  [[nodiscard]] Error among_layers(Error error) const;

  ProgramParts parts_;
  std::vector<const Call*> calls_with_status_;
  RunOutcomes outcomes_;  // of these calls, for run_async()
  std::string launching_;
  Stream stream_;
  std::optional<Graph> graph_;  // before the stream goes
  std::vector<Event> marks_;    // kMarks and one
  std::vector<Event> times_;    // with options.step_times: before each call, and after the last
  std::uint64_t last_ticket_ = 0;
};

}  // namespace rushlight::cuda
