// Depthwise convolutions: depthwise.cuh.
#include "cuda/kernels/launch.hpp"
#include "cuda/kernels/start.cuh"

namespace rushlight::cuda {
namespace {

template <class Shape>
__global__ void __launch_bounds__(kElementThreads) depthwise(const __grid_constant__ DepthwiseArguments arguments) {
  DeviceBlock block;
  depthwise_kernel<Shape>(block, arguments);
}

}  // namespace

cudaError_t launch(const DepthwiseCall& call, Queue queue) {
  return with_shape(call,
                    [&]<class Shape>(Shape) { return start(depthwise<Shape>, grid_of(call), call.arguments, queue); });
}

}  // namespace rushlight::cuda
