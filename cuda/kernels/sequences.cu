// What computes sequences: recurrence.cuh, windows.cuh, contract.cuh.
#include "cuda/kernels/launch.hpp"
#include "cuda/kernels/start.cuh"

namespace rushlight::cuda {
namespace {

template <int kGates>
__global__ void __launch_bounds__(kRecurrentThreads)
    recurrent_step(const __grid_constant__ RecurrentStepArguments arguments) {
  DeviceBlock block;
  recurrent_step_kernel<kGates>(block, arguments);
}

template <int kLanes>
__global__ void __launch_bounds__(kTeamThreads) contract(const __grid_constant__ ContractArguments arguments) {
  __shared__ TeamShared shared;
  DeviceBlock block;
  contract_kernel<kLanes>(block, shared, arguments);
}

__global__ void __launch_bounds__(kElementThreads) window_move(const __grid_constant__ WindowMoveArguments arguments) {
  DeviceBlock block;
  window_move_kernel(block, arguments);
}

__global__ void __launch_bounds__(kElementThreads) window_mask(const __grid_constant__ WindowMaskArguments arguments) {
  DeviceBlock block;
  window_mask_kernel(block, arguments);
}

__global__ void __launch_bounds__(kElementThreads)
    distance_bias(const __grid_constant__ DistanceBiasArguments arguments) {
  DeviceBlock block;
  distance_bias_kernel(block, arguments);
}

}  // namespace

cudaError_t launch(const RecurrentStepArguments& arguments, Queue queue) {
  const int gates = gates_of(arguments.rule);
  const auto kernel = gates == 4 ? recurrent_step<4> : gates == 3 ? recurrent_step<3> : recurrent_step<1>;
  return start(kernel, grid_of(arguments), arguments, queue);
}

cudaError_t launch(const ContractArguments& arguments, Queue queue) {
  return start_team(contract<1>, contract<kWarpThreads>, contract<kTeamThreads>, arguments, queue);
}

cudaError_t launch(const WindowMoveArguments& arguments, Queue queue) {
  return start(window_move, grid_of(arguments), arguments, queue);
}

cudaError_t launch(const WindowMaskArguments& arguments, Queue queue) {
  return start(window_mask, grid_of(arguments), arguments, queue);
}

cudaError_t launch(const DistanceBiasArguments& arguments, Queue queue) {
  return start(distance_bias, grid_of(arguments), arguments, queue);
}

}  // namespace rushlight::cuda
