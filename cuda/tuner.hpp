// Measures on the GPU which candidate of a call is the fastest there, and keeps what came of it in the session's
// Tuning.
#pragma once

#include <string_view>
#include <vector>

#include "cuda/calls.hpp"
#include "runtime/backend.hpp"
#include "rushlight/result.hpp"

namespace rushlight::cuda {

// Puts into `calls` what options.tuning says; nothing without one. Calls that it says nothing usable about are measured
// first, unless it measures nothing: on the current device, over the memory that they will work on, of which nothing is
// kept. `machine`: under which measurements are kept. ErrorCode::cancelled; what was measured until then is kept.
[[nodiscard]] Status tune(std::vector<Call>& calls, std::string_view machine, const runtime::RunOptions& options);

}  // namespace rushlight::cuda
