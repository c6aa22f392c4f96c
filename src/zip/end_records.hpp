// The end of an archive: end record, zip64 end record and locator, and where the central directory lies (APPNOTE
// 4.3.14 to 4.3.16). What two readers could take for different ends is refused.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "rushlight/error.hpp"
#include "rushlight/result.hpp"
#include "zip/file_view.hpp"
#include "zip/records.hpp"

namespace rushlight::zip {

// The end record and the longest comment: as far back as an ordinary reader looks.
inline constexpr std::uint64_t kTailBytes = EndRecord::kBytes + 0xFFFF;
// How much further we look, for files with much behind their end record.
inline constexpr std::uint64_t kFarTailBytes = std::uint64_t{16} << 20;

// All offsets are those of the Source.
struct EndRecords {
  EndRecord end;
  std::optional<End64Record> end64;
  std::optional<End64Locator> locator;
  std::uint64_t end_offset = 0;
  std::uint64_t end64_offset = 0;   // of the zip64 end record; the locator lies between it and the end record
  std::uint64_t archive_begin = 0;  // what the offsets in the archive count from
  std::uint64_t archive_end = 0;    // behind the archive comment
  std::uint64_t directory_begin = 0;
  std::uint64_t directory_end = 0;
  std::uint64_t entries = 0;  // as declared

  [[nodiscard]] std::uint64_t locator_offset() const noexcept { return end_offset - End64Locator::kBytes; }
};

// The last kTailBytes of `view`, which hold the end records of any ordinary archive.
Result<ByteSpan> read_tail(const FileView& view, Buffer& storage);

// Finds the one end record. Bytes behind it, and a comment, are oddities; the bytes before the archive are judged by
// check_prefix(), when it is known where the first record begins.
Result<EndRecords> find_end_records(const FileView& view, ByteSpan tail, std::vector<Finding>& oddities);

// Judges the bytes before the first record (or before the directory, where there is none): nothing in them may be an
// archive, or the beginning of one.
Status check_prefix(const FileView& view, const EndRecords& ends, std::uint64_t first_record,
                    std::vector<Finding>& oddities);

// Says how far an archive without an end record got: the error for a file that begins like one and ends too early.
Error truncated_archive(const FileView& view);

}  // namespace rushlight::zip
