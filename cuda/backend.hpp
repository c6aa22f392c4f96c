// The backend for NVIDIA GPUs. No type of CUDA's appears here: src/runtime/devices.cpp includes this file.
#pragma once

#include <memory>

#include "runtime/backend.hpp"
#include "rushlight/result.hpp"

namespace rushlight::cuda {

// `host` computes what the GPU has no kernel for: a backend of the CPU that can compile_plan(). ErrorCode::device, with
// the reason, when there is no such GPU or it cannot be used.
[[nodiscard]] Result<std::shared_ptr<const runtime::Backend>> make_backend(
    int index, std::shared_ptr<const runtime::Backend> host);

}  // namespace rushlight::cuda
