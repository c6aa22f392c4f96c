// Archive::audit(): every byte of the file is explained, or it is a finding. First the structures, record by record in
// file order; then the CRCs, over all of the data, on all threads.
#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/no_memory.hpp"
#include "checksum/crc32.hpp"
#include "zip/archive_impl.hpp"
#include "zip/failure.hpp"
#include "zip/inflate.hpp"

namespace rushlight::zip {
namespace {

using namespace std::string_view_literals;
constexpr std::string_view kLocalMark = "PK\3\4"sv;
// One task's share of the CRCs, and what is read at once where the file is not mapped. As large as the pieces of
// checksum::crc32_parallel: smaller ones cost more than they balance.
constexpr std::uint64_t kTaskBytes = std::uint64_t{4} << 20;
// Tasks a thread between two reports of progress.
constexpr std::size_t kTasksPerThread = 4;

// Finds PK 03 04 in a range of the file.
Result<std::optional<std::uint64_t>> find_local_header(const FileView& view, const Extent& range) {
  Buffer scratch;
  for (std::uint64_t at = range.begin; range.end - at >= kLocalMark.size();) {
    const std::uint64_t piece_bytes = view.is_mapped() ? range.end - at : std::min(range.end - at, kSearchPieceBytes);
    RUSHLIGHT_TRY_ASSIGN(const ByteSpan piece, view.read(at, piece_bytes, scratch));
    const std::size_t found = as_text(piece).find(kLocalMark);
    if (found != std::string_view::npos) return std::optional(at + found);
    if (piece_bytes == range.end - at) break;
    at += piece_bytes - (kLocalMark.size() - 1);
  }
  return std::optional<std::uint64_t>();
}

// A run of stored bytes of one record, within a task.
struct Piece {
  std::size_t record = 0;  // in file order
  Extent bytes;
  std::uint32_t crc = 0;
  checksum::ChunkDigest digest{};  // where hashes are asked for, and then of a chunk
};

struct Task {
  std::size_t first_piece = 0;
  std::size_t pieces = 0;
  Status status;
};

// The CRCs of the stored records, in waves of tasks.
class CrcWork {
 public:
  CrcWork(const FileView& view, Executor* executor, checksum::ChunkHashes hashes)
      : view_(view), executor_(executor), hashes_(hashes) {
    const std::size_t threads = executor == nullptr ? 1 : std::max(1u, executor->concurrency());
    // Without a mapping each task of a wave reads into memory of its own.
    most_tasks_ = view.is_mapped() ? threads * kTasksPerThread : threads;
    if (!view.is_mapped()) buffers_.resize(most_tasks_);
  }

  [[nodiscard]] bool is_full() const { return tasks_.size() == most_tasks_ && task_bytes_ >= kTaskBytes; }

  // Takes as much of [begin, end) as still fits the wave; gives where it stopped. Chunks that are hashed stay whole.
  std::uint64_t add(std::size_t record, Extent bytes) {
    while (bytes.begin != bytes.end && !is_full()) {
      if (tasks_.empty() || task_bytes_ >= kTaskBytes) {
        tasks_.push_back({.first_piece = pieces_.size(), .pieces = 0, .status = {}});
        task_bytes_ = 0;
      }
      const std::uint64_t taken =
          std::min(bytes.size_bytes(), hashes_.any() ? checksum::kChunkBytes : kTaskBytes - task_bytes_);
      pieces_.push_back({.record = record, .bytes = {bytes.begin, bytes.begin + taken}});
      tasks_.back().pieces += 1;
      task_bytes_ += taken;
      bytes.begin += taken;
    }
    return bytes.begin;
  }

  // Computes all that was added. The error of the first task in file order wins.
  Status run() {
    const auto one = [this](std::size_t i) { tasks_[i].status = run_task(i); };
    if (executor_ != nullptr && tasks_.size() > 1) {
      for_each_index(*executor_, tasks_.size(), one);
    } else {
      for (std::size_t i = 0; i < tasks_.size(); ++i) one(i);
    }
    for (Task& task : tasks_) {
      if (!task.status) return std::move(task.status);
    }
    return {};
  }

  [[nodiscard]] const std::vector<Piece>& pieces() const { return pieces_; }
  void clear() {
    pieces_.clear();
    tasks_.clear();
    task_bytes_ = 0;
  }

 private:
  Status run_task(std::size_t number) {
    const Task& task = tasks_[number];
    Buffer none;
    Buffer& scratch = buffers_.empty() ? none : buffers_[number];
    for (std::size_t i = 0; i < task.pieces; ++i) {
      Piece& piece = pieces_[task.first_piece + i];
      RUSHLIGHT_TRY_ASSIGN(const ByteSpan bytes, view_.read(piece.bytes.begin, piece.bytes.size_bytes(), scratch));
      if (!hashes_.any()) {
        piece.crc = checksum::crc32(bytes);
        continue;
      }
      RUSHLIGHT_TRY_ASSIGN(piece.digest, checksum::hash_chunk(bytes, hashes_, &piece.crc));
    }
    return {};
  }

  const FileView& view_;
  Executor* executor_;
  checksum::ChunkHashes hashes_;
  std::size_t most_tasks_ = 1;
  std::vector<Buffer> buffers_;
  std::vector<Piece> pieces_;
  std::vector<Task> tasks_;
  std::uint64_t task_bytes_ = 0;  // of the last task
};

}  // namespace

CrcCheck judge_crc(std::uint32_t stored, std::uint32_t computed) noexcept {
  const CrcState state = stored == computed ? CrcState::verified
                         : stored == 0      ? CrcState::not_computed
                                            : CrcState::mismatch;
  return {.state = state, .stored = stored, .computed = computed};
}

Error crc_mismatch(const CrcCheck& check, std::optional<std::uint64_t> offset) {
  return Error::of({.category = Category::crc,
                    .code = "CRC-MISMATCH",
                    .message = "crc-32 mismatch, stored " + hex8(check.stored) + ", computed " + hex8(check.computed),
                    .offset = offset,
                    .found = hex8(check.computed),
                    .expected = hex8(check.stored),
                    .hint = "the bytes are not those that were written: fetch the file again, or restore it"});
}

class Archive::Auditor {
 public:
  Auditor(const Impl& archive, Executor* executor, Progress* progress, checksum::ChunkHashes hashes)
      : archive_(archive),
        entries_(archive.directory.entries()),
        order_(archive.directory.by_offset()),
        executor_(executor),
        progress_(progress),
        hashes_(hashes) {}

  Result<Audit> run() {
    audit_.records.resize(entries_.size());
    for (std::size_t i = 0; i < entries_.size(); ++i) audit_.records[i].entry = &entries_[i];
    RUSHLIGHT_TRY(structures());
    RUSHLIGHT_TRY(contents());
    summarise_crcs();
    // Findings about contents come after those about structures; this puts them into file order.
    std::stable_sort(audit_.findings.begin(), audit_.findings.end(),
                     [](const Finding& a, const Finding& b) { return a.offset.value_or(0) < b.offset.value_or(0); });
    return std::move(audit_);
  }

 private:
  // --- structures ---------------------------------------------------------------------------------------------------

  Status structures() {
    const EndRecords& ends = archive_.ends;
    std::uint64_t explained_to = archive_.directory.first_record();
    for (const std::uint32_t number : order_) {
      const Entry& entry = entries_[number];
      RUSHLIGHT_TRY(gap({explained_to, entry.header_offset}));
      Result<LocalRecord> record = check_local_closely(archive_.view, archive_.question(entry),
                                                       archive_.directory.stored(entry), scratch_, audit_.findings);
      if (record) {
        audit_.records[number].data = record->data;
        all_padded_ = all_padded_ && record->padded;
        explained_to = record->end;
        audit_.explained_bytes += record->end - entry.header_offset;
      } else {
        if (could_not_look(record.error())) return std::move(record).error();
        audit_.findings.push_back(std::move(record).error().finding);
        explained_to = archive_.directory.boundary(number);
      }
    }
    RUSHLIGHT_TRY(gap({explained_to, ends.directory_begin}));
    // Directory, end records and comment follow each other without gaps, or open() would have refused them.
    audit_.explained_bytes += ends.archive_end - ends.directory_begin;
    if (ends.end64 && all_padded_ && !entries_.empty()) zip64_writer_fields(*ends.end64);
    return {};
  }

  Status gap(const Extent& range) {
    if (range.begin >= range.end) return {};
    RUSHLIGHT_TRY_ASSIGN(const std::optional<std::uint64_t> header, find_local_header(archive_.view, range));
    if (header) {
      audit_.findings.push_back(finding(Severity::error, Category::ambig, "ZIP-HIDDEN-RECORD",
                                        "local header of a record that the central directory does not list, in " +
                                            count_text(range.size_bytes(), "unexplained byte") + " at " +
                                            range_text(range.begin, range.end),
                                        {.offset = *header}));
    } else {
      audit_.findings.push_back(
          finding(Severity::error, Category::zip, "ZIP-GAP",
                  count_text(range.size_bytes(), "unexplained byte") + " at " + range_text(range.begin, range.end),
                  {.offset = range.begin}));
    }
    return {};
  }

  // Fields of the zip64 end record that no reader uses, with torch's values (format-facts 1.3).
  void zip64_writer_fields(const End64Record& record) {
    const auto expect = [&](std::uint16_t value, std::uint16_t torch_writes, std::string_view what, std::size_t field) {
      if (value == torch_writes) return;
      audit_.findings.push_back(finding(
          Severity::note, Category::zip, "ZIP-WRITER",
          "zip64 end record's " + std::string(what) + " is " + hex(value) + ", torch writes " + hex(torch_writes),
          {.offset = archive_.ends.end64_offset + field}));
    };
    expect(record.made_by, 0x031E, "made-by field", 12);
    expect(record.version_needed, 45, "version needed", 14);
  }

  // --- contents -----------------------------------------------------------------------------------------------------

  Status contents() {
    for (const RecordAudit& record : audit_.records) {
      if (record.data) total_bytes_ += record.data->size_bytes();
    }
    CrcWork work(archive_.view, executor_, hashes_);
    for (const std::uint32_t number : order_) {
      RecordAudit& record = audit_.records[number];
      if (!record.data) continue;
      if (hashes_.any()) record.chunks.emplace();
      if (record.entry->method == Method::deflated) {
        RUSHLIGHT_TRY(finish(work));
        RUSHLIGHT_TRY(deflated(number));
        continue;
      }
      Extent rest = *record.data;
      if (rest.begin == rest.end) audit_.records[number].crc = judge_crc(record.entry->crc, 0);
      while (rest.begin != rest.end) {
        rest.begin = work.add(number, rest);
        if (work.is_full()) RUSHLIGHT_TRY(finish(work));
      }
    }
    RUSHLIGHT_TRY(finish(work));
    return report(0, true);
  }

  Status finish(CrcWork& work) {
    RUSHLIGHT_TRY(work.run());
    std::uint64_t bytes = 0;
    for (const Piece& piece : work.pieces()) {
      RecordAudit& record = audit_.records[piece.record];
      const std::uint32_t before = record.crc ? record.crc->computed : 0;
      const std::uint32_t computed =
          record.crc ? checksum::crc32_combine(before, piece.crc, piece.bytes.size_bytes()) : piece.crc;
      record.crc = judge_crc(record.entry->crc, computed);
      if (record.chunks) record.chunks->push_back(piece.digest);
      bytes += piece.bytes.size_bytes();
    }
    work.clear();
    audit_.checked_bytes += bytes;
    return report(bytes, false);
  }

  // Deflated records come one at a time, so that one inflated record is held at most; the CRC is shared out. One budget
  // is for all of them: a thousand small bombs are a large one.
  Status deflated(std::size_t number) {
    RecordAudit& record = audit_.records[number];
    const Entry& entry = *record.entry;
    Buffer stored, decoded;
    if (record.chunks) RUSHLIGHT_TRY(hash_stored(*record.data, stored, *record.chunks));
    Status status = spend(inflate_cost_, entry, archive_.limits);
    if (status) {
      Result<ByteSpan> bytes = archive_.decode(entry, *record.data, stored, decoded);
      if (bytes) {
        record.crc = check_crc(entry, *bytes, executor_);
        audit_.checked_bytes += bytes->size();
      } else {
        status = std::move(bytes).error();
      }
    }
    if (!status) {
      if (could_not_look(status.error())) return status;
      audit_.findings.push_back(std::move(status).error().finding);
    }
    return report(record.data->size_bytes(), false);
  }

  Status hash_stored(Extent rest, Buffer& scratch, std::vector<checksum::ChunkDigest>& chunks) {
    while (rest.begin != rest.end) {
      const std::uint64_t taken = std::min(rest.size_bytes(), checksum::kChunkBytes);
      RUSHLIGHT_TRY_ASSIGN(const ByteSpan bytes, archive_.view.read(rest.begin, taken, scratch));
      RUSHLIGHT_TRY_ASSIGN(const checksum::ChunkDigest digest, checksum::hash_chunk(bytes, hashes_, nullptr));
      chunks.push_back(digest);
      rest.begin += taken;
    }
    return {};
  }

  Status report(std::uint64_t bytes, bool last) {
    done_bytes_ += bytes;
    if (progress_ == nullptr || (!last && done_bytes_ - reported_bytes_ < kTaskBytes)) return {};
    reported_bytes_ = done_bytes_;
    if (progress_->on_progress("verify", done_bytes_, total_bytes_)) return {};
    return Error::of(ErrorCode::cancelled,
                     {.category = Category::io, .code = "CANCELLED", .message = "verification was cancelled"});
  }

  // Mismatches one by one; records without a CRC in one finding, since there are many or none.
  void summarise_crcs() {
    std::uint64_t checkable = 0;  // with content
    std::uint64_t absent = 0;
    const RecordAudit* first_absent = nullptr;
    for (const std::uint32_t number : order_) {
      const RecordAudit& record = audit_.records[number];
      if (!record.crc || record.entry->size_bytes == 0) continue;
      checkable += 1;
      if (record.crc->state == CrcState::not_computed) {
        absent += 1;
        if (first_absent == nullptr) first_absent = &record;
      }
    }
    for (const std::uint32_t number : order_) {
      const RecordAudit& record = audit_.records[number];
      if (!record.crc || record.crc->state != CrcState::mismatch) continue;
      audit_.findings.push_back(with_record(crc_mismatch(*record.crc, record.data->begin), record.entry->name).finding);
    }
    if (absent == 0) return;
    const bool all = absent == checkable;
    Finding summary =
        finding(all ? Severity::note : Severity::warning, Category::crc, "CRC-NOT-COMPUTED",
                all ? "no record has a crc-32, the field holds 0 everywhere: nothing says whether the bytes are right"
                    : count_text(absent, "record") + " of " + std::to_string(checkable) +
                          " without a crc-32, the field holds 0: nothing says whether their bytes are right",
                {.offset = first_absent->data->begin, .record = first_absent->entry->name});
    summary.hint = "torch leaves it out under set_crc32_options(False), and for storages under skip_data()";
    audit_.findings.push_back(std::move(summary));
  }

  const Impl& archive_;
  std::span<const Entry> entries_;
  std::span<const std::uint32_t> order_;
  Executor* executor_;
  Progress* progress_;
  checksum::ChunkHashes hashes_;
  Audit audit_;
  Buffer scratch_;
  bool all_padded_ = true;
  InflateCost inflate_cost_;
  std::uint64_t total_bytes_ = 0;
  std::uint64_t done_bytes_ = 0;
  std::uint64_t reported_bytes_ = 0;
};

Result<Audit> Archive::audit(Executor* executor, Progress* progress, checksum::ChunkHashes hashes) const {
  return Auditor(*impl_, executor, progress, hashes).run();
}

}  // namespace rushlight::zip
