// Device -> Memory, and what devices there are: the one file of this layer that names every kind of memory.
#include <unistd.h>

#include <charconv>
#include <cstring>
#include <string>
#include <utility>

#include "base/cpu_features.hpp"
#include "base/fail.hpp"
#include "base/no_memory.hpp"
#include "base/quote.hpp"
#include "rushlight/device.hpp"
#include "tensor/layout.hpp"
#include "tensor/memory.hpp"
#include "tensor/tensor_impl.hpp"

#if RUSHLIGHT_HAS_CUDA
#include "cuda/device_memory.hpp"
#endif

namespace rushlight {
namespace {

DeviceInfo describe_cpu() {
  DeviceInfo cpu;
  cpu.device = Device::cpu();
  const std::string brand = cpu_brand();
  cpu.description = (brand.empty() ? "processor" : brand) + ", " + std::string(to_string(usable_isa()));
  const long pages = ::sysconf(_SC_PHYS_PAGES);
  const long page_bytes = ::sysconf(_SC_PAGESIZE);
  if (pages > 0 && page_bytes > 0) {
    cpu.memory_bytes = static_cast<std::uint64_t>(pages) * static_cast<std::uint64_t>(page_bytes);
  }
  cpu.usable = true;
  return cpu;
}

std::vector<DeviceInfo> list_gpus() {
#if RUSHLIGHT_HAS_CUDA
  return cuda::list_devices();
#else
  return {{Device::cuda(0), "NVIDIA GPU", 0, false, "this build has no CUDA support"}};
#endif
}

[[maybe_unused]] Error no_cuda(Device device) {
  std::string available;
  for (const DeviceInfo& found : list_devices()) {
    if (!found.usable) continue;
    if (!available.empty()) available += ", ";
    available += to_string(found.device);
  }
  return Error::of(
      {.category = Category::device,
       .code = "DEVICE-NO-CUDA",
       .message = "device " + quoted(to_string(device)) + " is not available, this build has no CUDA support",
       .found = to_string(device),
       .hint = "available: " + available});
}

// From any memory to the host.
Result<std::shared_ptr<Memory>> copy_to_host(Memory& source) {
#if RUSHLIGHT_HAS_CUDA
  if (source.device().kind == Device::Kind::cuda) return cuda::copy_to_host(source);
#endif
  RUSHLIGHT_TRY_ASSIGN(const ByteSpan from, source.bytes());
  RUSHLIGHT_TRY_ASSIGN(std::shared_ptr<Memory> copy, make_host_memory(from.size()));
  RUSHLIGHT_TRY_ASSIGN(const std::span<std::byte> to, copy->mutable_bytes());
  if (!from.empty()) std::memcpy(to.data(), from.data(), from.size());
  return copy;
}

Result<std::shared_ptr<Memory>> copy_to_cuda([[maybe_unused]] Memory& source, Device device) {
#if RUSHLIGHT_HAS_CUDA
  return cuda::copy_to_device(source, device);
#else
  return no_cuda(device);
#endif
}

}  // namespace

Result<Device> Device::parse(std::string_view text) {
  return or_no_memory([&]() -> Result<Device> {
    if (text == "cpu") return cpu();
    if (text == "meta") return meta();
    if (text == "cuda") return cuda();
    if (text.starts_with("cuda:")) {
      const std::string_view digits = text.substr(5);
      int number = 0;
      const auto [end, problem] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
      const bool canonical = !digits.empty() && digits[0] != '-' && (digits[0] != '0' || digits.size() == 1);
      if (problem == std::errc() && end == digits.data() + digits.size() && canonical) return cuda(number);
    }
    return Error::of({.category = Category::argument,
                      .code = "ARG-DEVICE",
                      .message = quoted(text) + " is no device, expected 'cpu', 'cuda' or 'cuda:N'",
                      .found = escaped(text),
                      .expected = "cpu, cuda or cuda:N"});
  });
}

std::string to_string(Device device) {
  switch (device.kind) {
    case Device::Kind::cpu:
      return "cpu";
    case Device::Kind::cuda:
      return "cuda:" + std::to_string(device.index);
    case Device::Kind::meta:
      return "meta";
  }
  return "?";
}

std::vector<DeviceInfo> list_devices() {
  std::vector<DeviceInfo> devices{describe_cpu()};
  for (DeviceInfo& gpu : list_gpus()) devices.push_back(std::move(gpu));
  return devices;
}

Result<std::shared_ptr<Memory>> copy_to_device(Memory& source, Device device) {
  switch (device.kind) {
    case Device::Kind::cpu:
      return copy_to_host(source);
    case Device::Kind::cuda:
      return copy_to_cuda(source, device);
    case Device::Kind::meta:
      return make_meta_memory(source.size_bytes());
  }
  return Error::of({.category = Category::device, .code = "DEVICE-UNKNOWN", .message = "no such kind of device"});
}

Result<Tensor> Tensor::to(Device target) const {
  return or_no_memory([&]() -> Result<Tensor> {
    if (device() == target) return *this;
    if (target.kind == Device::Kind::meta) {
      return Impl::view(Storage(make_meta_memory(storage().size_bytes())), dtype(), shape(), strides(),
                        storage_offset(), options());
    }
    // What leaves the host is the elements and no gaps, nor the rest of a storage that others share.
    Tensor dense = *this;
    if (device().kind == Device::Kind::cpu) {
      RUSHLIGHT_TRY_ASSIGN(dense, contiguous());
      if (dense.storage().size_bytes() != dense.size_bytes()) {
        RUSHLIGHT_TRY_ASSIGN(const std::span<const std::byte> elements, dense.bytes());
        const Shape own(shape().begin(), shape().end());
        RUSHLIGHT_TRY_ASSIGN(const Tensor copy, Tensor::from_bytes(elements, dtype(), own));
        dense = Impl::dense(copy.storage(), dtype(), shape(), numel(), options());
      }
    }
    RUSHLIGHT_TRY_ASSIGN(std::shared_ptr<Memory> moved, copy_to_device(*dense.storage().memory(), target));
    return Impl::view(Storage(std::move(moved)), dtype(), dense.shape(), dense.strides(), dense.storage_offset(),
                      dense.options());
  });
}

}  // namespace rushlight
