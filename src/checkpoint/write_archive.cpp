#include "checkpoint/write_archive.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/bytes.hpp"
#include "base/fail.hpp"
#include "base/quote.hpp"
#include "checksum/crc32.hpp"
#include "checksum/xxh3.hpp"
#include "tensor/computed_memory.hpp"
#include "tensor/memory.hpp"

namespace rushlight::checkpoint {
namespace {

constexpr std::size_t kSerializationIdBytes = 40;
constexpr std::size_t kChunkBytes = std::size_t{4} << 20;
constexpr std::uint64_t kPageBytes = 4096;

// boost's hash_combine, as caffe2/serialize folds the CRCs of the records.
std::uint64_t folded(std::uint64_t hash, std::uint64_t value) noexcept {
  return hash ^ (value + 0x9E3779B9 + (hash << 6) + (hash >> 2));
}

std::string digits20(std::uint64_t value) {
  std::string text = std::to_string(value);
  return std::string(20 - text.size(), '0') + text;
}

// Counters by their number: shorter ones are smaller.
bool before(const std::string& a, const std::string& b, bool numeric) {
  return numeric && a.size() != b.size() ? a.size() < b.size() : a < b;
}

}  // namespace

ArchiveWriter::ArchiveWriter(const UnbuiltValue& value, const ZipLayout& layout, const zip::Archive* from,
                             Options options)
    : value_(value), layout_(layout), from_(from), options_(std::move(options)) {
  list_records();
}

void ArchiveWriter::list_records() {
  for (std::size_t i = 0; i < layout_.records.size(); ++i) {
    const ZipLayout::Record& record = layout_.records[i];
    if (record.name == ZipLayout::kStorages) {
      std::vector<std::size_t> order(value_.storages.size());
      for (std::size_t j = 0; j < order.size(); ++j) order[j] = j;
      std::ranges::sort(order, [&](std::size_t a, std::size_t b) {
        return before(value_.storages[a].key, value_.storages[b].key, layout_.numeric_order);
      });
      for (const std::size_t j : order) {
        const NamedStorage& storage = value_.storages[j];
        records_.push_back({layout_.root + layout_.storage_folder + storage.key, storage.storage.size_bytes(),
                            Record::Kind::storage, j});
        total_bytes_ += storage.storage.size_bytes();
      }
      continue;
    }
    Record made{layout_.root + record.name, record.content.size(), Record::Kind::text, i};
    if (record.name == ZipLayout::kPickle) {
      made.kind = Record::Kind::pickle;
      made.size_bytes = value_.pickle.size();
    } else if (record.name == ZipLayout::kSerializationId) {
      made.kind = Record::Kind::serialization_id;
      made.size_bytes = kSerializationIdBytes;
    } else if (record.copied != nullptr) {
      made.kind = Record::Kind::copied;
      made.size_bytes = record.copied->size_bytes;
    }
    records_.push_back(std::move(made));
  }
}

Result<std::uint64_t> ArchiveWriter::size_bytes() const {
  if (options_.deflate) return std::uint64_t{0};
  std::vector<zip::RecordSpec> specs;
  specs.reserve(records_.size());
  for (const Record& record : records_) specs.push_back({.name = record.name, .size_bytes = record.size_bytes});
  RUSHLIGHT_TRY_ASSIGN(const zip::ArchivePlan plan,
                       zip::plan_archive(specs, {.alignment = layout_.alignment, .crc = layout_.crc}));
  if (options_.manifest == ManifestLevel::none) return plan.size_bytes;
  // Near enough to reserve room: digests are all of one length, offsets are not known yet.
  Manifest manifest{.root = layout_.root, .tensors = options_.tensors};
  for (const Record& record : records_) {
    ManifestRecord listed{.name = record.name, .size_bytes = record.size_bytes, .stored_bytes = record.size_bytes};
    if (const std::uint64_t chunks = checksum::chunk_count(record.size_bytes); chunks > 1) {
      listed.chunks.resize(static_cast<std::size_t>(chunks));
    }
    if (options_.manifest == ManifestLevel::sha256) listed.sha256.emplace();
    manifest.records.push_back(std::move(listed));
  }
  return plan.size_bytes + encode(manifest).size() + kPageBytes;
}

Status ArchiveWriter::write(Sink& sink) {
  if (options_.manifest != ManifestLevel::none) return write_sealed(sink);
  zip::Writer writer(sink, {.alignment = layout_.alignment, .crc = layout_.crc});
  for (const Record& record : records_) RUSHLIGHT_TRY(write_record(writer, record));
  RUSHLIGHT_TRY(writer.finish());
  return {};
}

Status ArchiveWriter::write_sealed(Sink& sink) {
  RUSHLIGHT_TRY_ASSIGN(SealingSink sealing, SealingSink::create(sink, options_.manifest));
  sealing_ = &sealing;
  sealing.manifest().root = layout_.root.substr(0, layout_.root.size() - 1);
  sealing.manifest().alignment = layout_.alignment;
  sealing.manifest().tensors = std::move(options_.tensors);
  zip::Writer writer(sealing, {.alignment = layout_.alignment, .crc = layout_.crc, .observer = &sealing});
  const std::size_t end = first_of_tail();
  for (std::size_t i = 0; i < end; ++i) RUSHLIGHT_TRY(write_record(writer, records_[i]));
  std::vector<TailRecord> tail;
  for (std::size_t i = end; i < records_.size(); ++i) tail.push_back(tail_record(records_[i]));
  sealing_ = nullptr;
  return sealing.seal(writer, tail, layout_.crc, nullptr);
}

std::size_t ArchiveWriter::first_of_tail() const {
  std::size_t first = records_.size();
  while (first > 0 && is_tail_record(short_name(records_[first - 1])) &&
         records_[first - 1].kind != Record::Kind::copied) {
    --first;
  }
  return first;
}

// Its CRC goes into the serialization id as that of any other record; the manifest's does not, which comes later.
TailRecord ArchiveWriter::tail_record(const Record& record) {
  const std::string text =
      record.kind == Record::Kind::serialization_id ? serialization_id() : layout_.records[record.index].content;
  const ByteSpan bytes = as_byte_span(text);
  const std::uint32_t crc = layout_.crc ? checksum::crc32(bytes) : 0;
  remember(bytes.size(), crc, short_name(record));
  return {.name = record.name, .stored = {bytes.begin(), bytes.end()}, .size_bytes = bytes.size(), .crc = crc};
}

std::string ArchiveWriter::serialization_id() const {
  return digits20(names_hash_) + digits20(crcs_hash_);
}

std::string_view ArchiveWriter::short_name(const Record& record) const {
  return std::string_view(record.name).substr(layout_.root.size());
}

Status ArchiveWriter::write_record(zip::Writer& writer, const Record& record) {
  switch (record.kind) {
    case Record::Kind::pickle:
      return write_bytes(writer, record, value_.pickle);
    case Record::Kind::text:
      return write_bytes(writer, record, as_byte_span(layout_.records[record.index].content));
    case Record::Kind::storage:
      return write_storage(writer, record);
    case Record::Kind::serialization_id:
      return write_bytes(writer, record, as_byte_span(serialization_id()));
    case Record::Kind::copied: {
      const zip::Entry& entry = *layout_.records[record.index].copied;
      RUSHLIGHT_TRY_ASSIGN(const zip::RecordBytes bytes, from_->read(entry, entry.size_bytes));
      const zip::CrcCheck check = zip::Archive::check_crc(entry, bytes.span(), nullptr);
      if (check.state == zip::CrcState::mismatch) {
        const Result<zip::Extent> extent = from_->data_extent(entry);
        return with_record(zip::crc_mismatch(check, extent ? std::optional(extent->begin) : std::nullopt),
                           escaped(entry.name));
      }
      return write_bytes(writer, record, bytes.span());
    }
  }
  return {};
}

Status ArchiveWriter::write_storage(zip::Writer& writer, const Record& record) {
  Storage storage = value_.storages[record.index].storage;
  if (storage.device() != Device::cpu()) {
    RUSHLIGHT_TRY_ASSIGN(std::shared_ptr<Memory> here, copy_to_device(*storage.memory(), Device::cpu()));
    storage = Storage(std::move(here));
  }
  if (Memory& memory = *storage.memory(); memory.is_computed()) return write_computed(writer, record, memory);
  // The CRC that is computed for the new file is the one that the old one must have had: one pass for both.
  const std::optional<Memory::Unchecked> unchecked =
      layout_.crc && !options_.deflate ? storage.memory()->unchecked_bytes() : std::nullopt;
  if (unchecked) {
    RUSHLIGHT_TRY(write_bytes(writer, record, unchecked->bytes));
    if (last_crc_ == unchecked->crc) return {};
  }
  RUSHLIGHT_TRY_ASSIGN(const ByteSpan bytes, storage.bytes());  // says what is wrong, and where
  if (unchecked) {
    return Error::of(ErrorCode::checksum_mismatch,
                     {.category = Category::crc,
                      .code = "SAVE-CHANGED",
                      .message = "storage " + rushlight::quoted(value_.storages[record.index].key) +
                                 " changed while it was copied"});
  }
  return write_bytes(writer, record, bytes);
}

// Its bytes are needed once: what a cast makes of 10 GB is not kept.
Status ArchiveWriter::write_computed(zip::Writer& writer, const Record& record, Memory& memory) {
  RUSHLIGHT_TRY(memory.compute(0, {}));  // says what is wrong, before anything is written
  if (options_.deflate) {
    RUSHLIGHT_TRY_ASSIGN(const std::shared_ptr<Memory> whole, make_host_memory(memory.size_bytes()));
    RUSHLIGHT_TRY_ASSIGN(const std::span<std::byte> bytes, whole->mutable_bytes());
    RUSHLIGHT_TRY(memory.compute(0, bytes));
    return write_bytes(writer, record, bytes);
  }
  RUSHLIGHT_TRY(writer.begin_record(record.name, memory.size_bytes()));
  RUSHLIGHT_TRY(each_piece(memory, [&](ByteSpan piece) { return write_piece(writer, record, piece); }));
  RUSHLIGHT_TRY_ASSIGN(const zip::WrittenRecord written, writer.end_record());
  return finish(record, written);
}

Status ArchiveWriter::write_bytes(zip::Writer& writer, const Record& record, ByteSpan bytes) {
  if (options_.deflate && record.kind == Record::Kind::storage) {
    RUSHLIGHT_TRY_ASSIGN(const zip::WrittenRecord written, writer.add(record.name, bytes, zip::Method::deflated));
    RUSHLIGHT_TRY(report(bytes.size()));
    return finish(record, written);
  }
  RUSHLIGHT_TRY(writer.begin_record(record.name, bytes.size()));
  for (std::size_t done = 0; done < bytes.size(); done += kChunkBytes) {
    RUSHLIGHT_TRY(write_piece(writer, record, bytes.subspan(done, std::min(kChunkBytes, bytes.size() - done))));
  }
  RUSHLIGHT_TRY_ASSIGN(const zip::WrittenRecord written, writer.end_record());
  return finish(record, written);
}

Status ArchiveWriter::write_piece(zip::Writer& writer, const Record& record, ByteSpan piece) {
  RUSHLIGHT_TRY(writer.write(piece));
  return record.kind == Record::Kind::storage ? report(piece.size()) : Status();
}

Status ArchiveWriter::report(std::uint64_t more_bytes) {
  done_bytes_ += more_bytes;
  if (options_.progress == nullptr || options_.progress->on_progress("save", done_bytes_, total_bytes_)) return {};
  return Error::of(ErrorCode::cancelled,
                   {.category = Category::io, .code = "CANCELLED", .message = "saving was cancelled"});
}

Status ArchiveWriter::finish(const Record& record, const zip::WrittenRecord& written) {
  last_crc_ = written.crc;
  remember(written.size_bytes, written.crc, short_name(record));
  return sealing_ != nullptr ? sealing_->note(written, record.name) : Status();
}

// The first half of the id is torch's hash of a set of names, which differs between standard libraries; here it is one
// of the names in file order.
void ArchiveWriter::remember(std::uint64_t size_bytes, std::uint32_t crc, std::string_view name) {
  names_hash_ = folded(names_hash_, load_le<std::uint64_t>(checksum::xxh3_128(as_byte_span(name)).data()));
  if (size_bytes > 0) crcs_hash_ = folded(crcs_hash_, crc);
}

}  // namespace rushlight::checkpoint
