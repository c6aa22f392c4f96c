#include "io/atomic_file.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <filesystem>
#include <map>
#include <numeric>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "rushlight/source.hpp"
#include "support/faulty_system_calls.hpp"
#include "support/temporary_folder.hpp"

namespace rushlight::io {
namespace {

using test::FaultySystemCalls;
using test::read_file;
using test::TemporaryFolder;
using test::write_file;

Status write_text(const std::filesystem::path& path, std::string_view text) {
  const std::array<ByteSpan, 1> pieces{as_byte_span(text)};
  return write_file_atomically(path, pieces);
}

unsigned mode_of(const std::filesystem::path& path) {
  struct stat status {};
  EXPECT_EQ(::lstat(path.c_str(), &status), 0) << path;
  return status.st_mode & 07777U;
}

std::set<std::string> names_in(const std::filesystem::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) names.insert(entry.path().filename().native());
  return names;
}

bool set_attribute(const std::filesystem::path& path, const char* name, std::string_view value) {
  return ::setxattr(path.c_str(), name, value.data(), value.size(), 0) == 0;
}

// The value, or "(none)".
std::string attribute(const std::filesystem::path& path, const char* name) {
  std::array<char, 4096> value{};
  const ssize_t size = ::getxattr(path.c_str(), name, value.data(), value.size());
  return size < 0 ? "(none)" : std::string(value.data(), static_cast<std::size_t>(size));
}

// An ACL as the kernel takes it: the owner may all, the group may `group`, user 1234 may `user`, others nothing.
std::string access_list(unsigned user, unsigned group) {
  struct Entry {
    std::uint16_t tag, permissions;
    std::uint32_t id;
  };
  constexpr std::uint32_t kNobody = ~std::uint32_t{0};
  const std::array<Entry, 5> entries{{{0x01, 6, kNobody},
                                      {0x02, static_cast<std::uint16_t>(user), 1234},
                                      {0x04, static_cast<std::uint16_t>(group), kNobody},
                                      {0x10, static_cast<std::uint16_t>(user | group), kNobody},
                                      {0x20, 0, kNobody}}};
  std::string text("\x02\0\0\0", 4);  // the version
  text.append(reinterpret_cast<const char*>(entries.data()), sizeof entries);
  return text;
}
constexpr const char* kAccessList = "system.posix_acl_access";

std::size_t open_descriptors() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& fd : std::filesystem::directory_iterator("/proc/self/fd")) ++count;
  return count;
}

class ScopedUmask {
 public:
  explicit ScopedUmask(mode_t mask) : before_(::umask(mask)) {}
  ScopedUmask(const ScopedUmask&) = delete;
  ScopedUmask& operator=(const ScopedUmask&) = delete;
  ~ScopedUmask() { ::umask(before_); }

 private:
  mode_t before_;
};

TEST(AtomicFile, WritesANewFileOfAllItsPieces) {
  const TemporaryFolder folder;
  // Small ones that are gathered, one beyond the gathering, empty ones, and small ones again.
  const std::string large(1'000'003, 'L');
  std::vector<std::string> texts;
  for (int i = 0; i < 5000; ++i) texts.push_back("piece " + std::to_string(i) + ";");
  texts.push_back(large);
  texts.emplace_back();
  texts.emplace_back(300'000, 'M');
  texts.insert(texts.end(), 50, std::string(9'973, 'N'));  // more than is gathered at once
  texts.emplace_back("end");
  std::vector<ByteSpan> pieces;
  std::string whole;
  for (const std::string& text : texts) {
    pieces.push_back(as_byte_span(text));
    whole += text;
  }
  const FaultySystemCalls calls({});
  ASSERT_TRUE(write_file_atomically(folder / "f", pieces));
  EXPECT_EQ(read_file(folder / "f"), whole);
  EXPECT_EQ(names_in(folder.path()), std::set<std::string>{"f"});
  EXPECT_LE(std::count(calls.log().begin(), calls.log().end(), "write"), 6);
}

TEST(AtomicFile, WritesAnEmptyFile) {
  const TemporaryFolder folder;
  ASSERT_TRUE(write_file_atomically(folder / "none", {}));
  ASSERT_TRUE(write_text(folder / "empty", ""));
  EXPECT_EQ(read_file(folder / "none"), "");
  EXPECT_EQ(read_file(folder / "empty"), "");
}

TEST(AtomicFile, WritesIntoTheCurrentFolderByABareName) {
  const TemporaryFolder folder;
  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(folder.path());
  const Status status = write_text("bare", "bytes");
  std::filesystem::current_path(before);
  ASSERT_TRUE(status);
  EXPECT_EQ(read_file(folder / "bare"), "bytes");
}

TEST(AtomicFile, DoesItInTheOrderThatSurvivesAPowerCut) {
  const TemporaryFolder folder;
  write_file(folder / "f", "old");
  const FaultySystemCalls calls({});
  ASSERT_TRUE(write_text(folder / "f", "new"));
  EXPECT_EQ(calls.log(), (std::vector<std::string>{"open", "fstatat", "getrandom", "openat", "fallocate", "write",
                                                   "fstat", "openat", "flistxattr", "fremovexattr", "close", "fchmod",
                                                   "fsync", "close", "renameat", "fsync", "close"}));
}

// Whatever fails, the name holds the whole old file or the whole new one, and says which.
void expect_old_or_new_whole(const TemporaryFolder& folder, const Status& status, const std::string& context) {
  const std::string found = read_file(folder / "f");
  if (status || status.error().finding.code == "IO-SYNC-FOLDER") {
    EXPECT_EQ(found, "the new bytes") << context;
  } else {
    EXPECT_EQ(found, "the old bytes") << context;
    EXPECT_EQ(status.error().finding.file, (folder / "f").native()) << context;
    EXPECT_EQ(status.error().finding.category, Category::io) << context;
  }
}

TEST(AtomicFile, W01_W02_W37_EachCallThatFailsInTurnLeavesTheOldFileWholeAndNoTemporary) {
  const TemporaryFolder folder;
  write_file(folder / "f", "the old bytes");
  const std::size_t descriptors = open_descriptors();
  int calls_of_a_clean_run = 0;
  {
    const FaultySystemCalls calls({});
    ASSERT_TRUE(write_text(folder / "f", "the new bytes"));
    calls_of_a_clean_run = calls.count();
  }
  for (const int error_number : {EIO, ENOSPC, EDQUOT, EROFS, EPERM, ENOMEM, EMFILE, EACCES, EBUSY, EXDEV}) {
    std::multiset<std::string> failing;
    for (int n = 0; n < calls_of_a_clean_run; ++n) {
      write_file(folder / "f", "the old bytes");
      const FaultySystemCalls calls({.fail_at = n, .error_number = error_number});
      const Status status = write_text(folder / "f", "the new bytes");
      const std::string context = calls.failed_call() + " " + std::to_string(error_number);
      expect_old_or_new_whole(folder, status, context);
      EXPECT_EQ(names_in(folder.path()), std::set<std::string>{"f"}) << context;
      if (!status) failing.insert(calls.failed_call());
    }
    // The one that is not an error: closing the folder, after all is done. And a folder on a read-only file system
    // cannot be synced, nor need it.
    std::multiset<std::string> expected{"open",  "fstatat", "getrandom", "openat", "fallocate", "write",
                                        "fstat", "fchmod",  "fsync",     "close",  "renameat",  "fsync"};
    if (error_number == EROFS) expected.erase(expected.find("fsync"));
    EXPECT_EQ(failing, expected) << error_number;
  }
  EXPECT_EQ(open_descriptors(), descriptors);
}

TEST(AtomicFile, W01_AFailureNamesTheStepAndWhatTheSystemSaid) {
  const TemporaryFolder folder;
  write_file(folder / "f", "old");
  const std::string path = (folder / "f").native();
  const std::map<std::string, std::pair<std::string, std::string>> expected{
      {"open", {"IO-FOLDER", "cannot open the folder '" + folder.path().native() + "': no space left on device"}},
      {"fstatat", {"IO-STAT", "cannot look at the old file: no space left on device"}},
      {"getrandom", {"IO-RANDOM", "cannot get a random name: no space left on device"}},
      {"openat", {"IO-CREATE", "cannot create a temporary file in the folder: no space left on device"}},
      {"fallocate", {"IO-SPACE", "cannot reserve 3 bytes: no space left on device"}},
      {"write", {"IO-WRITE", "cannot write: no space left on device"}},
      {"fstat", {"IO-STAT", "cannot look at the new file: no space left on device"}},
      {"fchmod", {"IO-MODE", "cannot give the new file the old one's permissions: no space left on device"}},
      {"fsync", {"IO-SYNC", "cannot sync the new file to the disk: no space left on device"}},
      {"close", {"IO-CLOSE", "cannot close the new file: no space left on device"}},
      {"renameat", {"IO-RENAME", "cannot rename the new file over the old one: no space left on device"}}};
  for (const auto& [call, what] : expected) {
    // The first file that is closed is the old one, whose attributes were read.
    const FaultySystemCalls calls({.fail_at = call == "close" ? 1 : 0, .error_number = ENOSPC, .only = call.c_str()});
    const Status status = write_text(folder / "f", "new");
    ASSERT_FALSE(status) << call;
    EXPECT_EQ(status.error().code, ErrorCode::io);
    EXPECT_EQ(status.error().finding.code, what.first);
    EXPECT_EQ(status.error().finding.message, what.second);
    EXPECT_EQ(read_file(folder / "f"), "old");
  }
}

TEST(AtomicFile, W01_AFailedWriteSaysHowFarItCame) {
  const TemporaryFolder folder;
  const FaultySystemCalls calls({.fail_at = 3, .error_number = ENOSPC, .only = "write", .most_bytes = 100});
  const Status status = write_text(folder / "f", std::string(1000, 'x'));
  ASSERT_FALSE(status);
  EXPECT_EQ(to_string(status.error()), (folder / "f").native() + " at 0x12c: cannot write: no space left on device");
  EXPECT_TRUE(names_in(folder.path()).empty());
}

TEST(AtomicFile, ATemporaryThatCannotBeRemovedIsNamed) {
  const TemporaryFolder folder;
  write_file(folder / "f", "old");
  Status status;
  {
    // The sixth call is the write; from there on the disk is gone.
    const FaultySystemCalls calls({.fail_at = 5, .error_number = EIO, .failures = 1000});
    status = write_text(folder / "f", "new");
    ASSERT_EQ(calls.failed_call(), "write");
  }
  ASSERT_FALSE(status);
  EXPECT_EQ(read_file(folder / "f"), "old");
  std::set<std::string> names = names_in(folder.path());
  ASSERT_EQ(names.erase("f"), 1U);
  ASSERT_EQ(names.size(), 1U);
  EXPECT_EQ(status.error().finding.hint,
            "the temporary file '" + *names.begin() + "' could not be removed: input/output error");
}

TEST(AtomicFile, EveryTailOfFailuresLeavesTheOldFileWhole) {
  const TemporaryFolder folder;
  for (int n = 0; n < 16; ++n) {
    write_file(folder / "f", "the old bytes");
    Status status;
    std::string failed;
    {
      const FaultySystemCalls calls({.fail_at = n, .error_number = EIO, .failures = 1000});
      status = write_text(folder / "f", "the new bytes");
      failed = calls.failed_call();
    }
    expect_old_or_new_whole(folder, status, failed);
  }
}

TEST(AtomicFile, W05_AFailedSyncIsFinalAndNotTriedAgain) {
  const TemporaryFolder folder;
  write_file(folder / "f", "old");
  const FaultySystemCalls calls({.fail_at = 0, .error_number = EIO, .only = "fsync"});
  ASSERT_FALSE(write_text(folder / "f", "new"));
  EXPECT_EQ(std::count(calls.log().begin(), calls.log().end(), "fsync"), 1);
  EXPECT_EQ(read_file(folder / "f"), "old");
}

TEST(AtomicFile, W06_AFolderThatCannotBeSyncedIsNoSuccess) {
  const TemporaryFolder folder;
  write_file(folder / "f", "old");
  const FaultySystemCalls calls({.fail_at = 1, .error_number = EIO, .only = "fsync"});
  const Status status = write_text(folder / "f", "new");
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().finding.code, "IO-SYNC-FOLDER");
  EXPECT_EQ(to_string(status.error()),
            (folder / "f").native() +
                ": the new file is in place, but its folder cannot be synced to the disk: input/output error");
  EXPECT_EQ(status.error().finding.hint, "the new name may not survive a power cut");
  EXPECT_EQ(read_file(folder / "f"), "new");
}

TEST(AtomicFile, W31_AFileSystemWithoutFallocateOrFolderSyncIsGoodEnough) {
  const TemporaryFolder folder;
  for (const int error_number : {EOPNOTSUPP, ENOSYS, EINVAL}) {
    const FaultySystemCalls calls({.fail_at = 0, .error_number = error_number, .only = "fallocate"});
    EXPECT_TRUE(write_text(folder / "f", "bytes"));
    EXPECT_EQ(calls.failed_call(), "fallocate");
  }
  for (const int error_number : {EINVAL, EOPNOTSUPP}) {
    const FaultySystemCalls calls({.fail_at = 1, .error_number = error_number, .only = "fsync"});
    EXPECT_TRUE(write_text(folder / "f", "bytes"));
    EXPECT_EQ(calls.failed_call(), "fsync");
  }
}

TEST(AtomicFile, W07_ASignalDuringAnyCallChangesNothing) {
  const TemporaryFolder folder;
  write_file(folder / "f", "old");
  set_attribute(folder / "f", "user.origin", "here");
  std::filesystem::create_symlink("f", folder / "link");
  int calls_of_a_clean_run = 0;
  {
    const FaultySystemCalls calls({});
    ASSERT_TRUE(write_text(folder / "link", "new"));
    calls_of_a_clean_run = calls.count();
  }
  for (int n = 0; n < calls_of_a_clean_run; ++n) {
    const std::string text = "bytes " + std::to_string(n);
    const FaultySystemCalls calls({.fail_at = n, .error_number = EINTR});
    EXPECT_TRUE(write_text(folder / "link", text)) << calls.failed_call();
    EXPECT_EQ(read_file(folder / "f"), text) << calls.failed_call();
  }
  EXPECT_EQ(names_in(folder.path()), (std::set<std::string>{"f", "link"}));
}

TEST(AtomicFile, W07_SignalsChangeNothing) {
  const TemporaryFolder folder;
  std::string text(100'000, '\0');
  std::iota(text.begin(), text.end(), '\0');
  for (const char* call : {"open", "openat", "fallocate", "write", "fsync", "close", "getrandom"}) {
    for (const int first : {0, 1}) {
      const FaultySystemCalls calls(
          {.fail_at = first, .error_number = EINTR, .failures = 3, .only = call, .most_bytes = 33'333});
      ASSERT_TRUE(write_text(folder / "f", text)) << call;
      EXPECT_EQ(read_file(folder / "f"), text) << call;
    }
  }
}

TEST(AtomicFile, W08_ShortWritesAreContinued) {
  const TemporaryFolder folder;
  std::string text(20'000, '\0');
  std::iota(text.begin(), text.end(), '\0');
  for (const std::size_t most : {std::size_t{1}, std::size_t{4095}, std::size_t{19'999}}) {
    const FaultySystemCalls calls({.most_bytes = most});
    ASSERT_TRUE(write_text(folder / "f", text));
    EXPECT_EQ(read_file(folder / "f"), text) << most;
  }
  static std::minstd_rand random;
  random.seed(1);
  SystemCalls calls = real_system_calls();
  calls.write = [](int fd, const void* buffer, std::size_t count) {
    return real_system_calls().write(fd, buffer, 1 + random() % count);
  };
  const ScopedSystemCalls scope(calls);
  for (int i = 0; i < 50; ++i) {
    std::rotate(text.begin(), text.begin() + 1, text.end());
    ASSERT_TRUE(write_text(folder / "f", text));
    EXPECT_EQ(read_file(folder / "f"), text);
  }
}

TEST(AtomicFile, W10_MoreThanOneCallMovesIsWrittenInSeveral) {
  // Nothing is read or written in truth: the pages cannot be touched.
  const TemporaryFolder folder;
  constexpr std::size_t kBytes = std::size_t{5} << 30;
  void* const memory = ::mmap(nullptr, kBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) GTEST_SKIP() << "no address space for 5 GiB";
  static std::vector<std::pair<const void*, std::size_t>> written;
  written.clear();
  SystemCalls calls = real_system_calls();
  calls.fallocate = [](int, off_t) { return 0; };
  calls.write = [](int, const void* buffer, std::size_t count) {
    written.emplace_back(buffer, count);
    return static_cast<ssize_t>(count);
  };
  {
    const ScopedSystemCalls scope(calls);
    const std::array<ByteSpan, 1> pieces{ByteSpan(static_cast<const std::byte*>(memory), kBytes)};
    EXPECT_TRUE(write_file_atomically(folder / "f", pieces));
  }
  const char* next = static_cast<const char*>(memory);  // straight from the caller's memory
  for (const auto& [buffer, count] : written) {
    EXPECT_EQ(buffer, next);
    EXPECT_LE(count, std::size_t{4} << 20);  // Linux moves at most 0x7ffff000
    next += count;
  }
  EXPECT_EQ(next, static_cast<const char*>(memory) + kBytes);
  ::munmap(memory, kBytes);
}

TEST(AtomicFile, W08_AWriteThatNeverMovesEnds) {
  const TemporaryFolder folder;
  const FaultySystemCalls calls({.writes_nothing = true});
  const Status status = write_text(folder / "f", "bytes");
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().finding.message, "cannot write: input/output error");
  EXPECT_TRUE(names_in(folder.path()).empty());
}

TEST(AtomicFile, W03_AFileSizeLimitIsAnErrorOfItsOwn) {
  const TemporaryFolder folder;
  write_file(folder / "f", "old");
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  rlimit small = before;
  small.rlim_cur = 10;
  void (*const handler)(int) = std::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const Status status = write_text(folder / "f", "more than ten bytes");
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  ASSERT_FALSE(status);
  EXPECT_NE(status.error().finding.message.find("file too large"), std::string::npos) << to_string(status.error());
  EXPECT_EQ(read_file(folder / "f"), "old");
  EXPECT_EQ(names_in(folder.path()), std::set<std::string>{"f"});
}

TEST(AtomicFile, W11_W30_TargetsThatAreNoFilesAreRefusedBeforeAnythingIsWritten) {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "folder");
  ASSERT_EQ(mkfifo((folder / "fifo").c_str(), 0600), 0);
  const auto message = [&](const std::filesystem::path& path) {
    const FaultySystemCalls calls({});
    const Status status = write_text(path, "bytes");
    EXPECT_FALSE(status);
    EXPECT_EQ(std::count(calls.log().begin(), calls.log().end(), "openat"), 0);
    return status ? std::string() : status.error().finding.message;
  };
  EXPECT_EQ(message(folder / "folder"), "only a regular file can be replaced, found a directory");
  EXPECT_EQ(message(folder / "fifo"), "only a regular file can be replaced, found a device, FIFO or socket");
  EXPECT_EQ(message("/dev/null"), "only a regular file can be replaced, found a device, FIFO or socket");
  EXPECT_EQ(message(folder.path() / "f/"), "the path does not name a file");
  EXPECT_EQ(message(""), "the path does not name a file");
  EXPECT_EQ(message(folder.path() / ".."), "the path does not name a file");
  EXPECT_EQ(message(std::string("a\0b", 3)), "the path holds a NUL character");
}

TEST(AtomicFile, W29_AMissingFolderIsNamed) {
  const TemporaryFolder folder;
  const Status status = write_text(folder / "missing/f", "bytes");
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::not_found);
  EXPECT_EQ(status.error().finding.message,
            "cannot open the folder '" + (folder / "missing").native() + "': no such file or directory");
}

TEST(AtomicFile, W29_TheLongestNameAFileCanHaveIsWritten) {
  const TemporaryFolder folder;
  const std::string name(255, 'n');
  ASSERT_TRUE(write_text(folder / name, "bytes"));
  EXPECT_EQ(read_file(folder / name), "bytes");
  const Status status = write_text(folder / std::string(256, 'n'), "bytes");
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().finding.message, "cannot look at the old file: file name too long");
}

TEST(AtomicFile, W27_AnOldFilesPermissionsAreKept) {
  const TemporaryFolder folder;
  const ScopedUmask umask(077);
  for (const unsigned mode : {0640U, 0444U, 0755U, 0600U, 0666U}) {
    std::filesystem::remove(folder / "f");
    write_file(folder / "f", "old");
    ASSERT_EQ(chmod((folder / "f").c_str(), mode), 0);
    ASSERT_TRUE(write_text(folder / "f", "new"));
    EXPECT_EQ(read_file(folder / "f"), "new");
    EXPECT_EQ(mode_of(folder / "f"), mode);
  }
}

TEST(AtomicFile, W27_ANewFilesPermissionsAreTheUmasks) {
  const TemporaryFolder folder;
  for (const unsigned mask : {077U, 022U, 0U}) {
    const ScopedUmask umask(mask);
    std::filesystem::remove(folder / "f");
    ASSERT_TRUE(write_text(folder / "f", "new"));
    EXPECT_EQ(mode_of(folder / "f"), 0666U & ~mask);
  }
}

TEST(AtomicFile, W27_TheTemporaryIsNeverWiderThanTheOldFile) {
  static const TemporaryFolder folder;
  static unsigned widest;
  widest = 0;
  write_file(folder / "f", "old");
  ASSERT_EQ(chmod((folder / "f").c_str(), 0600), 0);
  SystemCalls calls = real_system_calls();
  calls.write = [](int fd, const void* buffer, std::size_t count) {
    struct stat status {};
    EXPECT_EQ(::fstat(fd, &status), 0);
    widest |= status.st_mode & 0777U;
    return real_system_calls().write(fd, buffer, count);
  };
  const ScopedSystemCalls scope(calls);
  const ScopedUmask umask(0);
  ASSERT_TRUE(write_text(folder / "f", "new"));
  EXPECT_EQ(widest, 0600U);
}

TEST(AtomicFile, W27_AnotherOwnersFileStaysTheirs) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  const TemporaryFolder folder;
  write_file(folder / "f", "old");
  ASSERT_EQ(chmod((folder / "f").c_str(), 0640), 0);
  ASSERT_EQ(chown((folder / "f").c_str(), 1234, 2345), 0);
  ASSERT_TRUE(write_text(folder / "f", "new"));
  struct stat status {};
  ASSERT_EQ(::stat((folder / "f").c_str(), &status), 0);
  EXPECT_EQ(status.st_uid, 1234U);
  EXPECT_EQ(status.st_gid, 2345U);
  EXPECT_EQ(status.st_mode & 0777U, 0640U);
  // A group that cannot be kept loses its rights: the same bits would let another group in.
  const FaultySystemCalls calls({.fail_at = 0, .error_number = EPERM, .failures = 2, .only = "fchown"});
  ASSERT_TRUE(write_text(folder / "f", "newer"));
  EXPECT_EQ(mode_of(folder / "f"), 0600U);
}

TEST(AtomicFile, W27_ASetgidFolderAndSpecialBits) {
  const TemporaryFolder folder;
  // Bits that give other rights to whoever runs a file are not for new bytes.
  write_file(folder / "f", "old");
  ASSERT_EQ(chmod((folder / "f").c_str(), 06755), 0);
  ASSERT_TRUE(write_text(folder / "f", "new"));
  EXPECT_EQ(mode_of(folder / "f"), 0755U);
  if (geteuid() != 0) GTEST_SKIP() << "the rest needs root";
  // In a setgid folder new files get its group, and old ones keep theirs.
  ASSERT_EQ(chown(folder.path().c_str(), 0, 2345), 0);
  ASSERT_EQ(chmod(folder.path().c_str(), 02770), 0);
  ASSERT_TRUE(write_text(folder / "f", "newer"));
  ASSERT_TRUE(write_text(folder / "g", "new"));
  struct stat status {};
  ASSERT_EQ(::stat((folder / "f").c_str(), &status), 0);
  EXPECT_EQ(status.st_gid, getegid());
  ASSERT_EQ(::stat((folder / "g").c_str(), &status), 0);
  EXPECT_EQ(status.st_gid, 2345U);
}

TEST(AtomicFile, W27_AttributesAreKept) {
  const TemporaryFolder folder;
  write_file(folder / "f", "old");
  if (!set_attribute(folder / "f", "user.origin", "somewhere")) GTEST_SKIP() << "no attributes in this file system";
  ASSERT_TRUE(set_attribute(folder / "f", "user.empty", ""));
  ASSERT_TRUE(write_text(folder / "f", "new"));
  EXPECT_EQ(attribute(folder / "f", "user.origin"), "somewhere");
  EXPECT_EQ(attribute(folder / "f", "user.empty"), "");
  // Those that the system does not let us keep are lost; a disk that fails is a failure.
  for (const int error_number : {EPERM, EACCES, EOPNOTSUPP}) {
    const FaultySystemCalls calls({.fail_at = 0, .error_number = error_number, .only = "fsetxattr"});
    EXPECT_TRUE(write_text(folder / "f", "newer"));
    EXPECT_EQ(calls.failed_call(), "fsetxattr");
    set_attribute(folder / "f", "user.origin", "somewhere");
    set_attribute(folder / "f", "user.empty", "");
  }
  const FaultySystemCalls calls({.fail_at = 0, .error_number = ENOSPC, .only = "fsetxattr"});
  const Status status = write_text(folder / "f", "newest");
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().finding.code, "IO-ATTRIBUTE");
  EXPECT_TRUE(status.error().finding.message.starts_with("cannot give the new file the old one's attribute 'user."));
  EXPECT_EQ(read_file(folder / "f"), "newer");
  EXPECT_EQ(names_in(folder.path()), std::set<std::string>{"f"});
}

TEST(AtomicFile, W27_AnAttributeThatGrowsMeanwhileIsReadAgain) {
  const TemporaryFolder folder;
  write_file(folder / "f", "old");
  if (!set_attribute(folder / "f", "user.origin", "somewhere")) GTEST_SKIP() << "no attributes in this file system";
  static int calls_left;
  calls_left = 1;
  SystemCalls calls = real_system_calls();
  calls.fgetxattr = [](int fd, const char* name, void* value, std::size_t count) -> ssize_t {
    if (count == 0 && calls_left-- > 0) return 1;  // it was as short as that
    return real_system_calls().fgetxattr(fd, name, value, count);
  };
  const ScopedSystemCalls scope(calls);
  ASSERT_TRUE(write_text(folder / "f", "new"));
  EXPECT_EQ(attribute(folder / "f", "user.origin"), "somewhere");
}

TEST(AtomicFile, W27_TheAccessListIsKeptOrTheGroupLosesItsRights) {
  const TemporaryFolder folder;
  const std::string list = access_list(6, 0);
  write_file(folder / "f", "old");
  if (!set_attribute(folder / "f", kAccessList, list)) GTEST_SKIP() << "no ACLs in this file system";
  ASSERT_EQ(mode_of(folder / "f"), 0660U);  // the group's bits are the mask: the group itself may nothing
  ASSERT_TRUE(write_text(folder / "f", "new"));
  EXPECT_EQ(attribute(folder / "f", kAccessList), list);
  EXPECT_EQ(mode_of(folder / "f"), 0660U);
  for (const char* call : {"flistxattr", "fgetxattr", "fsetxattr"}) {
    for (const int error_number : {EIO, EPERM, ENOSPC}) {
      ASSERT_TRUE(set_attribute(folder / "f", kAccessList, list));
      const FaultySystemCalls calls({.fail_at = 0, .error_number = error_number, .only = call});
      ASSERT_TRUE(write_text(folder / "f", "newer")) << call;
      EXPECT_EQ(calls.failed_call(), call);
      EXPECT_EQ(mode_of(folder / "f"), 0600U) << call;
      EXPECT_EQ(attribute(folder / "f", kAccessList), "(none)") << call;
    }
  }
  // Who may replace a file and not read it does not know its ACL.
  ASSERT_TRUE(set_attribute(folder / "f", kAccessList, list));
  const FaultySystemCalls calls({.fail_at = 1, .error_number = EACCES, .only = "openat"});
  ASSERT_TRUE(write_text(folder / "f", "newest"));
  EXPECT_EQ(mode_of(folder / "f"), 0600U);
}

TEST(AtomicFile, W27_TheFoldersDefaultAccessListDoesNotWidenAnOldFile) {
  const TemporaryFolder folder;
  write_file(folder / "f", "old");
  ASSERT_EQ(chmod((folder / "f").c_str(), 0640), 0);
  if (!set_attribute(folder.path(), "system.posix_acl_default", access_list(6, 6))) {
    GTEST_SKIP() << "no ACLs in this file system";
  }
  ASSERT_TRUE(write_text(folder / "f", "new"));
  EXPECT_EQ(attribute(folder / "f", kAccessList), "(none)");
  EXPECT_EQ(mode_of(folder / "f"), 0640U);
  ASSERT_TRUE(write_text(folder / "g", "new"));  // a new file is the folder's business
  EXPECT_NE(attribute(folder / "g", kAccessList), "(none)");
  const FaultySystemCalls calls({.fail_at = 0, .error_number = EIO, .only = "fremovexattr"});
  ASSERT_TRUE(write_text(folder / "f", "newer"));
  EXPECT_EQ(mode_of(folder / "f"), 0600U);
}

TEST(AtomicFile, W27_TheFaultsOfAFileWithAttributesLeaveItWholeAndNeverWider) {
  const TemporaryFolder folder;
  const auto renew = [&] {
    std::filesystem::remove(folder / "f");
    write_file(folder / "f", "the old bytes");
    return set_attribute(folder / "f", "user.origin", "here") &&
           set_attribute(folder / "f", kAccessList, access_list(4, 0));
  };
  if (!renew()) GTEST_SKIP() << "no attributes or ACLs in this file system";
  int calls_of_a_clean_run = 0;
  {
    const FaultySystemCalls calls({});
    ASSERT_TRUE(write_text(folder / "f", "the new bytes"));
    calls_of_a_clean_run = calls.count();
  }
  for (const int error_number : {EIO, ENOSPC, EDQUOT, EPERM, EOPNOTSUPP, ERANGE, ENODATA}) {
    for (int n = 0; n < calls_of_a_clean_run; ++n) {
      ASSERT_TRUE(renew());
      Status status;
      std::string context;
      {
        const FaultySystemCalls calls({.fail_at = n, .error_number = error_number});
        status = write_text(folder / "f", "the new bytes");
        context = calls.failed_call() + " " + std::to_string(error_number);
      }
      expect_old_or_new_whole(folder, status, context);
      EXPECT_EQ(names_in(folder.path()), std::set<std::string>{"f"}) << context;
      const bool kept = attribute(folder / "f", kAccessList) == access_list(4, 0);
      EXPECT_EQ(mode_of(folder / "f") & ~0640U, 0U) << context;
      // The group itself may nothing: without the list its bits are its own.
      EXPECT_TRUE(kept || mode_of(folder / "f") == 0600U || error_number == EOPNOTSUPP) << context;
    }
  }
}

TEST(AtomicFile, W28_AFolderThatMayNotBeWrittenIsRefusedBeforeTheWork) {
  const TemporaryFolder folder;
  write_file(folder / "f", "old");
  ASSERT_EQ(chmod((folder / "f").c_str(), 0666), 0);
  ASSERT_EQ(chmod(folder.path().c_str(), 0555), 0);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0)) _exit(2);
    const Status status = write_text(folder / "f", "new");
    _exit(!status && status.error().finding.message == "cannot create a temporary file in the folder: permission denied"
              ? 0
              : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_EQ(chmod(folder.path().c_str(), 0755), 0);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_EQ(read_file(folder / "f"), "old");
}

TEST(AtomicFile, W23_ASymbolicLinkStaysAndWhatItPointsAtIsReplaced) {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "real");
  write_file(folder / "real/f", "old");
  std::filesystem::create_symlink("real/f", folder / "relative");
  std::filesystem::create_symlink(folder / "relative", folder / "absolute");
  ASSERT_TRUE(write_text(folder / "absolute", "new"));
  EXPECT_TRUE(std::filesystem::is_symlink(folder / "absolute"));
  EXPECT_TRUE(std::filesystem::is_symlink(folder / "relative"));
  EXPECT_EQ(read_file(folder / "real/f"), "new");
  EXPECT_EQ(names_in(folder / "real"), std::set<std::string>{"f"});
}

TEST(AtomicFile, W23_ADanglingLinkGetsItsFile) {
  const TemporaryFolder folder;
  std::filesystem::create_symlink("not yet", folder / "link");
  ASSERT_TRUE(write_text(folder / "link", "bytes"));
  EXPECT_TRUE(std::filesystem::is_symlink(folder / "link"));
  EXPECT_EQ(read_file(folder / "not yet"), "bytes");
}

TEST(AtomicFile, W23_ALoopOfLinksEnds) {
  const TemporaryFolder folder;
  std::filesystem::create_symlink("b", folder / "a");
  std::filesystem::create_symlink("a", folder / "b");
  const Status status = write_text(folder / "a", "bytes");
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().finding.message, "cannot follow the symbolic link: too many levels of symbolic links");
}

TEST(AtomicFile, W25_ATemporaryNameThatIsTakenIsNeverFollowedNorRemoved) {
  static const TemporaryFolder folder;
  // The random generator is stuck at first: the name it gives is taken, by a link that points elsewhere.
  static int calls_left;
  calls_left = 3;
  SystemCalls calls = real_system_calls();
  calls.getrandom = [](void* buffer, std::size_t count) -> ssize_t {
    if (calls_left-- <= 0) return real_system_calls().getrandom(buffer, count);
    std::fill_n(static_cast<unsigned char*>(buffer), count, static_cast<unsigned char>(0x11));
    return static_cast<ssize_t>(count);
  };
  write_file(folder / "victim", "untouched");
  std::filesystem::create_symlink("victim", folder / ".f.1111111111111111.tmp");
  const ScopedSystemCalls scope(calls);
  ASSERT_TRUE(write_text(folder / "f", "bytes"));
  EXPECT_EQ(read_file(folder / "f"), "bytes");
  EXPECT_EQ(read_file(folder / "victim"), "untouched");
  EXPECT_EQ(names_in(folder.path()), (std::set<std::string>{".f.1111111111111111.tmp", "f", "victim"}));
}

TEST(AtomicFile, W25_ARandomGeneratorThatIsStuckEnds) {
  const TemporaryFolder folder;
  SystemCalls calls = real_system_calls();
  calls.openat = [](int, const char*, int, unsigned) {
    errno = EEXIST;
    return -1;
  };
  const ScopedSystemCalls scope(calls);
  const Status status = write_text(folder / "f", "bytes");
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().finding.message, "cannot create a temporary file in the folder: file exists");
}

TEST(AtomicFile, W26_AHardLinkKeepsTheOldBytes) {
  const TemporaryFolder folder;
  write_file(folder / "f", "old");
  std::filesystem::create_hard_link(folder / "f", folder / "other");
  ASSERT_TRUE(write_text(folder / "f", "new"));
  EXPECT_EQ(read_file(folder / "other"), "old");
}

TEST(AtomicFile, W22_AMappedFileMayBeReplacedByItsOwnBytes) {
  const TemporaryFolder folder;
  write_file(folder / "f", "old bytes");
  const std::shared_ptr<const Source> source = open_file(folder / "f", FileAccess::mapped).value();
  const std::array<ByteSpan, 3> pieces{as_byte_span("<"), source->mapping(), as_byte_span(">")};
  ASSERT_TRUE(write_file_atomically(folder / "f", pieces));
  EXPECT_EQ(read_file(folder / "f"), "<old bytes>");
  EXPECT_EQ(as_text(source->mapping()), "old bytes");
}

TEST(AtomicFile, W19_W20_ReadersAndWritersOfOneNameSeeWholeFiles) {
  const TemporaryFolder folder;
  const std::string a(50'000, 'a');
  const std::string b(70'000, 'b');
  ASSERT_TRUE(write_text(folder / "f", a));
  std::atomic<bool> done{false};
  std::atomic<int> torn{0};
  std::atomic<int> read{0};
  std::thread reader([&] {
    while (!done) {
      const std::string text = read_file(folder / "f");
      if (text != a && text != b) ++torn;
      ++read;
    }
  });
  std::vector<std::thread> writers;
  for (const std::string* text : {&a, &b}) {
    writers.emplace_back([&, text] {
      for (int i = 0; i < 60; ++i) EXPECT_TRUE(write_text(folder / "f", *text));
    });
  }
  for (std::thread& writer : writers) writer.join();
  while (read == 0) std::this_thread::yield();
  done = true;
  reader.join();
  EXPECT_EQ(torn.load(), 0);
  EXPECT_EQ(names_in(folder.path()), std::set<std::string>{"f"});
}

TEST(AtomicFile, W12_AProcessKilledAtAnyCallLeavesTheOldFileOrTheNew) {
  // Not the errno kind of failure: nothing runs after it, no clean-up either.
  static const TemporaryFolder folder;
  bool finished = false;
  int kills = 0;
  for (int n = 0; !finished; ++n) {
    ASSERT_LT(n, 100);
    write_file(folder / "f", "the old bytes");
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      static int calls_left;
      calls_left = n;
      static const auto tick = [] {
        if (calls_left-- == 0) _exit(42);
      };
      SystemCalls calls = real_system_calls();
      calls.openat = [](int f, const char* name, int flags, unsigned mode) {
        tick();
        return real_system_calls().openat(f, name, flags, mode);
      };
      calls.fallocate = [](int fd, off_t size) {
        tick();
        return real_system_calls().fallocate(fd, size);
      };
      calls.write = [](int fd, const void* buffer, std::size_t) {
        tick();
        return real_system_calls().write(fd, buffer, 1);  // a byte at a time: many places to die
      };
      calls.fsync = [](int fd) {
        tick();
        return real_system_calls().fsync(fd);
      };
      calls.renameat = [](int a, const char* from, int b, const char* to) {
        tick();
        return real_system_calls().renameat(a, from, b, to);
      };
      const ScopedSystemCalls scope(calls);
      _exit(write_text(folder / "f", "the new bytes") ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFEXITED(status));
    const std::string found = read_file(folder / "f");
    EXPECT_TRUE(found == "the old bytes" || found == "the new bytes") << n << ": " << found;
    finished = WEXITSTATUS(status) == 0;
    if (finished) {
      EXPECT_EQ(found, "the new bytes");
    } else {
      ASSERT_EQ(WEXITSTATUS(status), 42);
      ++kills;
    }
  }
  EXPECT_EQ(kills, 19);  // create, reserve, 13 bytes, look at the old file, sync, rename, sync
}

// --- streaming
// --------------------------------------------------------------------------------------------------------

TEST(AtomicFileStream, WhatIsWrittenAppearsWithTheCommit) {
  const TemporaryFolder folder;
  write_file(folder / "f", "old");
  const std::unique_ptr<AtomicFile> file = AtomicFile::create(folder / "f").value();
  const std::string large(700'001, 'L');
  ASSERT_TRUE(file->write(as_byte_span("head;")));
  ASSERT_TRUE(file->write(as_byte_span(large)));
  ASSERT_TRUE(file->write({}));
  ASSERT_TRUE(file->write(as_byte_span(";tail")));
  EXPECT_EQ(file->written_bytes(), large.size() + 10);
  EXPECT_EQ(read_file(folder / "f"), "old");
  ASSERT_TRUE(file->commit());
  EXPECT_EQ(read_file(folder / "f"), "head;" + large + ";tail");
  EXPECT_EQ(names_in(folder.path()), std::set<std::string>{"f"});
}

TEST(AtomicFileStream, W33_WithoutCommitNothingHappened) {
  const TemporaryFolder folder;
  write_file(folder / "f", "old");
  const std::size_t descriptors = open_descriptors();
  for (const char* name : {"f", "g"}) {
    const std::unique_ptr<AtomicFile> file = AtomicFile::create(folder / name, 1000).value();
    ASSERT_TRUE(file->write(as_byte_span(std::string(1'000'000, 'x'))));
    EXPECT_GE(names_in(folder.path()).size(), 2U);
  }
  EXPECT_EQ(read_file(folder / "f"), "old");
  EXPECT_EQ(names_in(folder.path()), std::set<std::string>{"f"});
  EXPECT_EQ(open_descriptors(), descriptors);
}

TEST(AtomicFileStream, W24_AFolderThatIsSwappedForALinkMeanwhileLeadsNowhere) {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "here");
  std::filesystem::create_directory(folder / "elsewhere");
  write_file(folder / "elsewhere/f", "untouched");
  const std::unique_ptr<AtomicFile> file = AtomicFile::create(folder / "here/f").value();
  ASSERT_TRUE(file->write(as_byte_span("bytes")));
  std::filesystem::rename(folder / "here", folder / "moved");
  std::filesystem::create_symlink("elsewhere", folder / "here");
  // The file itself, too: what was no link when it was looked at is replaced, never followed.
  std::filesystem::create_symlink("../elsewhere/f", folder / "moved/f");
  ASSERT_TRUE(file->commit());
  EXPECT_EQ(read_file(folder / "elsewhere/f"), "untouched");
  EXPECT_EQ(names_in(folder / "elsewhere"), std::set<std::string>{"f"});
  EXPECT_FALSE(std::filesystem::is_symlink(folder / "moved/f"));
  EXPECT_EQ(read_file(folder / "moved/f"), "bytes");
}

TEST(AtomicFileStream, TheFileMayBecomeShorterOrLongerThanExpected) {
  const TemporaryFolder folder;
  for (const unsigned expected : {0U, 1U, 5U, 100'000U}) {
    const std::unique_ptr<AtomicFile> file = AtomicFile::create(folder / "f", expected).value();
    ASSERT_TRUE(file->write(as_byte_span("bytes")));
    ASSERT_TRUE(file->commit());
    EXPECT_EQ(read_file(folder / "f"), "bytes") << expected;
  }
  const std::unique_ptr<AtomicFile> file = AtomicFile::create(folder / "f", 100'000).value();
  const FaultySystemCalls calls({.fail_at = 0, .error_number = EIO, .only = "ftruncate"});
  const Status status = file->commit();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().finding.message, "cannot give back the room that was reserved: input/output error");
  EXPECT_EQ(read_file(folder / "f"), "bytes");
  const Result<std::unique_ptr<AtomicFile>> endless = AtomicFile::create(folder / "f", ~std::uint64_t{0});
  ASSERT_FALSE(endless);
  EXPECT_EQ(endless.error().finding.message, "cannot write the file: file too large");
}

TEST(AtomicFileStream, AFailureIsSaidAgainAndNothingMoreIsDone) {
  const TemporaryFolder folder;
  write_file(folder / "f", "old");
  const std::unique_ptr<AtomicFile> file = AtomicFile::create(folder / "f").value();
  const std::string large(300'000, 'x');
  {
    const FaultySystemCalls calls({.fail_at = 0, .error_number = ENOSPC, .only = "write"});
    ASSERT_FALSE(file->write(as_byte_span(large)));
  }
  EXPECT_EQ(names_in(folder.path()), std::set<std::string>{"f"});  // at once, not with the destructor
  const FaultySystemCalls calls({});
  EXPECT_EQ(file->write(as_byte_span("more")).error().finding.message, "cannot write: no space left on device");
  EXPECT_EQ(file->commit().error().finding.message, "cannot write: no space left on device");
  EXPECT_TRUE(calls.log().empty());
  EXPECT_EQ(read_file(folder / "f"), "old");
}

TEST(AtomicFileStream, ThereIsNoOverwritingWhereItIsNotAllowed) {
  const TemporaryFolder folder;
  write_file(folder / "f", "old");
  std::filesystem::create_symlink("f", folder / "link");
  for (const char* name : {"f", "link"}) {
    const FaultySystemCalls calls({});
    const Result<std::unique_ptr<AtomicFile>> refused = AtomicFile::create(folder / name, 5, {.overwrite = false});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::io);
    EXPECT_EQ(to_string(refused.error()),
              (folder / name).native() + ": the file exists already, and is not to be replaced");
    EXPECT_EQ(std::count(calls.log().begin(), calls.log().end(), "openat"), 0);
  }
  const std::unique_ptr<AtomicFile> file = AtomicFile::create(folder / "new", 5, {.overwrite = false}).value();
  ASSERT_TRUE(file->write(as_byte_span("bytes")));
  ASSERT_TRUE(file->commit());
  EXPECT_EQ(read_file(folder / "new"), "bytes");
}

// The error of a file that was to be new, while the calls of `plan` fail; "" for none. With `rival`, somebody else's
// file comes first.
std::string commit_new(const TemporaryFolder& folder, const FaultySystemCalls::Plan& plan, bool rival) {
  std::filesystem::remove(folder / "f");
  const std::unique_ptr<AtomicFile> file = AtomicFile::create(folder / "f", 0, {.overwrite = false}).value();
  EXPECT_TRUE(file->write(as_byte_span("ours")));
  if (rival) write_file(folder / "f", "theirs");
  const FaultySystemCalls calls(plan);
  const Status status = file->commit();
  return status ? "" : status.error().finding.code + ": " + status.error().finding.message;
}

TEST(AtomicFileStream, ARaceForAnewNameIsNeverWonOverSomebodyElsesFile) {
  const TemporaryFolder folder;
  const std::string exists = "IO-EXISTS: the file exists already, and is not to be replaced";
  EXPECT_EQ(commit_new(folder, {}, true), exists);
  EXPECT_EQ(read_file(folder / "f"), "theirs");
  // File systems that cannot rename without replacing make a second name instead.
  for (const int error_number : {EINVAL, ENOSYS}) {
    const FaultySystemCalls::Plan plan{.fail_at = 0, .error_number = error_number, .only = "renameat_noreplace"};
    EXPECT_EQ(commit_new(folder, plan, true), exists);
    EXPECT_EQ(read_file(folder / "f"), "theirs");
    EXPECT_EQ(commit_new(folder, plan, false), "");
    EXPECT_EQ(read_file(folder / "f"), "ours");
    EXPECT_EQ(names_in(folder.path()), std::set<std::string>{"f"});
  }
  EXPECT_EQ(commit_new(folder, {.fail_at = 0, .error_number = EIO, .only = "renameat_noreplace"}, false),
            "IO-RENAME: cannot give the new file its name: input/output error");
  EXPECT_TRUE(names_in(folder.path()).empty());
}

TEST(AtomicFileStream, WhereNeitherRenamingNorLinkingIsSafeNothingIsDone) {
  static const TemporaryFolder folder;
  SystemCalls calls = real_system_calls();
  calls.renameat_noreplace = [](int, const char*, int, const char*) {
    errno = EINVAL;
    return -1;
  };
  calls.linkat = [](int, const char*, int, const char*) {
    errno = EPERM;
    return -1;
  };
  const auto commit = [&] {
    const ScopedSystemCalls scope(calls);
    const std::unique_ptr<AtomicFile> file = AtomicFile::create(folder / "f", 0, {.overwrite = false}).value();
    EXPECT_TRUE(file->write(as_byte_span("ours")));
    return file->commit();
  };
  EXPECT_EQ(commit().error().finding.message,
            "cannot give the new file its name without the risk of replacing another: operation not permitted");
  EXPECT_TRUE(names_in(folder.path()).empty());
  // Linked, but the temporary name stays: the file is there all the same, and that is said.
  calls.linkat = real_system_calls().linkat;
  calls.unlinkat = [](int, const char*) {
    errno = EIO;
    return -1;
  };
  const Status status = commit();
  ASSERT_FALSE(status);
  EXPECT_EQ(to_string(status.error()),
            (folder / "f").native() +
                ": the new file is in place, but its temporary name cannot be removed: input/output error");
  EXPECT_EQ(read_file(folder / "f"), "ours");
  std::set<std::string> names = names_in(folder.path());
  names.erase("f");
  ASSERT_EQ(names.size(), 1U);
  EXPECT_EQ(status.error().finding.hint, "remove '" + *names.begin() + "'");
}

TEST(AtomicFileStream, W17_EachCallThatFailsInTurnLeavesNoFileOrTheWholeNewOne) {
  const TemporaryFolder folder;
  const auto write_new = [&] {
    Result<std::unique_ptr<AtomicFile>> file = AtomicFile::create(folder / "f", 9, {.overwrite = false});
    if (!file) return Status(file.error());
    const Status written = (*file)->write(as_byte_span("bytes"));
    return written ? (*file)->commit() : written;
  };
  int calls_of_a_clean_run = 0;
  {
    const FaultySystemCalls calls({});
    ASSERT_TRUE(write_new());
    calls_of_a_clean_run = calls.count();
  }
  for (const int error_number : {EIO, ENOSPC, EDQUOT, EINTR, EINVAL, ENOSYS, EEXIST}) {
    for (int n = 0; n < calls_of_a_clean_run; ++n) {
      std::filesystem::remove(folder / "f");
      const FaultySystemCalls calls({.fail_at = n, .error_number = error_number});
      const Status status = write_new();
      const std::string context = calls.failed_call() + " " + std::to_string(error_number);
      const bool in_place = status || status.error().finding.code == "IO-SYNC-FOLDER";
      EXPECT_EQ(names_in(folder.path()), in_place ? std::set<std::string>{"f"} : std::set<std::string>{}) << context;
      EXPECT_EQ(in_place ? read_file(folder / "f") : "bytes", "bytes") << context;
      EXPECT_TRUE(status || error_number != EINTR) << context;
    }
  }
}

// Stops after so many reports.
class StopAfter final : public Progress {
 public:
  explicit StopAfter(int reports) : reports_(reports) {}
  bool on_progress(std::string_view phase, std::uint64_t done, std::uint64_t total) override {
    EXPECT_EQ(phase, "write");
    EXPECT_GE(done, last_);
    EXPECT_LE(done, total);
    last_ = done;
    ++seen;
    return reports_-- > 0;
  }
  int seen = 0;

 private:
  int reports_;
  std::uint64_t last_ = 0;
};

TEST(AtomicFileStream, W12_StoppedAtAnyReportTheOldFileStaysAndTheTemporaryGoes) {
  const TemporaryFolder folder;
  write_file(folder / "f", "old");
  const std::string small(100'000, 's');
  const std::string large((std::size_t{9} << 20) + 1, 'l');
  for (int reports = 0;; ++reports) {
    ASSERT_LT(reports, 20);
    StopAfter progress(reports);
    const std::unique_ptr<AtomicFile> file =
        AtomicFile::create(folder / "f", large.size(), {.progress = &progress}).value();
    const auto write = [&]() -> Status {
      for (int i = 0; i < 60; ++i) {
        if (Status status = file->write(as_byte_span(small)); !status) return status;
      }
      if (Status status = file->write(as_byte_span(large)); !status) return status;
      return file->commit();
    };
    const Status status = write();
    EXPECT_EQ(names_in(folder.path()), std::set<std::string>{"f"});
    if (status) {
      EXPECT_EQ(progress.seen, 4);  // in the small ones, twice in the large one, and before the rename
      EXPECT_EQ(std::filesystem::file_size(folder / "f"), 60 * small.size() + large.size());
      break;
    }
    EXPECT_EQ(status.error().code, ErrorCode::cancelled);
    EXPECT_EQ(to_string(status.error()), (folder / "f").native() + ": the write was cancelled");
    EXPECT_EQ(read_file(folder / "f"), "old");
  }
}

}  // namespace
}  // namespace rushlight::io
