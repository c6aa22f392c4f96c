// Chains of small Linears: mlp.cuh.
#include "cuda/kernels/launch.hpp"
#include "cuda/kernels/start.cuh"

namespace rushlight::cuda {
namespace {

__global__ void __launch_bounds__(kMlpThreads) mlp(const __grid_constant__ MlpArguments arguments) {
  __shared__ MlpShared shared;
  DeviceBlock block;
  mlp_kernel(block, shared, arguments);
}

}  // namespace

cudaError_t launch(const MlpCall& call, Queue queue) {
  return start(mlp, grid_of(call), call.arguments, queue);
}

}  // namespace rushlight::cuda
