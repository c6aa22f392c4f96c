// A point in a stream whose time can be asked for.
#pragma once

#include <cuda_runtime_api.h>

#include <utility>

#include "cuda/check.hpp"
#include "rushlight/result.hpp"

namespace rushlight::bench {

class Event {
 public:
  static Result<Event> make() {
    cudaEvent_t event = nullptr;
    RUSHLIGHT_CUDA_TRY(cudaEventCreate, &event);
    return Event(event);
  }
  Event(Event&& other) noexcept : event_(std::exchange(other.event_, nullptr)) {}
  Event& operator=(Event&&) = delete;
  ~Event() {
    if (event_ != nullptr) (void)cudaEventDestroy(event_);
  }
  [[nodiscard]] cudaEvent_t get() const noexcept { return event_; }

 private:
  explicit Event(cudaEvent_t event) noexcept : event_(event) {}
  cudaEvent_t event_;
};

}  // namespace rushlight::bench
