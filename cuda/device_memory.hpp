// Memory on GPUs, and which GPUs there are. No type of CUDA's appears here: src/tensor/devices.cpp includes this file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "rushlight/device.hpp"
#include "rushlight/result.hpp"
#include "tensor/memory.hpp"

namespace rushlight::cuda {

// Our kernels need sm_80 (Ampere) or later.
inline constexpr int kMinimumCapability = 80;

// Every GPU that the driver shows, with the reason where one cannot be used; where there is none, one entry that says
// why. Makes no context.
[[nodiscard]] std::vector<DeviceInfo> list_devices();

// A copy on a GPU of memory on the host or on any GPU. ErrorCode::device when there is no such GPU, ::out_of_memory.
[[nodiscard]] Result<std::shared_ptr<Memory>> copy_to_device(Memory& source, Device device);

// A copy on the host of memory that a function of this file made.
[[nodiscard]] Result<std::shared_ptr<Memory>> copy_to_host(Memory& source);

// A block of device memory, aligned to 256 bytes. Uninitialised.
class DeviceBuffer {
 public:
  // `purpose` is for the message of a failure: "activations". Of 0 bytes: data() is null.
  static Result<DeviceBuffer> allocate(int device, std::uint64_t size_bytes, std::string_view purpose);

  DeviceBuffer() = default;
  DeviceBuffer(DeviceBuffer&& other) noexcept;
  DeviceBuffer& operator=(DeviceBuffer&& other) noexcept;
  ~DeviceBuffer();

  [[nodiscard]] std::byte* data() const noexcept { return data_; }
  [[nodiscard]] std::uint64_t size_bytes() const noexcept { return size_bytes_; }
  [[nodiscard]] int device() const noexcept { return device_; }

 private:
  DeviceBuffer(int device, std::byte* data, std::uint64_t size_bytes) noexcept
      : device_(device), data_(data), size_bytes_(size_bytes) {}

  int device_ = 0;
  std::byte* data_ = nullptr;
  std::uint64_t size_bytes_ = 0;
};

}  // namespace rushlight::cuda
