// The CUDA backend with the emulation for a GPU: the same plans, the same calls, host memory for device memory.
#pragma once

#include <memory>

#include "cuda/product_choice.hpp"
#include "runtime/backend.hpp"

namespace rushlight::cuda::emulation {

// `processors` and `tensor_cores` are what the choice of kernels is told about the GPU.
std::shared_ptr<const runtime::Backend> make_backend(int processors = 4, const TensorCores& tensor_cores = {});

}  // namespace rushlight::cuda::emulation
