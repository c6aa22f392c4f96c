// ThreadChoice: whether a program's runs are faster on all of its threads or on the caller's alone.
//
// What waking a thread costs depends on how runs follow one another (one that still waits for work comes sooner than
// one that sleeps) and on what else the machine does: where runs are short, only runs can tell. So the first few are
// made in both ways, a few of each in turn, and the medians decide; after many runs they do so again. Results have the
// same bits either way.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace rushlight::runtime::cpu {

class ThreadChoice {
 public:
  static constexpr std::size_t kTries = 9;   // of each way
  static constexpr std::size_t kInARow = 3;  // of one way, so that its threads are found as it leaves them
  // Trials that lose take a hundredth of the runs.
  static constexpr std::size_t kRunsBetween = 1000;
  // On all threads: against this no waking counts, and nothing is tried.
  static constexpr std::uint64_t kLongRunNanoseconds = 1'000'000;

  // `is_open`: false where there is nothing to choose, and all threads are one.
  explicit ThreadChoice(bool is_open) noexcept : is_open_(is_open) {}

  // How the next run is to be made, and whether it is to be timed.
  [[nodiscard]] bool takes_all() const noexcept { return is_trying() ? run_ / kInARow % 2 == 0 : takes_all_; }
  [[nodiscard]] bool is_trying() const noexcept { return is_open_ && run_ < 2 * kTries; }
  // After each run; `nanoseconds` are looked at after those that are tried.
  void note(std::uint64_t nanoseconds) noexcept;

 private:
  void decide(bool takes_all) noexcept;

  bool is_open_;
  bool takes_all_ = true;
  std::size_t run_ = 0;  // since the trial began
  std::array<std::uint64_t, kTries> all_{};
  std::array<std::uint64_t, kTries> alone_{};
};

}  // namespace rushlight::runtime::cpu
