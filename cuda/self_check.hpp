// Do a GPU's tensor cores multiply as they should? Each instance of the kernel computes one small convolution that the
// host computes too, before anything else is asked of it: what fails is not used, and the backend's name says so.
//
// The kernels stand on what the PTX manual says about fragments, and on an emulation of it. A compiler, a driver or a
// GPU that does otherwise must not show as wrong numbers in somebody's results.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "cuda/calls.hpp"
#include "rushlight/result.hpp"

namespace rushlight::cuda {

// Copies `memory` to where kernels can reach it, at a multiple of 16 bytes, runs the calls that `calls` makes for this
// address, and copies everything back.
using CallRunner =
    std::function<Status(std::span<float> memory, const std::function<std::vector<Work>(float* base)>& calls)>;

// The kinds among `wanted` of which every instance gives the host's answer. A kind whose run fails is not used either.
// ErrorCode::out_of_memory says nothing about kinds and is handed on; after a failure that takes the device with it,
// which is when `is_usable` says no, the error names the kind and how to start again without.
[[nodiscard]] Result<TensorCores> check_tensor_cores(const TensorCores& wanted, const CallRunner& run,
                                                     const std::function<bool()>& is_usable);

// What a backend's name says about kinds that are wanted but not `found`: " without tensor cores for bf16, tf32". Empty
// where none is missing.
[[nodiscard]] std::string missing_tensor_cores(const TensorCores& wanted, const TensorCores& found);

}  // namespace rushlight::cuda
