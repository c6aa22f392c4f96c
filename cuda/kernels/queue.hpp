// Where a kernel is put, and how.
#pragma once

#include <cuda_runtime_api.h>

namespace rushlight::cuda {

struct Queue {
  cudaStream_t stream = nullptr;
  // The kernel may come to the GPU while the one before it in the stream still ends. It waits there by itself
  // (DeviceBlock), so that nothing else changes; only where may_start_early() (cuda/early_start.hpp).
  bool starts_early = false;
};

}  // namespace rushlight::cuda
