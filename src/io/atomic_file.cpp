#include "io/atomic_file.hpp"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/checked.hpp"
#include "base/fail.hpp"
#include "base/quote.hpp"
#include "io/file_descriptor.hpp"
#include "io/io_error.hpp"
#include "io/system_calls.hpp"

namespace rushlight::io {
namespace {

// Linux moves at most this much in one call (write(2), notes).
constexpr std::size_t kMostPerCall = 0x7ffff000;
// Small pieces (zip headers, padding) are gathered, so that 20,000 records do not cost 60,000 calls.
constexpr std::size_t kGatheredBytes = std::size_t{256} << 10;
constexpr int kMostLinks = 40;  // as the kernel's own path walk
constexpr int kMostNames = 100;

// Repeats a call that a signal interrupted.
template <class Call>
auto uninterrupted(const Call& call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

// Where the file really goes: an open folder and a name in it that is no symbolic link.
struct Target {
  FileDescriptor folder;
  std::string name;
  std::optional<struct stat> existing;
};

Result<FileDescriptor> open_folder(const std::filesystem::path& folder, const std::string& path) {
  const std::string& name = folder.empty() ? std::string(".") : folder.native();
  const int fd =
      uninterrupted([&] { return system_calls().open(name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK); });
  if (fd < 0) return system_error("IO-FOLDER", "cannot open the folder " + quoted(name, 4096), errno, path);
  return FileDescriptor(fd);
}

Result<Target> find_target(std::filesystem::path path) {
  const std::string original = path.native();
  if (original.find('\0') != std::string::npos) {
    return with_file(
        Error::of({.category = Category::argument, .code = "IO-PATH", .message = "the path holds a NUL character"}),
        original);
  }
  for (int links = 0; links <= kMostLinks; ++links) {
    const std::string name = path.filename().native();
    if (name.empty() || name == "." || name == "..") {
      return with_file(
          Error::of({.category = Category::argument, .code = "IO-PATH", .message = "the path does not name a file"}),
          original);
    }
    RUSHLIGHT_TRY_ASSIGN(FileDescriptor folder, open_folder(path.parent_path(), original));
    struct stat status {};
    if (system_calls().fstatat(folder.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno != ENOENT) return system_error("IO-STAT", "cannot look at the old file", errno, original);
      return Target{std::move(folder), name, std::nullopt};
    }
    if (S_ISREG(status.st_mode)) return Target{std::move(folder), name, status};
    if (!S_ISLNK(status.st_mode)) {
      return with_file(Error::of({.category = Category::io,
                                  .code = "IO-NOT-A-FILE",
                                  .message = std::string("only a regular file can be replaced, found ") +
                                             (S_ISDIR(status.st_mode) ? "a directory" : "a device, FIFO or socket")}),
                       original);
    }
    std::array<char, 4096> link{};
    const ssize_t length = system_calls().readlinkat(folder.get(), name.c_str(), link.data(), link.size());
    if (length < 0) return system_error("IO-LINK", "cannot read the symbolic link", errno, original);
    if (static_cast<std::size_t>(length) == link.size()) {
      return system_error("IO-LINK", "cannot read the symbolic link", ENAMETOOLONG, original);
    }
    path = path.parent_path() / std::string_view(link.data(), static_cast<std::size_t>(length));
  }
  return system_error("IO-LINK", "cannot follow the symbolic link", ELOOP, original);
}

// The new file under a name of its own, removed again unless it was renamed.
class TemporaryFile {
 public:
  TemporaryFile(const Target& target, const std::string& path) noexcept : target_(target), path_(path) {}
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile() {
    if (!name_.empty()) static_cast<void>(remove());
  }

  Status create() {
    // Never wider than the old file, not even for a moment; a new file's permissions are the umask's business (and that
    // of a default ACL), which only the kernel knows.
    const unsigned mode = target_.existing ? 0600 : 0666;
    for (int attempt = 0; attempt < kMostNames; ++attempt) {
      RUSHLIGHT_TRY_ASSIGN(std::string name, random_name());
      const int fd = uninterrupted([&] {
        return system_calls().openat(target_.folder.get(), name.c_str(),
                                     O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
      });
      if (fd >= 0) {
        file_ = FileDescriptor(fd);
        name_ = std::move(name);
        return {};
      }
      if (errno != EEXIST) return failed("IO-CREATE", "cannot create a temporary file in the folder", errno);
    }
    return failed("IO-CREATE", "cannot create a temporary file in the folder", EEXIST);
  }

  // Room for all of it, so that a full disk is found before the work. A file system without fallocate finds it later.
  Status reserve(std::uint64_t size_bytes) {
    if (size_bytes == 0) return {};
    const int result =
        uninterrupted([&] { return system_calls().fallocate(file_.get(), static_cast<off_t>(size_bytes)); });
    if (result == 0 || errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL) return {};
    return failed("IO-SPACE", "cannot reserve " + std::to_string(size_bytes) + " bytes", errno);
  }

  Status write(ByteSpan bytes) {
    while (!bytes.empty()) {
      const std::size_t wanted = std::min(bytes.size(), kMostPerCall);
      const ssize_t written = uninterrupted([&] { return system_calls().write(file_.get(), bytes.data(), wanted); });
      // A write of 0 bytes would repeat for ever.
      if (written <= 0) {
        Error error = failed("IO-WRITE", "cannot write", written < 0 ? errno : EIO);
        error.finding.offset = written_bytes_;
        return error;
      }
      bytes = bytes.subspan(static_cast<std::size_t>(written));
      written_bytes_ += static_cast<std::uint64_t>(written);
    }
    return {};
  }

  Status finish() {
    if (target_.existing) RUSHLIGHT_TRY(take_over(*target_.existing));
    // A failure is final: after it the kernel counts the lost pages as clean, and a second fsync would find nothing to
    // complain about (Rebello et al., ATC '20).
    if (uninterrupted([&] { return system_calls().fsync(file_.get()); }) != 0) {
      return failed("IO-SYNC", "cannot sync the new file to the disk", errno);
    }
    if (const int error_number = file_.close(); error_number != 0) {
      return failed("IO-CLOSE", "cannot close the new file", error_number);
    }
    const int folder = target_.folder.get();
    if (system_calls().renameat(folder, name_.c_str(), folder, target_.name.c_str()) != 0) {
      return failed("IO-RENAME", "cannot rename the new file over the old one", errno);
    }
    name_.clear();
    return {};
  }

 private:
  // Owner and permissions of the old file, never wider: where the group cannot be kept, it loses its rights.
  Status take_over(const struct stat& old) {
    struct stat made {};
    if (system_calls().fstat(file_.get(), &made) != 0) return failed("IO-STAT", "cannot look at the new file", errno);
    unsigned mode = static_cast<unsigned>(old.st_mode) & 0777U;
    if (made.st_uid != old.st_uid || made.st_gid != old.st_gid) {
      const auto keep_uid = static_cast<uid_t>(-1);
      if (system_calls().fchown(file_.get(), old.st_uid, old.st_gid) != 0 &&
          system_calls().fchown(file_.get(), keep_uid, old.st_gid) != 0) {
        mode &= ~070U;
      }
    }
    if (system_calls().fchmod(file_.get(), mode) != 0) {
      return failed("IO-MODE", "cannot give the new file the old one's permissions", errno);
    }
    return {};
  }

  Error failed(std::string_view code, std::string_view what, int error_number) {
    Error error = system_error(code, what, error_number, path_);
    // A folder that vanished on the way is a failure of the system, not a name the caller got wrong.
    if (error.code == ErrorCode::not_found) error.code = ErrorCode::io;
    if (!name_.empty()) {
      // Here and not in the destructor, because a temporary that stays behind must be named.
      const int removal = remove();
      if (removal != 0) {
        error.finding.hint =
            "the temporary file " + quoted(name_, 300) + " could not be removed: " + errno_text(removal);
      }
      name_.clear();
    }
    return error;
  }

  int remove() noexcept {
    static_cast<void>(file_.close());
    return system_calls().unlinkat(target_.folder.get(), name_.c_str()) == 0 || errno == ENOENT ? 0 : errno;
  }

  // ".model.pt.3f09a1c2d4e5b607.tmp". Random, so that writers of one file do not meet; O_EXCL is what makes it safe.
  Result<std::string> random_name() {
    constexpr std::size_t kLongestStem = 200;  // of the 255 bytes a name may have
    std::array<std::byte, 8> random{};
    const ssize_t got = uninterrupted([&] { return system_calls().getrandom(random.data(), random.size()); });
    if (got < 0) return failed("IO-RANDOM", "cannot get a random name", errno);
    const auto bits = load_le<std::uint64_t>(random.data());
    std::string digits = hex(bits).substr(2);
    digits.insert(0, 16 - digits.size(), '0');
    std::string name(1, '.');
    name.append(target_.name, 0, kLongestStem).append(1, '.').append(digits).append(".tmp");
    return name;
  }

  const Target& target_;
  const std::string& path_;
  FileDescriptor file_;
  std::string name_;
  std::uint64_t written_bytes_ = 0;
};

Status write_pieces(TemporaryFile& file, std::span<const ByteSpan> pieces, const std::string& path) {
  const std::unique_ptr<std::byte[]> gathered(new (std::nothrow) std::byte[kGatheredBytes]);
  if (!gathered) {
    return system_error("IO-MEMORY", "cannot make a write buffer", ENOMEM, path);
  }
  std::size_t used = 0;
  for (const ByteSpan piece : pieces) {
    if (piece.size() > kGatheredBytes - used) {
      RUSHLIGHT_TRY(file.write({gathered.get(), used}));
      used = 0;
    }
    if (piece.size() > kGatheredBytes) {
      RUSHLIGHT_TRY(file.write(piece));
    } else if (!piece.empty()) {
      std::memcpy(gathered.get() + used, piece.data(), piece.size());
      used += piece.size();
    }
  }
  return file.write({gathered.get(), used});
}

}  // namespace

Status write_file_atomically(const std::filesystem::path& path, std::span<const ByteSpan> pieces) {
  const std::string& name = path.native();
  std::uint64_t size_bytes = 0;
  for (const ByteSpan piece : pieces) {
    const std::optional<std::uint64_t> sum = checked_add<std::uint64_t>(size_bytes, piece.size());
    if (!sum || *sum > static_cast<std::uint64_t>(std::numeric_limits<off_t>::max())) {
      return system_error("IO-SPACE", "cannot write the file", EFBIG, name);
    }
    size_bytes = *sum;
  }
  RUSHLIGHT_TRY_ASSIGN(const Target target, find_target(path));
  TemporaryFile file(target, name);
  RUSHLIGHT_TRY(file.create());
  RUSHLIGHT_TRY(file.reserve(size_bytes));
  RUSHLIGHT_TRY(write_pieces(file, pieces, name));
  RUSHLIGHT_TRY(file.finish());
  // Some file systems cannot sync a folder and say EINVAL; their names are as durable as they get.
  if (uninterrupted([&] { return system_calls().fsync(target.folder.get()); }) != 0 && errno != EINVAL &&
      errno != EROFS && errno != EOPNOTSUPP) {
    Error error = system_error("IO-SYNC-FOLDER",
                               "the new file is in place, but its folder cannot be synced to the disk", errno, name);
    error.finding.hint = "the new name may not survive a power cut";
    return error;
  }
  return {};
}

}  // namespace rushlight::io
