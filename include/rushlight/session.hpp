/// \file
/// Session: one thread's plan and workspace for a Model.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
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

/// Which implementation computes.
enum class Implementation : std::uint8_t {
  automatic,  ///< the device's fastest
  reference,  ///< naive, accumulating in double: the judge of the others (CPU only)
};

struct SessionOptions {
  Implementation implementation = Implementation::automatic;
  /// Threads of the session's own pool, the caller's included; 1 makes none, 0 means as many as there are processors.
  /// Ignored when `executor` is set. Results do not depend on it, bit for bit.
  unsigned threads = 1;
  Executor* executor = nullptr;  ///< must outlive the session
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
  /// one nothing is measured. CPU only; nothing to choose with low_memory. `progress` is told in phase "tune".
  Tuning* tuning = nullptr;
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

  /// Inputs and outputs in port order, dense in C order (NCHW), in host memory or on the session's device. Allocates
  /// nothing when the shapes are those of the run before.
  Status run(std::span<const TensorView> inputs, std::span<const MutableTensorView> outputs);
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
