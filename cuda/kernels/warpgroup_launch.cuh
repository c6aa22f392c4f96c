// The __global__ function around warpgroup_gemm.cuh's body. Each kind of product has a .cu of its own, compiled for
// sm_90a.
#pragma once

#include "cuda/kernels/start.cuh"
#include "cuda/kernels/warpgroup_gemm.cuh"

namespace rushlight::cuda {

template <ProductKind Kind, class Tile>
__global__ void __launch_bounds__(Tile::kThreads,
                                  blocks_of_a_processor(Kind, MmaAccess::chunks, Tile::kRows, Tile::kColumns))
    warpgroup_gemm(const __grid_constant__ MmaArguments arguments) {
  using Shared = WarpgroupShared<Kind, Tile>;
  static_assert(alignof(Shared) <= 1024);
  extern __shared__ __align__(1024) unsigned char swizzled_memory[];
  DeviceBlock block;
  warpgroup_gemm_kernel<Kind, Tile>(block, *reinterpret_cast<Shared*>(swizzled_memory), arguments);
}

template <ProductKind Kind>
cudaError_t launch_warpgroups(const MmaCall& call, Queue queue) {
  cudaError_t status = cudaErrorInvalidValue;
  with_warpgroup_tile<Kind>(call, [&]<class Tile>() {
    status = start_with_shared(warpgroup_gemm<Kind, Tile>, mma_grid<Tile>(call.arguments), call.arguments, queue,
                               sizeof(WarpgroupShared<Kind, Tile>));
  });
  return status;
}

}  // namespace rushlight::cuda
