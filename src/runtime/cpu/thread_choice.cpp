#include "runtime/cpu/thread_choice.hpp"

#include <algorithm>

namespace rushlight::runtime::cpu {
namespace {

std::uint64_t median(std::array<std::uint64_t, ThreadChoice::kTries>& times) noexcept {
  const auto middle = times.begin() + times.size() / 2;
  std::nth_element(times.begin(), middle, times.end());
  return *middle;
}

}  // namespace

void ThreadChoice::note(std::uint64_t nanoseconds) noexcept {
  if (!is_open_) return;
  if (!is_trying()) {
    if (++run_ == 2 * kTries + kRunsBetween) run_ = 0;
    return;
  }
  const std::size_t index = run_ / (2 * kInARow) * kInARow + run_ % kInARow;
  (takes_all() ? all_ : alone_)[index] = nanoseconds;
  ++run_;
  if (run_ == kInARow && *std::min_element(all_.begin(), all_.begin() + kInARow) >= kLongRunNanoseconds) {
    decide(true);
  } else if (run_ == 2 * kTries) {
    decide(median(all_) < median(alone_));
  }
}

void ThreadChoice::decide(bool takes_all) noexcept {
  takes_all_ = takes_all;
  run_ = 2 * kTries;
}

}  // namespace rushlight::runtime::cpu
