// Whether the CUDA backend computes a case by its own kernels, without the host.
#pragma once

#include "operators/operator_case.hpp"
#include "rushlight/result.hpp"

namespace rushlight::cuda {

// False when a step of its plan has no kernel. Fails where no plan can be made.
[[nodiscard]] Result<bool> device_computes(const test::OperatorCase& one);

}  // namespace rushlight::cuda
