// What is written does not depend on when (hostile-inputs W35): this program has a clock of its own.
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <chrono>
#include <optional>
#include <set>
#include <string>

#include "support/temporary_folder.hpp"
#include "write_roads.hpp"

namespace {
std::optional<long> seconds_now;  // nothing: the machine's
}  // namespace

// Visible to libstdc++, whatever the visibility of everything else.
extern "C" __attribute__((visibility("default"))) int clock_gettime(clockid_t clock, struct timespec* out) noexcept {
  if (!seconds_now) return static_cast<int>(::syscall(SYS_clock_gettime, clock, out));
  *out = {.tv_sec = *seconds_now, .tv_nsec = 999'999'999};
  return 0;
}

namespace rushlight::test {
namespace {

constexpr long kYear = 31'556'952;

TEST(OddClock, W35_WhateverTheClockSaysTheFileHasTheSameBytes) {
  for (const Road& road : write_roads()) {
    const TemporaryFolder folder(memory_folder());
    std::set<std::string> seen;
    for (const long seconds : {0L, -kYear, 10 * kYear, 137 * kYear, 250 * kYear}) {
      for (const auto& [name, bytes] : road.before) write_file(folder / name, bytes);
      const auto write = road.prepare(folder.path());
      seconds_now = seconds;
      const auto now = std::chrono::system_clock::now().time_since_epoch();
      const Status status = write();
      seconds_now.reset();
      ASSERT_EQ(std::chrono::floor<std::chrono::seconds>(now).count(), seconds);  // it is this clock that is asked
      ASSERT_TRUE(status) << road.name << ": " << to_string(status.error());
      seen.insert(read_file(folder / road.out));
    }
    EXPECT_EQ(seen.size(), 1U) << road.name;
  }
}

}  // namespace
}  // namespace rushlight::test
