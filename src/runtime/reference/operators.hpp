// The operators: compute() for each row of the table, in a file for each family. A row without one does not link.
//
// Each follows the text of PyTorch's documentation and nothing else: no layouts, no blocks, no code shared with what it
// judges, sums in double. What the text leaves open was looked up in PyTorch's sources; comments name the place.
// Shapes have been inferred: attributes and sizes fit.
#pragma once

#include <cstdint>
#include <optional>

#include "runtime/reference/call.hpp"
#include "rushlight/result.hpp"

namespace rushlight::runtime::reference {

// Fails only where values decide: an index that lies outside.
#define RUSHLIGHT_OPERATOR(Type, spec, torch, min_inputs, max_inputs, max_outputs) \
  Status compute(const Type& op, const Call& call);
#include "rushlight/operators.def"

// What an operator takes of Scratch when that may be far more than its tensors have: the windows of a
// ShiftedWindowAttention can be larger than its input. 0 for all others; nullopt when 64 bits cannot count it.
[[nodiscard]] std::optional<std::uint64_t> scratch_bytes(const Operator& op);

}  // namespace rushlight::runtime::reference
