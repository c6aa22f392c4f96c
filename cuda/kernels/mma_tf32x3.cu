#include "cuda/kernels/mma_launch.cuh"

namespace rushlight::cuda {

template cudaError_t launch_mma<ProductKind::tf32x3>(const MmaCall& call, Queue queue);

}  // namespace rushlight::cuda
