// Activations of epilogues: clamps while a kernel stores, the others on what it has just stored, while that is in
// cache.
#pragma once

#include <cstddef>

#include "runtime/cpu/kernels/kernels.hpp"
#include "runtime/plan.hpp"

namespace rushlight::runtime::cpu {

// Strides and bounds of a step's output and residual; where they are is known at run time.
[[nodiscard]] Destination destination_of(TensorId output, const Epilogue& epilogue, const Plan& plan) noexcept;
// What the bounds do not say, or null.
[[nodiscard]] ElementKernel kernel_of(const Activation& activation, const Kernels& kernels) noexcept;

// Destination::streams of a step: whether its outputs are so many that they leave L2 long before they are read, and
// neither they nor what lay there is read while they are written.
[[nodiscard]] bool passes_the_caches(const PlannedTensor& output, const Epilogue& epilogue,
                                     ElementKernel activation) noexcept;

// `count` elements of each of `rows` rows, in place.
void activate_rows(ElementKernel kernel, float* first, std::size_t rows, std::size_t stride,
                   std::size_t count) noexcept;

}  // namespace rushlight::runtime::cpu
