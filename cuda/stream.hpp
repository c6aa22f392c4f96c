// Which device a thread talks to, and the queue it puts its work into.
#pragma once

#include <cuda_runtime_api.h>

#include <utility>

#include "cuda/check.hpp"
#include "rushlight/result.hpp"

namespace rushlight::cuda {

// Makes a device current on this thread, and the former one again at the end: callers may use CUDA themselves.
class CurrentDevice {
 public:
  static Result<CurrentDevice> use(int device) {
    int former = 0;
    RUSHLIGHT_CUDA_TRY(cudaGetDevice, &former);
    // Also when it is current already: the first call on a thread makes the context.
    RUSHLIGHT_CUDA_TRY(cudaSetDevice, device);
    return CurrentDevice(former == device ? kNothingToRestore : former);
  }
  CurrentDevice(CurrentDevice&& other) noexcept : former_(std::exchange(other.former_, kNothingToRestore)) {}
  CurrentDevice& operator=(CurrentDevice&&) = delete;
  ~CurrentDevice() {
    if (former_ != kNothingToRestore) (void)cudaSetDevice(former_);
  }

 private:
  static constexpr int kNothingToRestore = -1;
  explicit CurrentDevice(int former) noexcept : former_(former) {}
  int former_;
};

// A queue of its own, independent of the default stream. Belongs to the device that was current when it was made.
class Stream {
 public:
  static Result<Stream> make() {
    cudaStream_t stream = nullptr;
    RUSHLIGHT_CUDA_TRY(cudaStreamCreateWithFlags, &stream, cudaStreamNonBlocking);
    return Stream(stream);
  }
  Stream(Stream&& other) noexcept : stream_(std::exchange(other.stream_, nullptr)) {}
  Stream& operator=(Stream&& other) noexcept {
    std::swap(stream_, other.stream_);
    return *this;
  }
  ~Stream() {
    if (stream_ != nullptr) (void)cudaStreamDestroy(stream_);
  }

  [[nodiscard]] cudaStream_t get() const noexcept { return stream_; }
  // Waits until all that was put into the queue is done.
  Status synchronise() const {
    RUSHLIGHT_CUDA_TRY(cudaStreamSynchronize, stream_);
    return {};
  }

 private:
  explicit Stream(cudaStream_t stream) noexcept : stream_(stream) {}
  cudaStream_t stream_;
};

}  // namespace rushlight::cuda
