// An operating system that fails on demand: any call, at any time, with any errno; and one that does things by halves.
// Needs layer io.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "io/system_calls.hpp"

namespace rushlight::test {

// Installed from its construction to its destruction; one at a time, one thread.
class FaultySystemCalls {
 public:
  struct Plan {
    int fail_at = -1;                          // the call to fail, counted from 0 over all calls; -1 for none
    int error_number = 0;                      // its errno; EINTR and all else alike
    int failures = 1;                          // how many calls in a row, from fail_at on
    const char* only = nullptr;                // counts and fails calls of this name alone
    std::size_t most_bytes = ~std::size_t{0};  // a pread or write moves no more
    bool writes_nothing = false;               // write returns 0
    bool full_when_reserved = false;           // others take all room that fallocate left: write gets what was reserved
    std::optional<std::size_t> flip_byte{};    // the byte, of all that is written, in which a bit is another one
    bool really_syncs = true;                  // false: fsync says yes at once, for tests of thousands of writes
  };

  explicit FaultySystemCalls(Plan plan) {
    state() = State{};
    state().plan = plan;
    scope_.emplace(table());
  }

  // The calls so far, by name, the failed ones too.
  [[nodiscard]] const std::vector<std::string>& log() const { return state().log; }
  [[nodiscard]] int count() const { return state().seen; }
  // What fallocate was asked for last, though it failed.
  [[nodiscard]] std::uint64_t reserved_bytes() const { return state().reserved_bytes; }
  // The name of the call that failed first; empty when none did.
  [[nodiscard]] const std::string& failed_call() const { return state().failed; }

 private:
  struct State {
    Plan plan;
    int seen = 0;
    std::vector<std::string> log;
    std::string failed;
    std::uint64_t reserved_bytes = 0;
    std::map<int, std::size_t> reserved;  // of a descriptor, and not written yet
    std::size_t written_bytes = 0;
  };
  static State& state() {
    static State state;
    return state;
  }

  static bool fails(const char* name) {
    State& s = state();
    s.log.emplace_back(name);
    if (s.plan.only != nullptr && s.log.back() != s.plan.only) return false;
    const int index = s.seen++;
    if (s.plan.fail_at < 0 || index < s.plan.fail_at || index >= s.plan.fail_at + s.plan.failures) return false;
    if (s.failed.empty()) s.failed = name;
    errno = s.plan.error_number;
    return true;
  }

  static ssize_t written(int fd, const std::byte* bytes, std::size_t count) {
    State& s = state();
    std::size_t& reserved = s.reserved[fd];
    if (s.plan.full_when_reserved && count > 0) {
      count = std::min(count, reserved);
      if (count == 0) {
        if (s.failed.empty()) s.failed = "write";
        errno = ENOSPC;
        return -1;
      }
    }
    std::vector<std::byte> flipped;
    if (s.plan.flip_byte && *s.plan.flip_byte >= s.written_bytes && *s.plan.flip_byte < s.written_bytes + count) {
      flipped.assign(bytes, bytes + count);
      flipped[*s.plan.flip_byte - s.written_bytes] ^= std::byte{1} << (*s.plan.flip_byte % 8);
      bytes = flipped.data();
    }
    const ssize_t moved = io::real_system_calls().write(fd, bytes, count);
    if (moved > 0) {
      s.written_bytes += static_cast<std::size_t>(moved);
      reserved -= std::min(reserved, static_cast<std::size_t>(moved));
    }
    return moved;
  }

  static const io::SystemCalls& table() {
    static const io::SystemCalls calls = [] {
      io::SystemCalls c{};
      c.stat = [](const char* path, struct stat* out) {
        return fails("stat") ? -1 : io::real_system_calls().stat(path, out);
      };
      c.open = [](const char* path, int flags) {
        return fails("open") ? -1 : io::real_system_calls().open(path, flags);
      };
      // The descriptor is gone whatever close says, as on Linux.
      c.close = [](int fd) {
        state().reserved.erase(fd);
        const bool failed = fails("close");
        const int error_number = errno;
        const int result = io::real_system_calls().close(fd);
        if (!failed) return result;
        errno = error_number;
        return -1;
      };
      c.fstat = [](int fd, struct stat* out) { return fails("fstat") ? -1 : io::real_system_calls().fstat(fd, out); };
      c.pread = [](int fd, void* buffer, std::size_t count, off_t offset) -> ssize_t {
        if (fails("pread")) return -1;
        return io::real_system_calls().pread(fd, buffer, std::min(count, state().plan.most_bytes), offset);
      };
      c.mmap = [](void* address, std::size_t length, int protection, int flags, int fd, off_t offset) {
        return fails("mmap") ? MAP_FAILED
                             : io::real_system_calls().mmap(address, length, protection, flags, fd, offset);
      };
      c.munmap = [](void* address, std::size_t length) {
        return fails("munmap") ? -1 : io::real_system_calls().munmap(address, length);
      };
      c.openat = [](int folder, const char* name, int flags, unsigned mode) {
        return fails("openat") ? -1 : io::real_system_calls().openat(folder, name, flags, mode);
      };
      c.readlinkat = [](int folder, const char* name, char* buffer, std::size_t count) -> ssize_t {
        return fails("readlinkat") ? -1 : io::real_system_calls().readlinkat(folder, name, buffer, count);
      };
      c.fstatat = [](int folder, const char* name, struct stat* out, int flags) {
        return fails("fstatat") ? -1 : io::real_system_calls().fstatat(folder, name, out, flags);
      };
      c.fallocate = [](int fd, off_t size_bytes) {
        state().reserved_bytes = static_cast<std::uint64_t>(size_bytes);
        if (fails("fallocate")) return -1;
        state().reserved[fd] = static_cast<std::size_t>(size_bytes);
        return io::real_system_calls().fallocate(fd, size_bytes);
      };
      c.write = [](int fd, const void* buffer, std::size_t count) -> ssize_t {
        if (fails("write")) return -1;
        if (state().plan.writes_nothing) return 0;
        return written(fd, static_cast<const std::byte*>(buffer), std::min(count, state().plan.most_bytes));
      };
      c.fchown = [](int fd, uid_t owner, gid_t group) {
        return fails("fchown") ? -1 : io::real_system_calls().fchown(fd, owner, group);
      };
      c.fchmod = [](int fd, unsigned mode) { return fails("fchmod") ? -1 : io::real_system_calls().fchmod(fd, mode); };
      c.fsync = [](int fd) {
        if (fails("fsync")) return -1;
        return state().plan.really_syncs ? io::real_system_calls().fsync(fd) : 0;
      };
      c.renameat = [](int from_folder, const char* from, int to_folder, const char* to) {
        return fails("renameat") ? -1 : io::real_system_calls().renameat(from_folder, from, to_folder, to);
      };
      c.renameat_noreplace = [](int from_folder, const char* from, int to_folder, const char* to) {
        return fails("renameat_noreplace")
                   ? -1
                   : io::real_system_calls().renameat_noreplace(from_folder, from, to_folder, to);
      };
      c.linkat = [](int from_folder, const char* from, int to_folder, const char* to) {
        return fails("linkat") ? -1 : io::real_system_calls().linkat(from_folder, from, to_folder, to);
      };
      c.ftruncate = [](int fd, off_t size_bytes) {
        return fails("ftruncate") ? -1 : io::real_system_calls().ftruncate(fd, size_bytes);
      };
      c.flistxattr = [](int fd, char* names, std::size_t count) {
        return fails("flistxattr") ? -1 : io::real_system_calls().flistxattr(fd, names, count);
      };
      c.fgetxattr = [](int fd, const char* name, void* value, std::size_t count) {
        return fails("fgetxattr") ? -1 : io::real_system_calls().fgetxattr(fd, name, value, count);
      };
      c.fsetxattr = [](int fd, const char* name, const void* value, std::size_t count) {
        return fails("fsetxattr") ? -1 : io::real_system_calls().fsetxattr(fd, name, value, count);
      };
      c.fremovexattr = [](int fd, const char* name) {
        return fails("fremovexattr") ? -1 : io::real_system_calls().fremovexattr(fd, name);
      };
      c.unlinkat = [](int folder, const char* name) {
        return fails("unlinkat") ? -1 : io::real_system_calls().unlinkat(folder, name);
      };
      c.getrandom = [](void* buffer, std::size_t count) -> ssize_t {
        return fails("getrandom") ? -1 : io::real_system_calls().getrandom(buffer, count);
      };
      return c;
    }();
    return calls;
  }

  std::optional<io::ScopedSystemCalls> scope_;
};

}  // namespace rushlight::test
