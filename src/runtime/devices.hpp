// From a device to the backend that computes on it: the only place that knows them all.
#pragma once

#include <memory>

#include "runtime/backend.hpp"
#include "rushlight/device.hpp"
#include "rushlight/result.hpp"
#include "rushlight/session.hpp"

namespace rushlight::runtime {

// ErrorCode::device, naming what there is, when the device cannot be used.
[[nodiscard]] Result<std::shared_ptr<const Backend>> make_backend(Device device, Implementation implementation);

}  // namespace rushlight::runtime
