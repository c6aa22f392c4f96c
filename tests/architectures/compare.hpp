// A network on generated weights beside what PyTorch computed with them.
#pragma once

#include <string>
#include <vector>

#include "rushlight/result.hpp"
#include "rushlight/session.hpp"
#include "support/architecture_case.hpp"

namespace rushlight::test {

struct OutputVerdict {
  std::string name{};
  std::string problem{};   // empty: it is right
  double error = 0;        // of ours, relative to the largest value of PyTorch's float64 output
  double torch_error = 0;  // of PyTorch in float32
};

// An output is right within the larger of four times PyTorch's own error and 2e-5, with the same best classes.
[[nodiscard]] double tolerance(double torch_error);

// True when all expected outputs are there: the tree has only some.
[[nodiscard]] bool has_outputs(const ArchitectureRun& run);

[[nodiscard]] Result<OutputVerdict> judge_output(const ExpectedOutput& output, const ArchitectureRun& run,
                                                 const Tensor& have);

[[nodiscard]] Result<std::vector<OutputVerdict>> compare_run(const ArchitectureRun& run, const StateDict& weights,
                                                             const SessionOptions& options);

// What the modules of the trace return within the first run.
[[nodiscard]] Result<std::vector<OutputVerdict>> compare_trace(const ArchitectureCase& architecture,
                                                               const StateDict& weights, const SessionOptions& options);

}  // namespace rushlight::test
