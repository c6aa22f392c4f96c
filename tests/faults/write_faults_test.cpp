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
#include <utility>
#include <vector>

#include "checksum/ed25519.hpp"
#include "open/sealed_file.hpp"
#include "rushlight/checkpoint.hpp"
#include "rushlight/digest.hpp"
#include "rushlight/manifest.hpp"
#include "rushlight/verify.hpp"
#include "support/faulty_system_calls.hpp"
#include "support/temporary_folder.hpp"
#include "support/test_keys.hpp"
#include "write_roads.hpp"

namespace rushlight::test {
namespace {

namespace fs = std::filesystem;

constexpr int kForEver = 1'000'000;

// Faults of the test that runs.
int injected = 0;

class WriteFaults : public testing::Test {
 protected:
  void TearDown() override { RecordProperty("system_calls_failed", std::exchange(injected, 0)); }
};

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
    std::string failed;
    Status status;
    {
      const FaultySystemCalls calls(plan);
      status = write_();
      failed = calls.failed_call();
    }
    if (!failed.empty()) ++injected;
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

  // With a bit of that byte flipped on its way to the disk.
  Status run_flipped(std::size_t byte) {
    restore();
    const FaultySystemCalls calls({.flip_byte = byte, .really_syncs = false});
    return write_();
  }

  [[nodiscard]] const std::string& old_bytes() const { return road_.before.at(road_.out); }
  [[nodiscard]] const std::string& new_bytes() const noexcept { return new_bytes_; }
  [[nodiscard]] fs::path file() const { return folder_ / road_.out; }

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

struct Checked {
  explicit Checked(const fs::path& file) {
    const Result<VerifyReport> report = verify(file);
    is_good = report && report->ok;
    has_manifest = report && report->manifest.has_value();
  }
  bool is_good = false;
  bool has_manifest = false;
};

std::string content_digest(const fs::path& file) {
  const Result<Checkpoint> checkpoint = Checkpoint::open(file);
  if (!checkpoint) return to_string(checkpoint.error());
  const Result<DigestReport> report = digest(*checkpoint, DigestAlgorithm::xxh3_128);
  return report ? report->content_digest : to_string(report.error());
}

// By a manifest beside it, and by the signature beside that one where one is named.
bool is_vouched_for(const fs::path& file, const fs::path& manifest, const fs::path& signature) {
  VerifyOptions options{.manifest = open_file(manifest).value(), .require_manifest = true};
  if (!signature.empty()) {
    options.signature = open_file(signature).value();
    options.public_key_pem = std::string(kPublicKey);
  }
  const Result<VerifyReport> report = verify(file, options);
  return report && report->ok;
}

std::size_t open_descriptors() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& fd : fs::directory_iterator("/proc/self/fd")) ++count;
  return count;
}

TEST_F(WriteFaults, W01_W02_W03_EachCallThatFailsInTurnLeavesTheOldFileWhole) {
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
        if (std::string_view(call) == "fallocate" && !road.reserves) continue;
        EXPECT_NE(std::ranges::find(failed, call), failed.end()) << road.name << ": no " << call << " failed";
      }
    }
  }
  EXPECT_EQ(open_descriptors(), descriptors);
}

TEST_F(WriteFaults, W07_ASignalDuringAnyCallChangesNothing) {
  for (const Road& road : write_roads()) {
    RoadAtWork work(road);
    const int count = work.learn();
    for (int n = 0; n < count; ++n) {
      const std::string failed = work.run({.fail_at = n, .error_number = EINTR, .failures = 2});
      EXPECT_TRUE(failed.empty() || failed == "mmap") << road.name << ": " << failed;  // which no signal interrupts
    }
  }
}

TEST_F(WriteFaults, W08_ShortReadsAndWritesMakeTheSameFile) {
  for (const Road& road : write_roads()) {
    RoadAtWork work(road);
    work.learn();
    for (const std::size_t most_bytes : {1U, 511U, 4095U})
      EXPECT_EQ(work.run({.most_bytes = most_bytes}), "") << road.name;
  }
}

// A disk that is full after so many bytes, wherever in the file that is.
TEST_F(WriteFaults, W01_ADiskThatIsFullAtAnyPlaceLeavesTheOldFileWhole) {
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

TEST_F(WriteFaults, ADiskThatIsGoneFromAnyCallOnLeavesTheOldFileWhole) {
  for (const Road& road : write_roads()) {
    RoadAtWork work(road);
    const int count = work.learn();
    for (int n = 0; n < count; ++n) {
      work.run({.fail_at = n, .error_number = EIO, .failures = kForEver});
    }
  }
}

// What others write meanwhile takes the room that is left on the disk, and never that which was reserved.
TEST_F(WriteFaults, W32_ADiskThatOthersFillOnceRoomIsReservedDoesNotMatter) {
  for (const Road& road : write_roads()) {
    RoadAtWork work(road);
    work.learn();
    EXPECT_EQ(work.run({.full_when_reserved = true}), road.reserves ? "" : "write") << road.name;
  }
}

// Memory that rots between the digest and the disk. Nothing can be seen while it writes; verify() sees it.
TEST_F(WriteFaults, W34_ABitThatFlipsOnItsWayToTheDiskIsFoundByVerify) {
  int flips = 0;
  for (const Road& road : write_roads()) {
    if (!road.out.ends_with(".pt")) continue;
    RoadAtWork work(road);
    work.learn();
    if (!Checked(work.file()).has_manifest) continue;
    // That verify() finds a bit anywhere is for manifest_flips_test; here it is that the writer hides none.
    const std::size_t step = work.new_bytes().size() / 400 + 1;
    for (std::size_t byte = 0; byte < work.new_bytes().size(); byte += step, ++flips) {
      ASSERT_TRUE(work.run_flipped(byte)) << road.name << " " << byte;
      ASSERT_NE(read_file(work.file()), work.new_bytes()) << road.name << " " << byte;
      EXPECT_FALSE(Checked(work.file()).is_good) << road.name << ": byte " << byte;
    }
  }
  EXPECT_GT(flips, 1000);
  RecordProperty("bits_flipped", flips);
}

// What is read back before the rename: a tensor that is another one never takes the place of the old file.
TEST_F(WriteFaults, W34_ABitThatFlipsIsFoundByReadingBackBeforeTheOldFileGoes) {
  int flips = 0;
  for (const Road& road : write_roads()) {
    if (!road.name.ends_with("read it back")) continue;
    RoadAtWork work(road);
    work.learn();
    const std::string expected = content_digest(work.file());
    int found = 0;
    for (std::size_t byte = 0; byte < work.new_bytes().size(); ++byte, ++flips) {
      const Status status = work.run_flipped(byte);
      if (status) {
        // Padding, names of records that nobody asks for: the tensors are the same.
        EXPECT_EQ(content_digest(work.file()), expected) << road.name << ": byte " << byte;
      } else {
        ++found;
        EXPECT_TRUE(read_file(work.file()) == work.old_bytes()) << road.name << ": byte " << byte;
      }
    }
    EXPECT_GT(found, 100) << road.name;
  }
  RecordProperty("bits_flipped", flips);
}

// A signature beside a file may need a manifest beside it that is not there yet: two files, of which the one that
// needs the other comes last.
TEST_F(WriteFaults, W36_OfTwoFilesThatBelongTogetherTheSecondAppearsWhenTheFirstIsWhole) {
  if (!checksum::ed25519_available()) GTEST_SKIP() << "SKIPPED: built without OpenSSL";
  const std::string file = saved_small(ManifestLevel::none);
  for (const int error_number : {ENOSPC, EIO}) {
    for (int n = 0;; ++n) {
      const TemporaryFolder folder(memory_folder());
      write_file(folder / "a.pt", file);
      const fs::path manifest = sidecar_manifest_path(folder / "a.pt");
      const fs::path signature = folder / "a.pt.sig";
      const auto write = [&] {
        const Result<SignReport> report =
            sign_detached(folder / "a.pt", signature, {.private_key_pem = std::string(kPrivateKey)});
        return report ? Status() : Status(report.error());
      };
      bool failed = false;
      {
        const FaultySystemCalls calls({.fail_at = n, .error_number = error_number, .really_syncs = false});
        const Status status = write();
        failed = !calls.failed_call().empty();
        if (!status && status.error().finding.code != "IO-SYNC-FOLDER") {
          EXPECT_FALSE(fs::exists(signature)) << n;
        }
      }
      if (!failed) {
        EXPECT_GT(n, 30);
        break;
      }
      ++injected;
      for (const auto& entry : fs::directory_iterator(folder.path())) {
        EXPECT_NE(entry.path().extension(), ".tmp") << n << ": " << entry.path();
      }
      EXPECT_EQ(read_file(folder / "a.pt"), file) << n;
      // Whatever is there is whole, and doing it again does it.
      EXPECT_TRUE(!fs::exists(manifest) || is_vouched_for(folder / "a.pt", manifest, "")) << n;
      EXPECT_TRUE(!fs::exists(signature) || is_vouched_for(folder / "a.pt", manifest, signature)) << n;
      const Status again = write();
      EXPECT_TRUE(again) << n << ": " << to_string(again.error());
      EXPECT_TRUE(is_vouched_for(folder / "a.pt", manifest, signature)) << n;
    }
  }
}

// Equal bytes verify equally: what was there before, and what each road makes, are what verify() calls good.
TEST_F(WriteFaults, TheFilesOfTheseTestsHoldWhatTheirManifestsSay) {
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
