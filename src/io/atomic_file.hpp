// Writing a file so that its name always holds the old bytes or all of the new ones (hostile-inputs 3).
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>

#include "base/bytes.hpp"
#include "rushlight/executor.hpp"
#include "rushlight/result.hpp"
#include "rushlight/sink.hpp"

namespace rushlight::io {

struct AtomicFileOptions {
  // False: a file that is there already is refused (IO-EXISTS), one that comes into being meanwhile too.
  bool overwrite = true;
  // Told "write" about every 4 MiB and before the rename; where it says stop, the temporary goes and the old file
  // stays.
  Progress* progress = nullptr;
};

// A new file beside `path` that takes its place when commit() has synced it. Until then, and when anything fails, the
// old file is untouched; a failure removes the new one at once, as the destructor does without commit().
//
// A symbolic link is followed: the file it points at is replaced, the link stays. Permissions, owner, extended
// attributes and ACL of an existing file are kept, never widened; a new one gets 0666 less the umask. Other hard links
// to the old file keep the old bytes. Anything but a regular file is refused.
class AtomicFile final : public Sink {
 public:
  // Room for `expected_bytes` is reserved, so that a full disk is found before the work; the file may become longer or
  // shorter.
  static Result<std::unique_ptr<AtomicFile>> create(const std::filesystem::path& path, std::uint64_t expected_bytes = 0,
                                                    const AtomicFileOptions& options = {});
  ~AtomicFile() override;
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  // Small pieces are gathered; those beyond 256 KiB go to the system as they are. After a failure every call gives it
  // again.
  Status write(ByteSpan bytes) override;
  [[nodiscard]] std::uint64_t written_bytes() const noexcept { return written_bytes_; }

  // Looks at the new file, all of it and synced, while the old one is still in its place. What it objects to is the
  // failure of commit().
  using Check = std::function<Status(const std::filesystem::path& temporary)>;

  // Syncs the file, puts it in the old one's place, syncs the folder. Called once, and nothing is written after it.
  //
  // Two failures come when the new file is in place and whole: IO-SYNC-FOLDER, the system could not promise that its
  // name survives a power cut; IO-LEFTOVER, its temporary name is still there beside it.
  Status commit(const Check& check = {});

 private:
  class NewFile;
  AtomicFile(std::unique_ptr<NewFile> file, std::unique_ptr<std::byte[]> gathered, std::uint64_t expected_bytes,
             const AtomicFileOptions& options) noexcept;
  Status flush();
  Status pass_on(ByteSpan bytes);
  Status check_cancelled();
  Status keep_failure(Status status);

  std::unique_ptr<NewFile> file_;
  std::unique_ptr<std::byte[]> gathered_;
  std::size_t gathered_bytes_ = 0;
  std::uint64_t written_bytes_ = 0;  // gathered ones included
  std::uint64_t expected_bytes_;
  Progress* progress_;
  std::uint64_t told_bytes_ = 0;  // to progress_
  std::optional<Error> failure_;
};

// All of it at once: `pieces` one after the other.
Status write_file_atomically(const std::filesystem::path& path, std::span<const ByteSpan> pieces);

}  // namespace rushlight::io
