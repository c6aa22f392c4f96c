// A pass over steps instead of operators, as read_planes(): it needs to know what lies in which buffer.
#pragma once

#include "runtime/plan.hpp"

namespace rushlight::runtime {

// Makes StripeSteps of convolutions whose outputs are larger than a quarter of options.stripe_cache_bytes an image and
// are read by one step alone: by a depthwise convolution, by a maximum pooling, or, of planes, by a convolution that has
// tiles (PlanOptions::has_tiles), with a pooling of quads behind it. Where tiles are computed a pooling of quads alone
// makes one, whatever the size. Runs before buffers get their places.
void fuse_stripes(Plan& plan, const PlanOptions& options);

}  // namespace rushlight::runtime
