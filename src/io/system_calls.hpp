// The only place that asks the operating system for files. Every call goes through a table, so that tests can make any
// call fail and count every byte requested.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>

namespace rushlight::io {

// Each member behaves as the POSIX call of its name, errno included.
struct SystemCalls {
  int (*stat)(const char* path, struct stat* out);
  int (*open)(const char* path, int flags);
  int (*close)(int fd);
  int (*fstat)(int fd, struct stat* out);
  ssize_t (*pread)(int fd, void* buffer, std::size_t count, off_t offset);
  void* (*mmap)(void* address, std::size_t length, int protection, int flags, int fd, off_t offset);
  int (*munmap)(void* address, std::size_t length);
  // Writing a file beside another one: every name is relative to the open folder.
  int (*openat)(int folder, const char* name, int flags, unsigned mode);
  ssize_t (*readlinkat)(int folder, const char* name, char* buffer, std::size_t count);
  int (*fstatat)(int folder, const char* name, struct stat* out, int flags);
  int (*fallocate)(int fd, off_t size_bytes);  // as fallocate(2) with mode 0; EOPNOTSUPP where there is none
  ssize_t (*write)(int fd, const void* buffer, std::size_t count);
  int (*fchown)(int fd, uid_t owner, gid_t group);
  int (*fchmod)(int fd, unsigned mode);
  int (*fsync)(int fd);
  int (*renameat)(int from_folder, const char* from, int to_folder, const char* to);
  // As renameat2(2) with RENAME_NOREPLACE; ENOSYS where there is none, EINVAL where the file system has none.
  int (*renameat_noreplace)(int from_folder, const char* from, int to_folder, const char* to);
  int (*linkat)(int from_folder, const char* from, int to_folder, const char* to);
  int (*unlinkat)(int folder, const char* name);
  int (*ftruncate)(int fd, off_t size_bytes);
  // Extended attributes, as Linux has them; EOPNOTSUPP elsewhere.
  ssize_t (*flistxattr)(int fd, char* names, std::size_t count);
  ssize_t (*fgetxattr)(int fd, const char* name, void* value, std::size_t count);
  int (*fsetxattr)(int fd, const char* name, const void* value, std::size_t count);
  int (*fremovexattr)(int fd, const char* name);
  ssize_t (*getrandom)(void* buffer, std::size_t count);
};

// The table in use. Tests swap it before any other thread runs; the library itself never writes it.
const SystemCalls& system_calls() noexcept;
const SystemCalls& real_system_calls() noexcept;

// Repeats a call that a signal interrupted: file servers (NFS, FUSE) let signals through where
// local file systems do not.
template <class Call>
auto uninterrupted(const Call& call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

// RAII for tests: installs a table, puts the old one back.
class ScopedSystemCalls {
 public:
  explicit ScopedSystemCalls(const SystemCalls& calls) noexcept;
  ~ScopedSystemCalls();
  ScopedSystemCalls(const ScopedSystemCalls&) = delete;
  ScopedSystemCalls& operator=(const ScopedSystemCalls&) = delete;

 private:
  const SystemCalls* previous_;
};

}  // namespace rushlight::io
