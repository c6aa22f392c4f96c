// A picture's colours come as planes, one after the other. The first convolution can make neighbours of them as it
// goes.
#pragma once

#include <cstdint>

#include "runtime/plan.hpp"

namespace rushlight::runtime {

// Drops LayoutSteps whose output one convolution of few channels reads and nobody else: that convolution reads the
// planes (PlannedTensor::is_planar). Where the lines of the picture under one line of windows take more than
// `cache_bytes`, or windows are few, all stays as it is. Runs before buffers get their places, and before
// fuse_stripes().
void read_planes(Plan& plan, std::uint64_t cache_bytes);

}  // namespace rushlight::runtime
