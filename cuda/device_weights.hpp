// Weights of one model on one GPU, shared by all its sessions there.
#pragma once

#include <map>
#include <mutex>
#include <span>
#include <vector>

#include "cuda/device_memory.hpp"
#include "runtime/backend.hpp"
#include "runtime/constant.hpp"
#include "rushlight/result.hpp"

namespace rushlight::cuda {

class DeviceWeights final : public runtime::PackedWeights {
 public:
  explicit DeviceWeights(int device) noexcept : device_(device) {}

  // Where each of `constants` lies; uploads those that are not there yet, all into one block.
  [[nodiscard]] Result<std::vector<const float*>> upload(std::span<const runtime::Constant> constants,
                                                         const runtime::Network& network);

 private:
  const int device_;
  std::mutex mutex_;
  std::map<runtime::Constant, const float*> places_;
  std::vector<DeviceBuffer> blocks_;
};

}  // namespace rushlight::cuda
