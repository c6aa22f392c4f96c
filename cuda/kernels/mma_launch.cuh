// The __global__ function around mma_gemm.cuh's body. Each kind of product has a .cu of its own, so that they compile
// side by side.
#pragma once

#include "cuda/kernels/mma_gemm.cuh"
#include "cuda/kernels/start.cuh"

namespace rushlight::cuda {

template <ProductKind Kind, class Tile, MmaAccess Access>
__global__ void __launch_bounds__(Tile::kThreads, blocks_of_a_processor(Kind, Access, Tile::kRows, Tile::kColumns))
    mma_gemm(const __grid_constant__ MmaArguments arguments) {
  using Shared = MmaShared<Tile, typename ProductTraits<Kind>::Weight>;
  static_assert(alignof(Shared) <= 128);
  extern __shared__ __align__(128) unsigned char memory[];
  DeviceBlock block;
  mma_gemm_kernel<Kind, Tile, Access>(block, *reinterpret_cast<Shared*>(memory), arguments);
}

template <ProductKind Kind>
cudaError_t launch_mma(const MmaCall& call, Queue queue) {
  cudaError_t status = cudaErrorInvalidValue;
  with_mma_tile<Kind>(call, [&]<class Tile, MmaAccess Access>() {
    status = start_with_shared(mma_gemm<Kind, Tile, Access>, mma_grid<Tile>(call.arguments), call.arguments, queue,
                               sizeof(MmaShared<Tile, typename ProductTraits<Kind>::Weight>));
  });
  return status;
}

}  // namespace rushlight::cuda
