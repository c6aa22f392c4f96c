// A zip archive, read through its central directory (APPNOTE 6.3.10), audited as a stranger's file must be.
//
// open() audits the end records and the whole central directory, and touches no local header: sizes and offsets come
// from the central directory alone. data_extent() and read() audit a record's local header when it is first used.
// audit() looks at every local header, padding byte and descriptor, so that each byte of the file is explained or a
// finding.
//
// Knows nothing of PyTorch: names are plain record names with their root folder.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.hpp"
#include "checksum/chunks.hpp"
#include "rushlight/error.hpp"
#include "rushlight/executor.hpp"
#include "rushlight/limits.hpp"
#include "rushlight/result.hpp"
#include "rushlight/source.hpp"

namespace rushlight::zip {

enum class Method : std::uint16_t { stored = 0, deflated = 8 };

// One record as the central directory describes it. Offsets are absolute in the Source (bytes before the archive are
// already added).
struct Entry {
  std::string_view name;  // full name as stored, root folder included; lives as long as the Archive
  std::uint64_t header_offset = 0;
  std::uint64_t compressed_bytes = 0;
  std::uint64_t size_bytes = 0;
  std::uint64_t directory_offset = 0;  // of the central entry itself
  std::uint32_t crc = 0;
  std::uint16_t flags = 0;
  Method method = Method::stored;
  bool zip64 = false;  // the central entry carries a zip64 field

  [[nodiscard]] bool is_directory() const noexcept { return !name.empty() && name.back() == '/'; }
};

// A half-open range of the file and what it is.
struct Extent {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;

  [[nodiscard]] std::uint64_t size_bytes() const noexcept { return end - begin; }
};

struct OpenOptions {
  Limits limits;
  // The window of the Source that holds the archive; the whole of it by default. Bytes before the archive inside the
  // window are accepted with a warning when the offsets in the directory say where it starts.
  std::uint64_t window_offset = 0;
  std::optional<std::uint64_t> window_bytes;
};

// Decoded bytes of one record: a view into the mapping where possible, else an owned buffer (aligned to 64 bytes).
class RecordBytes {
 public:
  RecordBytes() = default;
  RecordBytes(ByteSpan view, std::shared_ptr<const void> owner) noexcept : view_(view), owner_(std::move(owner)) {}
  [[nodiscard]] ByteSpan span() const noexcept { return view_; }
  // Keeps span() alive: a buffer, or the Source.
  [[nodiscard]] const std::shared_ptr<const void>& owner() const noexcept { return owner_; }

 private:
  ByteSpan view_;
  std::shared_ptr<const void> owner_;
};

enum class CrcState : std::uint8_t { verified, mismatch, not_computed };

struct CrcCheck {
  CrcState state = CrcState::not_computed;
  std::uint32_t stored = 0;
  std::uint32_t computed = 0;
};

// The state of a record whose central entry says `stored`: a stored 0 that is not the computed value is "not computed".
[[nodiscard]] CrcCheck judge_crc(std::uint32_t stored, std::uint32_t computed) noexcept;
// CRC-MISMATCH: the error of a record in that state. `offset` is that of its data in the file; the record is the
// caller's to name.
[[nodiscard]] Error crc_mismatch(const CrcCheck& check, std::optional<std::uint64_t> offset);

// What audit() found, per record in central-directory order.
struct RecordAudit {
  const Entry* entry = nullptr;
  std::optional<Extent> data;   // absent when the local header cannot be trusted
  std::optional<CrcCheck> crc;  // absent when the data could not be read
  // Of the stored bytes, where they were asked for and could be read.
  std::optional<std::vector<checksum::ChunkDigest>> chunks;
};

struct Audit {
  std::vector<RecordAudit> records;
  // In file order; severity error unless merely odd. The oddities of open() are not said again.
  std::vector<Finding> findings;
  // Of the window: all of it, but for bytes before and behind the archive, gaps, and records whose local header
  // cannot be trusted.
  std::uint64_t explained_bytes = 0;
  std::uint64_t checked_bytes = 0;  // decoded bytes whose CRC was computed
};

// Immutable after open(); all const members may be called from several threads at once.
//
// Findings and errors name records in full, root folder included: the layer above, which knows what a root folder is,
// strips it. They leave Finding::file to whoever knows the file.
class Archive {
 public:
  // Warnings (bytes before or behind the archive, a comment, missing zip64 end record ...) are appended to `oddities`;
  // what two readers could read differently is an Error (hostile-inputs 2b).
  static Result<std::shared_ptr<const Archive>> open(std::shared_ptr<const Source> source, const OpenOptions& options,
                                                     std::vector<Finding>& oddities);
  ~Archive();

  // In central-directory order.
  [[nodiscard]] std::span<const Entry> entries() const noexcept;
  // Exact match of the full name; nullptr when absent. O(1) on average, whatever the names are.
  [[nodiscard]] const Entry* find(std::string_view full_name) const noexcept;
  // The record of that name, or the one whose name differs from it only in case (ASCII), in Unicode composition, or in
  // spaces and dots at the end of a component: there is at most one. torch finds records without regard to case.
  [[nodiscard]] const Entry* find_ignoring_case(std::string_view full_name) const noexcept;
  [[nodiscard]] const std::shared_ptr<const Source>& source() const noexcept;

  // Audits the local header and the descriptor against the central entry (once; success is remembered) and gives the
  // extent of the stored bytes. `entry` is one of entries(), here and below.
  [[nodiscard]] Result<Extent> data_extent(const Entry& entry) const;
  // Decoded bytes without CRC check. Inflates within the limits. `max_bytes` bounds the decoded size.
  [[nodiscard]] Result<RecordBytes> read(const Entry& entry, std::uint64_t max_bytes) const;
  // The CRC of decoded bytes against the entry's; a stored 0 that is not the computed value is "not computed".
  [[nodiscard]] static CrcCheck check_crc(const Entry& entry, ByteSpan decoded, Executor* executor) noexcept;
  // The central entry with its name and extra fields, as it stands in the file.
  [[nodiscard]] ByteSpan directory_bytes(const Entry& entry) const noexcept;
  // Where the directory begins, where the archive does (0, or behind the bytes before it) and where it ends.
  [[nodiscard]] std::uint64_t directory_begin() const noexcept;
  [[nodiscard]] Extent extent() const noexcept;
  // Looks at everything. ErrorCode::io, ::out_of_memory and ::cancelled only; damage is in the findings. Reports
  // progress as phase "verify", in stored bytes of records. `hashes` are computed while the bytes are in the cache.
  [[nodiscard]] Result<Audit> audit(Executor* executor, Progress* progress, checksum::ChunkHashes hashes = {}) const;

 private:
  struct Impl;
  class Auditor;
  explicit Archive(std::unique_ptr<Impl> impl) noexcept;
  std::unique_ptr<Impl> impl_;
};

}  // namespace rushlight::zip
