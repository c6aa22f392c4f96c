// Weights of one model on one GPU, shared by all its sessions there.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "cuda/device_memory.hpp"
#include "cuda/weight_forms.hpp"
#include "runtime/backend.hpp"
#include "runtime/constant.hpp"
#include "rushlight/result.hpp"

namespace rushlight::cuda {

class DeviceWeights final : public runtime::PackedWeights {
 public:
  // `host`: what the host's backend packs for layers that it computes.
  DeviceWeights(int device, std::shared_ptr<runtime::PackedWeights> host) noexcept
      : device_(device), host_(std::move(host)) {}

  [[nodiscard]] const std::shared_ptr<runtime::PackedWeights>& host() const noexcept { return host_; }

  // Where each of `copies`, of constants of `plan`, lies; uploads those that are not there yet, all into one block.
  // They are made on the host one after the other: no two forms are in its memory at a time.
  [[nodiscard]] Result<std::map<WeightCopy, const std::byte*>> upload(std::span<const WeightCopy> copies,
                                                                      const runtime::Plan& plan,
                                                                      const runtime::Network& network);

 private:
  // Plans number their constants; a model's weights are known by what they are.
  using Key = std::pair<runtime::Constant, WeightForm>;

  const int device_;
  const std::shared_ptr<runtime::PackedWeights> host_;
  std::mutex mutex_;
  std::map<Key, const std::byte*> places_;
  std::vector<DeviceBuffer> blocks_;
};

}  // namespace rushlight::cuda
