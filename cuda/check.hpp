// From the CUDA runtime's return codes to our errors.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "base/fail.hpp"
#include "rushlight/result.hpp"

namespace rushlight::cuda {

// Errors after which the process cannot use the device any more.
[[nodiscard]] bool ends_the_context(cudaError_t status);

// What went wrong in `call` ("cudaMalloc"). Clears the runtime's sticky copy of the error, so that the next check does
// not find it again. A failed context (an illegal access, a lost device) stays failed: the hint says so.
[[nodiscard]] Error call_failed(cudaError_t status, std::string_view call);

// As above, for a kernel of a layer: "layer 'conv1': kernel gemm: ...".
[[nodiscard]] Error kernel_failed(cudaError_t status, std::string_view kernel, std::string_view layer);

// The device has not `size_bytes` left for `purpose` ("activations").
[[nodiscard]] Error out_of_device_memory(int device, std::uint64_t size_bytes, std::string_view purpose);

// The host has not so many bytes that can be page-locked.
[[nodiscard]] Error out_of_pinned_memory(std::uint64_t size_bytes);

// Why no GPU can be used at all; empty for errors of another kind.
[[nodiscard]] std::string why_no_gpu(cudaError_t status);

// "13.0", of a version as the runtime counts: 1000 * major + 10 * minor.
[[nodiscard]] std::string version_text(int version);

// What to do where why_no_gpu() has an answer.
[[nodiscard]] std::string remedy_for_no_gpu(cudaError_t status);

}  // namespace rushlight::cuda

// Returns the error of a CUDA runtime call from the enclosing function.
#define RUSHLIGHT_CUDA_TRY(function, ...)                                                                      \
  do {                                                                                                         \
    if (const cudaError_t rushlight_cuda_status = function(__VA_ARGS__); rushlight_cuda_status != cudaSuccess) \
      return ::rushlight::cuda::call_failed(rushlight_cuda_status, #function);                                 \
  } while (false)
