// From the steps of a Plan to calls of kernels: which kernel, over which addresses, in which tiles.
//
// All of it is arithmetic on the host and needs no GPU: the tests make the same calls over host memory and run them in
// the emulation. Addresses are fixed when a program is compiled, so that calls can be captured once and replayed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "cuda/general_calls.hpp"
#include "cuda/host_step.hpp"
#include "cuda/kernels/depthwise.cuh"
#include "cuda/kernels/direct_conv.cuh"
#include "cuda/kernels/elementwise.cuh"
#include "cuda/kernels/gemm.cuh"
#include "cuda/kernels/global_pool.cuh"
#include "cuda/kernels/layout.cuh"
#include "cuda/kernels/mlp.cuh"
#include "cuda/kernels/mma_gemm.cuh"
#include "cuda/kernels/pool.cuh"
#include "cuda/kernels/row_product.cuh"
#include "cuda/kernels/softmax.cuh"
#include "cuda/kernels/split_sum.cuh"
#include "cuda/kernels/winograd.cuh"
#include "cuda/product_choice.hpp"
#include "cuda/weight_forms.hpp"
#include "cuda/winograd_choice.hpp"
#include "runtime/plan.hpp"
#include "rushlight/precision.hpp"
#include "rushlight/result.hpp"

namespace rushlight::cuda {

using Work = std::variant<GemmCall, MmaCall, SplitSumArguments, RowProductArguments, MlpCall, DirectConvArguments,
                          DepthwiseCall, WinogradInputArguments, WinogradOutputArguments, MaxPoolArguments,
                          AvgPoolArguments, AdaptiveAvgPoolArguments, GlobalAvgPoolArguments, CombineArguments,
                          NormArguments, BroadcastArguments, SoftmaxArguments, LayoutArguments, GeneralCall, HostCall>;

struct Call {
  Work work;
  std::string name;      // of the plan's step: "layer1.0.conv1"; of several steps, "fc1 to softmax"
  std::size_t step = 0;  // and its index, or the first one's
};

// "gemm", "max_pool", ...: for messages and profiles.
[[nodiscard]] std::string_view kernel_name(const Work& work) noexcept;

// What the calls of a plan want besides its arena and ports.
struct Needs {
  std::vector<WeightCopy> weights;  // no two are equal
  // Memory for what a call's kernels leave each other. Calls run one after the other and share it.
  std::uint64_t scratch_bytes = 0;
  // 32-bit numbers that are 0 before the first run; kernels count blocks with them and leave them at 0. Shared
  // likewise.
  std::uint32_t tickets = 0;
  std::size_t notes = 0;  // on indices from outside
};

// Where a plan's tensors and needs lie, each at a multiple of 16 bytes.
struct Addresses {
  std::byte* arena = nullptr;
  std::vector<std::byte*> inputs;  // by port
  std::vector<std::byte*> outputs;
  std::map<WeightCopy, const std::byte*> weights;  // all of Needs::weights
  std::byte* scratch = nullptr;                    // Needs::scratch_bytes
  std::uint32_t* tickets = nullptr;
  IndexNote* notes = nullptr;  // Needs::notes, on the host, where the device can write
  // Steps that the host computes, by their index in the plan (null where the device does), and the memory they share.
  std::vector<std::shared_ptr<HostStep>> host_steps;
  std::byte* staging = nullptr;
};

struct CallOptions {
  // The GPU's number of multiprocessors, for the choice of tiles: with Precision::strict results do not depend on it.
  int processors = 1;
  Precision precision = Precision::strict;
  TensorCores tensor_cores = {};  // that may be used
  // For tests and measurements: layers that can go through Winograd's algorithm do, whatever the estimate says.
  std::optional<WinogradChoice> winograd = {};
};

// Appends the weights that kernels of GeneralSteps read to the plan's constants: before anything else is asked of it.
void add_general_constants(runtime::Plan& plan);

// What the plan's steps without a kernel need of the host: Addresses::host_steps. `host` and `weights` as for HostStep.
[[nodiscard]] Result<std::vector<std::shared_ptr<HostStep>>> make_host_steps(
    const runtime::Plan& plan, const runtime::Network& network, const runtime::Backend& host,
    const std::shared_ptr<runtime::PackedWeights>& weights, const runtime::RunOptions& options);

// Of the largest of them: the size of Addresses::staging.
[[nodiscard]] std::uint64_t staging_bytes(std::span<const std::shared_ptr<HostStep>> steps) noexcept;

// The layers that they compute, each once.
[[nodiscard]] std::vector<std::string> host_layers(const runtime::Plan& plan,
                                                   std::span<const std::shared_ptr<HostStep>> steps);

// What make_calls() will look for in its Addresses when it gets the same options. Both make the same choices: they go
// through the plan in the same way, and addresses count for nothing but whether they are multiples of 16.
[[nodiscard]] Result<Needs> find_needs(const runtime::Plan& plan, const CallOptions& options);

// Calls of kernels in the order of the steps; steps over empty tensors have none. ErrorCode::unsupported names a layer
// whose sizes kernels cannot count.
[[nodiscard]] Result<std::vector<Call>> make_calls(const runtime::Plan& plan, const Addresses& addresses,
                                                   const CallOptions& options);

// Whether a call follows numbers from outside, so that it can go wrong though the device does nothing wrong.
[[nodiscard]] bool has_status(const Call& call) noexcept;
// After a run, and before the next one: what went wrong in such a call.
[[nodiscard]] Status status_of(const Call& call);

// --- the choices, for the tests
// -----------------------------------------------------------------------------------------

// The largest tile of which there are enough to keep all processors busy.
[[nodiscard]] GemmTile choose_tile(const GemmArguments& arguments, int processors) noexcept;

// The shape for a depthwise layer: strips of four outputs where that leaves every processor enough threads.
[[nodiscard]] DepthwiseCall choose_depthwise(const DepthwiseArguments& arguments, int processors) noexcept;

// The fastest access that geometry and alignment allow. `gathers`: A is not simply the input's rows.
[[nodiscard]] GemmAccess choose_access(const GemmArguments& arguments, bool gathers) noexcept;

// Removes dimensions of size 1 and joins neighbours that both operands walk through alike.
struct BroadcastShape {
  std::vector<std::int64_t> sizes;
  std::vector<std::int64_t> a_strides;
  std::vector<std::int64_t> b_strides;
};
[[nodiscard]] BroadcastShape join_dimensions(const BroadcastShape& shape);

}  // namespace rushlight::cuda
