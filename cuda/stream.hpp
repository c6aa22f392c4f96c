// Which device a thread talks to, the queue it puts its work into, and marks in that queue.
#pragma once

#include <cuda_runtime_api.h>

#include <utility>

#include "cuda/check.hpp"
#include "rushlight/result.hpp"

namespace rushlight::cuda {

// While it lives, this thread's calls neither fail nor spoil anything when another thread records a graph in the global
// mode, as PyTorch does: allocating, asking and waiting count as unsafe there, for what is recorded might depend on
// them. Ours concern our own streams and memory.
class CaptureByOthers {
 public:
  CaptureByOthers() noexcept { exchange(); }
  CaptureByOthers(CaptureByOthers&& other) noexcept
      : former_(other.former_), is_set_(std::exchange(other.is_set_, false)) {}
  CaptureByOthers& operator=(CaptureByOthers&&) = delete;
  ~CaptureByOthers() {
    if (is_set_) exchange();
  }

 private:
  void exchange() noexcept { is_set_ = cudaThreadExchangeStreamCaptureMode(&former_) == cudaSuccess; }

  cudaStreamCaptureMode former_ = cudaStreamCaptureModeRelaxed;
  bool is_set_ = false;
};

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
  CurrentDevice(CurrentDevice&& other) noexcept
      : former_(std::exchange(other.former_, kNothingToRestore)), allowed_(std::move(other.allowed_)) {}
  CurrentDevice& operator=(CurrentDevice&&) = delete;
  ~CurrentDevice() {
    if (former_ != kNothingToRestore) (void)cudaSetDevice(former_);
  }

 private:
  static constexpr int kNothingToRestore = -1;
  explicit CurrentDevice(int former) noexcept : former_(former) {}
  int former_;
  CaptureByOthers allowed_;
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

// A mark in a queue: what was put in before it is done once the mark is reached. Belongs to the device that was current
// when it was made.
class Event {
 public:
  enum class Kind : unsigned { mark = cudaEventDisableTiming, time = cudaEventDefault };
  static Result<Event> make(Kind kind) {
    cudaEvent_t event = nullptr;
    RUSHLIGHT_CUDA_TRY(cudaEventCreateWithFlags, &event, static_cast<unsigned>(kind));
    return Event(event);
  }
  Event(Event&& other) noexcept : event_(std::exchange(other.event_, nullptr)) {}
  Event& operator=(Event&& other) noexcept {
    std::swap(event_, other.event_);
    return *this;
  }
  ~Event() {
    if (event_ != nullptr) (void)cudaEventDestroy(event_);
  }

  [[nodiscard]] cudaEvent_t get() const noexcept { return event_; }
  Status record(cudaStream_t stream) const {
    RUSHLIGHT_CUDA_TRY(cudaEventRecord, event_, stream);
    return {};
  }
  // At once where it was never recorded.
  Status synchronise() const {
    RUSHLIGHT_CUDA_TRY(cudaEventSynchronize, event_);
    return {};
  }

 private:
  explicit Event(cudaEvent_t event) noexcept : event_(event) {}
  cudaEvent_t event_;
};

}  // namespace rushlight::cuda
