#include "cuda/kernels/warpgroup_launch.cuh"

namespace rushlight::cuda {

template cudaError_t launch_warpgroups<ProductKind::wgmma_tf32x3>(const MmaCall& call, Queue queue);

}  // namespace rushlight::cuda
