// The CUDA backend with the emulation for a GPU: the same plans, the same calls, host memory for device memory.
#pragma once

#include <memory>

#include "runtime/backend.hpp"

namespace rushlight::cuda::emulation {

// `processors` is what the choice of tiles is told about the GPU.
std::shared_ptr<const runtime::Backend> make_backend(int processors = 4);

}  // namespace rushlight::cuda::emulation
