#include "runtime/devices.hpp"

#include <string>
#include <utility>

#include "base/fail.hpp"
#include "base/quote.hpp"
#include "runtime/cpu/backend.hpp"
#include "runtime/reference/backend.hpp"

#if RUSHLIGHT_HAS_CUDA
#include "cuda/backend.hpp"
#endif

namespace rushlight::runtime {
namespace {

// "cpu, cuda:0".
std::string usable_devices() {
  std::string names;
  for (const DeviceInfo& info : list_devices()) {
    if (!info.usable) continue;
    if (!names.empty()) names += ", ";
    names += to_string(info.device);
  }
  return names;
}

Error unusable(std::string code, std::string message) {
  return Error::of({.category = Category::device,
                    .code = std::move(code),
                    .message = std::move(message),
                    .hint = "available: " + usable_devices()});
}

}  // namespace

Result<std::shared_ptr<const Backend>> make_backend(Device device, Implementation implementation) {
  if (implementation == Implementation::reference) {
    if (device.kind == Device::Kind::cpu) return reference::make_backend();
    return unusable("DEVICE-REFERENCE", "the reference computes on the cpu only, found " + to_string(device));
  }
  switch (device.kind) {
    case Device::Kind::cpu:
      return cpu::make_backend();
    case Device::Kind::cuda: {
#if RUSHLIGHT_HAS_CUDA
      // What no kernel computes the CPU does.
      RUSHLIGHT_TRY_ASSIGN(std::shared_ptr<const Backend> host, cpu::make_backend());
      return cuda::make_backend(device.index, std::move(host));
#else
      return unusable("DEVICE-NO-CUDA",
                      "device " + quoted(to_string(device)) + " is not available, this build has no CUDA support");
#endif
    }
    case Device::Kind::meta:
      break;
  }
  return unusable("DEVICE-META", "meta tensors have no data: nothing can be computed on meta");
}

}  // namespace rushlight::runtime
