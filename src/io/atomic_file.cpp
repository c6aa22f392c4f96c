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
#include <vector>

#include "base/checked.hpp"
#include "base/fail.hpp"
#include "base/quote.hpp"
#include "io/file_descriptor.hpp"
#include "io/io_error.hpp"
#include "io/system_calls.hpp"

namespace rushlight::io {
namespace {

// One call of a gigabyte is slower than many on a busy machine, and Progress could not stop it. (Early write-back by
// sync_file_range was measured too, and gains nothing over the fsync in the end.)
constexpr std::size_t kMostPerCall = std::size_t{4} << 20;
// Small pieces (zip headers, padding) are gathered, so that 20,000 records do not cost 60,000 calls.
constexpr std::size_t kGatheredBytes = std::size_t{256} << 10;
constexpr int kMostLinks = 40;  // as the kernel's own path walk
constexpr int kMostNames = 100;

constexpr std::uint64_t kProgressBytes = kMostPerCall;
constexpr const char* kAccessList = "system.posix_acl_access";

// Where the file really goes: an open folder and a name in it that is no symbolic link.
struct Target {
  FileDescriptor folder;
  std::filesystem::path folder_path;
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
    if (uninterrupted(
            [&] { return system_calls().fstatat(folder.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW); }) != 0) {
      if (errno != ENOENT) return system_error("IO-STAT", "cannot look at the old file", errno, original);
      return Target{std::move(folder), path.parent_path(), name, std::nullopt};
    }
    if (S_ISREG(status.st_mode)) return Target{std::move(folder), path.parent_path(), name, status};
    if (!S_ISLNK(status.st_mode)) {
      return with_file(Error::of({.category = Category::io,
                                  .code = "IO-NOT-A-FILE",
                                  .message = std::string("only a regular file can be replaced, found ") +
                                             (S_ISDIR(status.st_mode) ? "a directory" : "a device, FIFO or socket")}),
                       original);
    }
    std::array<char, 4096> link{};
    const ssize_t length =
        uninterrupted([&] { return system_calls().readlinkat(folder.get(), name.c_str(), link.data(), link.size()); });
    if (length < 0) return system_error("IO-LINK", "cannot read the symbolic link", errno, original);
    if (static_cast<std::size_t>(length) == link.size()) {
      return system_error("IO-LINK", "cannot read the symbolic link", ENAMETOOLONG, original);
    }
    path = path.parent_path() / std::string_view(link.data(), static_cast<std::size_t>(length));
  }
  return system_error("IO-LINK", "cannot follow the symbolic link", ELOOP, original);
}

// What an attribute says about the old bytes, or grants to them, does not hold for the new ones.
bool is_about_the_bytes(std::string_view name) {
  return name == "security.ima" || name == "security.evm" || name == "security.capability";
}

// Loses its meaning as access control when it cannot be copied: POSIX ACLs, those of NFSv4, and their like.
bool is_access_list(std::string_view name) {
  return name.starts_with("system.");
}

// A list of attribute names or one value, whose size may change between asking for it and reading it.
template <class Call>
ssize_t read_attribute(std::vector<char>& out, const Call& call) {
  constexpr int kMostAttempts = 4;
  for (int attempt = 0; attempt < kMostAttempts; ++attempt) {
    const ssize_t size = uninterrupted([&] { return call(nullptr, std::size_t{0}); });
    if (size <= 0) return size;
    out.resize(static_cast<std::size_t>(size));
    const ssize_t got = uninterrupted([&] { return call(out.data(), out.size()); });
    if (got >= 0 || errno != ERANGE) return got;
  }
  return -1;
}

}  // namespace

// The new file under a name of its own, removed again unless it was put in place.
class AtomicFile::NewFile {
 public:
  NewFile(Target target, std::string path, bool overwrite) noexcept
      : target_(std::move(target)), path_(std::move(path)), overwrite_(overwrite) {}
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;
  ~NewFile() {
    if (!name_.empty()) static_cast<void>(remove());
  }

  [[nodiscard]] const std::string& path() const noexcept { return path_; }

  Status create() {
    if (target_.existing && !overwrite_) return exists();
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
    if (result == 0) {
      reserved_bytes_ = size_bytes;
      return {};
    }
    if (errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL) return {};
    return failed("IO-SPACE", "cannot reserve " + std::to_string(size_bytes) + " bytes", errno);
  }

  Status write(ByteSpan bytes) {
    while (!bytes.empty()) {
      const ssize_t written =
          uninterrupted([&] { return system_calls().write(file_.get(), bytes.data(), bytes.size()); });
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

  // All but the rename: the new file is whole, durable, and like the old one in everything but its bytes.
  Status finish() {
    if (written_bytes_ < reserved_bytes_ &&
        uninterrupted([&] { return system_calls().ftruncate(file_.get(), static_cast<off_t>(written_bytes_)); }) != 0) {
      return failed("IO-TRUNCATE", "cannot give back the room that was reserved", errno);
    }
    if (target_.existing) RUSHLIGHT_TRY(take_over(*target_.existing));
    // A failure is final: after it the kernel counts the lost pages as clean, and a second fsync would find nothing to
    // complain about (Rebello et al., ATC '20).
    if (uninterrupted([&] { return system_calls().fsync(file_.get()); }) != 0) {
      return failed("IO-SYNC", "cannot sync the new file to the disk", errno);
    }
    if (const int error_number = file_.close(); error_number != 0) {
      return failed("IO-CLOSE", "cannot close the new file", error_number);
    }
    return {};
  }

  // Between finish() and put_in_place().
  Status check(const Check& check) {
    if (!check) return {};
    Status status = check(target_.folder_path / name_);
    return status ? Status() : without_temporary(std::move(status).error());
  }

  Status put_in_place() {
    const int folder = target_.folder.get();
    const char* const from = name_.c_str();
    const char* const to = target_.name.c_str();
    if (overwrite_) {
      if (uninterrupted([&] { return system_calls().renameat(folder, from, folder, to); }) != 0) {
        return failed("IO-RENAME", "cannot rename the new file over the old one", errno);
      }
      name_.clear();
      return {};
    }
    if (uninterrupted([&] { return system_calls().renameat_noreplace(folder, from, folder, to); }) == 0) {
      name_.clear();
      return {};
    }
    if (errno == EEXIST) return exists();
    if (errno != EINVAL && errno != ENOSYS) return failed("IO-RENAME", "cannot give the new file its name", errno);
    // File systems that cannot rename without replacing (NFS, some of FUSE) can make a second name, which never
    // replaces.
    if (uninterrupted([&] { return system_calls().linkat(folder, from, folder, to); }) != 0) {
      if (errno == EEXIST) return exists();
      return failed("IO-RENAME", "cannot give the new file its name without the risk of replacing another", errno);
    }
    leftover_ = remove();
    return {};
  }

  // After put_in_place().
  Status sync_folder() {
    // Some file systems cannot sync a folder and say EINVAL; their names are as durable as they get.
    if (uninterrupted([&] { return system_calls().fsync(target_.folder.get()); }) != 0 && errno != EINVAL &&
        errno != EROFS && errno != EOPNOTSUPP) {
      Error error = system_error("IO-SYNC-FOLDER",
                                 "the new file is in place, but its folder cannot be synced to the disk", errno, path_);
      error.finding.hint = "the new name may not survive a power cut";
      name_.clear();
      return error;
    }
    if (leftover_ != 0) {
      Error error = system_error("IO-LEFTOVER", "the new file is in place, but its temporary name cannot be removed",
                                 leftover_, path_);
      error.finding.hint = "remove " + quoted(name_, 300);
      name_.clear();
      return error;
    }
    name_.clear();
    return {};
  }

  Error cancelled() {
    return without_temporary(
        with_file(Error::of(ErrorCode::cancelled,
                            {.category = Category::io, .code = "CANCELLED", .message = "the write was cancelled"}),
                  path_));
  }

 private:
  // Owner, permissions and attributes of the old file, never wider: where its group or its ACL cannot be kept, the
  // group loses its rights (with an ACL, those bits are the most that any name in it may have).
  Status take_over(const struct stat& old) {
    struct stat made {};
    if (uninterrupted([&] { return system_calls().fstat(file_.get(), &made); }) != 0) {
      return failed("IO-STAT", "cannot look at the new file", errno);
    }
    bool same_group = true;
    if (made.st_uid != old.st_uid || made.st_gid != old.st_gid) {
      const auto keep_uid = static_cast<uid_t>(-1);
      same_group = uninterrupted([&] { return system_calls().fchown(file_.get(), old.st_uid, old.st_gid); }) == 0 ||
                   uninterrupted([&] { return system_calls().fchown(file_.get(), keep_uid, old.st_gid); }) == 0;
    }
    // Before the permissions: they would open the file to the whole group where the ACL does not.
    RUSHLIGHT_TRY_ASSIGN(const bool same_access_list, copy_attributes(same_group));
    unsigned mode = static_cast<unsigned>(old.st_mode) & 0777U;
    if (!same_group || !same_access_list) mode &= ~070U;
    if (uninterrupted([&] { return system_calls().fchmod(file_.get(), mode); }) != 0) {
      return failed("IO-MODE", "cannot give the new file the old one's permissions", errno);
    }
    return {};
  }

  // Gives whether the ACL is the old file's.
  Result<bool> copy_attributes(bool same_group) {
    // Reading is all that attributes need; who may not even read the old file cannot know its ACL.
    const FileDescriptor old(uninterrupted([&] {
      return system_calls().openat(target_.folder.get(), target_.name.c_str(),
                                   O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
    }));
    if (!old.is_open()) return false;
    std::vector<char> names;
    const ssize_t names_bytes = read_attribute(
        names, [&](char* out, std::size_t count) { return system_calls().flistxattr(old.get(), out, count); });
    if (names_bytes < 0) return errno == EOPNOTSUPP || errno == ENOSYS;  // no attributes, no ACL
    bool same_access_list = true;
    bool has_posix_list = false;
    std::vector<char> value;
    std::string_view rest(names.data(), static_cast<std::size_t>(names_bytes));
    while (!rest.empty()) {
      const std::string name(rest.substr(0, rest.find('\0')));  // a C string, whatever the list ends with
      rest.remove_prefix(std::min(rest.size(), name.size() + 1));
      if (is_about_the_bytes(name)) continue;
      const bool access_list = is_access_list(name);
      has_posix_list = has_posix_list || name == kAccessList;
      if (access_list && !same_group) continue;
      const ssize_t value_bytes = read_attribute(value, [&](char* out, std::size_t count) {
        return system_calls().fgetxattr(old.get(), name.c_str(), out, count);
      });
      if (value_bytes >= 0 && uninterrupted([&] {
                                return system_calls().fsetxattr(file_.get(), name.c_str(), value.data(),
                                                                static_cast<std::size_t>(value_bytes));
                              }) == 0) {
        continue;
      }
      const int error_number = errno;
      if (access_list) {
        same_access_list = false;
      } else if (!name.starts_with("security.") && error_number != EPERM && error_number != EACCES &&
                 error_number != EOPNOTSUPP && error_number != ENODATA) {
        return failed("IO-ATTRIBUTE", "cannot give the new file the old one's attribute " + rushlight::quoted(name),
                      error_number);
      }
    }
    // What the folder's default ACL gave the new file, the old one does not have.
    if (!has_posix_list && uninterrupted([&] { return system_calls().fremovexattr(file_.get(), kAccessList); }) != 0 &&
        errno != ENODATA && errno != EOPNOTSUPP && errno != ENOSYS) {
      same_access_list = false;
    }
    return same_access_list;
  }

  Error exists() {
    return without_temporary(with_file(Error::of({.category = Category::io,
                                                  .code = "IO-EXISTS",
                                                  .message = "the file exists already, and is not to be replaced"}),
                                       path_));
  }

  Error failed(std::string_view code, std::string_view what, int error_number) {
    Error error = system_error(code, what, error_number, path_);
    // A folder that vanished on the way is a failure of the system, not a name the caller got wrong.
    if (error.code == ErrorCode::not_found) error.code = ErrorCode::io;
    return without_temporary(std::move(error));
  }

  // Here and not in the destructor, because a temporary that stays behind must be named.
  Error without_temporary(Error error) {
    if (name_.empty()) return error;
    if (const int removal = remove(); removal != 0) {
      error.finding.hint = "the temporary file " + quoted(name_, 300) + " could not be removed: " + errno_text(removal);
    }
    name_.clear();
    return error;
  }

  int remove() noexcept {
    static_cast<void>(file_.close());
    return uninterrupted([&] { return system_calls().unlinkat(target_.folder.get(), name_.c_str()); }) == 0 ||
                   errno == ENOENT
               ? 0
               : errno;
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

  Target target_;
  std::string path_;  // as the caller wrote it, for messages
  bool overwrite_;
  FileDescriptor file_;
  std::string name_;  // of the temporary; empty when there is none
  std::uint64_t reserved_bytes_ = 0;
  std::uint64_t written_bytes_ = 0;
  int leftover_ = 0;  // why the temporary name is still there beside the new file
};

AtomicFile::AtomicFile(std::unique_ptr<NewFile> file, std::unique_ptr<std::byte[]> gathered,
                       std::uint64_t expected_bytes, const AtomicFileOptions& options) noexcept
    : file_(std::move(file)),
      gathered_(std::move(gathered)),
      expected_bytes_(expected_bytes),
      progress_(options.progress) {}

AtomicFile::~AtomicFile() = default;

Result<std::unique_ptr<AtomicFile>> AtomicFile::create(const std::filesystem::path& path, std::uint64_t expected_bytes,
                                                       const AtomicFileOptions& options) {
  const std::string& name = path.native();
  if (expected_bytes > static_cast<std::uint64_t>(std::numeric_limits<off_t>::max())) {
    return system_error("IO-SPACE", "cannot write the file", EFBIG, name);
  }
  RUSHLIGHT_TRY_ASSIGN(Target target, find_target(path));
  std::unique_ptr<std::byte[]> gathered(new (std::nothrow) std::byte[kGatheredBytes]);
  std::unique_ptr<NewFile> file(new (std::nothrow) NewFile(std::move(target), name, options.overwrite));
  if (!gathered || !file) return system_error("IO-MEMORY", "cannot make a write buffer", ENOMEM, name);
  RUSHLIGHT_TRY(file->create());
  RUSHLIGHT_TRY(file->reserve(expected_bytes));
  std::unique_ptr<AtomicFile> made(new (std::nothrow)
                                       AtomicFile(std::move(file), std::move(gathered), expected_bytes, options));
  if (!made) return system_error("IO-MEMORY", "cannot make a write buffer", ENOMEM, name);
  return made;
}

Status AtomicFile::keep_failure(Status status) {
  if (!status) failure_ = status.error();
  return status;
}

Status AtomicFile::check_cancelled() {
  told_bytes_ = written_bytes_;
  if (progress_ == nullptr ||
      progress_->on_progress("write", written_bytes_, std::max(expected_bytes_, written_bytes_))) {
    return {};
  }
  return file_->cancelled();
}

Status AtomicFile::flush() {
  const std::size_t count = std::exchange(gathered_bytes_, 0);
  return file_->write({gathered_.get(), count});
}

Status AtomicFile::pass_on(ByteSpan bytes) {
  if (bytes.size() > kGatheredBytes - gathered_bytes_) RUSHLIGHT_TRY(flush());
  if (bytes.size() <= kGatheredBytes) {
    if (!bytes.empty()) std::memcpy(gathered_.get() + gathered_bytes_, bytes.data(), bytes.size());
    gathered_bytes_ += bytes.size();
    written_bytes_ += bytes.size();
    return written_bytes_ - told_bytes_ >= kProgressBytes ? check_cancelled() : Status();
  }
  while (!bytes.empty()) {
    const ByteSpan piece = bytes.first(std::min(bytes.size(), kMostPerCall));
    RUSHLIGHT_TRY(file_->write(piece));
    written_bytes_ += piece.size();
    bytes = bytes.subspan(piece.size());
    if (written_bytes_ - told_bytes_ >= kProgressBytes) RUSHLIGHT_TRY(check_cancelled());
  }
  return {};
}

Status AtomicFile::write(ByteSpan bytes) {
  if (failure_) return *failure_;
  return keep_failure(pass_on(bytes));
}

Status AtomicFile::commit(const Check& check) {
  if (failure_) return *failure_;
  const auto commit = [&]() -> Status {
    RUSHLIGHT_TRY(flush());
    RUSHLIGHT_TRY(file_->finish());
    RUSHLIGHT_TRY(file_->check(check));
    // The last moment at which stopping changes nothing.
    RUSHLIGHT_TRY(check_cancelled());
    RUSHLIGHT_TRY(file_->put_in_place());
    return file_->sync_folder();
  };
  return keep_failure(commit());
}

Status write_file_atomically(const std::filesystem::path& path, std::span<const ByteSpan> pieces) {
  std::uint64_t size_bytes = 0;
  for (const ByteSpan piece : pieces) {
    const std::optional<std::uint64_t> sum = checked_add<std::uint64_t>(size_bytes, piece.size());
    if (!sum) return system_error("IO-SPACE", "cannot write the file", EFBIG, path.native());
    size_bytes = *sum;
  }
  RUSHLIGHT_TRY_ASSIGN(const std::unique_ptr<AtomicFile> file, AtomicFile::create(path, size_bytes));
  for (const ByteSpan piece : pieces) RUSHLIGHT_TRY(file->write(piece));
  return file->commit();
}

}  // namespace rushlight::io
