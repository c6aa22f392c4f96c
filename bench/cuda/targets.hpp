// What the GPU backend was built to reach, beside what was measured.
#pragma once

#include <span>
#include <string_view>
#include <vector>

namespace rushlight::bench {

// Median times of one network by one precision.
struct MeasuredLatency {
  std::string_view net;
  int batch = 0;
  std::string_view precision;
  std::string_view place;  // "host", "pinned", "device": where input and output lie
  double seconds = 0;
};

struct Target {
  std::string_view what;
  std::string_view net;
  int batch = 0;
  std::string_view precision;
  std::string_view place;
  double most_seconds = 0;
};

inline constexpr Target kTargets[] = {
    {"ResNet-50, batch 1, bf16, buffers on the device", "resnet50", 1, "bf16", "device", 0.25e-3},
    {"ResNet-50, batch 64, bf16, buffers on the device", "resnet50", 64, "bf16", "device", 2e-3},
    {"ResNet-50, batch 64, tf32, buffers on the device", "resnet50", 64, "tf32", "device", 3e-3},
    {"ResNet-50, batch 64, strict, buffers on the device", "resnet50", 64, "strict", "device", 7e-3},
    {"MLP 784-128-10, batch 1, strict, from host to host", "mlp", 1, "strict", "host", 12e-6},
};

// Of the bandwidth of a copy from pinned memory that was measured in turn with the uploads.
inline constexpr double kLeastUploadShare = 0.9;

enum class Verdict : unsigned char { met, missed, not_measured };
[[nodiscard]] constexpr std::string_view to_string(Verdict verdict) noexcept {
  return verdict == Verdict::met ? "met" : verdict == Verdict::missed ? "missed" : "not measured";
}

struct Judged {
  const Target* target = nullptr;
  double seconds = 0;  // of the fastest way to launch
  Verdict verdict = Verdict::not_measured;
};
[[nodiscard]] std::vector<Judged> judge(std::span<const MeasuredLatency> measured);

}  // namespace rushlight::bench
