#include "open/verify_manifest.hpp"

#include <algorithm>
#include <map>
#include <utility>

#include "base/fail.hpp"
#include "base/quote.hpp"
#include "checkpoint/manifest_text.hpp"
#include "checkpoint/seal.hpp"
#include "checkpoint/signature.hpp"
#include "open/file_digests.hpp"
#include "open/manifest_tensors.hpp"
#include "open/opened.hpp"
#include "zip/records.hpp"

namespace rushlight::open {
namespace {

using checkpoint::Blank;
using checkpoint::StructureHash;

// In one finding.
constexpr std::size_t kNamedTensors = 1000;
constexpr std::size_t kMostFindings = 1000;
constexpr std::size_t kDetachedBytes = 64;

// `end` in lower case; ASCII letters alone have two cases here. Allocates nothing: most files have no manifest, and
// many records.
bool ends_with_ignoring_case(std::string_view text, std::string_view end) noexcept {
  if (text.size() < end.size()) return false;
  text.remove_prefix(text.size() - end.size());
  return std::equal(text.rbegin(), text.rend(), end.rbegin(),
                    [](char a, char b) { return (a >= 'A' && a <= 'Z' ? static_cast<char>(a - 'A' + 'a') : a) == b; });
}

// The chunks of a record that are not those that it lists, in file order, neighbours as one range; offsets within it.
std::vector<zip::Extent> damaged_chunks(const ManifestRecord& listed, std::span<const checksum::ChunkDigest> chunks) {
  std::vector<zip::Extent> damage;
  const auto mark = [&](std::uint64_t begin, std::uint64_t end) {
    if (!damage.empty() && damage.back().end == begin) {
      damage.back().end = end;
    } else {
      damage.push_back({begin, end});
    }
  };
  for (std::size_t i = 0; i < listed.chunks.size(); ++i) {
    const std::uint64_t begin = i * checksum::kChunkBytes;
    // Of a file that was cut off there are fewer.
    if (i >= chunks.size() || chunks[i].xxh3 != listed.chunks[i]) {
      mark(begin, std::min(begin + checksum::kChunkBytes, listed.stored_bytes));
    }
  }
  const bool same_record = checksum::record_xxh3(chunks) == listed.xxh3;
  if (!same_record && damage.empty()) mark(0, listed.stored_bytes);
  return damage;
}

// "bytes [0x400000, 0x800000)".
std::string range_text(const zip::Extent& range) {
  return "bytes [" + hex(range.begin) + ", " + hex(range.end) + ")";
}

}  // namespace

Finding& ManifestCheck::add(Category category, std::string_view code, std::string message) {
  Finding finding{.category = category, .code = std::string(code), .message = std::move(message)};
  // A manifest of another file differs in all of its records; they have their states in the report.
  if (category == Category::mani && findings_.size() >= kMostFindings) {
    left_out_ += 1;
    return spare_ = std::move(finding);
  }
  return findings_.emplace_back(std::move(finding));
}

Finding& ManifestCheck::add_difference(std::string_view code, std::string what, std::string expected,
                                       std::string found) {
  Finding& finding = add(Category::mani, code, std::move(what) + ", expected " + expected + ", found " + found);
  finding.expected = std::move(expected);
  finding.found = std::move(found);
  return finding;
}

// Any record that some reader could take for it: one alone, and where it belongs, is the one. That it stands below the
// root is known only later.
ManifestCheck::Found ManifestCheck::find_record(const zip::Archive& archive, std::string_view name) {
  Found found;
  for (const zip::Entry& entry : archive.entries()) {
    if (!ends_with_ignoring_case(entry.name, name)) continue;
    const std::size_t before = entry.name.size() - name.size();
    if (before > 0 && entry.name[before - 1] != '/') continue;
    if (found.entry == nullptr) {
      found.entry = &entry;
    } else {
      found.others += 1;
    }
  }
  return found;
}

Result<std::string> ManifestCheck::read_text(const zip::Archive* archive, const zip::Entry* entry,
                                             const Source* sidecar, std::string_view what) const {
  const std::uint64_t size_bytes = sidecar != nullptr ? sidecar->size_bytes() : entry->size_bytes;
  if (size_bytes > options_.limits.json_bytes) {
    return Error::of({.category = Category::limit,
                      .code = "LIMIT-JSON-BYTES",
                      .message = std::string(what) + " takes " + std::to_string(size_bytes) +
                                 " bytes, expected at most " + std::to_string(options_.limits.json_bytes) +
                                 " (json_bytes)"});
  }
  std::string text;
  if (sidecar != nullptr) {
    text.resize(static_cast<std::size_t>(size_bytes));
    RUSHLIGHT_TRY(sidecar->read_at(0, std::as_writable_bytes(std::span<char>(text))));
    return text;
  }
  RUSHLIGHT_TRY_ASSIGN(const zip::RecordBytes bytes, archive->read(*entry, options_.limits.json_bytes));
  return std::string(as_text(bytes.span()));
}

Status ManifestCheck::find(const zip::Archive* archive, bool is_set) {
  if (!options_.public_key_pem.empty()) {
    RUSHLIGHT_TRY_ASSIGN(key_, checksum::ed25519_public_key(options_.public_key_pem));
  }
  RUSHLIGHT_TRY(read_signature(archive));
  const Source* sidecar = options_.manifest.get();
  Found found;
  if (archive != nullptr) found = find_record(*archive, checkpoint::kManifestName);
  if (sidecar == nullptr && found.entry == nullptr) return {};
  has_manifest_ = true;
  if (sidecar == nullptr) {
    entry_ = found.entry;
    if (found.others > 0) {
      add(Category::ambig, "MANI-TWICE", "there are " + std::to_string(found.others + 1) + " manifests in the archive")
          .record = escaped(found.entry->name);
      return {};
    }
  } else if (is_set) {
    add(Category::unsup, "MANI-CONTAINER",
        "the file is one of a set, which no manifest is of: nothing was compared with it")
        .hint = "each file of the set may have one of its own";
    return {};
  }
  Result<std::string> text = read_text(archive, entry_, sidecar, "manifest");
  Result<Manifest> manifest = text ? checkpoint::decode_manifest(*text, options_.limits) : std::move(text).error();
  if (manifest) {
    const char* wrong_place = nullptr;
    if (manifest->container == ManifestContainer::zip && archive == nullptr) {
      wrong_place = "the manifest is one of a zip archive, and the file is none that could be opened";
    } else if (manifest->container == ManifestContainer::file && archive != nullptr) {
      wrong_place = "the manifest is one of a file that is no archive, and the file is a zip archive";
    } else if (sidecar == nullptr && manifest->file_sha256) {
      wrong_place = "the manifest says what the whole file is, which only one beside it can know";
    }
    if (wrong_place != nullptr) {
      add(Category::mani, "MANI-CONTAINER", std::string(wrong_place) + ": nothing was compared with it");
      return {};
    }
    text_ = *std::move(text);
    manifest_ = *std::move(manifest);
    return {};
  }
  Error error = std::move(manifest).error();
  if (could_not_look(error)) return error;
  if (entry_ != nullptr) error.finding.record = std::string(checkpoint::kManifestName);
  if (sidecar != nullptr) error.finding.file = printable_file(std::string(sidecar->name()));
  findings_.push_back(std::move(error).finding);
  return {};
}

Status ManifestCheck::read_signature(const zip::Archive* archive) {
  const Source* sidecar = options_.signature.get();
  Found found;
  if (archive != nullptr) found = find_record(*archive, checkpoint::kSignatureName);
  signature_entry_ = found.entry;
  if (sidecar == nullptr && found.entry == nullptr) return {};
  has_signature_ = true;
  signature_is_sidecar_ = sidecar != nullptr;
  if (sidecar == nullptr && found.others > 0) {
    add(Category::ambig, "SIG-TWICE", "there are " + std::to_string(found.others + 1) + " signatures in the archive")
        .record = escaped(found.entry->name);
    return {};
  }
  if (sidecar != nullptr && sidecar->size_bytes() != kDetachedBytes) {
    Finding& finding = add(Category::sig, "SIG-LENGTH",
                           "signature file, expected 64 bytes, found " + std::to_string(sidecar->size_bytes()));
    finding.file = printable_file(std::string(sidecar->name()));
    return {};
  }
  Result<std::string> text = read_text(archive, found.entry, sidecar, "signature");
  if (text) {
    signature_text_ = *std::move(text);
    return {};
  }
  if (could_not_look(text.error())) return std::move(text).error();
  findings_.push_back(std::move(text).error().finding);
  return {};
}

checksum::ChunkHashes ManifestCheck::hashes() const noexcept {
  if (!manifest_) return {};
  return {.xxh3 = true, .sha256 = manifest_->level() == ManifestLevel::sha256 && checksum::sha256_available()};
}

std::span<const zip::Extent> ManifestCheck::damage(std::size_t record) const noexcept {
  return record < damage_.size() ? std::span<const zip::Extent>(damage_[record]) : std::span<const zip::Extent>();
}

bool ManifestCheck::is_compared(std::size_t record) const noexcept {
  return record < compared_.size() && compared_[record];
}

Status ManifestCheck::compare(const zip::Audit& audit, std::string_view root, VerifyReport& report) {
  if (has_manifest_) {
    for (RecordReport& record : report.records) record.xxh3 = Integrity::not_checked;
  }
  if (entry_ != nullptr && entry_->name != std::string(root) + std::string(checkpoint::kManifestName)) {
    add(Category::ambig, "MANI-PLACE",
        "a manifest in another place than " +
            rushlight::quoted(std::string(root) + std::string(checkpoint::kManifestName)))
        .record = escaped(entry_->name);
    manifest_.reset();
  }
  if (!manifest_) return {};
  if (manifest_->level() == ManifestLevel::sha256) {
    for (RecordReport& record : report.records) record.sha256 = Integrity::not_checked;
    report_unchecked_sha256();
  }
  damage_.resize(audit.records.size());
  compared_.resize(audit.records.size());
  if (manifest_->size_bytes != source_.size_bytes()) {
    add_difference("MANI-SIZE", "size of the file", std::to_string(manifest_->size_bytes),
                   std::to_string(source_.size_bytes()));
  }
  if (std::string(root) != (manifest_->root.empty() ? "" : manifest_->root + "/")) {
    add_difference("MANI-ROOT", "root folder", rushlight::quoted(manifest_->root), rushlight::quoted(root));
  }
  compare_records(audit, root, report);
  RUSHLIGHT_TRY(compare_structure(audit));
  if (manifest_->file_sha256) {
    file_sha256_ = Integrity::not_checked;
    if (hashes().sha256) {
      RUSHLIGHT_TRY_ASSIGN(const Sha256Bytes found, sha256_of_file(source_, options_.progress));
      compare_digest_of_file(file_sha256_, found == *manifest_->file_sha256, "MANI-FILE-SHA256", "SHA-256");
    }
  }
  return {};
}

void ManifestCheck::report_unchecked_sha256() {
  if (checksum::sha256_available()) return;
  add(Category::unsup, "MANI-SHA256-NOT-CHECKED",
      "the SHA-256 of the manifest is not checked: this build has no OpenSSL")
      .severity = Severity::warning;
}

// Whatever differs has been found in a record or outside of them, and is named there: nothing more is said then.
void ManifestCheck::compare_digest_of_file(Integrity& state, bool fits, std::string_view code,
                                           std::string_view algorithm) {
  state = fits ? Integrity::verified : Integrity::mismatch;
  const bool is_said = std::ranges::find(findings_, Category::mani, &Finding::category) != findings_.end();
  if (!fits && !is_said)
    add(Category::mani, code, "the file's " + std::string(algorithm) + " is not that of the manifest");
}

Status ManifestCheck::compare_file(VerifyReport& report) {
  const std::uint64_t size_bytes = source_.size_bytes();
  if (manifest_->size_bytes != size_bytes) {
    add_difference("MANI-SIZE", "size of the file", std::to_string(manifest_->size_bytes), std::to_string(size_bytes))
        .tensors = all_tensors();
    index_damaged_ = true;
  }
  const bool has_sha256 = manifest_->level() == ManifestLevel::sha256;
  if (has_sha256) report_unchecked_sha256();
  std::vector<zip::Extent> stretches;  // as much of them as there is
  for (const ManifestRecord& record : manifest_->records) {
    stretches.push_back(
        {std::min(record.data_offset, size_bytes), std::min(record.data_offset + record.stored_bytes, size_bytes)});
  }
  RUSHLIGHT_TRY_ASSIGN(const FileDigests digests,
                       digest_file(source_, stretches, hashes(), options_.executor, options_.progress));
  report.checked_bytes = size_bytes;
  damage_.resize(stretches.size());
  tensors_in_.resize(stretches.size());
  // Those without elements lie nowhere, whatever their offset: a record is not theirs.
  for (std::size_t i = 0; i < manifest_->tensors.size(); ++i) {
    const zip::Extent bytes = reach_in_file(manifest_->tensors[i]);
    if (bytes.size_bytes() > 0) tensors_in_[record_at(bytes.begin)].push_back(i);
  }
  for (std::size_t i = 0; i < stretches.size(); ++i) {
    const ManifestRecord& listed = manifest_->records[i];
    RecordReport record{.name = listed.name,
                        .offset = listed.data_offset,
                        .size_bytes = listed.size_bytes,
                        .compressed_bytes = listed.size_bytes,
                        .crc = Integrity::not_computed,
                        .sha256 = has_sha256 ? Integrity::not_checked : Integrity::not_computed};
    compare_stretch(i, digests.stretches[i], record);
    report.records.push_back(std::move(record));
  }
  RUSHLIGHT_TRY(compare_self_of_file(stretches));
  compare_digest_of_file(file_xxh3_, digests.file_xxh3 == *manifest_->file_xxh3, "MANI-FILE-XXH3", "XXH3-128");
  if (has_sha256) {
    file_sha256_ = Integrity::not_checked;
    if (digests.file_sha256) {
      compare_digest_of_file(file_sha256_, digests.file_sha256 == manifest_->file_sha256, "MANI-FILE-SHA256",
                             "SHA-256");
    }
  }
  file_compared_ = true;
  return {};
}

bool ManifestCheck::sha256_differs(const ManifestRecord& listed, std::span<const checksum::ChunkDigest> chunks,
                                   RecordReport& report) const {
  if (!hashes().sha256 || !listed.sha256) return false;
  const Result<checksum::Sha256Digest> sha256 = checksum::record_sha256(listed.stored_bytes, chunks);
  if (!sha256) return false;  // not checked
  report.sha256 = *sha256 == *listed.sha256 ? Integrity::verified : Integrity::mismatch;
  return report.sha256 == Integrity::mismatch;
}

void ManifestCheck::compare_stretch(std::size_t number, std::span<const checksum::ChunkDigest> chunks,
                                    RecordReport& report) {
  const ManifestRecord& listed = manifest_->records[number];
  std::vector<zip::Extent>& damage = damage_[number];
  damage = damaged_chunks(listed, chunks);
  report.xxh3 = damage.empty() ? Integrity::verified : Integrity::mismatch;
  const auto say = [&](const zip::Extent& range, std::string_view code, std::string message) {
    Finding& finding = add(Category::mani, code, std::move(message));
    finding.record = listed.name;
    finding.offset = listed.data_offset + range.begin;
    finding.record_offset = range.begin;
    finding.tensors = tensors_in_file(number, range);
    index_damaged_ = index_damaged_ || tensors_in_[number].empty();
  };
  for (const zip::Extent& range : damage) {
    say(range, "MANI-MISMATCH",
        range_text({listed.data_offset + range.begin, listed.data_offset + range.end}) +
            " of the file are not those that the manifest vouches for");
  }
  if (!sha256_differs(listed, chunks, report) || !damage.empty()) return;
  damage.push_back({0, listed.stored_bytes});
  say(damage.front(), "MANI-SHA256",
      "the SHA-256 of " + range_text({listed.data_offset, listed.data_offset + listed.stored_bytes}) +
          " is not that of the manifest, though their XXH3-128 is: somebody chose the bytes");
}

Status ManifestCheck::compare_self_of_file(std::span<const zip::Extent> stretches) {
  const bool sha256 = hashes().sha256;
  RUSHLIGHT_TRY_ASSIGN(StructureHash hash, StructureHash::create(sha256));
  RUSHLIGHT_TRY(checkpoint::update_outside(hash, source_, 0, source_.size_bytes(), stretches, {}));
  std::vector<Blank> blanks;
  checkpoint::add_self_blanks(manifest_->level() == ManifestLevel::sha256, 0, blanks);
  checkpoint::update_outside(hash, as_byte_span(text_), 0, {}, blanks);
  Manifest computed;
  RUSHLIGHT_TRY(std::move(hash).finish(computed));
  self_checked_ = true;
  self_fits_ =
      computed.self_xxh3 == manifest_->self_xxh3 && (!sha256 || computed.self_sha256 == manifest_->self_sha256);
  if (self_fits_) return {};
  index_damaged_ = true;
  add(Category::mani, "MANI-SELF",
      "bytes of the file between its records, or the manifest itself, are not what they were when it was made")
      .tensors = all_tensors();
  return {};
}

// The record with that byte of the file; their number where there is none.
std::size_t ManifestCheck::record_at(std::uint64_t offset) const {
  const std::vector<ManifestRecord>& records = manifest_->records;
  const auto behind =
      std::upper_bound(records.begin(), records.end(), offset,
                       [](std::uint64_t at, const ManifestRecord& record) { return at < record.data_offset; });
  if (behind == records.begin()) return records.size();
  const auto found = behind - 1;
  return offset - found->data_offset < found->size_bytes ? static_cast<std::size_t>(found - records.begin())
                                                         : records.size();
}

// Where the numbers do not say, all of its record; none where it has no bytes, or none in a record.
zip::Extent ManifestCheck::reach_in_file(const ManifestTensor& tensor) const {
  const bool is_empty = std::ranges::find(tensor.shape, std::int64_t{0}) != tensor.shape.end();
  const std::size_t number =
      tensor.data_offset && !is_empty ? record_at(*tensor.data_offset) : manifest_->records.size();
  if (number == manifest_->records.size()) return {0, 0};
  const ManifestRecord& record = manifest_->records[number];
  const std::uint64_t end = record.data_offset + record.size_bytes;
  const zip::Extent bytes = reach(tensor);
  if (bytes.end > end - *tensor.data_offset) return {record.data_offset, end};
  return {*tensor.data_offset + bytes.begin, *tensor.data_offset + bytes.end};
}

std::vector<std::string> ManifestCheck::all_tensors() const {
  std::vector<std::string> names;
  for (const ManifestTensor& tensor : manifest_->tensors) {
    if (names.size() == kNamedTensors) break;
    names.push_back(tensor.name);
  }
  return names;
}

// `damage` counts from the start of the record.
std::vector<std::string> ManifestCheck::tensors_in_file(std::size_t record, const zip::Extent& damage) {
  if (tensors_in_[record].empty()) return all_tensors();
  const std::uint64_t base = manifest_->records[record].data_offset;
  std::vector<std::string> names;
  for (const std::size_t i : tensors_in_[record]) {
    const ManifestTensor& tensor = manifest_->tensors[i];
    const zip::Extent bytes = reach_in_file(tensor);
    if (names.size() == kNamedTensors) break;
    if (bytes.begin < base + damage.end && base + damage.begin < bytes.end) names.push_back(tensor.name);
  }
  return names;
}

TensorState ManifestCheck::state_in_file(const ManifestTensor& tensor) const {
  if (!file_compared_) return TensorState::unverified;
  if (index_damaged_) return TensorState::damaged;
  const zip::Extent bytes = reach_in_file(tensor);
  // Without elements; or outside all records, where the self-digest is of its bytes, and fits.
  if (bytes.size_bytes() == 0) return TensorState::intact;
  const std::size_t record = record_at(bytes.begin);
  const std::uint64_t base = manifest_->records[record].data_offset;
  const bool hit = std::ranges::any_of(damage_[record], [&](const zip::Extent& range) {
    return bytes.begin < base + range.end && base + range.begin < bytes.end;
  });
  return hit ? TensorState::damaged : TensorState::intact;
}

void ManifestCheck::compare_records(const zip::Audit& audit, std::string_view root, VerifyReport& report) {
  std::map<std::string_view, const ManifestRecord*> listed;
  for (const ManifestRecord& record : manifest_->records) {
    if (!listed.emplace(record.name, &record).second) {
      add(Category::ambig, "MANI-LISTED-TWICE", "the manifest lists a record twice").record = escaped(record.name);
    }
  }
  for (std::size_t i = 0; i < audit.records.size(); ++i) {
    const zip::Entry& entry = *audit.records[i].entry;
    if (options_.manifest == nullptr && (&entry == entry_ || &entry == signature_entry_)) continue;
    const std::string name = checkpoint::manifest_record_name(entry.name, root);
    const auto found = listed.find(name);
    if (found == listed.end()) {
      Finding& finding = add(Category::mani, "MANI-UNLISTED", "the manifest does not list this record");
      finding.record = escaped(name);
      finding.offset = entry.header_offset;
      continue;
    }
    compare_record(*found->second, audit.records[i], i, report.records[i]);
    listed.erase(found);
  }
  for (const ManifestRecord& record : manifest_->records) {
    const auto left = listed.find(record.name);
    if (left == listed.end() || left->second != &record) continue;
    Finding& finding = add(Category::mani, "MANI-MISSING-RECORD", "the manifest lists a record that is not there");
    finding.record = escaped(record.name);
    finding.tensors = tensors_in(record.name, {0, record.size_bytes});
  }
}

void ManifestCheck::compare_record(const ManifestRecord& listed, const zip::RecordAudit& audit, std::size_t number,
                                   RecordReport& report) {
  const zip::Entry& entry = *audit.entry;
  const auto field = [&](const char* what, std::uint64_t expected, std::uint64_t found) {
    if (expected == found) return;
    Finding& finding = add_difference("MANI-RECORD", std::string("the record's ") + what, std::to_string(expected),
                                      std::to_string(found));
    finding.record = escaped(listed.name);
    finding.offset = entry.header_offset;
  };
  field("header offset", listed.header_offset, entry.header_offset);
  if (audit.data) field("data offset", listed.data_offset, audit.data->begin);
  field("size", listed.size_bytes, entry.size_bytes);
  field("stored size", listed.stored_bytes, entry.compressed_bytes);
  field("method", listed.method, static_cast<std::uint64_t>(entry.method));
  field("flags", listed.flags, entry.flags);
  if (listed.crc != entry.crc) {
    Finding& finding = add_difference("MANI-RECORD", "the record's crc-32", hex8(listed.crc), hex8(entry.crc));
    finding.record = escaped(listed.name);
    finding.offset = entry.directory_offset;
  }
  if (audit.chunks && listed.stored_bytes == entry.compressed_bytes) compare_chunks(listed, audit, number, report);
}

void ManifestCheck::compare_chunks(const ManifestRecord& listed, const zip::RecordAudit& audit, std::size_t number,
                                   RecordReport& report) {
  const std::vector<checksum::ChunkDigest>& chunks = *audit.chunks;
  // Those of the last chunks may be missing where the file could not be read to its end; the audit has said so.
  if (chunks.size() != checksum::chunk_count(listed.stored_bytes)) return;
  std::vector<zip::Extent>& damage = damage_[number];
  damage = damaged_chunks(listed, chunks);
  compared_[number] = true;
  report.xxh3 = damage.empty() ? Integrity::verified : Integrity::mismatch;
  for (const zip::Extent& range : damage) {
    Finding& finding = add(Category::mani, "MANI-MISMATCH",
                           listed.stored_bytes == 0
                               ? std::string("the record's XXH3-128 is not that of the manifest")
                               : range_text(range) + " of the record are not those that the manifest vouches for");
    finding.record = escaped(listed.name);
    finding.offset = audit.data->begin + range.begin;
    if (audit.entry->method == zip::Method::stored) finding.record_offset = range.begin;
    finding.tensors =
        tensors_in(listed.name, audit.entry->method == zip::Method::stored ? range : zip::Extent{0, listed.size_bytes});
  }
  if (!sha256_differs(listed, chunks, report) || !damage.empty()) return;
  damage.push_back({0, listed.stored_bytes});
  Finding& finding = add(Category::mani, "MANI-SHA256",
                         "the record's SHA-256 is not that of the manifest, though its XXH3-128 is: somebody chose the "
                         "bytes");
  finding.record = escaped(listed.name);
  finding.offset = audit.data->begin;
  finding.tensors = tensors_in(listed.name, {0, listed.size_bytes});
}

std::vector<std::string> ManifestCheck::tensors_in(std::string_view record, const zip::Extent& damage) {
  const std::vector<ManifestTensor>& tensors = manifest_->tensors;
  if (tensors_of_.empty()) {
    for (std::size_t i = 0; i < tensors.size(); ++i) tensors_of_[tensors[i].record].push_back(i);
  }
  // What says which tensors there are is what all of them hang on.
  const bool index = record == "data.pkl";
  const auto found = tensors_of_.find(record);
  const std::size_t count = index ? tensors.size() : found != tensors_of_.end() ? found->second.size() : 0;
  std::vector<std::string> names;
  for (std::size_t i = 0; i < count && names.size() < kNamedTensors; ++i) {
    const ManifestTensor& tensor = tensors[index ? i : found->second[i]];
    const zip::Extent bytes = reach(tensor);
    if (index || (bytes.begin < damage.end && damage.begin < bytes.end)) names.push_back(tensor.name);
  }
  return names;
}

Status ManifestCheck::compare_structure(const zip::Audit& audit) {
  std::vector<zip::Extent> data;
  std::vector<Blank> blanks;
  const bool sha256 = hashes().sha256;
  const auto blank_crcs = [&](const zip::Entry& entry, const zip::Extent& extent) -> Status {
    blanks.push_back({entry.header_offset + 14, 4});
    blanks.push_back({entry.directory_offset + 16, 4});
    if ((entry.flags & zip::kFlagDescriptor) == 0 || source_.size_bytes() - extent.end < zip::kSignatureBytes)
      return {};
    std::array<std::byte, zip::kSignatureBytes> mark{};
    RUSHLIGHT_TRY(source_.read_at(extent.end, mark));
    const bool is_marked = zip::has_signature(mark, zip::Descriptor::kSignature);
    blanks.push_back({extent.end + (is_marked ? 4 : 0), 4});
    return {};
  };
  for (const zip::RecordAudit& record : audit.records) {
    if (!record.data) return {};  // the audit says why; what lies where is not known
    const bool is_own = options_.manifest == nullptr && record.entry == entry_;
    if (!is_own) data.push_back(*record.data);
    if (is_own) checkpoint::add_self_blanks(manifest_->level() == ManifestLevel::sha256, record.data->begin, blanks);
    if (is_own || (options_.manifest == nullptr && record.entry == signature_entry_)) {
      RUSHLIGHT_TRY(blank_crcs(*record.entry, *record.data));
    }
  }
  std::sort(data.begin(), data.end(), [](const zip::Extent& a, const zip::Extent& b) { return a.begin < b.begin; });
  RUSHLIGHT_TRY_ASSIGN(StructureHash hash, StructureHash::create(sha256));
  RUSHLIGHT_TRY(checkpoint::update_outside(hash, source_, 0, source_.size_bytes(), data, blanks));
  if (options_.manifest != nullptr) {
    std::vector<Blank> self;
    checkpoint::add_self_blanks(manifest_->level() == ManifestLevel::sha256, 0, self);
    checkpoint::update_outside(hash, as_byte_span(text_), 0, {}, self);
  }
  Manifest computed;
  RUSHLIGHT_TRY(std::move(hash).finish(computed));
  self_checked_ = true;
  const bool same_xxh3 = computed.self_xxh3 == manifest_->self_xxh3;
  self_fits_ = same_xxh3 && (!sha256 || computed.self_sha256 == manifest_->self_sha256);
  if (self_fits_) return {};
  Finding& finding =
      add(Category::mani, "MANI-SELF",
          same_xxh3 ? "the SHA-256 of what lies outside record data is not that of the manifest, though its XXH3-128 "
                      "is: somebody chose the bytes"
                    : "headers, padding, directory or the manifest itself are not what they were when it was made");
  if (entry_ != nullptr) finding.record = std::string(checkpoint::kManifestName);
  return {};
}

void ManifestCheck::compare_tensors(std::span<const ManifestTensor> found) {
  if (!manifest_) return;
  const std::vector<ManifestTensor>& listed = manifest_->tensors;
  for (std::size_t i = 0; i < std::min(found.size(), listed.size()); ++i) {
    if (found[i] == listed[i]) continue;
    Finding& finding = add(Category::mani, "MANI-TENSOR",
                           "tensor " + std::to_string(i) + " is " + rushlight::quoted(found[i].name) +
                               " in the file, and the manifest has " +
                               (found[i].name == listed[i].name ? "another dtype, shape, strides or place for it"
                                                                : rushlight::quoted(listed[i].name)));
    finding.tensors.push_back(found[i].name);
    return;
  }
  if (found.size() == listed.size()) return;
  add_difference("MANI-TENSOR", "number of tensors", std::to_string(listed.size()), std::to_string(found.size()));
}

Status ManifestCheck::check_signature(VerifyReport& report) {
  SignatureVerdict& verdict = report.signature.emplace();
  verdict.is_sidecar = signature_is_sidecar_;
  if (key_) {
    RUSHLIGHT_TRY_ASSIGN(verdict.key, checkpoint::key_name(*key_));
  }
  const auto bad = [&](std::string_view code, std::string message) {
    verdict.state = Integrity::mismatch;
    Finding& finding = add(Category::sig, code, std::move(message));
    if (!signature_is_sidecar_) finding.record = std::string(checkpoint::kSignatureName);
  };
  checkpoint::SignatureRecord record;
  if (signature_is_sidecar_) {
    if (signature_text_.size() != kDetachedBytes) {
      verdict.state = Integrity::mismatch;
      return {};  // its length was said
    }
    std::copy_n(as_byte_span(signature_text_).begin(), kDetachedBytes, record.signature.begin());
    if (!key_) return {};
    record.key = *key_;
  } else {
    Result<checkpoint::SignatureRecord> decoded = checkpoint::decode_signature(signature_text_);
    if (!decoded) {
      bad(decoded.error().finding.code, decoded.error().finding.message);
      return {};
    }
    record = *decoded;
    if (!checksum::ed25519_available()) return {};  // not checked, and not demanded: a key cannot be read either
    RUSHLIGHT_TRY_ASSIGN(const std::string named, checkpoint::key_name(record.key));
    if (key_ && record.key != *key_) {
      bad("SIG-OTHER-KEY", "signed with another key, expected " + verdict.key + ", found " + named);
      return {};
    }
    verdict.key = named;
  }
  if (!manifest_ || manifest_->level() != ManifestLevel::sha256) {
    bad("SIG-NO-MANIFEST", manifest_ ? "a signature of a manifest without SHA-256 vouches for nothing"
                                     : "there is no manifest that the signature could be of");
    if (!has_manifest_) findings_.back().hint = "--manifest names one that lies beside the file";
    return {};
  }
  const std::string message = checkpoint::signed_message(text_);
  RUSHLIGHT_TRY_ASSIGN(const bool fits, checksum::ed25519_verify(record.key, as_byte_span(message), record.signature));
  if (!fits) {
    bad("SIG-MISMATCH", "the signature does not fit the manifest");
  } else if (key_) {
    verdict.state = Integrity::verified;
  }
  return {};
}

Status ManifestCheck::conclude(VerifyReport& report) {
  const auto is_error = [](const Finding& finding) { return finding.severity == Severity::error; };
  if (has_manifest_) {
    ManifestVerdict& verdict = report.manifest.emplace();
    verdict.is_sidecar = options_.manifest != nullptr;
    verdict.state = std::any_of(findings_.begin(), findings_.end(), is_error) ? Integrity::mismatch
                    : self_checked_                                           ? Integrity::verified
                                                                              : Integrity::not_checked;
    if (manifest_) {
      verdict.level = manifest_->level();
      verdict.records = manifest_->records.size();
      verdict.tensors = manifest_->tensors.size();
      verdict.self_digest = checksum::to_hex(manifest_->self_xxh3);
      // Where nothing was compared they are not checked.
      verdict.file_xxh3 =
          manifest_->file_xxh3 && file_xxh3_ == Integrity::not_computed ? Integrity::not_checked : file_xxh3_;
      verdict.file_sha256 =
          manifest_->file_sha256 && file_sha256_ == Integrity::not_computed ? Integrity::not_checked : file_sha256_;
      // Its own record is what the self-digest is of, besides.
      for (RecordReport& record : report.records) {
        if (!self_fits_ || entry_ == nullptr || record.name != checkpoint::kManifestName) continue;
        record.xxh3 = Integrity::verified;
        if (hashes().sha256) record.sha256 = Integrity::verified;
      }
    }
  } else if (options_.require_manifest) {
    add(Category::mani, "MANI-ABSENT", "the file has no manifest").hint =
        "rushlight manifest writes one; torch.save drops it when it writes the file again";
  }
  if (has_signature_) {
    RUSHLIGHT_TRY(check_signature(report));
  } else if (key_) {
    add(Category::sig, "SIG-UNSIGNED", "the file is unsigned");
  }
  // What is signed is the manifest: where the file is not as it says, or was not looked at whole, nothing is.
  if (report.signature && report.signature->state == Integrity::verified &&
      report.manifest->state != Integrity::verified) {
    report.signature->state = Integrity::not_checked;
  }
  if (key_ && report.signature && report.signature->state == Integrity::not_checked) {
    add(Category::sig, "SIG-NOT-CHECKED", "the signature says nothing about a file that its manifest does not fit");
  }
  if (left_out_ > 0) {
    findings_.push_back({.category = Category::mani,
                         .code = "MANI-MORE",
                         .message = std::to_string(left_out_) + " more differences from the manifest"});
  }
  for (Finding& finding : findings_) {
    if (finding.file.empty()) finding.file = report.file;
    report.findings.push_back(std::move(finding));
  }
  findings_.clear();
  return {};
}

}  // namespace rushlight::open
