// How many bytes the library asks the operating system for. Needs layer io.
#pragma once

#include <sys/mman.h>

#include <atomic>
#include <cstdint>
#include <optional>

#include "io/system_calls.hpp"

namespace rushlight::test {

struct SystemCallCounts {
  std::uint64_t opens = 0;  // files and folders
  std::uint64_t preads = 0;
  std::uint64_t pread_bytes = 0;  // as requested, not as delivered
  std::uint64_t mmaps = 0;
  std::uint64_t mmap_bytes = 0;  // as mapped; only the pages that are touched are ever read
  std::uint64_t writes = 0;
  std::uint64_t written_bytes = 0;
};

// Counts from its construction to its destruction; one at a time.
class CountingSystemCalls {
 public:
  CountingSystemCalls() {
    reset();
    calls_ = io::real_system_calls();
    calls_.open = [](const char* path, int flags) {
      ++totals().opens;
      return io::real_system_calls().open(path, flags);
    };
    calls_.pread = [](int fd, void* buffer, std::size_t count, off_t offset) {
      ++totals().preads;
      totals().pread_bytes += count;
      return io::real_system_calls().pread(fd, buffer, count, offset);
    };
    calls_.mmap = [](void* address, std::size_t length, int protection, int flags, int fd, off_t offset) {
      ++totals().mmaps;
      totals().mmap_bytes += length;
      return io::real_system_calls().mmap(address, length, protection, flags, fd, offset);
    };
    calls_.write = [](int fd, const void* buffer, std::size_t count) {
      ++totals().writes;
      const ssize_t written = io::real_system_calls().write(fd, buffer, count);
      if (written > 0) totals().written_bytes += static_cast<std::uint64_t>(written);
      return written;
    };
    scope_.emplace(calls_);
  }

  [[nodiscard]] SystemCallCounts counts() const {
    const Totals& t = totals();
    return {t.opens, t.preads, t.pread_bytes, t.mmaps, t.mmap_bytes, t.writes, t.written_bytes};
  }
  void reset() {
    Totals& t = totals();
    for (std::atomic<std::uint64_t>* total :
         {&t.opens, &t.preads, &t.pread_bytes, &t.mmaps, &t.mmap_bytes, &t.writes, &t.written_bytes}) {
      *total = 0;
    }
  }

 private:
  // The table holds plain functions, which have nowhere else to count.
  struct Totals {
    std::atomic<std::uint64_t> opens, preads, pread_bytes, mmaps, mmap_bytes, writes, written_bytes;
  };
  static Totals& totals() {
    static Totals totals{};
    return totals;
  }

  io::SystemCalls calls_;
  std::optional<io::ScopedSystemCalls> scope_;
};

}  // namespace rushlight::test
