// Whatever writes a file by its path, under an operating system that fails: each call in turn, with each errno, by
// halves, and from some call on for ever. The name holds the whole old file, which verifies as before, or the whole new
// one; nothing else is left in the folder.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "rushlight/verify.hpp"
#include "support/faulty_system_calls.hpp"
#include "support/temporary_folder.hpp"
#include "write_roads.hpp"

namespace rushlight::test {
namespace {

namespace fs = std::filesystem;

constexpr int kForEver = 1'000'000;

class RoadAtWork {
 public:
  explicit RoadAtWork(const Road& road) : road_(road), write_(road.prepare(folder_.path())) { restore(); }

  // Once without a fault: the new bytes, and how many calls there are.
  int learn() {
    const FaultySystemCalls calls({.really_syncs = false});
    const Status status = write_();
    EXPECT_TRUE(status) << road_.name << ": " << (status ? "" : to_string(status.error()));
    new_bytes_ = read_file(folder_ / road_.out);
    EXPECT_NE(new_bytes_, road_.before.at(road_.out)) << road_.name;
    expect_others_untouched(road_.name);
    return calls.count();
  }

  // Gives the name of the call that failed; empty when the writing succeeded all the same.
  std::string run(FaultySystemCalls::Plan plan) {
    plan.really_syncs = false;
    restore();
    Status status;
    std::string failed;
    {
      const FaultySystemCalls calls(plan);
      status = write_();
      failed = calls.failed_call();
    }
    const std::string context = road_.name + ": " + failed + " at " + std::to_string(plan.fail_at) + ", errno " +
                                std::to_string(plan.error_number) + ": " + (status ? "ok" : to_string(status.error()));
    const bool in_place = status || status.error().finding.code == "IO-SYNC-FOLDER";
    EXPECT_TRUE(read_file(folder_ / road_.out) == (in_place ? new_bytes_ : road_.before.at(road_.out))) << context;
    expect_others_untouched(context, plan.failures >= kForEver);
    if (!status) {
      EXPECT_EQ(status.error().finding.category, Category::io) << context;
      EXPECT_NE(status.error().code, ErrorCode::corrupt) << context;
      EXPECT_FALSE(status.error().finding.file.empty()) << context;
    }
    return status ? std::string() : failed;
  }

  [[nodiscard]] const std::string& new_bytes() const noexcept { return new_bytes_; }

 private:
  void restore() {
    for (const auto& entry : fs::directory_iterator(folder_.path())) fs::remove(entry.path());
    for (const auto& [name, bytes] : road_.before) write_file(folder_ / name, bytes);
  }

  // A temporary may stay where nothing can be removed any more. Its name says whose it is.
  void expect_others_untouched(const std::string& context, bool nothing_can_be_removed = false) const {
    for (const auto& entry : fs::directory_iterator(folder_.path())) {
      const std::string name = entry.path().filename().native();
      const auto found = road_.before.find(name);
      if (found == road_.before.end()) {
        const bool is_temporary = name.starts_with("." + road_.out + ".") && name.ends_with(".tmp");
        EXPECT_TRUE(nothing_can_be_removed && is_temporary) << context << ": " << name << " is left behind";
      } else if (name != road_.out) {
        EXPECT_EQ(read_file(entry.path()), found->second) << context;
      }
    }
  }

  const Road& road_;
  TemporaryFolder folder_{memory_folder()};
  std::function<Status()> write_;
  std::string new_bytes_;
};

std::size_t open_descriptors() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& fd : fs::directory_iterator("/proc/self/fd")) ++count;
  return count;
}

TEST(WriteFaults, W01_W02_W03_EachCallThatFailsInTurnLeavesTheOldFileWhole) {
  const std::size_t descriptors = open_descriptors();
  for (const Road& road : write_roads()) {
    RoadAtWork work(road);
    const int count = work.learn();
    ASSERT_GE(count, 12) << road.name;
    for (const int error_number : {ENOSPC, EDQUOT, EIO}) {
      std::vector<std::string> failed;
      for (int n = 0; n < count; ++n) failed.push_back(work.run({.fail_at = n, .error_number = error_number}));
      // That they all fail is what makes the others worth something.
      for (const char* call : {"openat", "fallocate", "write", "fsync", "close", "renameat"}) {
        const bool reserves = !road.name.starts_with("convert") && !road.name.starts_with("write_");
        if (std::string_view(call) == "fallocate" && !reserves) continue;
        EXPECT_NE(std::ranges::find(failed, call), failed.end()) << road.name << ": no " << call << " failed";
      }
    }
  }
  EXPECT_EQ(open_descriptors(), descriptors);
}

TEST(WriteFaults, W07_ASignalDuringAnyCallChangesNothing) {
  for (const Road& road : write_roads()) {
    RoadAtWork work(road);
    const int count = work.learn();
    for (int n = 0; n < count; ++n) {
      const std::string failed = work.run({.fail_at = n, .error_number = EINTR, .failures = 2});
      EXPECT_TRUE(failed.empty() || failed == "mmap") << road.name << ": " << failed;  // which no signal interrupts
    }
  }
}

TEST(WriteFaults, W08_ShortReadsAndWritesMakeTheSameFile) {
  for (const Road& road : write_roads()) {
    RoadAtWork work(road);
    work.learn();
    for (const std::size_t most_bytes : {1, 511, 4095})
      EXPECT_EQ(work.run({.most_bytes = most_bytes}), "") << road.name;
  }
}

// A disk that is full after so many bytes, wherever in the file that is.
TEST(WriteFaults, W01_ADiskThatIsFullAtAnyPlaceLeavesTheOldFileWhole) {
  for (const Road& road : write_roads()) {
    RoadAtWork work(road);
    work.learn();
    int writes = 0;
    while (work.run({.fail_at = writes, .error_number = ENOSPC, .only = "write", .most_bytes = 97}) == "write") {
      ++writes;
    }
    EXPECT_GT(static_cast<std::size_t>(writes), work.new_bytes().size() / 97) << road.name;
  }
}

TEST(WriteFaults, ADiskThatIsGoneFromAnyCallOnLeavesTheOldFileWhole) {
  for (const Road& road : write_roads()) {
    RoadAtWork work(road);
    const int count = work.learn();
    for (int n = 0; n < count; ++n) {
      work.run({.fail_at = n, .error_number = EIO, .failures = kForEver});
    }
  }
}

// Equal bytes verify equally: what was there before, and what each road makes, are what verify() calls good.
TEST(WriteFaults, TheFilesOfTheseTestsHoldWhatTheirManifestsSay) {
  const TemporaryFolder folder;
  for (const Road& road : write_roads()) {
    if (!road.out.ends_with(".pt")) continue;
    RoadAtWork work(road);
    work.learn();
    for (const std::string& bytes : {road.before.at(road.out), work.new_bytes()}) {
      write_file(folder / "a.pt", bytes);
      const Result<VerifyReport> report = verify(folder / "a.pt");
      ASSERT_TRUE(report) << road.name;
      EXPECT_TRUE(report->ok) << road.name;
    }
  }
}

}  // namespace
}  // namespace rushlight::test
