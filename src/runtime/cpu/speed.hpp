// What this machine can do at most, measured: what the speed of a network is compared with.
#pragma once

#include "runtime/backend.hpp"
#include "runtime/cpu/kernels/kernels.hpp"

namespace rushlight::runtime::cpu {

// With the executor's threads, or the calling one. About a third of a second.
[[nodiscard]] DeviceSpeed measure_speed(const Kernels& kernels, Executor* executor);

}  // namespace rushlight::runtime::cpu
