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
#include "cuda/kernels/queue.hpp"
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

[[nodiscard]] cudaError_t launch(const GemmCall& call, Queue queue);
[[nodiscard]] cudaError_t launch(const MmaCall& call, Queue queue);
[[nodiscard]] cudaError_t launch(const SplitSumArguments& arguments, Queue queue);
[[nodiscard]] cudaError_t launch(const RowProductArguments& arguments, Queue queue);
[[nodiscard]] cudaError_t launch(const MlpCall& call, Queue queue);
[[nodiscard]] cudaError_t launch(const DirectConvArguments& arguments, Queue queue);
[[nodiscard]] cudaError_t launch(const DepthwiseCall& call, Queue queue);
[[nodiscard]] cudaError_t launch(const WinogradInputArguments& arguments, Queue queue);
[[nodiscard]] cudaError_t launch(const WinogradOutputArguments& arguments, Queue queue);
[[nodiscard]] cudaError_t launch(const MaxPoolArguments& arguments, Queue queue);
[[nodiscard]] cudaError_t launch(const AvgPoolArguments& arguments, Queue queue);
[[nodiscard]] cudaError_t launch(const AdaptiveAvgPoolArguments& arguments, Queue queue);
[[nodiscard]] cudaError_t launch(const GlobalAvgPoolArguments& arguments, Queue queue);
[[nodiscard]] cudaError_t launch(const CombineArguments& arguments, Queue queue);
[[nodiscard]] cudaError_t launch(const NormArguments& arguments, Queue queue);
[[nodiscard]] cudaError_t launch(const BroadcastArguments& arguments, Queue queue);
[[nodiscard]] cudaError_t launch(const SoftmaxArguments& arguments, Queue queue);
[[nodiscard]] cudaError_t launch(const LayoutArguments& arguments, Queue queue);
[[nodiscard]] cudaError_t launch(const MapArguments& arguments, Queue queue);
[[nodiscard]] cudaError_t launch(const MoveArguments& arguments, Queue queue);
[[nodiscard]] cudaError_t launch(const PadArguments& arguments, Queue queue);
[[nodiscard]] cudaError_t launch(const CheckIndicesArguments& arguments, Queue queue);
[[nodiscard]] cudaError_t launch(const GatherArguments& arguments, Queue queue);
[[nodiscard]] cudaError_t launch(const ReduceArguments& arguments, Queue queue);
[[nodiscard]] cudaError_t launch(const NormaliseArguments& arguments, Queue queue);
[[nodiscard]] cudaError_t launch(const BatchedProductArguments& arguments, Queue queue);
[[nodiscard]] cudaError_t launch(const AttentionArguments& arguments, Queue queue);
[[nodiscard]] cudaError_t launch(const VolumePoolArguments& arguments, Queue queue);
[[nodiscard]] cudaError_t launch(const VolumeConvArguments& arguments, Queue queue);
[[nodiscard]] cudaError_t launch(const ResizeArguments& arguments, Queue queue);
[[nodiscard]] cudaError_t launch(const RecurrentStepArguments& arguments, Queue queue);
[[nodiscard]] cudaError_t launch(const ContractArguments& arguments, Queue queue);
[[nodiscard]] cudaError_t launch(const WindowMoveArguments& arguments, Queue queue);
[[nodiscard]] cudaError_t launch(const WindowMaskArguments& arguments, Queue queue);
[[nodiscard]] cudaError_t launch(const DistanceBiasArguments& arguments, Queue queue);
[[nodiscard]] cudaError_t launch(const AntialiasArguments& arguments, Queue queue);
[[nodiscard]] cudaError_t launch(const GridSampleArguments& arguments, Queue queue);
[[nodiscard]] cudaError_t launch(const AffineGridArguments& arguments, Queue queue);
[[nodiscard]] cudaError_t launch(const ResponseNormArguments& arguments, Queue queue);
[[nodiscard]] cudaError_t launch(const FoldArguments& arguments, Queue queue);
[[nodiscard]] cudaError_t launch(const UnpoolArguments& arguments, Queue queue);
[[nodiscard]] cudaError_t launch(const TopKArguments& arguments, Queue queue);
[[nodiscard]] cudaError_t launch(const PairsArguments& arguments, Queue queue);
[[nodiscard]] cudaError_t launch(const BagArguments& arguments, Queue queue);
// One of these: in cuda/kernels/launch_calls.cpp.
[[nodiscard]] cudaError_t launch(const GeneralCall& call, Queue queue);
// Copies, and a function of the host between them: there too.
[[nodiscard]] cudaError_t launch(const HostCall& call, Queue queue);

// cudaSuccess when this binary holds code that the current device runs; `compiled_for` is then the architecture of its
// PTX, as 90 for 9.0, of which the device's code is made.
[[nodiscard]] cudaError_t probe_kernels(int& compiled_for);

}  // namespace rushlight::cuda
