#include "checkpoint/seal.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>
#include <utility>

#include "base/fail.hpp"
#include "base/quote.hpp"
#include "checkpoint/signature.hpp"
#include "checksum/crc32.hpp"
#include "zip/records.hpp"

namespace rushlight::checkpoint {
namespace {

constexpr std::string_view kDomain = "rushlight structure 1\n";
constexpr std::size_t kPieceBytes = std::size_t{1} << 20;
// Of a central entry and of a descriptor.
constexpr std::size_t kCentralCrcAt = 16;
constexpr std::size_t kDescriptorCrcAt = 4;

// The bytes of `piece`, which begins at `base`, as they are digested.
void blank(std::span<std::byte> piece, std::uint64_t base, std::span<const Blank> blanks) {
  for (const Blank& range : blanks) {
    const std::uint64_t begin = std::max(range.offset, base);
    const std::uint64_t end = std::min(range.offset + range.size_bytes, base + piece.size());
    for (std::uint64_t at = begin; at < end; ++at) piece[static_cast<std::size_t>(at - base)] = range.as;
  }
}

// Calls use(begin, end) for each part of [begin, end) outside the data.
template <class Use>
Status for_each_outside(std::uint64_t begin, std::uint64_t end, std::span<const zip::Extent> data, Use use) {
  for (const zip::Extent& extent : data) {
    if (extent.end <= begin) continue;
    if (extent.begin >= end) break;
    if (extent.begin > begin) RUSHLIGHT_TRY(use(begin, extent.begin));
    begin = std::max(begin, extent.end);
  }
  return begin < end ? use(begin, end) : Status();
}

}  // namespace

std::string manifest_record_name(std::string_view full_name, std::string_view root) {
  std::string name;
  if (full_name.starts_with(root)) {
    name = full_name.substr(root.size());
  } else {
    name = "/";
    name += full_name;
  }
  return is_valid_utf8(name) ? name : escaped(name);
}

bool is_tail_record(std::string_view short_name) noexcept {
  return short_name == "version" || short_name == ".data/version" || short_name == ".data/serialization_id";
}

Status set_digests(ManifestRecord& record, std::span<const checksum::ChunkDigest> chunks, bool sha256) {
  record.xxh3 = checksum::record_xxh3(chunks);
  record.chunks.clear();
  if (chunks.size() > 1) {
    for (const checksum::ChunkDigest& chunk : chunks) record.chunks.push_back(chunk.xxh3);
  }
  record.sha256.reset();
  if (sha256) {
    RUSHLIGHT_TRY_ASSIGN(record.sha256, checksum::record_sha256(record.stored_bytes, chunks));
  }
  return {};
}

Result<StructureHash> StructureHash::create(bool sha256) {
  StructureHash hash;
  if (sha256) {
    RUSHLIGHT_TRY_ASSIGN(hash.sha256_, checksum::Sha256::create());
  }
  hash.update(as_byte_span(kDomain));
  return hash;
}

void StructureHash::update(ByteSpan bytes) {
  xxh3_.update(bytes);
  if (sha256_) sha256_->update(bytes);
}

Status StructureHash::finish(Manifest& manifest) && {
  manifest.self_xxh3 = xxh3_.digest();
  manifest.self_sha256.reset();
  if (sha256_) {
    RUSHLIGHT_TRY_ASSIGN(manifest.self_sha256, std::move(*sha256_).finish());
  }
  return {};
}

void add_self_blanks(bool sha256, std::uint64_t offset, std::vector<Blank>& blanks) {
  blanks.push_back({offset + kSelfXxh3At, kXxh3Digits, std::byte{'0'}});
  if (sha256) blanks.push_back({offset + kSelfSha256At, kSha256Digits, std::byte{'0'}});
}

void update_outside(StructureHash& hash, ByteSpan bytes, std::uint64_t base, std::span<const zip::Extent> data,
                    std::span<const Blank> blanks) {
  static_cast<void>(for_each_outside(base, base + bytes.size(), data, [&](std::uint64_t begin, std::uint64_t end) {
    const ByteSpan part = bytes.subspan(static_cast<std::size_t>(begin - base), static_cast<std::size_t>(end - begin));
    std::vector<std::byte> copy(part.begin(), part.end());
    blank(copy, begin, blanks);
    hash.update(copy);
    return Status();
  }));
}

Status update_outside(StructureHash& hash, const Source& source, std::uint64_t begin, std::uint64_t end,
                      std::span<const zip::Extent> data, std::span<const Blank> blanks) {
  std::vector<std::byte> piece;
  return for_each_outside(begin, end, data, [&](std::uint64_t from, std::uint64_t to) -> Status {
    while (from < to) {
      piece.resize(static_cast<std::size_t>(std::min<std::uint64_t>(kPieceBytes, to - from)));
      RUSHLIGHT_TRY(source.read_at(from, piece));
      blank(piece, from, blanks);
      hash.update(piece);
      from += piece.size();
    }
    return {};
  });
}

Result<SealingSink> SealingSink::create(Sink& out, ManifestLevel level) {
  RUSHLIGHT_TRY_ASSIGN(StructureHash structure, StructureHash::create(level == ManifestLevel::sha256));
  return SealingSink(out, level, std::move(structure));
}

SealingSink::SealingSink(Sink& out, ManifestLevel level, StructureHash structure)
    : out_(&out), level_(level), chunks_(hashes_of(level)), structure_(std::move(structure)) {}

Status SealingSink::write(std::span<const std::byte> bytes) {
  if (!is_tail_) return out_->write(bytes);
  tail_.insert(tail_.end(), bytes.begin(), bytes.end());
  return {};
}

void SealingSink::on_structure(ByteSpan bytes) {
  if (!is_tail_) structure_.update(bytes);
}

void SealingSink::on_content(ByteSpan bytes) {
  if (!is_tail_) chunks_.update(bytes);
}

Status SealingSink::note(const zip::WrittenRecord& written, std::string_view full_name) {
  const std::string root = manifest_.root.empty() ? "" : manifest_.root + "/";
  ManifestRecord record{.name = manifest_record_name(full_name, root),
                        .header_offset = written.place.header_offset,
                        .data_offset = written.place.data_offset,
                        .size_bytes = written.size_bytes,
                        .stored_bytes = written.stored_bytes,
                        .method = static_cast<std::uint16_t>(written.method),
                        .flags = zip::flags_of_written(written.size_bytes),
                        .crc = written.crc};
  RUSHLIGHT_TRY_ASSIGN(const std::vector<checksum::ChunkDigest> chunks, chunks_.finish());
  RUSHLIGHT_TRY(set_digests(record, chunks, level_ == ManifestLevel::sha256));
  manifest_.records.push_back(std::move(record));
  return {};
}

Result<zip::ArchivePlan> SealingSink::plan(const zip::Writer& writer, std::span<const TailRecord> tail, bool crc,
                                           bool is_signed) {
  const std::string root = manifest_.root.empty() ? "" : manifest_.root + "/";
  const std::string manifest_name = root + std::string(kManifestName);
  const std::string signature_name = root + std::string(kSignatureName);
  const std::size_t first = manifest_.records.size();
  std::vector<zip::RecordSpec> specs{{.name = manifest_name}};
  if (is_signed) specs.push_back({.name = signature_name, .size_bytes = signature_record_bytes()});
  const std::size_t first_of_tail = specs.size();
  for (const TailRecord& record : tail) {
    specs.push_back({.name = record.name,
                     .size_bytes = record.size_bytes,
                     .method = record.method,
                     .deflated_bytes = record.method == zip::Method::deflated ? record.stored.size() : 0});
    const bool is_stored = record.method == zip::Method::stored;
    ManifestRecord listed{.name = manifest_record_name(record.name, root),
                          .size_bytes = record.size_bytes,
                          .stored_bytes = record.stored.size(),
                          .method = static_cast<std::uint16_t>(record.method),
                          .flags = zip::flags_of_written(record.size_bytes),
                          .crc = !crc        ? 0
                                 : is_stored ? checksum::crc32(record.stored)
                                             : record.crc};
    checksum::ChunkStream chunks(hashes_of(level_));
    chunks.update(record.stored);
    RUSHLIGHT_TRY_ASSIGN(const std::vector<checksum::ChunkDigest> digests, chunks.finish());
    RUSHLIGHT_TRY(set_digests(listed, digests, level_ == ManifestLevel::sha256));
    manifest_.records.push_back(std::move(listed));
  }
  // The longer the manifest, the larger the offsets behind it, and so the longer it is: this ends where it fits itself.
  zip::ArchivePlan plan;
  for (std::size_t before = 1; before != specs[0].size_bytes;) {
    before = specs[0].size_bytes;
    RUSHLIGHT_TRY_ASSIGN(plan, writer.plan_rest(specs));
    for (std::size_t i = first_of_tail; i < specs.size(); ++i) {
      ManifestRecord& listed = manifest_.records[first + i - first_of_tail];
      listed.header_offset = plan.records[i].header_offset;
      listed.data_offset = plan.records[i].data_offset;
    }
    manifest_.size_bytes = plan.size_bytes;
    specs[0].size_bytes = encode(manifest_).size();
  }
  return plan;
}

Status SealingSink::write_tail(zip::Writer& writer, std::span<const TailRecord> tail, bool is_signed) {
  const std::string root = manifest_.root.empty() ? "" : manifest_.root + "/";
  const std::string text = encode(manifest_);
  RUSHLIGHT_TRY(writer.add(root + std::string(kManifestName), as_byte_span(text)));
  if (is_signed) {
    const std::string signature = encode(SignatureRecord{});
    RUSHLIGHT_TRY(writer.add(root + std::string(kSignatureName), as_byte_span(signature)));
  }
  for (const TailRecord& record : tail) {
    if (record.method == zip::Method::deflated) {
      RUSHLIGHT_TRY(writer.add_deflated(record.name, record.stored, record.size_bytes, record.crc));
    } else {
      RUSHLIGHT_TRY(writer.add(record.name, record.stored));
    }
  }
  RUSHLIGHT_TRY(writer.finish());
  return {};
}

std::size_t SealingSink::directory_position(std::string_view full_name) const {
  std::size_t at = static_cast<std::size_t>(directory_begin_ - tail_begin_);
  for (;;) {
    const ByteSpan rest = ByteSpan(tail_).subspan(at);
    assert(zip::has_signature(rest, zip::CentralEntry::kSignature));
    const zip::CentralEntry entry = zip::decode<zip::CentralEntry>(rest);
    if (as_text(rest.subspan(zip::CentralEntry::kBytes, entry.name_bytes)) == full_name) return at;
    at += zip::CentralEntry::kBytes + entry.name_bytes + entry.extra_bytes + entry.comment_bytes;
  }
}

void SealingSink::put_crc(const zip::RecordPlace& place, std::string_view full_name, ByteSpan content) {
  const std::uint32_t crc = checksum::crc32(content);
  store_le(tail_.data() + (place.descriptor_offset - tail_begin_) + kDescriptorCrcAt, crc);
  store_le(tail_.data() + directory_position(full_name) + kCentralCrcAt, crc);
}

Status SealingSink::seal(zip::Writer& writer, std::span<const TailRecord> tail, bool crc,
                         const checksum::Ed25519PrivateKey* key) {
  const bool is_signed = key != nullptr;
  const bool sha256 = level_ == ManifestLevel::sha256;
  manifest_.self_xxh3 = {};
  manifest_.self_sha256.reset();
  if (sha256) manifest_.self_sha256.emplace();
  RUSHLIGHT_TRY_ASSIGN(const zip::ArchivePlan plan, this->plan(writer, tail, crc, is_signed));
  is_tail_ = true;
  tail_begin_ = plan.records[0].header_offset;
  directory_begin_ = plan.directory_offset;
  RUSHLIGHT_TRY(write_tail(writer, tail, is_signed));

  // The text has zeros for its digests, as the digest takes them; only the CRCs must be made zero.
  const std::string root = manifest_.root.empty() ? "" : manifest_.root + "/";
  const std::string manifest_name = root + std::string(kManifestName);
  const std::string signature_name = root + std::string(kSignatureName);
  std::vector<Blank> blanks;
  std::vector<zip::Extent> data;
  for (std::size_t i = 0; i < plan.records.size(); ++i) {
    const zip::RecordPlace& place = plan.records[i];
    if (i > 0) data.push_back({place.data_offset, place.descriptor_offset});
    if (i > (is_signed ? 1 : 0)) continue;
    blanks.push_back({place.descriptor_offset + kDescriptorCrcAt, 4});
    blanks.push_back({tail_begin_ + directory_position(i == 0 ? manifest_name : signature_name) + kCentralCrcAt, 4});
  }
  update_outside(structure_, tail_, tail_begin_, data, blanks);
  RUSHLIGHT_TRY(std::move(structure_).finish(manifest_));

  const auto content_of = [&](const zip::RecordPlace& place) {
    return std::span<std::byte>(tail_).subspan(static_cast<std::size_t>(place.data_offset - tail_begin_),
                                               static_cast<std::size_t>(place.descriptor_offset - place.data_offset));
  };
  const std::span<std::byte> text = content_of(plan.records[0]);
  put_self_digests(manifest_, reinterpret_cast<char*>(text.data()));
  if (is_signed) {
    RUSHLIGHT_TRY_ASSIGN(const SignatureRecord signature, make_signature(*key, as_text(text)));
    const std::string encoded = encode(signature);
    std::memcpy(content_of(plan.records[1]).data(), encoded.data(), encoded.size());
  }
  if (crc) {
    put_crc(plan.records[0], manifest_name, text);
    if (is_signed) put_crc(plan.records[1], signature_name, content_of(plan.records[1]));
  }
  return out_->write(tail_);
}

}  // namespace rushlight::checkpoint
