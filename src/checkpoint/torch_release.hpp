// Releases of torch, as far as they differ in what they write and read.
#pragma once

#include <compare>
#include <string>
#include <string_view>

#include "rushlight/result.hpp"

namespace rushlight::checkpoint {

// "1.13", "2.15.0": what changes between releases hangs on the first two numbers.
struct TorchRelease {
  int major = 0;
  int minor = 0;

  friend auto operator<=>(const TorchRelease&, const TorchRelease&) = default;
  // ErrorCode::invalid_argument, also for releases before 1.6, which wrote no archive of today's form by default.
  static Result<TorchRelease> parse(std::string_view text);
};
inline constexpr TorchRelease kOldestRelease{1, 6};
inline constexpr TorchRelease kCurrentRelease{2, 15};
// That of torch.load(weights_only=True), and the first whose list reads floats.
inline constexpr TorchRelease kFirstWeightsOnly{1, 13};
inline constexpr TorchRelease kFirstWeightsOnlyFloats{2, 0};

[[nodiscard]] std::string to_string(TorchRelease release);

// From the first to the last, both included. The default holds none.
struct ReleaseRange {
  TorchRelease first{1 << 20, 0};
  TorchRelease last{0, 0};

  [[nodiscard]] constexpr bool holds(TorchRelease release) const noexcept {
    return first <= release && release <= last;
  }
  friend bool operator==(const ReleaseRange&, const ReleaseRange&) = default;
};
inline constexpr TorchRelease kNoLastRelease{1 << 20, 0};

constexpr ReleaseRange since(int major, int minor) noexcept {
  return {{major, minor}, kNoLastRelease};
}
constexpr ReleaseRange between(int first_major, int first_minor, int last_major, int last_minor) noexcept {
  return {{first_major, first_minor}, {last_major, last_minor}};
}
inline constexpr ReleaseRange never{};

}  // namespace rushlight::checkpoint
