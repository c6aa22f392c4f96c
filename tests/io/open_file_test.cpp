#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "base/bytes.hpp"
#include "io/system_calls.hpp"
#include "rushlight/source.hpp"
#include "support/counting_system_calls.hpp"
#include "support/faulty_system_calls.hpp"
#include "support/temporary_folder.hpp"

namespace rushlight {
namespace {

using test::CountingSystemCalls;
using test::FaultySystemCalls;
using test::TemporaryFolder;
using test::write_file;

constexpr std::array kBoth{FileAccess::mapped, FileAccess::pread};

std::size_t open_descriptors() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& fd : std::filesystem::directory_iterator("/proc/self/fd")) ++count;
  return count;
}

std::string all_of(const Source& source) {
  std::string text(source.size_bytes(), '\0');
  const Status status = source.read_at(0, std::as_writable_bytes(std::span(text)));
  EXPECT_TRUE(status) << (status ? "" : to_string(status.error()));
  return text;
}

Error error_of(const std::filesystem::path& path, FileAccess access = FileAccess::pread) {
  const Result<std::shared_ptr<const Source>> source = open_file(path, access);
  EXPECT_FALSE(source) << path;
  return source ? Error{} : source.error();
}

// A file server that has lost what lies behind the fiftieth byte, and does not say so.
class SystemCallsThatEndAtFifty {
 public:
  SystemCallsThatEndAtFifty() : calls_(io::real_system_calls()), scope_(calls_) {
    calls_.pread = [](int fd, void* buffer, std::size_t count, off_t offset) -> ssize_t {
      if (offset >= 50) return 0;
      const auto left = static_cast<std::size_t>(50 - offset);
      return io::real_system_calls().pread(fd, buffer, std::min(count, left), offset);
    };
  }

 private:
  io::SystemCalls calls_;
  io::ScopedSystemCalls scope_;
};

TEST(OpenFile, GivesTheSameBytesMappedAndRead) {
  const TemporaryFolder folder;
  std::string text(10'000, '\0');
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * i >> 3);
  write_file(folder / "f", text);
  for (const FileAccess access : kBoth) {
    const std::shared_ptr<const Source> source = open_file(folder / "f", access).value();
    EXPECT_EQ(source->size_bytes(), text.size());
    EXPECT_EQ(source->name(), (folder / "f").native());
    EXPECT_EQ(all_of(*source), text);
    std::array<std::byte, 5> part{};
    ASSERT_TRUE(source->read_at(9'995, part));
    EXPECT_EQ(as_text(part), text.substr(9'995));
    ASSERT_TRUE(source->read_at(10'000, std::span<std::byte>{}));
    EXPECT_EQ(source->read_at(9'996, part).error().code, ErrorCode::invalid_argument);
    EXPECT_EQ(source->mapping().size(), access == FileAccess::mapped ? text.size() : 0);
  }
}

TEST(OpenFile, AnEmptyFileIsASourceWithoutBytes) {
  const TemporaryFolder folder;
  write_file(folder / "empty", "");
  for (const FileAccess access : kBoth) {
    const std::shared_ptr<const Source> source = open_file(folder / "empty", access).value();
    EXPECT_EQ(source->size_bytes(), 0U);
    EXPECT_TRUE(source->mapping().empty());
    EXPECT_TRUE(source->read_at(0, std::span<std::byte>{}));
  }
}

TEST(OpenFile, FollowsASymbolicLink) {
  const TemporaryFolder folder;
  write_file(folder / "f", "bytes");
  std::filesystem::create_symlink("f", folder / "link");
  EXPECT_EQ(all_of(*open_file(folder / "link").value()), "bytes");
}

TEST(OpenFile, SaysThatAFileIsMissingAndWhichOneMayBeMeant) {
  const TemporaryFolder folder;
  write_file(folder / "model.pt", "bytes");
  Error error = error_of(folder / "modle.pt");
  EXPECT_EQ(error.code, ErrorCode::not_found);
  EXPECT_EQ(error.finding.category, Category::io);
  EXPECT_EQ(error.finding.code, "IO-NOT-FOUND");
  EXPECT_EQ(to_string(error), (folder / "modle.pt").native() + ": cannot open: no such file or directory");
  EXPECT_EQ(error.finding.hint, "did you mean '" + (folder / "model.pt").native() + "'?");
  error = error_of(folder / "quite another name");
  EXPECT_EQ(error.code, ErrorCode::not_found);
  EXPECT_EQ(error.finding.hint, "");
  error = error_of(folder / "no folder/model.pt");
  EXPECT_EQ(error.code, ErrorCode::not_found);
  EXPECT_EQ(error.finding.hint, "");
}

TEST(OpenFile, Z51_APathThroughAFileIsNotFound) {
  const TemporaryFolder folder;
  write_file(folder / "f", "bytes");
  const Error error = error_of(folder / "f/g");
  EXPECT_EQ(error.code, ErrorCode::not_found);
  EXPECT_EQ(error.finding.message, "cannot open: not a directory");
}

TEST(OpenFile, Z51_ADanglingLinkAndALoopOfLinksAreNamed) {
  const TemporaryFolder folder;
  std::filesystem::create_symlink("nowhere", folder / "dangling");
  std::filesystem::create_symlink("loop", folder / "loop");
  EXPECT_EQ(error_of(folder / "dangling").code, ErrorCode::not_found);
  const Error error = error_of(folder / "loop");
  EXPECT_EQ(error.code, ErrorCode::io);
  EXPECT_EQ(error.finding.message, "cannot open: too many levels of symbolic links");
}

TEST(OpenFile, Z51_WhatIsNoRegularFileIsNamedWithoutWaitingForIt) {
  const TemporaryFolder folder;
  ASSERT_EQ(mkfifo((folder / "fifo").c_str(), 0600), 0);
  const int socket_fd = socket(AF_UNIX, SOCK_STREAM, 0);
  ASSERT_GE(socket_fd, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string socket_path = (folder / "socket").native();
  ASSERT_LT(socket_path.size(), sizeof address.sun_path);
  std::memcpy(address.sun_path, socket_path.c_str(), socket_path.size() + 1);
  ASSERT_EQ(bind(socket_fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  close(socket_fd);
  const std::array<std::pair<std::filesystem::path, std::string>, 5> cases{{{folder.path(), "a directory"},
                                                                            {folder / "fifo", "a FIFO"},
                                                                            {folder / "socket", "a socket"},
                                                                            {"/dev/zero", "a character device"},
                                                                            {"/dev/null", "a character device"}}};
  for (const auto& [path, kind] : cases) {
    for (const FileAccess access : kBoth) {
      const FaultySystemCalls calls({});
      const Error error = error_of(path, access);
      EXPECT_EQ(error.code, ErrorCode::io);
      EXPECT_EQ(error.finding.code, "IO-NOT-A-FILE");
      EXPECT_EQ(to_string(error), path.native() + ": expected a regular file, found " + kind);
      EXPECT_EQ(calls.log(), std::vector<std::string>{"stat"});  // never opened: opening a device can act
    }
  }
}

TEST(OpenFile, Z51_AFifoThatTakesTheFilesPlaceIsRefusedWithoutWaiting) {
  // stat sees a regular file, open then meets the FIFO.
  static const TemporaryFolder folder;
  ASSERT_EQ(mkfifo((folder / "fifo").c_str(), 0600), 0);
  write_file(folder / "regular", "bytes");
  io::SystemCalls calls = io::real_system_calls();
  calls.stat = [](const char*, struct stat* out) { return ::stat((folder / "regular").c_str(), out); };
  const io::ScopedSystemCalls scope(calls);
  EXPECT_EQ(error_of(folder / "fifo").finding.message, "expected a regular file, found a FIFO");
}

TEST(OpenFile, Z51_AFileThatHidesItsSizeIsRefused) {
  for (const FileAccess access : kBoth) {
    const Error error = error_of("/proc/self/status", access);
    EXPECT_EQ(error.code, ErrorCode::io);
    EXPECT_EQ(error.finding.message, "the file has bytes, but says its size is 0");
  }
}

TEST(OpenFile, Z51_AFileThatMayNotBeReadIsNamed) {
  const TemporaryFolder folder;
  write_file(folder / "f", "bytes");
  const FaultySystemCalls calls({.fail_at = 0, .error_number = EACCES, .only = "open"});
  const Error error = error_of(folder / "f");
  EXPECT_EQ(error.code, ErrorCode::io);
  EXPECT_EQ(error.finding.code, "IO-OPEN");
  EXPECT_EQ(error.finding.message, "cannot open: permission denied");
}

TEST(OpenFile, RefusesAPathTheSystemWouldCutShort) {
  const TemporaryFolder folder;
  write_file(folder / "f", "bytes");
  const std::string path = (folder / "f").native() + std::string("\0.pt", 4);
  const Error error = error_of(path);
  EXPECT_EQ(error.code, ErrorCode::invalid_argument);
  EXPECT_EQ(to_string(error), (folder / "f").native() + "\\x00.pt: the path holds a NUL character");
  EXPECT_EQ(error_of("").code, ErrorCode::not_found);
}

TEST(OpenFile, OutlivesItsName) {
  const TemporaryFolder folder;
  for (const FileAccess access : kBoth) {
    write_file(folder / "f", "the old bytes");
    const std::shared_ptr<const Source> source = open_file(folder / "f", access).value();
    write_file(folder / "new", "the new bytes, more of them");
    std::filesystem::rename(folder / "new", folder / "f");
    EXPECT_EQ(all_of(*source), "the old bytes");
  }
}

TEST(OpenFile, EveryFailingCallIsAnErrorThatLeaksNothing) {
  const TemporaryFolder folder;
  write_file(folder / "f", "bytes");
  write_file(folder / "empty", "");
  for (const char* name : {"f", "empty"}) {
    for (const FileAccess access : kBoth) {
      const std::size_t descriptors = open_descriptors();
      int calls_of_a_clean_run = 0;
      {
        const FaultySystemCalls calls({});
        ASSERT_TRUE(open_file(folder / name, access));
        calls_of_a_clean_run = calls.count();
      }
      int failures = 0;
      for (int n = 0; n < calls_of_a_clean_run; ++n) {
        for (const int error_number : {EIO, ENOMEM, EMFILE, ESTALE}) {
          const FaultySystemCalls calls({.fail_at = n, .error_number = error_number});
          const Result<std::shared_ptr<const Source>> source = open_file(folder / name, access);
          // What closes or unmaps comes last, perhaps only when the source goes: nothing is lost then.
          if (calls.failed_call().empty() || calls.failed_call() == "close" || calls.failed_call() == "munmap") {
            EXPECT_TRUE(source);
            continue;
          }
          ASSERT_FALSE(source) << calls.failed_call();
          EXPECT_EQ(source.error().code, error_number == ENOMEM ? ErrorCode::out_of_memory : ErrorCode::io);
          EXPECT_EQ(source.error().finding.file, (folder / name).native());
          EXPECT_NE(source.error().finding.message.find(": "), std::string::npos);
          ++failures;
        }
      }
      EXPECT_GE(failures, 12);
      EXPECT_EQ(open_descriptors(), descriptors);
    }
  }
}

TEST(OpenFile, GoesOnAfterASignal) {
  const TemporaryFolder folder;
  write_file(folder / "f", "0123456789");
  write_file(folder / "empty", "");
  for (const char* call : {"open", "pread", "close"}) {
    for (const int times : {1, 5}) {
      const FaultySystemCalls calls({.fail_at = 0, .error_number = EINTR, .failures = times, .only = call});
      EXPECT_EQ(all_of(*open_file(folder / "f", FileAccess::pread).value()), "0123456789");
      EXPECT_EQ(open_file(folder / "empty", FileAccess::pread).value()->size_bytes(), 0U);
      EXPECT_EQ(calls.failed_call(), call);
    }
  }
}

TEST(MappedFile, MapsPrivatelyReadOnlyAndWithoutReadingAhead) {
  const TemporaryFolder folder;
  write_file(folder / "f", "bytes");
  static int protection = 0;
  static int flags = 0;
  io::SystemCalls calls = io::real_system_calls();
  calls.mmap = [](void* address, std::size_t length, int p, int f, int fd, off_t offset) {
    protection = p;
    flags = f;
    return io::real_system_calls().mmap(address, length, p, f, fd, offset);
  };
  const io::ScopedSystemCalls scope(calls);
  ASSERT_TRUE(open_file(folder / "f"));
  EXPECT_EQ(protection, PROT_READ);
  EXPECT_EQ(flags, MAP_PRIVATE);
}

TEST(MappedFile, KeepsNoDescriptorAndGivesTheMappingBack) {
  const TemporaryFolder folder;
  write_file(folder / "f", "bytes");
  const std::size_t descriptors = open_descriptors();
  const FaultySystemCalls calls({});
  {
    const std::shared_ptr<const Source> source = open_file(folder / "f").value();
    EXPECT_EQ(open_descriptors(), descriptors);
  }
  EXPECT_EQ(calls.log(), (std::vector<std::string>{"stat", "open", "fstat", "mmap", "close", "munmap"}));
}

TEST(MappedFile, IsReadInsteadWhereTheFileSystemCannotMap) {
  const TemporaryFolder folder;
  write_file(folder / "f", "bytes");
  const FaultySystemCalls calls({.fail_at = 0, .error_number = ENODEV, .only = "mmap"});
  const std::shared_ptr<const Source> source = open_file(folder / "f", FileAccess::mapped).value();
  EXPECT_TRUE(source->mapping().empty());
  EXPECT_EQ(all_of(*source), "bytes");
}

TEST(MappedFile, SaysWhyItCannotBeMapped) {
  const TemporaryFolder folder;
  write_file(folder / "f", "bytes");
  const FaultySystemCalls calls({.fail_at = 0, .error_number = ENOMEM, .only = "mmap"});
  const Error error = error_of(folder / "f", FileAccess::mapped);
  EXPECT_EQ(error.code, ErrorCode::out_of_memory);
  EXPECT_EQ(error.finding.message, "cannot map the file: cannot allocate memory");
}

TEST(PreadFile, W38_ShortReadsAreContinued) {
  const TemporaryFolder folder;
  std::string text(1000, '\0');
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i);
  write_file(folder / "f", text);
  for (const std::size_t most : {std::size_t{1}, std::size_t{7}, std::size_t{999}}) {
    const FaultySystemCalls calls({.most_bytes = most});
    EXPECT_EQ(all_of(*open_file(folder / "f", FileAccess::pread).value()), text);
  }
}

TEST(PreadFile, W38_AFailedReadIsAnErrorWithItsOffset) {
  const TemporaryFolder folder;
  write_file(folder / "f", std::string(100, 'x'));
  const FaultySystemCalls calls({.fail_at = 2, .error_number = EIO, .only = "pread", .most_bytes = 10});
  const std::shared_ptr<const Source> source = open_file(folder / "f", FileAccess::pread).value();
  std::array<std::byte, 50> out{};
  const Status status = source->read_at(5, out);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::io);
  EXPECT_EQ(to_string(status.error()), (folder / "f").native() + " at 0x19: cannot read: input/output error");
  EXPECT_TRUE(source->read_at(5, out));  // the next one may succeed
}

TEST(PreadFile, Z52_AFileThatShrinksIsNamedWithTheOffsetWhereItEnds) {
  const TemporaryFolder folder;
  write_file(folder / "f", std::string(4096, 'x'));
  const std::shared_ptr<const Source> source = open_file(folder / "f", FileAccess::pread).value();
  std::filesystem::resize_file(folder / "f", 1024);
  std::vector<std::byte> out(2000);
  const Status status = source->read_at(100, out);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::io);
  EXPECT_EQ(status.error().finding.category, Category::changed);
  EXPECT_EQ(status.error().finding.code, "IO-CHANGED");
  EXPECT_EQ(to_string(status.error()),
            (folder / "f").native() + " at 0x400: the file shrank while it was read, expected 4096 bytes, found 1024");
  // Also where the bytes asked for are still there: they may be of another file.
  EXPECT_EQ(source->read_at(0, std::span(out).first(10)).error().finding.category, Category::changed);
}

TEST(PreadFile, Z52_AnEarlyEndIsAnErrorEvenIfTheSizeStaysWhatItWas) {
  const TemporaryFolder folder;
  write_file(folder / "f", std::string(100, 'x'));
  const std::shared_ptr<const Source> source = open_file(folder / "f", FileAccess::pread).value();
  SystemCallsThatEndAtFifty calls;
  std::array<std::byte, 60> out{};
  const Status status = source->read_at(20, out);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().finding.category, Category::changed);
  EXPECT_EQ(to_string(status.error()),
            (folder / "f").native() + " at 0x32: the file ended while it was read, expected 100 bytes");
  EXPECT_TRUE(source->read_at(20, std::span(out).first(30)));
}

TEST(PreadFile, Z52_AFileThatGrowsIsNamed) {
  const TemporaryFolder folder;
  write_file(folder / "f", std::string(100, 'x'));
  const std::shared_ptr<const Source> source = open_file(folder / "f", FileAccess::pread).value();
  std::filesystem::resize_file(folder / "f", 200);
  std::array<std::byte, 10> out{};
  const Status status = source->read_at(0, out);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().finding.category, Category::changed);
  EXPECT_EQ(status.error().finding.message, "the file grew while it was read, expected 100 bytes, found 200");
}

TEST(PreadFile, Z52_AFileThatIsWrittenToInPlaceIsNamed) {
  const TemporaryFolder folder;
  write_file(folder / "f", std::string(100, 'x'));
  const std::shared_ptr<const Source> source = open_file(folder / "f", FileAccess::pread).value();
  std::array<std::byte, 10> out{};
  ASSERT_TRUE(source->read_at(0, out));
  write_file(folder / "f", std::string(100, 'y'));
  // The clock behind the time of modification may tick as slowly as every 4 ms.
  std::filesystem::last_write_time(folder / "f", std::filesystem::file_time_type::clock::now() + std::chrono::hours(1));
  const Status status = source->read_at(0, out);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().finding.category, Category::changed);
  EXPECT_EQ(status.error().finding.message, "the file was written to while it was read");
}

TEST(PreadFile, W38_AFileServerThatForgotTheFileIsAnError) {
  const TemporaryFolder folder;
  write_file(folder / "f", "bytes");
  const std::shared_ptr<const Source> source = open_file(folder / "f", FileAccess::pread).value();
  const FaultySystemCalls calls({.fail_at = 0, .error_number = ESTALE, .only = "fstat"});
  std::array<std::byte, 2> out{};
  const Status status = source->read_at(0, out);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().finding.message, "cannot ask for the file's size: stale file handle");
}

TEST(PreadFile, W10_AReadBeyondTwoGibibytesIsCutIntoCallsTheSystemTakes) {
  const TemporaryFolder folder;
  constexpr std::uint64_t kSize = std::uint64_t{5} << 30;
  write_file(folder / "f", "");
  std::filesystem::resize_file(folder / "f", kSize);  // a hole: takes no room
  static std::vector<std::pair<std::size_t, off_t>> requests;
  requests.clear();
  io::SystemCalls calls = io::real_system_calls();
  calls.pread = [](int, void*, std::size_t count, off_t offset) -> ssize_t {
    requests.emplace_back(count, offset);
    return static_cast<ssize_t>(std::min<std::size_t>(count, 0x7ffff000));  // and touches nothing
  };
  const io::ScopedSystemCalls scope(calls);
  const std::shared_ptr<const Source> source = open_file(folder / "f", FileAccess::pread).value();
  void* const address =
      mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  ASSERT_NE(address, MAP_FAILED);
  EXPECT_TRUE(source->read_at(0, {static_cast<std::byte*>(address), kSize}));
  munmap(address, kSize);
  EXPECT_EQ(requests, (std::vector<std::pair<std::size_t, off_t>>{
                          {0x7ffff000, 0}, {0x7ffff000, 0x7ffff000}, {0x40002000, 0xffffe000}}));
}

TEST(OpenFile, ReadsBeyondFourGibibytes) {
  const TemporaryFolder folder;
  constexpr std::uint64_t kOffset = (std::uint64_t{1} << 32) + 12'345;
  write_file(folder / "f", "");
  std::filesystem::resize_file(folder / "f", kOffset);
  {
    std::ofstream file(folder / "f", std::ios::binary | std::ios::app);
    file << "far away";
  }
  for (const FileAccess access : kBoth) {
    const std::shared_ptr<const Source> source = open_file(folder / "f", access).value();
    EXPECT_EQ(source->size_bytes(), kOffset + 8);
    std::array<std::byte, 8> out{};
    ASSERT_TRUE(source->read_at(kOffset, out));
    EXPECT_EQ(as_text(out), "far away");
  }
}

TEST(PreadFile, MayBeReadFromSeveralThreads) {
  const TemporaryFolder folder;
  std::string text(64 * 1024, '\0');
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i >> 8);
  write_file(folder / "f", text);
  const std::shared_ptr<const Source> source = open_file(folder / "f", FileAccess::pread).value();
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (std::size_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (std::size_t i = 0; i < 500; ++i) {
        const std::size_t offset = (i * 7919 + t * 104729) % (text.size() - 100);
        std::array<std::byte, 100> out{};
        if (!source->read_at(offset, out) || as_text(out) != text.substr(offset, 100)) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong.load(), 0);
}

TEST(CountingSystemCalls, TellsReadBytesFromMappedOnes) {
  const TemporaryFolder folder;
  write_file(folder / "f", std::string(1000, 'x'));
  CountingSystemCalls counting;
  const std::shared_ptr<const Source> read = open_file(folder / "f", FileAccess::pread).value();
  std::array<std::byte, 100> out{};
  ASSERT_TRUE(read->read_at(0, out));
  ASSERT_TRUE(read->read_at(500, out));
  EXPECT_EQ(counting.counts().opens, 1U);
  EXPECT_EQ(counting.counts().preads, 2U);
  EXPECT_EQ(counting.counts().pread_bytes, 200U);
  EXPECT_EQ(counting.counts().mmap_bytes, 0U);
  counting.reset();
  const std::shared_ptr<const Source> mapped = open_file(folder / "f", FileAccess::mapped).value();
  ASSERT_TRUE(mapped->read_at(0, out));
  EXPECT_EQ(counting.counts().preads, 0U);
  EXPECT_EQ(counting.counts().mmaps, 1U);
  EXPECT_EQ(counting.counts().mmap_bytes, 1000U);
}

}  // namespace
}  // namespace rushlight
