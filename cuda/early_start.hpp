// May kernels come to the GPU before the one in front of them has ended (programmatic dependent launch)?
#pragma once

namespace rushlight::cuda {

// `capability` and `compiled_for` as 90 for 9.0, `driver` as 13000 for 13.0. `setting` is RUSHLIGHT_PDL of the
// environment, or null: "off" forbids it.
//
// GPUs have it from 9.0 on. A kernel then has to wait by itself, and does where its code was made for such a GPU: code
// from PTX of an older architecture does not. Drivers record such kernels in graphs from 12.3 on (CUDA C++ Programming
// Guide, "Programmatic Dependent Launch and Synchronization").
[[nodiscard]] bool may_start_early(int capability, int compiled_for, int driver, const char* setting) noexcept;

}  // namespace rushlight::cuda
