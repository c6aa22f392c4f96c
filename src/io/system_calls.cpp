#include "io/system_calls.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <sys/xattr.h>
#endif

#include <atomic>
#include <cerrno>
#include <cstdio>

namespace rushlight::io {
namespace {

int call_fallocate([[maybe_unused]] int fd, [[maybe_unused]] off_t size_bytes) {
#if defined(__linux__)
  return ::fallocate(fd, 0, 0, size_bytes);
#else
  errno = EOPNOTSUPP;
  return -1;
#endif
}

int call_renameat_noreplace([[maybe_unused]] int from_folder, [[maybe_unused]] const char* from,
                            [[maybe_unused]] int to_folder, [[maybe_unused]] const char* to) {
#if defined(__linux__) && defined(SYS_renameat2)
  constexpr unsigned kNoReplace = 1;  // RENAME_NOREPLACE, which older C libraries do not name
  return static_cast<int>(::syscall(SYS_renameat2, from_folder, from, to_folder, to, kNoReplace));
#else
  errno = ENOSYS;
  return -1;
#endif
}

#if defined(__linux__)
ssize_t call_flistxattr(int fd, char* names, std::size_t count) {
  return ::flistxattr(fd, names, count);
}
ssize_t call_fgetxattr(int fd, const char* name, void* value, std::size_t count) {
  return ::fgetxattr(fd, name, value, count);
}
int call_fsetxattr(int fd, const char* name, const void* value, std::size_t count) {
  return ::fsetxattr(fd, name, value, count, 0);
}
int call_fremovexattr(int fd, const char* name) {
  return ::fremovexattr(fd, name);
}
#else
int no_attributes() {
  errno = EOPNOTSUPP;
  return -1;
}
ssize_t call_flistxattr(int, char*, std::size_t) {
  return no_attributes();
}
ssize_t call_fgetxattr(int, const char*, void*, std::size_t) {
  return no_attributes();
}
int call_fsetxattr(int, const char*, const void*, std::size_t) {
  return no_attributes();
}
int call_fremovexattr(int, const char*) {
  return no_attributes();
}
#endif

constexpr SystemCalls kReal{
    .stat = [](const char* path, struct stat* out) { return ::stat(path, out); },
    .open = [](const char* path, int flags) { return ::open(path, flags); },
    .close = [](int fd) { return ::close(fd); },
    .fstat = [](int fd, struct stat* out) { return ::fstat(fd, out); },
    .pread = [](int fd, void* buffer, std::size_t count, off_t offset) { return ::pread(fd, buffer, count, offset); },
    .mmap = [](void* address, std::size_t length, int protection, int flags, int fd,
               off_t offset) { return ::mmap(address, length, protection, flags, fd, offset); },
    .munmap = [](void* address, std::size_t length) { return ::munmap(address, length); },
    .openat = [](int folder, const char* name, int flags,
                 unsigned mode) { return ::openat(folder, name, flags, static_cast<mode_t>(mode)); },
    .readlinkat = [](int folder, const char* name, char* buffer,
                     std::size_t count) { return ::readlinkat(folder, name, buffer, count); },
    .fstatat = [](int folder, const char* name, struct stat* out,
                  int flags) { return ::fstatat(folder, name, out, flags); },
    .fallocate = call_fallocate,
    .write = [](int fd, const void* buffer, std::size_t count) { return ::write(fd, buffer, count); },
    .fchown = [](int fd, uid_t owner, gid_t group) { return ::fchown(fd, owner, group); },
    .fchmod = [](int fd, unsigned mode) { return ::fchmod(fd, static_cast<mode_t>(mode)); },
    .fsync = [](int fd) { return ::fsync(fd); },
    .renameat = [](int from_folder, const char* from, int to_folder,
                   const char* to) { return ::renameat(from_folder, from, to_folder, to); },
    .renameat_noreplace = call_renameat_noreplace,
    .linkat = [](int from_folder, const char* from, int to_folder,
                 const char* to) { return ::linkat(from_folder, from, to_folder, to, 0); },
    .unlinkat = [](int folder, const char* name) { return ::unlinkat(folder, name, 0); },
    .ftruncate = [](int fd, off_t size_bytes) { return ::ftruncate(fd, size_bytes); },
    .flistxattr = call_flistxattr,
    .fgetxattr = call_fgetxattr,
    .fsetxattr = call_fsetxattr,
    .fremovexattr = call_fremovexattr,
    .getrandom = [](void* buffer, std::size_t count) { return ::getrandom(buffer, count, 0); },
};

// The one mutable global of the library, and only tests write it: passing a table through every public function that
// opens a file would put this seam into the public face.
constinit std::atomic<const SystemCalls*> current{&kReal};

}  // namespace

const SystemCalls& system_calls() noexcept {
  return *current.load(std::memory_order_acquire);
}
const SystemCalls& real_system_calls() noexcept {
  return kReal;
}

ScopedSystemCalls::ScopedSystemCalls(const SystemCalls& calls) noexcept : previous_(current.exchange(&calls)) {}
ScopedSystemCalls::~ScopedSystemCalls() {
  current.store(previous_);
}

}  // namespace rushlight::io
