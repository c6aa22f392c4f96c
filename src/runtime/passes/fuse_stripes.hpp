// A pass over steps instead of operators, as read_planes(): it needs to know what lies in which buffer.
#pragma once

#include "runtime/plan.hpp"

namespace rushlight::runtime {

// Makes StripeSteps of convolutions whose outputs are read by a depthwise convolution or a maximum pooling alone, and
// are larger than a quarter of options.stripe_cache_bytes an image, or pooled where tiles are computed
// (PlanOptions::has_tiles). Runs before buffers get their places.
void fuse_stripes(Plan& plan, const PlanOptions& options);

}  // namespace rushlight::runtime
