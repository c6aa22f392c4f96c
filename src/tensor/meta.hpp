// Tensors of the meta device.
#pragma once

#include "rushlight/tensor.hpp"

namespace rushlight {

// Shape without data.
[[nodiscard]] inline bool is_meta(const Tensor& tensor) noexcept {
  return tensor.device().kind == Device::Kind::meta;
}

}  // namespace rushlight
