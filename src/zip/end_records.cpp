#include "zip/end_records.hpp"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

#include "base/checked.hpp"
#include "zip/failure.hpp"

namespace rushlight::zip {
namespace {

using namespace std::string_view_literals;
constexpr std::string_view kEndMark = "PK\5\6"sv;
// Candidates behind the usual reach that are looked at in earnest; random bytes hold one in 4 GiB.
constexpr int kFarCandidates = 64;

// The last end record signature that begins at or before `at`.
std::optional<std::size_t> last_mark(ByteSpan bytes, std::size_t at) {
  const std::size_t found = as_text(bytes).rfind(kEndMark, at);
  return found == std::string_view::npos ? std::nullopt : std::optional(found);
}

std::uint64_t comment_end(std::uint64_t end_offset, const EndRecord& end) {
  return end_offset + EndRecord::kBytes + end.comment_bytes;
}

// Whether a signature that does not sit where an end record must sit may be one all the same, and not four bytes of
// something else.
bool is_plausible(const FileView& view, std::uint64_t offset, const EndRecord& end) {
  if (comment_end(offset, end) == view.end()) return true;
  if (end.disk != end.directory_disk || end.entries_on_disk != end.entries) return false;
  if (end.disk != 0 && end.disk != kSaturated16) return false;
  const bool saturated = end.directory_bytes == kSaturated32 || end.directory_offset == kSaturated32;
  return saturated || std::uint64_t{end.directory_bytes} + end.directory_offset + view.begin() <= offset;
}

Error multi_disk(std::string_view what, std::uint64_t found, std::uint64_t offset) {
  return failure(Category::unsup, "ZIP-MULTI-DISK",
                 "archive is spread over several files: " + std::string(what) + " is " + std::to_string(found),
                 {.offset = offset});
}

Error two_ends(std::uint64_t first, std::uint64_t second) {
  Error error = failure(
      Category::ambig, "ZIP-TWO-ENDS",
      "two end records, at " + hex(first) + " and at " + hex(second) + ": readers differ in which of them they follow",
      {.offset = first});
  error.finding.hint = "files saved one behind the other, or into each other, must be separated first";
  return error;
}

Error directory_range(const FileView& view, std::uint64_t bytes, std::uint64_t offset, std::uint64_t at) {
  return failure(Category::zip, "ZIP-DIRECTORY-RANGE",
                 "central directory of " + std::to_string(bytes) + " bytes at offset " + std::to_string(offset) +
                     " does not fit before the end record of a file of " + std::to_string(view.end() - view.begin()) +
                     " bytes",
                 {.offset = at});
}

// A field of the end record must be saturated or say the same as its zip64 twin; the position is within the former.
template <class Narrow>
Status same_in_zip64(Narrow narrow, std::uint64_t wide, std::string_view what, std::uint64_t offset) {
  if (narrow == static_cast<Narrow>(~Narrow{0}) || narrow == wide) return {};
  return differs(Category::ambig, "ZIP-END64-MISMATCH",
                 "end record and zip64 end record disagree on " + std::string(what), std::to_string(wide),
                 std::to_string(narrow), {.offset = offset});
}

Result<End64Record> decode_end64(ByteSpan bytes, const EndRecord& end, std::uint64_t offset, std::uint64_t end_offset) {
  const auto record = decode<End64Record>(bytes);
  if (record.record_bytes != End64Record::kRecordBytes) {
    return differs(Category::zip, "ZIP-END64-SIZE", "zip64 end record states a wrong size",
                   std::to_string(End64Record::kRecordBytes), std::to_string(record.record_bytes),
                   {.offset = offset + 4});
  }
  if (record.disk != 0) return multi_disk("the disk number", record.disk, offset + 16);
  if (record.directory_disk != 0) return multi_disk("the directory's disk", record.directory_disk, offset + 20);
  if (record.entries_on_disk != record.entries) {
    return multi_disk("the number of records on this disk, of " + std::to_string(record.entries) + ",",
                      record.entries_on_disk, offset + 24);
  }
  RUSHLIGHT_TRY(same_in_zip64(end.disk, record.disk, "the disk number", end_offset + 4));
  RUSHLIGHT_TRY(same_in_zip64(end.directory_disk, record.directory_disk, "the directory's disk", end_offset + 6));
  RUSHLIGHT_TRY(
      same_in_zip64(end.entries_on_disk, record.entries, "the number of records on this disk", end_offset + 8));
  RUSHLIGHT_TRY(same_in_zip64(end.entries, record.entries, "the number of records", end_offset + 10));
  RUSHLIGHT_TRY(same_in_zip64(end.directory_bytes, record.directory_bytes, "the directory's size", end_offset + 12));
  RUSHLIGHT_TRY(
      same_in_zip64(end.directory_offset, record.directory_offset, "the directory's offset", end_offset + 16));
  return record;
}

// The four bytes at `offset`, or 0 where there are none.
Result<std::uint32_t> signature_at(const FileView& view, std::uint64_t offset) {
  if (offset < view.begin() || offset > view.end() || view.end() - offset < kSignatureBytes) return std::uint32_t{0};
  Buffer scratch;
  RUSHLIGHT_TRY_ASSIGN(const ByteSpan bytes, view.read(offset, kSignatureBytes, scratch));
  return load_le<std::uint32_t>(bytes.data());
}

// A zip64 end record anywhere but right before its locator.
Result<EndRecords> end64_elsewhere(const FileView& view, std::uint64_t locator_offset, const End64Locator& locator) {
  const auto stated = checked_add(view.begin(), locator.end64_offset);
  if (stated && *stated < locator_offset) {
    RUSHLIGHT_TRY_ASSIGN(const std::uint32_t signature, signature_at(view, *stated));
    if (signature == End64Record::kSignature && locator_offset - *stated > End64Record::kBytes) {
      const std::uint64_t gap = *stated + End64Record::kBytes;
      return failure(Category::ambig, "ZIP-END-GAP",
                     count_text(locator_offset - gap, "byte") + " at " + range_text(gap, locator_offset) +
                         " between the zip64 end record and its locator",
                     {.offset = gap});
    }
  }
  return failure(
      Category::zip, "ZIP-END64-MISSING",
      "no zip64 end record before its locator, which points at offset " + std::to_string(locator.end64_offset),
      {.offset = locator_offset});
}

// Where the directory lies, given that it ends where the end records begin. Bytes before the archive move everything;
// bytes behind the directory hide something: telling them apart is what this is about.
Status place_directory(const FileView& view, EndRecords& ends) {
  const std::uint64_t bytes = ends.end64 ? ends.end64->directory_bytes : ends.end.directory_bytes;
  const std::uint64_t offset = ends.end64 ? ends.end64->directory_offset : ends.end.directory_offset;
  const std::uint64_t field = ends.end64 ? ends.end64_offset + 40 : ends.end_offset + 12;
  const std::uint64_t limit = ends.directory_end;
  const auto stated = checked_add(view.begin(), offset);
  if (!stated || *stated > limit || bytes > limit - *stated) return directory_range(view, bytes, offset, field);
  ends.directory_begin = limit - bytes;
  ends.archive_begin = view.begin() + (ends.directory_begin - *stated);
  if (ends.directory_begin == *stated) return {};

  RUSHLIGHT_TRY_ASSIGN(const std::uint32_t at_stated, signature_at(view, *stated));
  if (at_stated == CentralEntry::kSignature) {
    const std::uint64_t gap = *stated + bytes;
    const std::uint64_t searched = limit - std::min(kTailBytes, limit - gap);
    Buffer scratch;
    RUSHLIGHT_TRY_ASSIGN(const ByteSpan gap_tail, view.read(searched, limit - searched, scratch));
    if (const auto mark = last_mark(gap_tail, gap_tail.size())) return two_ends(searched + *mark, ends.end_offset);
    return failure(Category::ambig, "ZIP-END-GAP",
                   count_text(limit - gap, "byte") + " at " + range_text(gap, limit) +
                       " between the central directory and the " + (ends.end64 ? "zip64 end record" : "end record"),
                   {.offset = gap});
  }
  if (bytes != 0) {
    RUSHLIGHT_TRY_ASSIGN(const std::uint32_t at_end, signature_at(view, ends.directory_begin));
    if (at_end != CentralEntry::kSignature) {
      return failure(Category::zip, "ZIP-DIRECTORY-MISSING",
                     "no central directory at " + hex(*stated) + ", where the end record says it begins",
                     {.offset = *stated});
    }
  }
  return {};
}

// Reads the end record at `end_offset` and all that hangs on it.
Result<EndRecords> ends_at(const FileView& view, std::uint64_t end_offset) {
  constexpr std::uint64_t kBefore = End64Record::kBytes + End64Locator::kBytes;
  const std::uint64_t begin = end_offset - std::min(kBefore, end_offset - view.begin());
  Buffer scratch;
  RUSHLIGHT_TRY_ASSIGN(const ByteSpan bytes, view.read(begin, end_offset + EndRecord::kBytes - begin, scratch));
  const auto at = [&](std::uint64_t offset) { return bytes.subspan(static_cast<std::size_t>(offset - begin)); };

  EndRecords ends;
  ends.end_offset = end_offset;
  ends.end = decode<EndRecord>(at(end_offset));
  const EndRecord& end = ends.end;
  ends.archive_end = comment_end(end_offset, end);
  ends.entries = end.entries;
  ends.directory_end = end_offset;
  const bool has_locator = end_offset - begin >= End64Locator::kBytes &&
                           has_signature(at(end_offset - End64Locator::kBytes), End64Locator::kSignature);
  if (!has_locator) {
    if (end.disk != 0) return multi_disk("the disk number", end.disk, end_offset + 4);
    if (end.directory_disk != 0) return multi_disk("the directory's disk", end.directory_disk, end_offset + 6);
    if (end.directory_bytes == kSaturated32 || end.directory_offset == kSaturated32) {
      return failure(Category::zip, "ZIP-END64-MISSING",
                     "end record refers to a zip64 end record, and no locator for one stands before it",
                     {.offset = end_offset});
    }
  }
  if (end.entries_on_disk != end.entries) {
    return multi_disk("the number of records on this disk, of " + std::to_string(end.entries) + ",",
                      end.entries_on_disk, end_offset + 8);
  }
  if (ends.archive_end > view.end()) {
    const std::uint64_t left = view.end() - end_offset - EndRecord::kBytes;
    return failure(Category::zip, "ZIP-COMMENT-SIZE",
                   "archive comment of " + std::to_string(end.comment_bytes) + " bytes does not fit, " +
                       count_text(left, "byte") + (left == 1 ? " is" : " are") + " left",
                   {.offset = end_offset + 20});
  }
  if (!has_locator) {
    RUSHLIGHT_TRY(place_directory(view, ends));
    return ends;
  }

  const auto locator = decode<End64Locator>(at(ends.locator_offset()));
  ends.locator = locator;
  if (locator.disk != 0) return multi_disk("the zip64 end record's disk", locator.disk, ends.locator_offset() + 4);
  if (locator.disks > 1) return multi_disk("the number of disks", locator.disks, ends.locator_offset() + 16);
  if (end_offset - begin < kBefore || !has_signature(at(begin), End64Record::kSignature)) {
    return end64_elsewhere(view, ends.locator_offset(), locator);
  }
  ends.end64_offset = ends.directory_end = begin;
  RUSHLIGHT_TRY_ASSIGN(ends.end64, decode_end64(at(begin), end, begin, end_offset));
  ends.entries = ends.end64->entries;
  RUSHLIGHT_TRY(place_directory(view, ends));
  // The locator counts from where everything else counts from.
  const auto stated = checked_add(ends.archive_begin, locator.end64_offset);
  if (!stated || *stated != ends.end64_offset) {
    return differs(Category::ambig, "ZIP-END64-LOCATOR", "zip64 locator points beside the zip64 end record",
                   hex(ends.end64_offset - ends.archive_begin), hex(locator.end64_offset),
                   {.offset = ends.locator_offset() + 8});
  }
  return ends;
}

// Any other end record in the tail that a reader may follow instead: one whose comment also ends with the file.
Status refuse_second_end(const FileView& view, ByteSpan tail, std::uint64_t end_offset) {
  const std::uint64_t tail_begin = view.end() - tail.size();
  std::size_t before = static_cast<std::size_t>(end_offset - tail_begin);
  while (before != 0) {
    const auto mark = last_mark(tail, before - 1);
    if (!mark) break;
    before = *mark;
    const auto other = decode<EndRecord>(tail.subspan(before));
    if (comment_end(tail_begin + before, other) == view.end()) return two_ends(tail_begin + before, end_offset);
  }
  return {};
}

// An end record did not hold together. Where it lies in the comment of one that does, there are two readings.
Error broken_or_hidden(const FileView& view, ByteSpan tail, std::uint64_t end_offset, Error error) {
  if (could_not_look(error)) return error;
  const std::uint64_t tail_begin = view.end() - tail.size();
  std::size_t before = static_cast<std::size_t>(end_offset - tail_begin);
  for (int tries = 0; before != 0 && tries < kFarCandidates; ++tries) {
    const auto mark = last_mark(tail, before - 1);
    if (!mark) break;
    before = *mark;
    const std::uint64_t offset = tail_begin + before;
    const auto other = decode<EndRecord>(tail.subspan(before));
    const bool covers = comment_end(offset, other) > end_offset && comment_end(offset, other) <= view.end();
    if (covers && ends_at(view, offset)) return two_ends(offset, end_offset);
  }
  return error;
}

// An archive with more than a comment's length behind it.
Result<std::optional<EndRecords>> find_far_end(const FileView& view) {
  std::uint64_t end = view.end() - kTailBytes;  // candidates begin before here
  const std::uint64_t begin = end - std::min(end - view.begin(), kFarTailBytes);
  Buffer scratch;
  int candidates = 0;
  while (end > begin) {
    const std::uint64_t piece_begin = end - std::min(end - begin, kSearchPieceBytes);
    // The signature may begin on the last byte of the piece; the tail behind it is long enough.
    RUSHLIGHT_TRY_ASSIGN(const ByteSpan piece,
                         view.read(piece_begin, end - piece_begin + kEndMark.size() - 1, scratch));
    for (auto mark = last_mark(piece, piece.size()); mark;
         mark = *mark != 0 ? last_mark(piece, *mark - 1) : std::nullopt) {
      if (++candidates > kFarCandidates) return std::optional<EndRecords>();
      Result<EndRecords> ends = ends_at(view, piece_begin + *mark);
      if (ends) return std::optional(*std::move(ends));
      if (could_not_look(ends.error())) return std::move(ends).error();
    }
    end = piece_begin;
  }
  return std::optional<EndRecords>();
}

bool all_zero(ByteSpan bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte byte) { return byte == std::byte{0}; });
}

// There is no end record. Says what there is instead.
Error no_end(const FileView& view, ByteSpan tail) {
  const Result<std::uint32_t> first = signature_at(view, view.begin());
  if (!first) return first.error();
  if (*first == LocalHeader::kSignature) return truncated_archive(view);
  const std::uint64_t size_bytes = view.end() - view.begin();
  std::string message = "no end record in " + count_text(size_bytes, "byte") + ": not a zip archive";
  std::string hint;
  if (tail.size() == size_bytes && all_zero(tail)) {
    message = "all " + std::to_string(size_bytes) + " bytes are zero";
    hint = "an interrupted save or copy leaves such a file";
  }
  Error error = failure(Category::kind, "ZIP-NONE", std::move(message), {.offset = view.begin()});
  error.finding.hint = std::move(hint);
  return error;
}

void note_surroundings(const FileView& view, const EndRecords& ends, std::vector<Finding>& oddities) {
  if (ends.locator && ends.locator->disks == 0) {
    oddities.push_back(finding(Severity::warning, Category::zip, "ZIP-DISKS",
                               "zip64 locator counts no disks, expected 1, found 0",
                               {.offset = ends.locator_offset() + 16}));
  }
  if (ends.end.comment_bytes != 0) {
    oddities.push_back(finding(Severity::warning, Category::zip, "ZIP-COMMENT",
                               "archive comment of " + count_text(ends.end.comment_bytes, "byte"),
                               {.offset = ends.end_offset + EndRecord::kBytes}));
  }
  if (ends.archive_end != view.end()) {
    oddities.push_back(finding(Severity::warning, Category::zip, "ZIP-TRAILING",
                               count_text(view.end() - ends.archive_end, "byte") + " behind the end of the archive",
                               {.offset = ends.archive_end}));
  }
}

}  // namespace

Result<ByteSpan> read_tail(const FileView& view, Buffer& storage) {
  const std::uint64_t size_bytes = view.end() - view.begin();
  const std::uint64_t tail_bytes = std::min(size_bytes, kTailBytes);
  return view.read(view.end() - tail_bytes, tail_bytes, storage);
}

Result<EndRecords> find_end_records(const FileView& view, ByteSpan tail, std::vector<Finding>& oddities) {
  const std::uint64_t size_bytes = view.end() - view.begin();
  if (size_bytes == 0) return failure(Category::kind, "ZIP-NONE", "file is empty", {.offset = view.begin()});
  if (size_bytes < EndRecord::kBytes) {
    Error error = differs(Category::kind, "ZIP-NONE", "file is too short for a zip archive", "at least 22 bytes",
                          std::to_string(size_bytes), {.offset = view.begin()});
    error.finding.hint = kCutShortHint;
    return error;
  }
  const std::uint64_t tail_begin = view.end() - tail.size();
  for (auto mark = last_mark(tail, tail.size() - EndRecord::kBytes); mark;
       mark = *mark != 0 ? last_mark(tail, *mark - 1) : std::nullopt) {
    const std::uint64_t offset = tail_begin + *mark;
    if (!is_plausible(view, offset, decode<EndRecord>(tail.subspan(*mark)))) continue;
    Result<EndRecords> ends = ends_at(view, offset);
    if (!ends) return broken_or_hidden(view, tail, offset, std::move(ends).error());
    RUSHLIGHT_TRY(refuse_second_end(view, tail, offset));
    note_surroundings(view, *ends, oddities);
    return ends;
  }
  if (view.end() - view.begin() > kTailBytes) {
    RUSHLIGHT_TRY_ASSIGN(const std::optional<EndRecords> far, find_far_end(view));
    if (far) {
      note_surroundings(view, *far, oddities);
      return *far;
    }
  }
  return no_end(view, tail);
}

Status check_prefix(const FileView& view, const EndRecords& ends, std::uint64_t first_record,
                    std::vector<Finding>& oddities) {
  if (first_record == view.begin()) return {};
  const std::uint64_t prefix_bytes = first_record - view.begin();
  const FileView prefix = view.until(first_record);

  // Another archive before this one, whole.
  if (prefix_bytes >= EndRecord::kBytes) {
    Buffer storage;
    RUSHLIGHT_TRY_ASSIGN(const ByteSpan tail, read_tail(prefix, storage));
    int candidates = 0;
    for (auto mark = last_mark(tail, tail.size() - EndRecord::kBytes); mark && candidates < kFarCandidates;
         mark = *mark != 0 ? last_mark(tail, *mark - 1) : std::nullopt) {
      const std::uint64_t offset = first_record - tail.size() + *mark;
      candidates += 1;
      const Result<EndRecords> other = ends_at(prefix, offset);
      if (other) return two_ends(offset, ends.end_offset);
      if (could_not_look(other.error())) return other.error();
    }
  }
  // Or the beginning of one.
  RUSHLIGHT_TRY_ASSIGN(const std::uint32_t first, signature_at(view, view.begin()));
  if (first == LocalHeader::kSignature) {
    RUSHLIGHT_TRY_ASSIGN(const std::uint32_t inner, signature_at(view, first_record));
    if (ends.archive_begin != view.begin() && inner != LocalHeader::kSignature) {
      return differs(Category::zip, "ZIP-DIRECTORY-OFFSET", "end record misplaces the central directory",
                     hex(ends.directory_begin - view.begin()), hex(ends.directory_begin - ends.archive_begin),
                     {.offset = ends.end_offset + 16});
    }
    if (ends.archive_begin == view.begin()) {
      return failure(Category::ambig, "ZIP-HIDDEN-RECORD",
                     "file begins with a local header that the central directory does not list",
                     {.offset = view.begin()});
    }
    Error error = truncated_archive(view);
    error.finding.hint = "the whole archive found at " + hex(first_record) + " is one of its records";
    return error;
  }
  oddities.push_back(finding(Severity::warning, Category::zip, "ZIP-PREFIX",
                             count_text(prefix_bytes, "byte") + " before the archive" +
                                 (ends.archive_begin == view.begin() ? ", counted by its offsets" : ""),
                             {.offset = view.begin()}));
  return {};
}

}  // namespace rushlight::zip
