// What computes operators without a step of their own: map.cuh, move.cuh, reduce.cuh, normalise.cuh,
// batched_product.cuh, attention.cuh, volume.cuh.
#include "cuda/kernels/launch.hpp"
#include "cuda/kernels/start.cuh"

namespace rushlight::cuda {
namespace {

template <MapCost kCost>
__global__ void __launch_bounds__(kElementThreads) map(const __grid_constant__ MapArguments arguments) {
  DeviceBlock block;
  map_kernel<kCost>(block, arguments);
}

__global__ void __launch_bounds__(kElementThreads) move(const __grid_constant__ MoveArguments arguments) {
  DeviceBlock block;
  move_kernel(block, arguments);
}

__global__ void __launch_bounds__(kElementThreads) pad(const __grid_constant__ PadArguments arguments) {
  DeviceBlock block;
  pad_kernel(block, arguments);
}

__global__ void __launch_bounds__(kWarpThreads) check_indices(const __grid_constant__ CheckIndicesArguments arguments) {
  DeviceBlock block;
  check_indices_kernel(block, arguments);
}

__global__ void __launch_bounds__(kElementThreads) gather(const __grid_constant__ GatherArguments arguments) {
  DeviceBlock block;
  gather_kernel(block, arguments);
}

template <int kLanes>
__global__ void __launch_bounds__(kTeamThreads) reduce(const __grid_constant__ ReduceArguments arguments) {
  __shared__ TeamShared shared;
  DeviceBlock block;
  reduce_kernel<kLanes>(block, shared, arguments);
}

template <int kLanes>
__global__ void __launch_bounds__(kTeamThreads) normalise(const __grid_constant__ NormaliseArguments arguments) {
  __shared__ TeamShared shared;
  DeviceBlock block;
  normalise_kernel<kLanes>(block, shared, arguments);
}

__global__ void __launch_bounds__(kProductThreads)
    batched_product(const __grid_constant__ BatchedProductArguments arguments) {
  __shared__ BatchedProductShared shared;
  DeviceBlock block;
  batched_product_kernel(block, shared, arguments);
}

__global__ void __launch_bounds__(kAttentionThreads) attention(const __grid_constant__ AttentionArguments arguments) {
  DeviceBlock block;
  attention_kernel(block, arguments);
}

__global__ void __launch_bounds__(kElementThreads) volume_pool(const __grid_constant__ VolumePoolArguments arguments) {
  DeviceBlock block;
  volume_pool_kernel(block, arguments);
}

__global__ void __launch_bounds__(kElementThreads) volume_conv(const __grid_constant__ VolumeConvArguments arguments) {
  DeviceBlock block;
  volume_conv_kernel(block, arguments);
}

__global__ void __launch_bounds__(kElementThreads) resize(const __grid_constant__ ResizeArguments arguments) {
  DeviceBlock block;
  resize_kernel(block, arguments);
}

}  // namespace

cudaError_t launch(const MapArguments& arguments, Queue queue) {
  const bool is_dear = cost_of(arguments) == MapCost::dear;
  return start(is_dear ? map<MapCost::dear> : map<MapCost::cheap>, grid_of(arguments), arguments, queue);
}

cudaError_t launch(const MoveArguments& arguments, Queue queue) {
  return start(move, grid_of(arguments), arguments, queue);
}

cudaError_t launch(const PadArguments& arguments, Queue queue) {
  return start(pad, grid_of(arguments), arguments, queue);
}

cudaError_t launch(const CheckIndicesArguments& arguments, Queue queue) {
  return start(check_indices, grid_of(arguments), arguments, queue);
}

cudaError_t launch(const GatherArguments& arguments, Queue queue) {
  return start(gather, grid_of(arguments), arguments, queue);
}

cudaError_t launch(const ReduceArguments& arguments, Queue queue) {
  return start_team(reduce<1>, reduce<kWarpThreads>, reduce<kTeamThreads>, arguments, queue);
}

cudaError_t launch(const NormaliseArguments& arguments, Queue queue) {
  return start_team(normalise<1>, normalise<kWarpThreads>, normalise<kTeamThreads>, arguments, queue);
}

cudaError_t launch(const BatchedProductArguments& arguments, Queue queue) {
  return start(batched_product, grid_of(arguments), arguments, queue);
}

cudaError_t launch(const AttentionArguments& arguments, Queue queue) {
  return start(attention, grid_of(arguments), arguments, queue);
}

cudaError_t launch(const VolumePoolArguments& arguments, Queue queue) {
  return start(volume_pool, grid_of(arguments), arguments, queue);
}

cudaError_t launch(const VolumeConvArguments& arguments, Queue queue) {
  return start(volume_conv, grid_of(arguments), arguments, queue);
}

cudaError_t launch(const ResizeArguments& arguments, Queue queue) {
  return start(resize, grid_of(arguments), arguments, queue);
}

}  // namespace rushlight::cuda
