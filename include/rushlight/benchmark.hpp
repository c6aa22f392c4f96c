/// \file
/// benchmark(): how fast a model runs here, and how far that is from what the machine can do (`rushlight bench`).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "rushlight/model.hpp"

namespace rushlight {

struct BenchmarkOptions {
  Device device = Device::cpu();
  SessionOptions session = {};
  std::int64_t batch = 1;                ///< size of the inputs that are made up
  std::vector<Shape> input_shapes = {};  ///< theirs, with the batch, where the model leaves more open than that
  std::vector<Tensor> inputs = {};       ///< in port order; given, they are run as they are
  double seconds = 2;                    ///< about how long to measure; at least three runs are
  bool layers = false;                   ///< measure each step as well, as long again
  bool machine = true;                   ///< measure what the machine can do, some tenths of a second
  Progress* progress = nullptr;          ///< phase "run", in milliseconds
};

/// What is done at once: a layer with what was fused into it, or a part of one.
struct BenchmarkStep {
  std::string name{};       ///< of the layer: "layer1.0.conv1"
  std::string kind{};       ///< "conv", "linear", an operator's name in specs
  std::string algorithm{};  ///< where there was a choice: "direct", "winograd 2x2"
  std::int64_t macs = 0;
  std::uint64_t bytes = 0;  ///< operands, results and parameters, each once
  double milliseconds = 0;  ///< median
};

struct Benchmark {
  Device device{};
  std::string isa{};  ///< "avx512", "avx2", "baseline"; empty where the device is no CPU
  std::vector<Shape> inputs{};
  std::int64_t items = 0;  ///< of the batch
  std::int64_t macs = 0;   ///< multiply-adds of a run, as summarize() counts them
  std::uint64_t workspace_bytes = 0;
  /// In a precision other than strict: the largest difference from what strict gives for the same inputs, relative to
  /// the largest number of that output; of the float32 outputs the worst. NaN where an output of both is NaN
  /// throughout.
  std::optional<double> error{};
  double first_result_ms = 0;          ///< session made, weights packed, one run; less where the model was run before
  std::vector<double> milliseconds{};  ///< of each run, in their order
  std::vector<BenchmarkStep> steps{};  ///< with `layers`, in their order; empty where the backend cannot tell
  /// Layers that the host computes because the device has no kernel for them (Session::host_layers()).
  std::vector<std::string> host_layers{};
  /// How kernels come to the GPU in the runs that were measured (Session::launching()); empty on the CPU.
  std::string launching{};
  /// What the machine does at most with these threads, measured beside it: floating-point operations (two for a
  /// multiply-add) and bytes read from memory, a second. 0 where it was not measured.
  double machine_operations_per_second = 0;
  double machine_bytes_per_second = 0;

  /// Of `milliseconds`, by linear interpolation: percentile(50) is the median.
  [[nodiscard]] RUSHLIGHT_API double percentile(double percent) const;
};

/// Runs the model again and again, on inputs that are made up or given. Timings are the machine's at this moment: they
/// say nothing about a result, and differ from call to call.
RUSHLIGHT_API Result<Benchmark> benchmark(const Model& model, const BenchmarkOptions& options = {});

}  // namespace rushlight
