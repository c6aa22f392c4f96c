// Starts a __global__ function over a Grid; an empty one needs no start.
#pragma once

#include <cuda_runtime.h>

#include "cuda/kernels/execution.cuh"
#include "cuda/kernels/queue.hpp"
#include "cuda/kernels/team.cuh"

namespace rushlight::cuda {

template <class Arguments>
cudaError_t start(void (*kernel)(Arguments), Grid grid, const Arguments& arguments, Queue queue,
                  std::size_t dynamic_shared_bytes = 0) {
  if (grid.blocks == 0) return cudaSuccess;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(grid.blocks));
  config.blockDim = dim3(static_cast<unsigned>(grid.threads));
  config.dynamicSmemBytes = dynamic_shared_bytes;
  config.stream = queue.stream;
  cudaLaunchAttribute early{};
  early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  early.val.programmaticStreamSerializationAllowed = 1;
  config.attrs = &early;
  config.numAttrs = queue.starts_early ? 1 : 0;
  return cudaLaunchKernelEx(&config, kernel, arguments);
}

// The instance whose teams are as many lanes as the call wants: a thread, a warp or a block for each item.
template <class Arguments>
cudaError_t start_team(void (*threads)(Arguments), void (*warps)(Arguments), void (*blocks)(Arguments),
                       const Arguments& arguments, Queue queue) {
  const auto kernel = arguments.lanes == 1 ? threads : arguments.lanes == kWarpThreads ? warps : blocks;
  return start(kernel, grid_of(arguments), arguments, queue);
}

// Beyond 48 KiB a kernel has to ask. It says so once a context; asking again costs nothing that shows.
template <class Arguments>
cudaError_t start_with_shared(void (*kernel)(Arguments), Grid grid, const Arguments& arguments, Queue queue,
                              std::size_t shared_bytes) {
  const cudaError_t status =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes));
  return status == cudaSuccess ? start(kernel, grid, arguments, queue, shared_bytes) : status;
}

}  // namespace rushlight::cuda
