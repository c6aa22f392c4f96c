// Convolutions and Linears: gemm.cuh, row_product.cuh, direct_conv.cuh, split_sum.cuh; mma_gemm.cuh and
// warpgroup_gemm.cuh have sources of their own.
#include "cuda/kernels/launch.hpp"
#include "cuda/kernels/start.cuh"

namespace rushlight::cuda {

// mma_bf16.cu and its siblings.
template <ProductKind Kind>
cudaError_t launch_mma(const MmaCall& call, Queue queue);
// wgmma_bf16.cu and its siblings.
template <ProductKind Kind>
cudaError_t launch_warpgroups(const MmaCall& call, Queue queue);

namespace {

template <class Tile, GemmAccess Access>
__global__ void __launch_bounds__(Tile::kThreads) gemm(const __grid_constant__ GemmArguments arguments) {
  __shared__ GemmShared<Tile> shared;
  DeviceBlock block;
  gemm_kernel<Tile, Access>(block, shared, arguments);
}

__global__ void __launch_bounds__(kRowProductThreads)
    row_product(const __grid_constant__ RowProductArguments arguments) {
  DeviceBlock block;
  row_product_kernel(block, arguments);
}

__global__ void __launch_bounds__(kElementThreads) direct_conv(const __grid_constant__ DirectConvArguments arguments) {
  DeviceBlock block;
  direct_conv_kernel(block, arguments);
}

__global__ void __launch_bounds__(kElementThreads) split_sum(const __grid_constant__ SplitSumArguments arguments) {
  DeviceBlock block;
  split_sum_kernel(block, arguments);
}

template <class Tile>
cudaError_t launch_tiles(const GemmCall& call, Queue queue) {
  const Grid grid = gemm_grid<Tile>(call.arguments);
  switch (call.access) {
    case GemmAccess::rows:
      return start(gemm<Tile, GemmAccess::rows>, grid, call.arguments, queue);
    case GemmAccess::window:
      return start(gemm<Tile, GemmAccess::window>, grid, call.arguments, queue);
    case GemmAccess::window_singles:
      return start(gemm<Tile, GemmAccess::window_singles>, grid, call.arguments, queue);
  }
  return cudaErrorInvalidValue;
}

}  // namespace

cudaError_t launch(const GemmCall& call, Queue queue) {
  switch (call.tile) {
    case GemmTile::rows128_columns64:
      return launch_tiles<Tile128x64>(call, queue);
    case GemmTile::rows64_columns64:
      return launch_tiles<Tile64x64>(call, queue);
    case GemmTile::rows64_columns32:
      return launch_tiles<Tile64x32>(call, queue);
  }
  return cudaErrorInvalidValue;
}

cudaError_t launch(const MmaCall& call, Queue queue) {
  switch (call.kind) {
    case ProductKind::bf16:
      return launch_mma<ProductKind::bf16>(call, queue);
    case ProductKind::fp16:
      return launch_mma<ProductKind::fp16>(call, queue);
    case ProductKind::tf32:
      return launch_mma<ProductKind::tf32>(call, queue);
    case ProductKind::tf32x3:
      return launch_mma<ProductKind::tf32x3>(call, queue);
    case ProductKind::wgmma_bf16:
      return launch_warpgroups<ProductKind::wgmma_bf16>(call, queue);
    case ProductKind::wgmma_fp16:
      return launch_warpgroups<ProductKind::wgmma_fp16>(call, queue);
    case ProductKind::wgmma_tf32:
      return launch_warpgroups<ProductKind::wgmma_tf32>(call, queue);
    case ProductKind::wgmma_tf32x3:
      return launch_warpgroups<ProductKind::wgmma_tf32x3>(call, queue);
  }
  return cudaErrorInvalidValue;
}

cudaError_t launch(const SplitSumArguments& arguments, Queue queue) {
  return start(split_sum, grid_of(arguments), arguments, queue);
}

cudaError_t launch(const RowProductArguments& arguments, Queue queue) {
  return start(row_product, grid_of(arguments), arguments, queue);
}

cudaError_t launch(const DirectConvArguments& arguments, Queue queue) {
  return start(direct_conv, grid_of(arguments), arguments, queue);
}

cudaError_t probe_kernels(int& compiled_for) {
  cudaFuncAttributes attributes{};
  const cudaError_t status = cudaFuncGetAttributes(&attributes, row_product);
  compiled_for = attributes.ptxVersion;
  return status;
}

}  // namespace rushlight::cuda
