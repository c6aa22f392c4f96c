// Starts a __global__ function over a Grid; an empty one needs no start.
#pragma once

#include <cuda_runtime.h>

#include "cuda/kernels/execution.cuh"

namespace rushlight::cuda {

template <class Arguments>
cudaError_t start(void (*kernel)(Arguments), Grid grid, const Arguments& arguments, cudaStream_t stream,
                  std::size_t dynamic_shared_bytes = 0) {
  if (grid.blocks == 0) return cudaSuccess;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(grid.blocks));
  config.blockDim = dim3(static_cast<unsigned>(grid.threads));
  config.dynamicSmemBytes = dynamic_shared_bytes;
  config.stream = stream;
  return cudaLaunchKernelEx(&config, kernel, arguments);
}

}  // namespace rushlight::cuda
