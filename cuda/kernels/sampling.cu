// What picks elements from here and there: sampling.cuh, fold.cuh, top_k.cuh, pairs.cuh, bags.cuh, response_norm.cuh,
// and the filters against aliases of volume.cuh.
#include "cuda/kernels/launch.hpp"
#include "cuda/kernels/start.cuh"

namespace rushlight::cuda {
namespace {

__global__ void __launch_bounds__(kElementThreads) antialias(const __grid_constant__ AntialiasArguments arguments) {
  DeviceBlock block;
  antialias_kernel(block, arguments);
}

__global__ void __launch_bounds__(kElementThreads) grid_sample(const __grid_constant__ GridSampleArguments arguments) {
  DeviceBlock block;
  grid_sample_kernel(block, arguments);
}

__global__ void __launch_bounds__(kElementThreads) affine_grid(const __grid_constant__ AffineGridArguments arguments) {
  DeviceBlock block;
  affine_grid_kernel(block, arguments);
}

__global__ void __launch_bounds__(kElementThreads)
    response_norm(const __grid_constant__ ResponseNormArguments arguments) {
  DeviceBlock block;
  response_norm_kernel(block, arguments);
}

__global__ void __launch_bounds__(kElementThreads) fold(const __grid_constant__ FoldArguments arguments) {
  DeviceBlock block;
  fold_kernel(block, arguments);
}

__global__ void __launch_bounds__(kElementThreads) bag(const __grid_constant__ BagArguments arguments) {
  DeviceBlock block;
  bag_kernel(block, arguments);
}

__global__ void __launch_bounds__(kElementThreads) unpool(const __grid_constant__ UnpoolArguments arguments) {
  __shared__ UnpoolShared shared;
  DeviceBlock block;
  unpool_kernel(block, shared, arguments);
}

template <int kLanes>
__global__ void __launch_bounds__(kTeamThreads) top_k(const __grid_constant__ TopKArguments arguments) {
  __shared__ TeamShared shared;
  DeviceBlock block;
  top_k_kernel<kLanes>(block, shared, arguments);
}

template <int kLanes>
__global__ void __launch_bounds__(kTeamThreads) pairs(const __grid_constant__ PairsArguments arguments) {
  __shared__ TeamShared shared;
  DeviceBlock block;
  pairs_kernel<kLanes>(block, shared, arguments);
}

}  // namespace

cudaError_t launch(const AntialiasArguments& arguments, Queue queue) {
  return start(antialias, grid_of(arguments), arguments, queue);
}

cudaError_t launch(const GridSampleArguments& arguments, Queue queue) {
  return start(grid_sample, grid_of(arguments), arguments, queue);
}

cudaError_t launch(const AffineGridArguments& arguments, Queue queue) {
  return start(affine_grid, grid_of(arguments), arguments, queue);
}

cudaError_t launch(const ResponseNormArguments& arguments, Queue queue) {
  return start(response_norm, grid_of(arguments), arguments, queue);
}

cudaError_t launch(const FoldArguments& arguments, Queue queue) {
  return start(fold, grid_of(arguments), arguments, queue);
}

cudaError_t launch(const BagArguments& arguments, Queue queue) {
  return start(bag, grid_of(arguments), arguments, queue);
}

cudaError_t launch(const UnpoolArguments& arguments, Queue queue) {
  return start(unpool, grid_of(arguments), arguments, queue);
}

cudaError_t launch(const TopKArguments& arguments, Queue queue) {
  return start_team(top_k<1>, top_k<kWarpThreads>, top_k<kTeamThreads>, arguments, queue);
}

cudaError_t launch(const PairsArguments& arguments, Queue queue) {
  return start_team(pairs<1>, pairs<kWarpThreads>, pairs<kTeamThreads>, arguments, queue);
}

}  // namespace rushlight::cuda
