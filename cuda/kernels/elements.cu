// What goes element by element, and softmax: elementwise.cuh, softmax.cuh.
#include "cuda/kernels/launch.hpp"
#include "cuda/kernels/start.cuh"

namespace rushlight::cuda {
namespace {

__global__ void __launch_bounds__(kElementThreads) combine(const __grid_constant__ CombineArguments arguments) {
  DeviceBlock block;
  combine_kernel(block, arguments);
}

__global__ void __launch_bounds__(kElementThreads) norm(const __grid_constant__ NormArguments arguments) {
  DeviceBlock block;
  norm_kernel(block, arguments);
}

__global__ void __launch_bounds__(kElementThreads) broadcast(const __grid_constant__ BroadcastArguments arguments) {
  DeviceBlock block;
  broadcast_kernel(block, arguments);
}

__global__ void __launch_bounds__(kSoftmaxThreads) softmax_rows(const __grid_constant__ SoftmaxArguments arguments) {
  DeviceBlock block;
  softmax_rows_kernel(block, arguments);
}

__global__ void __launch_bounds__(kElementThreads) softmax_lines(const __grid_constant__ SoftmaxArguments arguments) {
  DeviceBlock block;
  softmax_lines_kernel(block, arguments);
}

}  // namespace

cudaError_t launch(const CombineArguments& arguments, Queue queue) {
  return start(combine, grid_of(arguments), arguments, queue);
}

cudaError_t launch(const NormArguments& arguments, Queue queue) {
  return start(norm, grid_of(arguments), arguments, queue);
}

cudaError_t launch(const BroadcastArguments& arguments, Queue queue) {
  return start(broadcast, grid_of(arguments), arguments, queue);
}

cudaError_t launch(const SoftmaxArguments& arguments, Queue queue) {
  return start(softmax_is_innermost(arguments) ? softmax_rows : softmax_lines, grid_of(arguments), arguments, queue);
}

}  // namespace rushlight::cuda
