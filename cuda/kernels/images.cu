// Poolings and layouts: pool.cuh, global_pool.cuh, layout.cuh.
#include "cuda/kernels/launch.hpp"
#include "cuda/kernels/start.cuh"

namespace rushlight::cuda {
namespace {

template <int Width>
__global__ void __launch_bounds__(kElementThreads) max_pool(const __grid_constant__ MaxPoolArguments arguments) {
  DeviceBlock block;
  max_pool_kernel<Width>(block, arguments);
}

template <int Width>
__global__ void __launch_bounds__(kElementThreads) avg_pool(const __grid_constant__ AvgPoolArguments arguments) {
  DeviceBlock block;
  avg_pool_kernel<Width>(block, arguments);
}

template <int Width>
__global__ void __launch_bounds__(kElementThreads)
    adaptive_avg_pool(const __grid_constant__ AdaptiveAvgPoolArguments arguments) {
  DeviceBlock block;
  adaptive_avg_pool_kernel<Width>(block, arguments);
}

template <int Width>
__global__ void __launch_bounds__(kGlobalPoolThreads)
    global_avg_pool(const __grid_constant__ GlobalAvgPoolArguments arguments) {
  __shared__ GlobalPoolShared<Width> shared;
  DeviceBlock block;
  global_avg_pool_kernel<Width>(block, shared, arguments);
}

__global__ void __launch_bounds__(kLayoutThreads) layout_tiles(const __grid_constant__ LayoutArguments arguments) {
  __shared__ LayoutShared shared;
  DeviceBlock block;
  layout_tiles_kernel(block, shared, arguments);
}

__global__ void __launch_bounds__(kElementThreads) layout_elements(const __grid_constant__ LayoutArguments arguments) {
  DeviceBlock block;
  layout_elements_kernel(block, arguments);
}

}  // namespace

cudaError_t launch(const MaxPoolArguments& arguments, Queue queue) {
  return start(arguments.images.moves_quads ? max_pool<4> : max_pool<1>, grid_of(arguments), arguments, queue);
}

cudaError_t launch(const AvgPoolArguments& arguments, Queue queue) {
  return start(arguments.images.moves_quads ? avg_pool<4> : avg_pool<1>, grid_of(arguments), arguments, queue);
}

cudaError_t launch(const AdaptiveAvgPoolArguments& arguments, Queue queue) {
  return start(arguments.images.moves_quads ? adaptive_avg_pool<4> : adaptive_avg_pool<1>, grid_of(arguments),
               arguments, queue);
}

cudaError_t launch(const GlobalAvgPoolArguments& arguments, Queue queue) {
  return start(arguments.moves_quads ? global_avg_pool<4> : global_avg_pool<1>, grid_of(arguments), arguments, queue);
}

cudaError_t launch(const LayoutArguments& arguments, Queue queue) {
  return start(layout_uses_tiles(arguments) ? layout_tiles : layout_elements, grid_of(arguments), arguments, queue);
}

}  // namespace rushlight::cuda
