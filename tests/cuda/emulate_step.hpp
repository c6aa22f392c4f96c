// Runs a step's calls in the emulation, with its threads in several orders.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "cuda/step_case.hpp"

namespace rushlight::cuda {

// The memory after the step: what memory_for() says, and the same bits for any order of the threads. What
// goes wrong is a failure of the running test.
std::vector<float> emulate_step(const StepCase& step_case, const CallOptions& options = {.processors = 4});

// The same for calls that the test makes for memory at an address.
using CallsAt = std::function<std::vector<Work>(float* base)>;
std::vector<float> emulate_calls(const std::string& name, const std::vector<float>& before, const CallsAt& calls_at);

}  // namespace rushlight::cuda
