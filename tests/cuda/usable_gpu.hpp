// Tests that need a GPU are skipped where none can be used, and say why.
#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "cuda/device_memory.hpp"

namespace rushlight::cuda {

// The first usable GPU. Where there is none, `why_not` has the reason.
struct UsableGpu {
  std::optional<int> index;
  std::string why_not;
};
inline UsableGpu usable_gpu() {
  UsableGpu result;
  for (const DeviceInfo& info : list_devices()) {
    if (info.usable) return {info.device.index, {}};
    result.why_not = to_string(info.device) + ": " + info.why;
  }
  return result;
}

// A fixture with the GPU's number.
class OnGpu : public testing::Test {
 protected:
  void SetUp() override {
    const UsableGpu gpu = usable_gpu();
    if (!gpu.index) GTEST_SKIP() << gpu.why_not;
    gpu_ = *gpu.index;
  }
  int gpu_ = 0;
};

}  // namespace rushlight::cuda
