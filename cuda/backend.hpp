// The backend for NVIDIA GPUs. No type of CUDA's appears here: src/runtime/devices.cpp includes this file.
#pragma once

#include <memory>

#include "runtime/backend.hpp"
#include "rushlight/result.hpp"

namespace rushlight::cuda {

// ErrorCode::device, with the reason, when there is no such GPU or it cannot be used.
[[nodiscard]] Result<std::shared_ptr<const runtime::Backend>> make_backend(int index);

}  // namespace rushlight::cuda
