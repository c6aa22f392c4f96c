// A pass over steps, as fuse_stripes(): what only products of bfloat16 read need not be wider.
#pragma once

#include "runtime/plan.hpp"

namespace rushlight::runtime {

// Values that a convolution of bfloat16 makes (PlanOptions::multiplies_bf16) and such alone read are stored as bfloat16
// (PlannedTensor::is_bf16). Their readers would round each element in the same way, so results have the same bits: what
// is added to another value, or read by anybody else, stays float. Runs before buffers get their places, and behind
// share_in_place(): what shares its memory stays float, too.
void narrow_values(Plan& plan, const PlanOptions& options);

}  // namespace rushlight::runtime
