// ThreadChoice: whether a program's runs are faster on all of its threads or on the caller's alone.
//
// What waking a thread costs depends on how runs follow one another (one that still waits for work comes sooner than
// one that sleeps) and on what else the machine does: where runs are short, only runs can tell. So the first are made
// in both ways, a row of each in turn, and the medians decide; later they do so again. Results have the same bits
// either way.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace rushlight::runtime::cpu {

class ThreadChoice {
 public:
  static constexpr std::size_t kRows = 3;    // of each way
  static constexpr std::size_t kInARow = 3;  // runs that count of a row, its last
  static constexpr std::size_t kTries = kRows * kInARow;
  // A row is at least so long: a thread that was woken on the caller's processor is given its own by the next tick of
  // the clock at the earliest, and until then all threads are slower than one.
  static constexpr std::uint64_t kRowNanoseconds = 2'000'000;
  // Before the next trial come so many times the runs of this one: few at first, since the first row may have met a
  // machine that was busy, twice as many each time the answer stays the same. In the end what loses has a hundredth of
  // the runs.
  static constexpr std::size_t kFirstPause = 4;
  static constexpr std::size_t kLongestPause = 64;
  // On all threads: against this no waking counts, and nothing is tried.
  static constexpr std::uint64_t kLongRunNanoseconds = 1'000'000;

  // `is_open`: false where there is nothing to choose, and all threads are one.
  explicit ThreadChoice(bool is_open) noexcept : is_open_(is_open) {}

  // How the next run is to be made, and whether it is to be timed.
  [[nodiscard]] bool takes_all() const noexcept { return is_trying() ? row_ % 2 == 0 : takes_all_; }
  [[nodiscard]] bool is_trying() const noexcept { return is_open_ && row_ < 2 * kRows; }
  // After each run; of those that are tried, when it began and ended, by one clock.
  void note(std::uint64_t begin_nanoseconds, std::uint64_t end_nanoseconds) noexcept;

 private:
  void begin_row(std::size_t row) noexcept;
  void decide(bool takes_all) noexcept;

  bool is_open_;
  bool takes_all_ = true;
  std::size_t row_ = 0;                      // of the trial; behind the last one while nothing is tried
  std::size_t runs_ = 0;                     // of this row
  std::uint64_t row_begin_nanoseconds_ = 0;  // when its first run began
  std::size_t trial_runs_ = 0;               // of all rows
  std::size_t pause_ = kFirstPause;          // after this trial, if it changes nothing
  std::size_t runs_left_ = 0;                // until the next trial
  std::array<std::uint64_t, kTries> all_{};  // nanoseconds
  std::array<std::uint64_t, kTries> alone_{};
};

}  // namespace rushlight::runtime::cpu
