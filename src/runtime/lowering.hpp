// From a Draft to the steps of a Plan: chooses each value's layout, inserts the layout steps that cannot be avoided,
// and gives every value a buffer of its own (placement.hpp finds out which can share).
#pragma once

#include "runtime/draft.hpp"
#include "runtime/plan.hpp"
#include "rushlight/limits.hpp"
#include "rushlight/result.hpp"

namespace rushlight::runtime {

// Whether plans have a step for this node that every optimising backend runs. What has none becomes a GeneralStep, or
// other steps and GeneralSteps: a backend may lack those.
[[nodiscard]] bool has_step(const Node& node) noexcept;

// Offsets of buffers are still open. ErrorCode::limit_exceeded for values whose bytes cannot be counted.
[[nodiscard]] Result<Plan> lower(const Draft& draft, const Limits& limits);

}  // namespace rushlight::runtime
