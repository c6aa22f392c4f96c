// Winograd's transforms: winograd.cuh. The products between them are those of products.cu.
#include "cuda/kernels/launch.hpp"
#include "cuda/kernels/start.cuh"

namespace rushlight::cuda {
namespace {

template <class F>
__global__ void __launch_bounds__(kElementThreads)
    winograd_input(const __grid_constant__ WinogradInputArguments arguments) {
  DeviceBlock block;
  winograd_input_kernel<F>(block, arguments);
}

template <class F>
__global__ void __launch_bounds__(kElementThreads)
    winograd_output(const __grid_constant__ WinogradOutputArguments arguments) {
  DeviceBlock block;
  winograd_output_kernel<F>(block, arguments);
}

}  // namespace

cudaError_t launch(const WinogradInputArguments& arguments, Queue queue) {
  return start(arguments.tile == WinogradTile::outputs4 ? winograd_input<winograd::F4> : winograd_input<winograd::F2>,
               grid_of(arguments), arguments, queue);
}

cudaError_t launch(const WinogradOutputArguments& arguments, Queue queue) {
  return start(arguments.tile == WinogradTile::outputs4 ? winograd_output<winograd::F4> : winograd_output<winograd::F2>,
               grid_of(arguments), arguments, queue);
}

}  // namespace rushlight::cuda
