#include "cuda/check.hpp"

#include <utility>

#include "base/quote.hpp"
#include "rushlight/device.hpp"

namespace rushlight::cuda {
namespace {

constexpr const char* kOutOfMemoryRemedy = "run smaller batches, or on the CPU";

// 0 where no driver is installed: the static runtime calls that an insufficient one.
int driver_version() {
  int version = 0;
  return cudaDriverGetVersion(&version) == cudaSuccess ? version : 0;
}

// "" where nobody but the authors can do something.
const char* remedy_for(cudaError_t status) {
  if (ends_the_context(status)) return "the GPU cannot be used again before the program is restarted";
  if (status == cudaErrorMemoryAllocation) return kOutOfMemoryRemedy;
  if (status == cudaErrorDevicesUnavailable) return "another program has this GPU to itself: end it, or run on the CPU";
  return "";
}

Error failed(cudaError_t status, std::string where) {
  // Sticky errors of the last call would be reported again by whoever asks next.
  (void)cudaGetLastError();
  Finding finding{
      .category = Category::device,
      .code = "CUDA-CALL",
      .message = std::move(where) + ": " + cudaGetErrorString(status) + " (" + cudaGetErrorName(status) + ")",
      .found = cudaGetErrorName(status)};
  finding.hint = remedy_for(status);
  Error error = Error::of(std::move(finding));
  if (status == cudaErrorMemoryAllocation) error.code = ErrorCode::out_of_memory;
  return error;
}

}  // namespace

// "The process must be terminated and relaunched" (the runtime's documentation of cudaError).
bool ends_the_context(cudaError_t status) {
  switch (status) {
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchFailure:
    case cudaErrorLaunchTimeout:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorAssert:
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorContained:
    case cudaErrorMpsConnectionFailed:
    case cudaErrorMpsClientTerminated:
    case cudaErrorExternalDevice:
#if CUDART_VERSION >= 13000
    case cudaErrorTensorMemoryLeak:
#endif
      return true;
    default:
      return false;
  }
}

Error call_failed(cudaError_t status, std::string_view call) {
  if (const std::string why = why_no_gpu(status); !why.empty()) {
    (void)cudaGetLastError();
    return Error::of({.category = Category::device,
                      .code = "DEVICE-NO-GPU",
                      .message = "no GPU can be used: " + why,
                      .found = cudaGetErrorName(status),
                      .hint = remedy_for_no_gpu(status)});
  }
  return failed(status, std::string(call));
}

Error kernel_failed(cudaError_t status, std::string_view kernel, std::string_view layer) {
  return failed(status, "layer " + quoted(layer) + ": kernel " + std::string(kernel));
}

Error out_of_device_memory(int device, std::uint64_t size_bytes, std::string_view purpose) {
  (void)cudaGetLastError();
  std::string message = "no memory on " + to_string(Device::cuda(device)) + " for " + std::to_string(size_bytes) +
                        " bytes of " + std::string(purpose);
  std::size_t free_bytes = 0;
  std::size_t total_bytes = 0;
  if (cudaMemGetInfo(&free_bytes, &total_bytes) == cudaSuccess) {
    message += ", " + std::to_string(free_bytes) + " of " + std::to_string(total_bytes) + " are free";
  }
  return Error::of(ErrorCode::out_of_memory, {.category = Category::device,
                                              .code = "OUT-OF-MEMORY",
                                              .message = std::move(message),
                                              .hint = kOutOfMemoryRemedy});
}

Error out_of_pinned_memory(std::uint64_t size_bytes) {
  (void)cudaGetLastError();
  return Error::of(ErrorCode::out_of_memory,
                   {.category = Category::device,
                    .code = "OUT-OF-MEMORY",
                    .message = "no memory of the host for " + std::to_string(size_bytes) + " page-locked bytes",
                    .hint = "free some of it, or run on the CPU"});
}

std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

std::string why_no_gpu(cudaError_t status) {
  switch (status) {
    case cudaErrorInsufficientDriver: {
      const int driver = driver_version();
      if (driver == 0) return "no NVIDIA driver is installed";
      return "the NVIDIA driver is too old, expected one for CUDA " + version_text(CUDART_VERSION) +
             ", found one for CUDA " + version_text(driver);
    }
    case cudaErrorNoDevice:
      return "the NVIDIA driver sees no GPU";
    case cudaErrorInitializationError:
      return "the NVIDIA driver does not start, which is also what it says in a process forked after CUDA was used";
    case cudaErrorSystemDriverMismatch:
    case cudaErrorSystemNotReady:
    case cudaErrorCompatNotSupportedOnDevice:
    case cudaErrorStubLibrary:
    case cudaErrorOperatingSystem:
      return std::string("the NVIDIA driver does not start: ") + cudaGetErrorString(status);
    default:
      return {};
  }
}

std::string remedy_for_no_gpu(cudaError_t status) {
  if (status != cudaErrorInsufficientDriver) return "run on the CPU";
  return driver_version() == 0 ? "install the NVIDIA driver, or run on the CPU"
                               : "install a later NVIDIA driver, or run on the CPU";
}

}  // namespace rushlight::cuda
