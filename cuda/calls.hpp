// From the steps of a Plan to calls of kernels: which kernel, over which addresses, in which tiles.
//
// All of it is arithmetic on the host and needs no GPU: the tests make the same calls over host memory and run them in
// the emulation. Addresses are fixed when a program is compiled, so that calls can be captured once and replayed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "cuda/kernels/direct_conv.cuh"
#include "cuda/kernels/elementwise.cuh"
#include "cuda/kernels/gemm.cuh"
#include "cuda/kernels/layout.cuh"
#include "cuda/kernels/pool.cuh"
#include "cuda/kernels/row_product.cuh"
#include "cuda/kernels/softmax.cuh"
#include "runtime/plan.hpp"
#include "rushlight/precision.hpp"
#include "rushlight/result.hpp"

namespace rushlight::cuda {

using Work = std::variant<GemmCall, RowProductArguments, DirectConvArguments, MaxPoolArguments, AvgPoolArguments,
                          AdaptiveAvgPoolArguments, CombineArguments, NormArguments, BroadcastArguments,
                          SoftmaxArguments, LayoutArguments>;

struct Call {
  Work work;
  std::string name;  // of the plan's step: "layer1.0.conv1"
};

// "gemm", "max_pool", ...: for messages and profiles.
[[nodiscard]] std::string_view kernel_name(const Work& work) noexcept;

// Where a plan's tensors and constants lie.
struct Addresses {
  std::byte* arena = nullptr;
  std::vector<std::byte*> inputs;  // by port
  std::vector<std::byte*> outputs;
  std::vector<const float*> constants;  // by ConstantId
};

struct CallOptions {
  // The GPU's number of multiprocessors, for the choice of tiles: with Precision::strict results do not depend on it.
  int processors = 1;
  Precision precision = Precision::strict;
};

// Calls of kernels in the order of the steps; steps over empty tensors have none. ErrorCode::unsupported names a layer
// whose sizes kernels cannot count.
[[nodiscard]] Result<std::vector<Call>> make_calls(const runtime::Plan& plan, const Addresses& addresses,
                                                   const CallOptions& options);

// --- the choices, for the tests
// -----------------------------------------------------------------------------------------

// The largest tile of which there are enough to keep all processors busy.
[[nodiscard]] GemmTile choose_tile(const GemmArguments& arguments, int processors) noexcept;

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
