// Starts whatever kernel a call is of. What programs see of the kernels; tests have the emulation in
// its place.
#pragma once

#include <cuda_runtime_api.h>

#include "cuda/calls.hpp"
#include "cuda/kernels/queue.hpp"

namespace rushlight::cuda {

// What CUDA said about the launch; the kernel's own failures show later.
[[nodiscard]] cudaError_t launch_work(const Work& work, Queue queue);

}  // namespace rushlight::cuda
