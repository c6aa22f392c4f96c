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
#include "cuda/kernels/batched_product.cuh"
#include "cuda/kernels/gather.cuh"
#include "cuda/kernels/map.cuh"
#include "cuda/kernels/move.cuh"
#include "cuda/kernels/normalise.cuh"
#include "cuda/kernels/reduce.cuh"
#include "cuda/kernels/volume.cuh"
#include "runtime/constant.hpp"
#include "runtime/plan.hpp"

namespace rushlight::cuda {

using GeneralWork = std::variant<MapArguments, MoveArguments, PadArguments, CheckIndicesArguments, GatherArguments,
                                 ReduceArguments, NormaliseArguments, BatchedProductArguments, AttentionArguments,
                                 VolumePoolArguments, VolumeConvArguments, ResizeArguments>;
struct GeneralCall {
  GeneralWork work;
};

// What the kernels of a step need besides its operands.
struct GeneralNeeds {
  bool has_kernels = false;                    // without them it needs nothing
  std::vector<runtime::Constant> constants{};  // weights that they read
  std::uint64_t scratch_bytes = 0;             // device memory for what is between them; steps may share it
  bool follows_indices = false;                // into which a note on bad ones is written
};
[[nodiscard]] GeneralNeeds general_needs(const runtime::GeneralStep& step);

// Where a step's operands begin, and what it needs.
struct GeneralOperands {
  std::vector<std::byte*> inputs;
  std::vector<std::byte*> outputs;
  std::vector<const float*> constants;
  std::byte* scratch = nullptr;  // aligned to kArenaAlignment
  IndexNote* note = nullptr;     // on the host, where the device writes it
};

// The calls that compute a step, in order; none where it makes no elements. nullopt: there is no kernel for it.
[[nodiscard]] std::optional<std::vector<GeneralCall>> make_general_calls(const runtime::GeneralStep& step,
                                                                         const GeneralOperands& operands);

// "map", "reduce", ...
[[nodiscard]] std::string_view kernel_name(const GeneralCall& call) noexcept;

}  // namespace rushlight::cuda
