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

void ThreadChoice::note(std::uint64_t begin_nanoseconds, std::uint64_t end_nanoseconds) noexcept {
  if (!is_open_) return;
  if (!is_trying()) {
    if (--runs_left_ == 0) begin_row(0);
    return;
  }
  if (runs_ == 0) row_begin_nanoseconds_ = begin_nanoseconds;
  std::array<std::uint64_t, kTries>& times = takes_all() ? all_ : alone_;
  // The last kInARow runs stay.
  times[row_ / 2 * kInARow + runs_ % kInARow] = end_nanoseconds - begin_nanoseconds;
  ++runs_;
  ++trial_runs_;
  if (runs_ < kInARow || end_nanoseconds - row_begin_nanoseconds_ < kRowNanoseconds) return;
  if (row_ == 0) {
    const std::uint64_t fastest = *std::min_element(all_.begin(), all_.begin() + kInARow);
    if (fastest >= kLongRunNanoseconds) return decide(true);
  }
  begin_row(row_ + 1);
  if (!is_trying()) decide(median(all_) < median(alone_));
}

void ThreadChoice::begin_row(std::size_t row) noexcept {
  row_ = row;
  runs_ = 0;
}

void ThreadChoice::decide(bool takes_all) noexcept {
  if (takes_all != takes_all_) pause_ = kFirstPause;
  takes_all_ = takes_all;
  row_ = 2 * kRows;
  runs_left_ = pause_ * trial_runs_;
  trial_runs_ = 0;
  pause_ = std::min(2 * pause_, kLongestPause);
}

}  // namespace rushlight::runtime::cpu
