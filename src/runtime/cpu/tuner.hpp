// Measures which way to compute a convolution is the fastest here, with the layer's own weights and the session's
// threads, and keeps what came of it in the session's Tuning.
#pragma once

#include <string>
#include <string_view>

#include "runtime/cpu/conv_choice.hpp"
#include "runtime/cpu/op.hpp"
#include "rushlight/result.hpp"

namespace rushlight::runtime::cpu {

// Under which measurements are kept: whatever makes another of them likely. `backend` is the backend's name.
[[nodiscard]] std::string machine_text(std::string_view backend);

// What context.options.tuning says about the convolutions of the plan; empty without one. Layers that it says nothing
// usable about are measured first, unless it measures nothing: alone on their threads, so before operators are made in
// parallel. ErrorCode::cancelled, ::out_of_memory; what was measured until then is kept.
[[nodiscard]] Result<ConvChoices> tune(const OpContext& context, std::string_view machine);

}  // namespace rushlight::runtime::cpu
