// Where the buffers of a Plan lie.
#pragma once

#include "runtime/plan.hpp"
#include "rushlight/limits.hpp"
#include "rushlight/result.hpp"

namespace rushlight::runtime {

// Lets steps that work in place (plan.hpp) write onto an operand that nobody needs afterwards.
void share_in_place(Plan& plan);

// Gives every buffer its lifetime and offset, and every tensor its place. ErrorCode::limit_exceeded beyond
// limits.arena_bytes.
[[nodiscard]] Status place_buffers(Plan& plan, const Limits& limits);

}  // namespace rushlight::runtime
