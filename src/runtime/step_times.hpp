// StepTimes: where the time of a run goes, step by step. For `bench --layers` and people who work on kernels.
//
// Off unless RunOptions::step_times points somewhere, which no public option does: compile() then fills `steps` with
// what the program will do, and every run() overwrites their nanoseconds. A program without it tests one pointer a run.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "runtime/plan.hpp"

namespace rushlight::runtime {

struct TimedStep {
  std::string name;            // of the node, as in the plan
  std::string kind;            // "conv", "linear", an operator's name in specs
  std::string algorithm = {};  // where the backend had a choice: "winograd 2x2"
  std::int64_t macs = 0;
  std::uint64_t bytes = 0;  // operands, results and parameters, each once: what must move at least when no cache has it
  std::uint64_t nanoseconds = 0;  // of the last run, waiting for threads included
};

// Belongs to one session; of its plans the one compiled last is described.
struct StepTimes {
  std::vector<TimedStep> steps;
};

// A plan's steps with their work, without times. `weight_bytes`: what the backend keeps for a weight of a convolution,
// but a depthwise one, and of a Linear.
[[nodiscard]] std::vector<TimedStep> describe_steps(const Network& network, const Plan& plan,
                                                    std::size_t weight_bytes = sizeof(float));

}  // namespace rushlight::runtime
