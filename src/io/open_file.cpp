// Files as Sources: mapped, or read piece by piece.
#include <fcntl.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <memory>
#include <new>
#include <system_error>
#include <utility>
#include <vector>

#include "base/fail.hpp"
#include "base/no_memory.hpp"
#include "base/quote.hpp"
#include "base/source_range.hpp"
#include "io/file_descriptor.hpp"
#include "io/io_error.hpp"
#include "io/system_calls.hpp"
#include "rushlight/source.hpp"

namespace rushlight {
namespace {

using io::FileDescriptor;
using io::system_calls;
using io::system_error;
using io::uninterrupted;

// Linux moves at most this much in one call (read(2), notes).
constexpr std::size_t kMostPerCall = 0x7ffff000;

// What tells that a file was written to: its size and the time of its last modification.
struct FileState {
  std::uint64_t size_bytes = 0;
  std::int64_t modified_seconds = 0;
  std::int64_t modified_nanoseconds = 0;

  static FileState of(const struct stat& status) noexcept {
    return {static_cast<std::uint64_t>(status.st_size), status.st_mtim.tv_sec, status.st_mtim.tv_nsec};
  }
  bool operator==(const FileState&) const = default;
};

class PreadFile final : public Source {
 public:
  PreadFile(FileDescriptor file, FileState state, std::string path) noexcept
      : file_(std::move(file)), state_(state), path_(std::move(path)) {}

  [[nodiscard]] std::uint64_t size_bytes() const noexcept override { return state_.size_bytes; }

  Status read_at(std::uint64_t offset, std::span<std::byte> out) const override {
    RUSHLIGHT_TRY(check_range(*this, offset, out.size()));
    std::size_t done = 0;
    while (done < out.size()) {
      const std::size_t wanted = std::min(out.size() - done, kMostPerCall);
      const ssize_t got = uninterrupted([&] {
        return system_calls().pread(file_.get(), out.data() + done, wanted, static_cast<off_t>(offset + done));
      });
      if (got < 0) {
        Error error = system_error("IO-READ", "cannot read", errno, path_);
        error.finding.offset = offset + done;
        return error;
      }
      if (got == 0) return changed(offset + done);
      done += static_cast<std::size_t>(got);
    }
    return check_unchanged();
  }

  [[nodiscard]] std::string_view name() const noexcept override { return path_; }

 private:
  // A file that somebody writes to gives a mixture of old and new bytes, which no checksum may have seen together.
  // Asking after each read costs a fraction of the read.
  Status check_unchanged() const {
    struct stat status {};
    if (uninterrupted([&] { return system_calls().fstat(file_.get(), &status); }) != 0) {
      return system_error("IO-STAT", "cannot ask for the file's size", errno, path_);
    }
    if (FileState::of(status) == state_) return {};
    return changed(std::nullopt);
  }

  Error changed(std::optional<std::uint64_t> offset) const {
    std::string message =
        offset ? "the file ended while it was read, expected " + std::to_string(state_.size_bytes) + " bytes"
               : std::string("the file was written to while it was read");
    struct stat status {};
    if (uninterrupted([&] { return system_calls().fstat(file_.get(), &status); }) == 0) {
      const std::uint64_t found = FileState::of(status).size_bytes;
      if (found != state_.size_bytes) {
        message = std::string("the file ") + (found < state_.size_bytes ? "shrank" : "grew") +
                  " while it was read, expected " + std::to_string(state_.size_bytes) + " bytes, found " +
                  std::to_string(found);
        if (!offset) offset = std::min(found, state_.size_bytes);
      }
    }
    return with_file(
        Error::of(
            {.category = Category::changed, .code = "IO-CHANGED", .message = std::move(message), .offset = offset}),
        path_);
  }

  FileDescriptor file_;
  FileState state_;
  std::string path_;
};

// Null for a regular file.
const char* name_of_special_file(mode_t mode) noexcept {
  if (S_ISREG(mode)) return nullptr;
  if (S_ISDIR(mode)) return "a directory";
  if (S_ISFIFO(mode)) return "a FIFO";
  if (S_ISSOCK(mode)) return "a socket";
  if (S_ISCHR(mode)) return "a character device";
  if (S_ISBLK(mode)) return "a block device";
  return "neither a file nor a directory";
}

Status check_regular(const struct stat& status, const std::string& path) {
  const char* special = name_of_special_file(status.st_mode);
  if (special == nullptr) return {};
  return with_file(Error::of({.category = Category::io,
                              .code = "IO-NOT-A-FILE",
                              .message = std::string("expected a regular file, found ") + special,
                              .found = special,
                              .expected = "a regular file"}),
                   path);
}

// Names in the same folder that the caller may have meant. Only ever a hint, so whatever fails here is passed over.
std::string did_you_mean(const std::filesystem::path& path) {
  constexpr std::size_t kMostNames = 4096;
  std::error_code failed;
  const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  std::vector<std::string> names;
  for (std::filesystem::directory_iterator entry(folder, failed), end; !failed && entry != end;
       entry.increment(failed)) {
    names.push_back(entry->path().filename().native());
    if (names.size() == kMostNames) break;
  }
  std::sort(names.begin(), names.end());
  const std::vector<std::string> close = nearest(path.filename().native(), names, 1);
  if (close.empty()) return {};
  const std::filesystem::path suggestion =
      path.has_parent_path() ? path.parent_path() / close.front() : std::filesystem::path(close.front());
  return "did you mean " + quoted(suggestion.native(), 4096) + "?";
}

Error cannot_open(int error_number, const std::filesystem::path& path) {
  Error error = system_error(error_number == ENOENT || error_number == ENOTDIR ? "IO-NOT-FOUND" : "IO-OPEN",
                             "cannot open", error_number, path.native());
  if (error_number == ENOENT) error.finding.hint = did_you_mean(path);
  return error;
}

// Files of /proc and /sys say 0 and then have bytes: what they hold can be neither mapped nor read at random.
Status check_really_empty(const FileDescriptor& file, const std::string& path) {
  std::byte first{};
  const ssize_t got = uninterrupted([&] { return system_calls().pread(file.get(), &first, 1, 0); });
  if (got < 0) return system_error("IO-READ", "cannot read", errno, path);
  if (got == 0) return {};
  return with_file(Error::of({.category = Category::io,
                              .code = "IO-NO-SIZE",
                              .message = "the file has bytes, but says its size is 0",
                              .hint = "copy it to a regular file first"}),
                   path);
}

Result<std::shared_ptr<const Source>> map_file(FileDescriptor file, FileState state, const std::string& path) {
  if (state.size_bytes == 0) return Source::from_memory({}, path);
  if (state.size_bytes > std::numeric_limits<std::size_t>::max()) {
    return system_error("IO-MAP", "cannot map the file", EFBIG, path);
  }
  const auto size = static_cast<std::size_t>(state.size_bytes);
  // No MAP_POPULATE (it halves the speed of a first pass) and no advice: the kernel's own read-ahead suits a pass over
  // all bytes, and its fault-around suits single headers.
  void* const bytes = system_calls().mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (bytes == MAP_FAILED) {
    const int error_number = errno;
    // Some network and FUSE file systems cannot map; reading gives the same bytes.
    if (error_number == ENODEV) return std::make_shared<PreadFile>(std::move(file), state, path);
    return system_error("IO-MAP", "cannot map the file", error_number, path);
  }
  std::shared_ptr<const void> mapping(bytes, [size](void* begin) { system_calls().munmap(begin, size); });
  return Source::from_memory({static_cast<const std::byte*>(bytes), size}, path, std::move(mapping));
}

}  // namespace

Result<std::shared_ptr<const Source>> open_file(const std::filesystem::path& path, FileAccess access) {
  return or_no_memory([&]() -> Result<std::shared_ptr<const Source>> {
    const std::string& name = path.native();
    if (name.find('\0') != std::string::npos) {
      return with_file(
          Error::of({.category = Category::argument, .code = "IO-PATH", .message = "the path holds a NUL character"}),
          name);
    }
    // Asked before the file is opened, because opening a FIFO can wait and opening a device can act.
    struct stat status {};
    if (uninterrupted([&] { return system_calls().stat(name.c_str(), &status); }) != 0) return cannot_open(errno, path);
    RUSHLIGHT_TRY(check_regular(status, name));
    // O_NONBLOCK: should a FIFO have taken the file's place meanwhile, this still does not wait for a writer.
    const int fd =
        uninterrupted([&] { return system_calls().open(name.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); });
    if (fd < 0) return cannot_open(errno, path);
    FileDescriptor file(fd);
    if (uninterrupted([&] { return system_calls().fstat(file.get(), &status); }) != 0) {
      return system_error("IO-STAT", "cannot ask for the file's size", errno, name);
    }
    RUSHLIGHT_TRY(check_regular(status, name));
    const FileState state = FileState::of(status);
    if (state.size_bytes == 0) RUSHLIGHT_TRY(check_really_empty(file, name));
    if (access == FileAccess::mapped) return map_file(std::move(file), state, name);
    return std::make_shared<PreadFile>(std::move(file), state, name);
  });
}

}  // namespace rushlight
