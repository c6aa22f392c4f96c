// From the GeneralSteps of a plan to calls of kernels. What has none here the host computes (host_step.hpp).
//
// cuda/general has the families, as src/runtime/cpu/general does. One function decides whether a step has kernels and
// makes the calls: they cannot disagree.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <variant>
#include <vector>

#include "cuda/kernels/attention.cuh"
#include "cuda/kernels/bags.cuh"
#include "cuda/kernels/batched_product.cuh"
#include "cuda/kernels/contract.cuh"
#include "cuda/kernels/fold.cuh"
#include "cuda/kernels/gather.cuh"
#include "cuda/kernels/map.cuh"
#include "cuda/kernels/move.cuh"
#include "cuda/kernels/normalise.cuh"
#include "cuda/kernels/pairs.cuh"
#include "cuda/kernels/recurrence.cuh"
#include "cuda/kernels/reduce.cuh"
#include "cuda/kernels/response_norm.cuh"
#include "cuda/kernels/sampling.cuh"
#include "cuda/kernels/top_k.cuh"
#include "cuda/kernels/volume.cuh"
#include "cuda/kernels/windows.cuh"
#include "runtime/constant.hpp"
#include "runtime/plan.hpp"

namespace rushlight::cuda {

using GeneralWork = std::variant<MapArguments, MoveArguments, PadArguments, CheckIndicesArguments, GatherArguments,
                                 ReduceArguments, NormaliseArguments, BatchedProductArguments, AttentionArguments,
                                 VolumePoolArguments, VolumeConvArguments, ResizeArguments, RecurrentStepArguments,
                                 ContractArguments, WindowMoveArguments, WindowMaskArguments, DistanceBiasArguments,
                                 AntialiasArguments, GridSampleArguments, AffineGridArguments, ResponseNormArguments,
                                 FoldArguments, UnpoolArguments, TopKArguments, PairsArguments, BagArguments>;
struct GeneralCall {
  GeneralWork work;
};

// What the kernels of a step need besides its operands.
struct GeneralNeeds {
  bool has_kernels = false;                    // without them it needs nothing
  std::vector<runtime::Constant> constants{};  // weights that they read
  std::uint64_t scratch_bytes = 0;             // device memory for what is between them; steps may share it
  std::size_t notes = 0;                       // on indices from outside
};
[[nodiscard]] GeneralNeeds general_needs(const runtime::GeneralStep& step);

// Where a step's operands begin, and what it needs.
struct GeneralOperands {
  std::vector<std::byte*> inputs;
  std::vector<std::byte*> outputs;
  std::vector<const float*> constants;
  std::byte* scratch = nullptr;  // aligned to kArenaAlignment
  IndexNote* notes = nullptr;    // on the host, where the device writes them
};

// The calls that compute a step, in order; none where it makes no elements. nullopt: there is no kernel for it.
[[nodiscard]] std::optional<std::vector<GeneralCall>> make_general_calls(const runtime::GeneralStep& step,
                                                                         const GeneralOperands& operands);

// "map", "reduce", ...
[[nodiscard]] std::string_view kernel_name(const GeneralCall& call) noexcept;

}  // namespace rushlight::cuda
