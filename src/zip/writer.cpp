#include "zip/writer.hpp"

#include <libdeflate.h>

#include <algorithm>
#include <cassert>
#include <memory>
#include <new>
#include <utility>

#include "checksum/crc32.hpp"
#include "zip/failure.hpp"
#include "zip/names.hpp"
#include "zip/records.hpp"

namespace rushlight::zip {
namespace {

// Offsets and sizes up to here cannot overflow in any sum below.
constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 62;
constexpr std::uint64_t kMostExtraBytes = 0xFFFF;
constexpr std::size_t kExtraHeaderBytes = 4;
// What torch writes into the zip64 end record: made by version 3.0 for Unix, needs 4.5.
constexpr std::uint16_t kEnd64MadeBy = 0x031E;
constexpr std::uint16_t kEnd64Needed = 45;
constexpr std::uint16_t kDeflateNeeded = 20;
constexpr int kDeflateLevel = 9;  // as torch asks of its own
// A piece is still in the cache from computing its CRC when the sink copies it.
constexpr std::size_t kPieceBytes = std::size_t{1} << 20;

struct FreeCompressor {
  void operator()(libdeflate_compressor* compressor) const noexcept { libdeflate_free_compressor(compressor); }
};

// The value itself, where it is, means "see zip64": it does not fit.
constexpr bool fits_32_bits(std::uint64_t value) noexcept {
  return value < kSaturated32;
}

template <class Field>
constexpr Field saturated(std::uint64_t value) noexcept {
  return static_cast<Field>(std::min<std::uint64_t>(value, static_cast<Field>(~Field{0})));
}

// Either puts the zip64 field into a local header and long sizes into the descriptor.
bool has_long_fields(const RecordSpec& record, std::uint64_t header_offset) noexcept {
  return record.is_long() || !fits_32_bits(header_offset);
}

std::uint16_t version_needed_by(const RecordSpec& record) noexcept {
  return record.method == Method::deflated ? kDeflateNeeded : std::uint16_t{0};
}

std::uint64_t zip64_bytes(const RecordSpec& record, std::uint64_t header_offset) noexcept {
  if (!has_long_fields(record, header_offset)) return 0;
  return kExtraHeaderBytes + (record.is_long() ? 16 : 0) + (fits_32_bits(header_offset) ? 0 : 8);
}

// The zip64 field of a local header and of a central entry; the local one has 0 for the compressed size.
void append_zip64(std::vector<std::byte>& out, const RecordSpec& record, std::uint64_t header_offset,
                  std::uint64_t stored_bytes) {
  const std::uint64_t bytes = zip64_bytes(record, header_offset);
  if (bytes == 0) return;
  append_number(out, kExtraZip64);
  append_number(out, static_cast<std::uint16_t>(bytes - kExtraHeaderBytes));
  if (record.is_long()) {
    append_number(out, record.size_bytes);
    append_number(out, stored_bytes);
  }
  if (!fits_32_bits(header_offset)) append_number(out, header_offset);
}

std::uint64_t directory_bytes_of(const RecordSpec& record, std::uint64_t header_offset) noexcept {
  return CentralEntry::kBytes + record.name.size() + zip64_bytes(record, header_offset);
}

Error misuse(std::string_view code, std::string message, std::string_view record) {
  Error error = Error::of({.category = Category::argument, .code = std::string(code), .message = std::move(message)});
  if (!record.empty()) error.finding.record = escaped(record);
  return error;
}

// torch deflates code alone, and its own writer contradicts itself for more.
Error too_large_to_deflate(std::string_view record) {
  return misuse("ZIP-WRITE-LARGE", "records of 4 GiB and more cannot be deflated", record);
}

}  // namespace

std::uint16_t flags_of_written(std::uint64_t size_bytes) noexcept {
  return size_bytes == 0 ? kFlagUtf8 : static_cast<std::uint16_t>(kFlagUtf8 | kFlagDescriptor);
}

bool RecordSpec::is_long() const noexcept {
  return !fits_32_bits(size_bytes);
}

Result<RecordPlace> place_record(const RecordSpec& record, std::uint64_t header_offset, std::uint64_t alignment) {
  if (alignment < 1 || alignment > kMostAlignment) {
    return misuse("ZIP-WRITE-ALIGNMENT",
                  "records can be aligned to 1 to 65536 bytes, not to " + std::to_string(alignment), record.name);
  }
  if (record.size_bytes > kMostBytes || record.deflated_bytes > kMostBytes || header_offset > kMostBytes) {
    return misuse("ZIP-WRITE-LARGE", "archive would be larger than 2^62 bytes", record.name);
  }
  if (record.method == Method::deflated && (record.is_long() || !fits_32_bits(record.deflated_bytes))) {
    return too_large_to_deflate(record.name);
  }
  const std::uint64_t zip64 = zip64_bytes(record, header_offset);
  const std::uint64_t start = header_offset + LocalHeader::kBytes + record.name.size() + zip64 + kExtraHeaderBytes;
  const std::uint64_t padding = (alignment - start % alignment) % alignment;
  if (zip64 + kExtraHeaderBytes + padding > kMostExtraBytes) {
    Error error = misuse("ZIP-WRITE-ALIGNMENT", count_text(padding, "byte") + " of padding do not fit a local header",
                         record.name);
    error.finding.hint = "align to 32768 bytes at most";
    return error;
  }
  RecordPlace place{.header_offset = header_offset, .data_offset = start + padding};
  place.descriptor_offset = place.data_offset + record.stored_bytes();
  const std::size_t descriptor_bytes = record.size_bytes == 0                   ? 0
                                       : has_long_fields(record, header_offset) ? Descriptor64::kBytes
                                                                                : Descriptor::kBytes;
  place.end_offset = place.descriptor_offset + descriptor_bytes;
  return place;
}

std::vector<std::byte> local_header_bytes(const RecordSpec& record, const RecordPlace& place) {
  const std::uint64_t extra_at = place.header_offset + LocalHeader::kBytes + record.name.size();
  const std::uint64_t padding =
      place.data_offset - extra_at - zip64_bytes(record, place.header_offset) - kExtraHeaderBytes;
  const LocalHeader header{.version_needed = version_needed_by(record),
                           .flags = flags_of_written(record.size_bytes),
                           .method = static_cast<std::uint16_t>(record.method),
                           .name_bytes = static_cast<std::uint16_t>(record.name.size()),
                           .extra_bytes = static_cast<std::uint16_t>(place.data_offset - extra_at)};
  std::vector<std::byte> bytes;
  bytes.reserve(static_cast<std::size_t>(place.data_offset - place.header_offset));
  append_bytes(bytes, encode(header));
  append_bytes(bytes, as_byte_span(record.name));
  append_zip64(bytes, record, place.header_offset, 0);
  append_number(bytes, kExtraPadding);
  append_number(bytes, static_cast<std::uint16_t>(padding));
  bytes.resize(bytes.size() + static_cast<std::size_t>(padding), kPaddingFill);
  return bytes;
}

namespace {

Result<ArchivePlan> plan_records(std::span<const RecordSpec> records, std::uint64_t offset,
                                 std::uint64_t directory_bytes, const WriterOptions& options) {
  ArchivePlan plan;
  plan.directory_bytes = directory_bytes;
  plan.records.reserve(records.size());
  for (const RecordSpec& record : records) {
    RUSHLIGHT_TRY_ASSIGN(const RecordPlace place, place_record(record, offset, options.alignment));
    plan.records.push_back(place);
    plan.directory_bytes += directory_bytes_of(record, offset);
    offset = place.end_offset;
  }
  plan.directory_offset = offset;
  plan.size_bytes = offset + plan.directory_bytes + End64Record::kBytes + End64Locator::kBytes + EndRecord::kBytes;
  return plan;
}

}  // namespace

Result<ArchivePlan> plan_archive(std::span<const RecordSpec> records, const WriterOptions& options) {
  return plan_records(records, 0, 0, options);
}

Result<ArchivePlan> Writer::plan_rest(std::span<const RecordSpec> records) const {
  return plan_records(records, written_bytes_, directory_.size(), options_);
}

Result<Writer> Writer::behind(Sink& sink, const WriterOptions& options, const Archive& archive, std::uint64_t end) {
  Writer writer(sink, options);
  writer.written_bytes_ = end;
  for (const Entry& entry : archive.entries()) {
    if (entry.header_offset >= end) continue;
    append_bytes(writer.directory_, archive.directory_bytes(entry));
    writer.records_ += 1;
    std::string folded;
    fold_name(entry.name, folded);
    writer.folded_names_.insert(std::move(folded));
  }
  return writer;
}

template <class T>
T Writer::keep_failure(T result) {
  if (!result) failure_ = result.error();
  return result;
}

Status Writer::pass_on(ByteSpan bytes) {
  RUSHLIGHT_TRY(sink_.write(bytes));
  written_bytes_ += bytes.size();
  return {};
}

Status Writer::pass_on_structure(ByteSpan bytes) {
  if (options_.observer != nullptr) options_.observer->on_structure(bytes);
  return pass_on(bytes);
}

Status Writer::check_name(std::string_view full_name) {
  const NameFault fault = name_fault(full_name);
  const char* what = fault.what;
  if (what == nullptr && full_name.back() == '/') what = "is that of a folder";
  if (what == nullptr && full_name.size() > kMostNameBytes) what = "is longer than 511 bytes, where torch cuts it";
  if (what == nullptr && !is_valid_utf8(full_name)) what = "is no valid UTF-8";
  if (what != nullptr) {
    return misuse("ZIP-WRITE-NAME", "record name " + quoted(full_name) + " " + what, full_name);
  }
  std::string folded;
  fold_name(full_name, folded);
  if (!folded_names_.insert(std::move(folded)).second) {
    return misuse("ZIP-WRITE-TWICE", "a record of this name, for some reader at least, is in the archive already",
                  full_name);
  }
  return {};
}

Status Writer::begin(RecordSpec spec, std::uint32_t crc) {
  assert(!open_ && !finished_);
  RUSHLIGHT_TRY(check_name(spec.name));
  RUSHLIGHT_TRY_ASSIGN(const RecordPlace place, place_record(spec, written_bytes_, options_.alignment));
  RUSHLIGHT_TRY(pass_on_structure(local_header_bytes(spec, place)));
  OpenRecord record{
      .name = std::string(spec.name), .spec = spec, .place = place, .bytes_left = spec.stored_bytes(), .crc = crc};
  record.spec.name = {};
  open_ = std::move(record);
  return {};
}

Status Writer::pass_on_content(ByteSpan bytes) {
  assert(open_);
  if (bytes.size() > open_->bytes_left) {
    return Error::of(
        ErrorCode::mismatch,
        misuse("ZIP-WRITE-SIZE", "more is written than the record's " + count_text(open_->spec.size_bytes, "byte"),
               open_->name)
            .finding);
  }
  while (!bytes.empty()) {
    const ByteSpan piece = bytes.first(std::min(bytes.size(), kPieceBytes));
    if (options_.crc && open_->spec.method == Method::stored) open_->crc = checksum::crc32(piece, open_->crc);
    if (options_.observer != nullptr) options_.observer->on_content(piece);
    RUSHLIGHT_TRY(pass_on(piece));
    open_->bytes_left -= piece.size();
    bytes = bytes.subspan(piece.size());
  }
  return {};
}

void Writer::list(const OpenRecord& record) {
  const std::uint64_t header_offset = record.place.header_offset;
  const CentralEntry entry{
      .version_needed = version_needed_by(record.spec),
      .flags = flags_of_written(record.spec.size_bytes),
      .method = static_cast<std::uint16_t>(record.spec.method),
      .crc = record.crc,
      .compressed_bytes = saturated<std::uint32_t>(record.spec.stored_bytes()),
      .size_bytes = saturated<std::uint32_t>(record.spec.size_bytes),
      .name_bytes = static_cast<std::uint16_t>(record.name.size()),
      .extra_bytes = static_cast<std::uint16_t>(zip64_bytes(record.spec, header_offset)),
      .header_offset = saturated<std::uint32_t>(header_offset),
  };
  append_bytes(directory_, encode(entry));
  append_bytes(directory_, as_byte_span(record.name));
  append_zip64(directory_, record.spec, header_offset, record.spec.stored_bytes());
  records_ += 1;
}

Result<WrittenRecord> Writer::end() {
  assert(open_);
  if (open_->bytes_left != 0) {
    return Error::of(ErrorCode::mismatch, misuse("ZIP-WRITE-SIZE",
                                                 count_text(open_->bytes_left, "byte") + " of the record's " +
                                                     std::to_string(open_->spec.size_bytes) + " are missing",
                                                 open_->name)
                                              .finding);
  }
  const OpenRecord record = *std::exchange(open_, std::nullopt);
  const std::uint64_t stored_bytes = record.spec.stored_bytes();
  if (record.spec.size_bytes != 0) {
    if (has_long_fields(record.spec, record.place.header_offset)) {
      RUSHLIGHT_TRY(pass_on_structure(encode(Descriptor64{record.crc, stored_bytes, record.spec.size_bytes})));
    } else {
      RUSHLIGHT_TRY(pass_on_structure(encode(Descriptor{record.crc, static_cast<std::uint32_t>(stored_bytes),
                                                        static_cast<std::uint32_t>(record.spec.size_bytes)})));
    }
  }
  list(record);
  return WrittenRecord{.place = record.place,
                       .size_bytes = record.spec.size_bytes,
                       .stored_bytes = stored_bytes,
                       .method = record.spec.method,
                       .crc = record.crc};
}

Status Writer::begin_record(std::string_view full_name, std::uint64_t size_bytes) {
  if (failure_) return *failure_;
  return keep_failure(begin({.name = full_name, .size_bytes = size_bytes}, 0));
}

Status Writer::write(ByteSpan piece) {
  if (failure_) return *failure_;
  return keep_failure(pass_on_content(piece));
}

Result<WrittenRecord> Writer::end_record() {
  if (failure_) return *failure_;
  return keep_failure(end());
}

Result<WrittenRecord> Writer::add_deflated(std::string_view full_name, ByteSpan deflated, std::uint64_t size_bytes,
                                           std::uint32_t crc) {
  if (failure_) return *failure_;
  const auto add = [&]() -> Result<WrittenRecord> {
    const RecordSpec spec{
        .name = full_name, .size_bytes = size_bytes, .method = Method::deflated, .deflated_bytes = deflated.size()};
    RUSHLIGHT_TRY(begin(spec, options_.crc ? crc : 0));
    RUSHLIGHT_TRY(pass_on_content(deflated));
    return end();
  };
  return keep_failure(add());
}

Result<WrittenRecord> Writer::add(std::string_view full_name, ByteSpan data, Method method) {
  if (failure_) return *failure_;
  if (method == Method::deflated && !data.empty()) {
    if (!fits_32_bits(data.size())) return keep_failure(Result<WrittenRecord>(too_large_to_deflate(full_name)));
    const std::unique_ptr<libdeflate_compressor, FreeCompressor> compressor(libdeflate_alloc_compressor(kDeflateLevel));
    // Only what is smaller is of use.
    const std::unique_ptr<std::byte[]> deflated(new (std::nothrow) std::byte[data.size()]);
    if (!compressor || !deflated) {
      return keep_failure(Result<WrittenRecord>(no_memory_for(data.size(), "deflated data")));
    }
    const std::size_t deflated_bytes =
        libdeflate_deflate_compress(compressor.get(), data.data(), data.size(), deflated.get(), data.size() - 1);
    if (deflated_bytes != 0) {
      return add_deflated(full_name, {deflated.get(), deflated_bytes}, data.size(), checksum::crc32(data));
    }
  }
  const auto add = [&]() -> Result<WrittenRecord> {
    RUSHLIGHT_TRY(begin({.name = full_name, .size_bytes = data.size()}, 0));
    RUSHLIGHT_TRY(pass_on_content(data));
    return end();
  };
  return keep_failure(add());
}

Result<std::uint64_t> Writer::write_end() {
  assert(!open_ && !finished_);
  const std::uint64_t directory_offset = written_bytes_;
  RUSHLIGHT_TRY(pass_on_structure(directory_));
  const std::uint64_t end64_offset = written_bytes_;
  RUSHLIGHT_TRY(pass_on_structure(encode(End64Record{.made_by = kEnd64MadeBy,
                                                     .version_needed = kEnd64Needed,
                                                     .entries_on_disk = records_,
                                                     .entries = records_,
                                                     .directory_bytes = directory_.size(),
                                                     .directory_offset = directory_offset})));
  RUSHLIGHT_TRY(pass_on_structure(encode(End64Locator{.end64_offset = end64_offset})));
  RUSHLIGHT_TRY(pass_on_structure(encode(EndRecord{.entries_on_disk = saturated<std::uint16_t>(records_),
                                                   .entries = saturated<std::uint16_t>(records_),
                                                   .directory_bytes = saturated<std::uint32_t>(directory_.size()),
                                                   .directory_offset = saturated<std::uint32_t>(directory_offset)})));
  finished_ = true;
  return written_bytes_;
}

Result<std::uint64_t> Writer::finish() {
  if (failure_) return *failure_;
  return keep_failure(write_end());
}

}  // namespace rushlight::zip
