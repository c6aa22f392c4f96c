// An open file, closed when it goes.
#pragma once

#include <cerrno>
#include <utility>

#include "io/system_calls.hpp"

namespace rushlight::io {

class FileDescriptor {
 public:
  FileDescriptor() noexcept = default;
  explicit FileDescriptor(int fd) noexcept : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    if (this != &other) {
      close();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  ~FileDescriptor() { close(); }

  [[nodiscard]] int get() const noexcept { return fd_; }
  [[nodiscard]] bool is_open() const noexcept { return fd_ >= 0; }

  // 0, or the errno of close(2), which may be the first news of a failed write (NFS, quotas). EINTR is success: on
  // Linux the descriptor is gone then, and trying again could close somebody else's.
  int close() noexcept {
    if (fd_ < 0) return 0;
    const int result = system_calls().close(std::exchange(fd_, -1));
    return result == 0 || errno == EINTR ? 0 : errno;
  }

 private:
  int fd_ = -1;
};

}  // namespace rushlight::io
