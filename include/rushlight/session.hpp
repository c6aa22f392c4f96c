/// \file
/// Session: one thread's plan and workspace for a Model.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rushlight/executor.hpp"
#include "rushlight/export.hpp"
#include "rushlight/graph.hpp"
#include "rushlight/limits.hpp"
#include "rushlight/precision.hpp"
#include "rushlight/result.hpp"
#include "rushlight/tensor.hpp"

namespace rushlight {

struct Calibration;
class Tuning;  // rushlight/tuning.hpp
namespace runtime {
class Program;  // opaque
}

/// Which implementation computes.
enum class Implementation : std::uint8_t {
  automatic,  ///< the device's fastest
  reference,  ///< naive, accumulating in double: the judge of the others (CPU only)
};

struct SessionOptions {
  Implementation implementation = Implementation::automatic;
  /// Threads of the session's own pool, the caller's included; 1 makes none, 0 means as many as there are processors.
  /// Ignored when `executor` is set. Results do not depend on it, bit for bit. Networks that several threads do not
  /// make faster stay on the caller's: where a run takes less than a millisecond some runs are made both ways to find
  /// out.
  unsigned threads = 1;
  /// Must outlive the session. Like `threads` it is the CPU's: on a GPU nobody uses it.
  Executor* executor = nullptr;
  Progress* progress = nullptr;  ///< told after each operator of long runs; may cancel. Must outlive the session
  Precision precision = Precision::strict;
  /// For Precision::int8, which needs it; the others do not look at it. The session keeps a copy.
  const Calibration* calibration = nullptr;
  Limits limits = {};  ///< arena_bytes bounds the workspace
  /// Weights are kept once, as the kernels read them and padded at most, and the workspace of one shape at
  /// a time: convolutions are computed directly, whatever the precision. From a file of float32 to the first result a
  /// process then takes at most 1.15 times the weights, workspace_bytes() and 2 MiB of memory of its own. CPU only.
  bool low_memory = false;
  /// What was measured to be fastest, and where to note what is measured; see Tuning. Must outlive the session. Without
  /// one nothing is measured. Nothing to choose with low_memory. `progress` is told in phase "tune".
  Tuning* tuning = nullptr;
};

/// A run that Session::run_async() has begun. May be waited for on any thread, and outlive its session; it does not
/// wait by itself when it goes.
class RUSHLIGHT_API Completion {
 public:
  Completion() noexcept;  ///< of a run that is done
  Completion(Completion&&) noexcept;
  Completion& operator=(Completion&&) noexcept;
  ~Completion();

  /// Whether the run is over, well or not. Waits for nothing.
  [[nodiscard]] bool ready() const noexcept;
  /// Waits until the run is over and says how it went, it and no other: ErrorCode::device when the GPU failed at it,
  /// ErrorCode::invalid_argument when an index pointed nowhere. Later calls say the same, unless 256 later runs have
  /// failed in between: then nobody knows any more, which is ErrorCode::device. Runs of one session end in their order
  /// where their shapes are the same; this may wait for a few of the next ones too.
  [[nodiscard]] Status wait() const;
  /// The `cudaEvent_t` that is reached when the run is over, for cudaStreamWaitEvent(); null where it is over already.
  /// It is the session's, which uses it again for the eighth run after this one.
  [[nodiscard]] void* event() const noexcept;

 private:
  friend class Session;
  Completion(std::shared_ptr<runtime::Program> program, std::uint64_t ticket) noexcept;

  std::shared_ptr<runtime::Program> program_;
  std::uint64_t ticket_ = 0;
};

struct AsyncOptions {
  /// A `cudaStream_t` of the session's GPU, as which the run then behaves like one more piece of work: it begins when
  /// what is in that stream is done, and what is put there later begins when the run is. CUDA's default stream has the
  /// handle cudaStreamLegacy. Null: the run waits for nothing but earlier runs of the same shapes of inputs. A stream
  /// that is recording a graph is ErrorCode::invalid_argument.
  void* stream = nullptr;
};

/// Runs a model. A Session belongs to one thread at a time; several sessions of one model run at once.
///
/// Inference always means eval mode: BatchNorm uses running statistics, Dropout passes through. Denormals are kept, the
/// floating-point environment is not touched.
class RUSHLIGHT_API Session {
 public:
  Session(Session&&) noexcept;
  Session& operator=(Session&&) noexcept;
  ~Session();

  [[nodiscard]] std::span<const Port> inputs() const noexcept;
  [[nodiscard]] std::span<const Port> outputs() const noexcept;
  [[nodiscard]] Device device() const noexcept;

  /// Shapes of the outputs for given shapes of the inputs.
  [[nodiscard]] Result<std::vector<Shape>> output_shapes(std::span<const Shape> input_shapes) const;
  /// Plans for these shapes now, so that the next run() allocates nothing. run() does it by itself when shapes change.
  Status prepare(std::span<const Shape> input_shapes);
  /// Bytes of workspace of the current plan.
  [[nodiscard]] std::uint64_t workspace_bytes() const noexcept;
  /// Layers of the current plan that the host computes because the device has no kernel for them: their inputs are
  /// copied to the host and their outputs back, in every run. Empty on the CPU. Valid until the next plan.
  [[nodiscard]] std::span<const std::string> host_layers() const noexcept;
  /// How the current plan's kernels come to the GPU, for people: "one CUDA graph of 53 kernels that start early", or
  /// "53 launches: " and why they are launched one by one. Empty on the CPU. Valid until the next plan.
  [[nodiscard]] std::string_view launching() const noexcept;

  /// Inputs and outputs in port order, dense in C order (NCHW), in host memory or on the session's device. Allocates
  /// nothing when the shapes are those of the run before. Inputs on the device must be there: this waits for no stream
  /// of the caller's, and cudaMemcpy() from memory that is not page-locked returns before the bytes have arrived.
  Status run(std::span<const TensorView> inputs, std::span<const MutableTensorView> outputs);
  /// As run(), but comes back when the work has been handed to the GPU. Until Completion::wait() the inputs must stay
  /// what they are and the outputs hold anything. Allocates nothing and waits for nothing when the shapes are those of
  /// the run before, or of prepare(), and all views lie on the GPU or in page-locked host memory; with other host
  /// memory the driver waits until it has read or written it. Kernels never see the caller's addresses, which may thus
  /// differ from run to run; on the GPU copies stay on the GPU.
  ///
  /// What can be known at once is an error here, and then nothing of the run is under way any more. On the CPU the run
  /// is over when this returns; a stream is ErrorCode::invalid_argument there.
  Result<Completion> run_async(std::span<const TensorView> inputs, std::span<const MutableTensorView> outputs,
                               const AsyncOptions& options = {});
  /// For one input and one output: makes the output. Accepts any strides; a missing batch dimension is not added here.
  Result<Tensor> run(const Tensor& input);
  /// For any number of them, in port order.
  Result<std::vector<Tensor>> run(std::span<const Tensor> inputs);

  struct Impl;  ///< opaque
  explicit Session(std::unique_ptr<Impl> impl) noexcept;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace rushlight
