// A pass over steps instead of operators, as read_planes(): it needs to know what lies in which buffer.
#pragma once

#include <cstdint>

#include "runtime/plan.hpp"

namespace rushlight::runtime {

// Makes StripeSteps of convolutions whose outputs are larger than a quarter of `cache_bytes` an image and read by a
// depthwise convolution alone. Runs before buffers get their places.
void fuse_stripes(Plan& plan, std::uint64_t cache_bytes);

}  // namespace rushlight::runtime
