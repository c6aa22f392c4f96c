// Puts a kernel into a stream. Each returns what CUDA said about the launch; the kernel's own failures show later.
#pragma once

#include <cuda_runtime_api.h>

#include "cuda/kernels/attention.cuh"
#include "cuda/kernels/bags.cuh"
#include "cuda/kernels/batched_product.cuh"
#include "cuda/kernels/contract.cuh"
#include "cuda/kernels/depthwise.cuh"
#include "cuda/kernels/direct_conv.cuh"
#include "cuda/kernels/elementwise.cuh"
#include "cuda/kernels/fold.cuh"
#include "cuda/kernels/gather.cuh"
#include "cuda/kernels/gemm.cuh"
#include "cuda/kernels/global_pool.cuh"
#include "cuda/kernels/layout.cuh"
#include "cuda/kernels/map.cuh"
#include "cuda/kernels/mlp.cuh"
#include "cuda/kernels/mma_gemm.cuh"
#include "cuda/kernels/move.cuh"
#include "cuda/kernels/normalise.cuh"
#include "cuda/kernels/pairs.cuh"
#include "cuda/kernels/pool.cuh"
#include "cuda/kernels/recurrence.cuh"
#include "cuda/kernels/reduce.cuh"
#include "cuda/kernels/response_norm.cuh"
#include "cuda/kernels/row_product.cuh"
#include "cuda/kernels/sampling.cuh"
#include "cuda/kernels/softmax.cuh"
#include "cuda/kernels/split_sum.cuh"
#include "cuda/kernels/top_k.cuh"
#include "cuda/kernels/volume.cuh"
#include "cuda/kernels/windows.cuh"
#include "cuda/kernels/winograd.cuh"

namespace rushlight::cuda {

struct GeneralCall;  // cuda/general_calls.hpp
struct HostCall;     // cuda/host_step.hpp

[[nodiscard]] cudaError_t launch(const GemmCall& call, cudaStream_t stream);
[[nodiscard]] cudaError_t launch(const MmaCall& call, cudaStream_t stream);
[[nodiscard]] cudaError_t launch(const SplitSumArguments& arguments, cudaStream_t stream);
[[nodiscard]] cudaError_t launch(const RowProductArguments& arguments, cudaStream_t stream);
[[nodiscard]] cudaError_t launch(const MlpCall& call, cudaStream_t stream);
[[nodiscard]] cudaError_t launch(const DirectConvArguments& arguments, cudaStream_t stream);
[[nodiscard]] cudaError_t launch(const DepthwiseCall& call, cudaStream_t stream);
[[nodiscard]] cudaError_t launch(const WinogradInputArguments& arguments, cudaStream_t stream);
[[nodiscard]] cudaError_t launch(const WinogradOutputArguments& arguments, cudaStream_t stream);
[[nodiscard]] cudaError_t launch(const MaxPoolArguments& arguments, cudaStream_t stream);
[[nodiscard]] cudaError_t launch(const AvgPoolArguments& arguments, cudaStream_t stream);
[[nodiscard]] cudaError_t launch(const AdaptiveAvgPoolArguments& arguments, cudaStream_t stream);
[[nodiscard]] cudaError_t launch(const GlobalAvgPoolArguments& arguments, cudaStream_t stream);
[[nodiscard]] cudaError_t launch(const CombineArguments& arguments, cudaStream_t stream);
[[nodiscard]] cudaError_t launch(const NormArguments& arguments, cudaStream_t stream);
[[nodiscard]] cudaError_t launch(const BroadcastArguments& arguments, cudaStream_t stream);
[[nodiscard]] cudaError_t launch(const SoftmaxArguments& arguments, cudaStream_t stream);
[[nodiscard]] cudaError_t launch(const LayoutArguments& arguments, cudaStream_t stream);
[[nodiscard]] cudaError_t launch(const MapArguments& arguments, cudaStream_t stream);
[[nodiscard]] cudaError_t launch(const MoveArguments& arguments, cudaStream_t stream);
[[nodiscard]] cudaError_t launch(const PadArguments& arguments, cudaStream_t stream);
[[nodiscard]] cudaError_t launch(const CheckIndicesArguments& arguments, cudaStream_t stream);
[[nodiscard]] cudaError_t launch(const GatherArguments& arguments, cudaStream_t stream);
[[nodiscard]] cudaError_t launch(const ReduceArguments& arguments, cudaStream_t stream);
[[nodiscard]] cudaError_t launch(const NormaliseArguments& arguments, cudaStream_t stream);
[[nodiscard]] cudaError_t launch(const BatchedProductArguments& arguments, cudaStream_t stream);
[[nodiscard]] cudaError_t launch(const AttentionArguments& arguments, cudaStream_t stream);
[[nodiscard]] cudaError_t launch(const VolumePoolArguments& arguments, cudaStream_t stream);
[[nodiscard]] cudaError_t launch(const VolumeConvArguments& arguments, cudaStream_t stream);
[[nodiscard]] cudaError_t launch(const ResizeArguments& arguments, cudaStream_t stream);
[[nodiscard]] cudaError_t launch(const RecurrentStepArguments& arguments, cudaStream_t stream);
[[nodiscard]] cudaError_t launch(const ContractArguments& arguments, cudaStream_t stream);
[[nodiscard]] cudaError_t launch(const WindowMoveArguments& arguments, cudaStream_t stream);
[[nodiscard]] cudaError_t launch(const WindowMaskArguments& arguments, cudaStream_t stream);
[[nodiscard]] cudaError_t launch(const DistanceBiasArguments& arguments, cudaStream_t stream);
[[nodiscard]] cudaError_t launch(const AntialiasArguments& arguments, cudaStream_t stream);
[[nodiscard]] cudaError_t launch(const GridSampleArguments& arguments, cudaStream_t stream);
[[nodiscard]] cudaError_t launch(const AffineGridArguments& arguments, cudaStream_t stream);
[[nodiscard]] cudaError_t launch(const ResponseNormArguments& arguments, cudaStream_t stream);
[[nodiscard]] cudaError_t launch(const FoldArguments& arguments, cudaStream_t stream);
[[nodiscard]] cudaError_t launch(const UnpoolArguments& arguments, cudaStream_t stream);
[[nodiscard]] cudaError_t launch(const TopKArguments& arguments, cudaStream_t stream);
[[nodiscard]] cudaError_t launch(const PairsArguments& arguments, cudaStream_t stream);
[[nodiscard]] cudaError_t launch(const BagArguments& arguments, cudaStream_t stream);
// One of these: in cuda/kernels/launch_calls.cpp.
[[nodiscard]] cudaError_t launch(const GeneralCall& call, cudaStream_t stream);
// Copies, and a function of the host between them: there too.
[[nodiscard]] cudaError_t launch(const HostCall& call, cudaStream_t stream);

// cudaSuccess when this binary holds code that the current device runs.
[[nodiscard]] cudaError_t probe_kernels();

}  // namespace rushlight::cuda
