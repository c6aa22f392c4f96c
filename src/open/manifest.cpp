#include "rushlight/manifest.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/fail.hpp"
#include "base/no_memory.hpp"
#include "base/quote.hpp"
#include "checkpoint/manifest_text.hpp"
#include "checkpoint/seal.hpp"
#include "checkpoint/signature.hpp"
#include "checkpoint/zip_container.hpp"
#include "io/atomic_file.hpp"
#include "open/file_digests.hpp"
#include "open/manifest_tensors.hpp"
#include "open/opened.hpp"
#include "rushlight/verify.hpp"

namespace rushlight {
namespace {

namespace fs = std::filesystem;
using checkpoint::SealingSink;
using checkpoint::StructureHash;
using checkpoint::TailRecord;

constexpr std::size_t kCopyBytes = std::size_t{4} << 20;
// What may have to move because the manifest comes before it: ours are a few bytes.
constexpr std::uint64_t kMostTailBytes = std::uint64_t{64} << 20;
constexpr std::uint64_t kMostKeyBytes = std::uint64_t{64} << 10;

Error refused(std::string_view code, std::string message, std::string hint = "") {
  return Error::of(
      ErrorCode::unsupported,
      {.category = Category::unsup, .code = std::string(code), .message = std::move(message), .hint = std::move(hint)});
}

// A whole file, looked at closely and found sound.
struct Examined {
  open::Opened opened;
  zip::Audit audit;
  std::string root;                // with its slash
  std::vector<std::size_t> order;  // of audit.records, by place in the file
  std::vector<ManifestTensor> tensors;
  std::vector<zip::Extent> data;  // in file order

  [[nodiscard]] const zip::Archive& archive() const { return *opened.archive; }
  [[nodiscard]] bool is_own(const zip::Entry& entry) const {
    return entry.name == root + std::string(checkpoint::kManifestName) ||
           entry.name == root + std::string(checkpoint::kSignatureName);
  }
};

Result<Examined> examine(const fs::path& path, FileAccess access, ManifestLevel level, const Limits& limits,
                         Executor* executor, Progress* progress) {
  RUSHLIGHT_TRY_ASSIGN(std::shared_ptr<const Source> source, open_file(path, access));
  Examined examined;
  open::Opened& opened = examined.opened;
  LoadOptions load;
  load.limits = limits;
  load.checksums = Checksums::ignore;  // the audit computes all of them
  RUSHLIGHT_TRY(open::open_container(std::move(source), load, opened));
  const std::string file = open::printable_file(opened.file);
  if (opened.is_set() || opened.archive == nullptr) {
    return with_file(refused("MANI-CONTAINER", "only zip archives have room for a manifest, and this file is none",
                             "write it beside the file instead (--sidecar)"),
                     file);
  }
  RUSHLIGHT_TRY_ASSIGN(examined.audit, opened.archive->audit(executor, progress, checkpoint::hashes_of(level)));
  Status loaded = open::load_values(load, opened);
  if (!loaded && loaded.error().finding.code != "KIND-UNSUPPORTED") {
    // What the audit found comes first: a damaged pickle reads badly because it is damaged.
    const bool damaged = std::any_of(examined.audit.findings.begin(), examined.audit.findings.end(),
                                     [](const Finding& finding) { return finding.severity == Severity::error; });
    if (!damaged) return std::move(loaded).error();
  }
  examined.root = opened.format.root.empty() ? "" : opened.format.root + "/";
  for (Finding& finding : examined.audit.findings) {
    if (finding.severity != Severity::error) continue;
    checkpoint::RecordContext context;
    context.file = opened.file;
    context.root = examined.root;
    checkpoint::place(finding, context);
    finding.hint = "of a damaged file there is no manifest; " + std::move(finding.hint);
    return Error::of(std::move(finding));
  }
  if (opened.root.exists()) {
    RUSHLIGHT_TRY_ASSIGN(examined.tensors, open::manifest_tensors(opened.root, limits, [](const Storage& storage) {
                           return std::string(storage.record());
                         }));
  }
  for (std::size_t i = 0; i < examined.audit.records.size(); ++i) examined.order.push_back(i);
  std::sort(examined.order.begin(), examined.order.end(), [&](std::size_t a, std::size_t b) {
    return examined.audit.records[a].entry->header_offset < examined.audit.records[b].entry->header_offset;
  });
  for (const std::size_t i : examined.order) {
    if (!examined.audit.records[i].data || !examined.audit.records[i].chunks) {
      return with_file(refused("MANI-CONTAINER", "a record of the archive could not be read"), file);
    }
    examined.data.push_back(*examined.audit.records[i].data);
  }
  return examined;
}

Result<ManifestRecord> listed(const Examined& examined, const zip::RecordAudit& audit, ManifestLevel level) {
  const zip::Entry& entry = *audit.entry;
  ManifestRecord record{.name = checkpoint::manifest_record_name(entry.name, examined.root),
                        .header_offset = entry.header_offset,
                        .data_offset = audit.data->begin,
                        .size_bytes = entry.size_bytes,
                        .stored_bytes = entry.compressed_bytes,
                        .method = static_cast<std::uint16_t>(entry.method),
                        .flags = entry.flags,
                        .crc = entry.crc};
  RUSHLIGHT_TRY(checkpoint::set_digests(record, *audit.chunks, level == ManifestLevel::sha256));
  return record;
}

std::uint64_t alignment_of(const Examined& examined) {
  const std::uint64_t alignment = examined.opened.format.storage_alignment;
  return alignment >= 1 && alignment <= zip::kMostAlignment ? alignment : zip::kTorchAlignment;
}

bool has_crcs(const Examined& examined) {
  bool any_data = false;
  for (const zip::Entry& entry : examined.archive().entries()) {
    if (examined.is_own(entry)) continue;
    if (entry.crc != 0) return true;
    any_data = any_data || entry.size_bytes > 0;
  }
  return !any_data;
}

// What stands outside the archive, or in its comment, has no place in the new one.
Status check_can_grow(const Examined& examined) {
  const zip::Extent extent = examined.archive().extent();
  const auto& findings = examined.opened.findings;
  const char* what = nullptr;
  if (extent.begin != 0 || (!examined.data.empty() && extent.begin != 0)) what = "bytes before the archive";
  if (extent.end != examined.archive().source()->size_bytes()) what = "bytes behind the archive";
  if (std::any_of(findings.begin(), findings.end(),
                  [](const Finding& finding) { return finding.code == "ZIP-COMMENT"; })) {
    what = "an archive comment";
  }
  if (what == nullptr) return {};
  return with_file(refused("MANI-NO-ROOM", std::string("a manifest would displace ") + what,
                           "write it beside the file instead (--sidecar)"),
                   open::printable_file(examined.opened.file));
}

// Where the part of the file ends that stays: before the manifest, and before the version and the serialization id.
std::uint64_t end_of_kept(const Examined& examined) {
  std::uint64_t end = examined.archive().directory_begin();
  for (auto i = examined.order.rbegin(); i != examined.order.rend(); ++i) {
    const zip::Entry& entry = *examined.audit.records[*i].entry;
    const std::string_view name = entry.name;
    const bool is_tail = name.starts_with(examined.root) && entry.method == zip::Method::stored &&
                         checkpoint::is_tail_record(name.substr(examined.root.size()));
    if (!is_tail && !examined.is_own(entry)) break;
    end = entry.header_offset;
  }
  for (const zip::Entry& entry : examined.archive().entries()) {
    if (examined.is_own(entry)) end = std::min(end, entry.header_offset);
  }
  return end;
}

Result<std::vector<TailRecord>> read_tail(const Examined& examined, std::uint64_t end) {
  std::vector<TailRecord> tail;
  std::uint64_t total = 0;
  for (const std::size_t i : examined.order) {
    const zip::RecordAudit& audit = examined.audit.records[i];
    const zip::Entry& entry = *audit.entry;
    if (entry.header_offset < end || examined.is_own(entry)) continue;
    total += entry.compressed_bytes;
    if (total > kMostTailBytes) {
      return refused("MANI-NO-ROOM", "more than 64 MiB of records stand behind the old manifest",
                     "write it beside the file instead (--sidecar)");
    }
    TailRecord record{.name = std::string(entry.name),
                      .stored = {},
                      .size_bytes = entry.size_bytes,
                      .method = entry.method,
                      .crc = entry.crc};
    record.stored.resize(static_cast<std::size_t>(entry.compressed_bytes));
    RUSHLIGHT_TRY(examined.archive().source()->read_at(audit.data->begin, record.stored));
    tail.push_back(std::move(record));
  }
  return tail;
}

// The bytes that stay, as they are.
Status copy(const Source& source, std::uint64_t end, Sink& sink, Progress* progress) {
  std::vector<std::byte> piece(static_cast<std::size_t>(std::min<std::uint64_t>(kCopyBytes, end)));
  const ByteSpan mapping = source.mapping();
  for (std::uint64_t at = 0; at < end;) {
    const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(kCopyBytes, end - at));
    if (!mapping.empty()) {
      RUSHLIGHT_TRY(sink.write(mapping.subspan(static_cast<std::size_t>(at), size)));
    } else {
      RUSHLIGHT_TRY(source.read_at(at, std::span<std::byte>(piece).first(size)));
      RUSHLIGHT_TRY(sink.write(ByteSpan(piece).first(size)));
    }
    at += size;
    if (progress != nullptr && !progress->on_progress("write", at, end)) {
      return Error::of(ErrorCode::cancelled,
                       {.category = Category::io, .code = "CANCELLED", .message = "writing was cancelled"});
    }
  }
  return {};
}

Result<Manifest> write_with_manifest(const Examined& examined, const fs::path& to, ManifestLevel level, bool overwrite,
                                     Progress* progress, const checksum::Ed25519PrivateKey* key) {
  RUSHLIGHT_TRY(check_can_grow(examined));
  const zip::Archive& archive = examined.archive();
  const Source& source = *archive.source();
  const std::uint64_t end = end_of_kept(examined);
  RUSHLIGHT_TRY_ASSIGN(const std::vector<TailRecord> tail, read_tail(examined, end));
  Manifest manifest{
      .root = examined.opened.format.root, .alignment = alignment_of(examined), .tensors = examined.tensors};
  for (const std::size_t i : examined.order) {
    const zip::RecordAudit& audit = examined.audit.records[i];
    if (audit.entry->header_offset >= end) continue;
    RUSHLIGHT_TRY_ASSIGN(ManifestRecord record, listed(examined, audit, level));
    manifest.records.push_back(std::move(record));
  }
  const std::uint64_t expected = source.size_bytes() + checkpoint::encode(manifest).size() + 4096;
  RUSHLIGHT_TRY_ASSIGN(const std::unique_ptr<io::AtomicFile> file,
                       io::AtomicFile::create(to, expected, {.overwrite = overwrite}));
  RUSHLIGHT_TRY_ASSIGN(SealingSink sealing, SealingSink::create(*file, level));
  sealing.manifest() = std::move(manifest);
  RUSHLIGHT_TRY(checkpoint::update_outside(sealing.structure(), source, 0, end, examined.data, {}));
  RUSHLIGHT_TRY(copy(source, end, *file, progress));
  const bool crc = has_crcs(examined);
  RUSHLIGHT_TRY_ASSIGN(
      zip::Writer writer,
      zip::Writer::behind(sealing, {.alignment = alignment_of(examined), .crc = crc, .observer = &sealing}, archive,
                          end));
  RUSHLIGHT_TRY(sealing.seal(writer, tail, crc, key));
  RUSHLIGHT_TRY(file->commit());
  return std::move(sealing.manifest());
}

// --- beside the file ---

struct Sidecar {
  Manifest manifest;
  std::string text;
};

Status write_new(const fs::path& path, ByteSpan bytes, bool overwrite) {
  RUSHLIGHT_TRY_ASSIGN(const std::unique_ptr<io::AtomicFile> out,
                       io::AtomicFile::create(path, bytes.size(), {.overwrite = overwrite}));
  RUSHLIGHT_TRY(out->write(bytes));
  return out->commit();
}

// The self-digests of a manifest that has everything else.
Result<Sidecar> finish_sidecar(Manifest manifest, const Source& source, std::span<const zip::Extent> data,
                               const ManifestOptions& options) {
  const bool sha256 = options.level == ManifestLevel::sha256;
  if (sha256) manifest.self_sha256.emplace();
  Sidecar sidecar{.manifest = {}, .text = checkpoint::encode(manifest)};
  if (sidecar.text.size() > options.limits.json_bytes || manifest.records.size() > options.limits.archive_entries) {
    return with_file(
        Error::of({.category = Category::limit,
                   .code = "LIMIT-MANIFEST",
                   .message = "its manifest would have " + std::to_string(sidecar.text.size()) + " bytes and " +
                              std::to_string(manifest.records.size()) + " records, expected at most " +
                              std::to_string(options.limits.json_bytes) + " (json_bytes) and " +
                              std::to_string(options.limits.archive_entries) + " (archive_entries)"}),
        open::printable_file(std::string(source.name())));
  }
  std::vector<checkpoint::Blank> blanks;
  checkpoint::add_self_blanks(sha256, 0, blanks);
  RUSHLIGHT_TRY_ASSIGN(StructureHash hash, StructureHash::create(sha256));
  RUSHLIGHT_TRY(checkpoint::update_outside(hash, source, 0, source.size_bytes(), data, {}));
  checkpoint::update_outside(hash, as_byte_span(sidecar.text), 0, {}, blanks);
  RUSHLIGHT_TRY(std::move(hash).finish(manifest));
  checkpoint::put_self_digests(manifest, sidecar.text.data());
  sidecar.manifest = std::move(manifest);
  return sidecar;
}

Result<Sidecar> sidecar_of_archive(const fs::path& file, const ManifestOptions& options) {
  RUSHLIGHT_TRY_ASSIGN(const Examined examined, examine(file, options.access, options.level, options.limits,
                                                        options.executor, options.progress));
  const Source& source = *examined.archive().source();
  Manifest manifest{.size_bytes = source.size_bytes(),
                    .root = examined.opened.format.root,
                    .alignment = alignment_of(examined),
                    .tensors = examined.tensors};
  for (const std::size_t i : examined.order) {
    RUSHLIGHT_TRY_ASSIGN(ManifestRecord record, listed(examined, examined.audit.records[i], options.level));
    manifest.records.push_back(std::move(record));
  }
  if (options.level == ManifestLevel::sha256) {
    RUSHLIGHT_TRY_ASSIGN(manifest.file_sha256, open::sha256_of_file(source, options.progress));
  }
  return finish_sidecar(std::move(manifest), source, examined.data, options);
}

Result<Sidecar> sidecar_of_file(open::Opened& opened, const LoadOptions& load, const ManifestOptions& options) {
  const Source& source = *opened.source;
  VerifyOptions verify_options;
  verify_options.limits = options.limits;
  RUSHLIGHT_TRY_ASSIGN(const VerifyReport report, verify(opened.source, verify_options));
  for (const Finding& finding : report.findings) {
    if (finding.severity != Severity::error) continue;
    Finding first = finding;
    first.hint = "of a damaged file there is no manifest; " + std::move(first.hint);
    return Error::of(std::move(first));
  }
  RUSHLIGHT_TRY(open::load_values(load, opened));
  Manifest manifest{.container = ManifestContainer::file, .size_bytes = source.size_bytes()};
  std::vector<zip::Extent> storages;
  RUSHLIGHT_TRY_ASSIGN(manifest.tensors,
                       open::manifest_tensors_of_file(opened.root, options.limits, source.size_bytes(), storages));
  const std::vector<zip::Extent> stretches = open::stretches_of(std::move(storages), source.size_bytes());
  RUSHLIGHT_TRY_ASSIGN(
      const open::FileDigests digests,
      open::digest_file(source, stretches, checkpoint::hashes_of(options.level), options.executor, options.progress));
  manifest.file_xxh3 = digests.file_xxh3;
  manifest.file_sha256 = digests.file_sha256;
  for (std::size_t i = 0; i < stretches.size(); ++i) {
    ManifestRecord record{.name = checkpoint::stretch_name(stretches[i].begin),
                          .header_offset = stretches[i].begin,
                          .data_offset = stretches[i].begin,
                          .size_bytes = stretches[i].size_bytes(),
                          .stored_bytes = stretches[i].size_bytes()};
    RUSHLIGHT_TRY(checkpoint::set_digests(record, digests.stretches[i], options.level == ManifestLevel::sha256));
    manifest.records.push_back(std::move(record));
  }
  return finish_sidecar(std::move(manifest), source, stretches, options);
}

Status needs_sha256(ManifestLevel level) {
  if (level != ManifestLevel::sha256 || checksum::sha256_available()) return {};
  return checksum::Sha256::create().error();
}

Result<Sidecar> make_sidecar(const fs::path& file, const ManifestOptions& options) {
  ManifestOptions chosen = options;
  if (chosen.level == ManifestLevel::none) chosen.level = ManifestLevel::xxh3;
  RUSHLIGHT_TRY(needs_sha256(chosen.level));
  RUSHLIGHT_TRY_ASSIGN(std::shared_ptr<const Source> source, open_file(file, chosen.access));
  LoadOptions load;
  load.limits = chosen.limits;
  open::Opened opened;
  RUSHLIGHT_TRY(open::open_container(std::move(source), load, opened));
  if (opened.is_set()) {
    return with_file(refused("MANI-CONTAINER", "a manifest is of one file, and this one is of a set",
                             "each file of the set may have one of its own"),
                     open::printable_file(opened.file));
  }
  if (opened.archive != nullptr) return sidecar_of_archive(file, chosen);
  return sidecar_of_file(opened, load, chosen);
}

// The file as it is, and the bytes of its manifest, which holds and may be signed.
Result<std::string> signable_manifest(const fs::path& file, const SignOptions& options) {
  VerifyOptions verify_options;
  verify_options.limits = options.limits;
  verify_options.access = options.access;
  verify_options.executor = options.executor;
  verify_options.progress = options.progress;
  if (!options.manifest.empty()) {
    RUSHLIGHT_TRY_ASSIGN(verify_options.manifest, open_file(options.manifest, options.access));
  }
  RUSHLIGHT_TRY_ASSIGN(const VerifyReport report, verify(file, verify_options));
  const std::string name = open::printable_file(file.string());
  for (const Finding& finding : report.findings) {
    // A bad signature gives way to the new one.
    if (finding.severity == Severity::error && finding.category != Category::sig) return Error::of(finding);
  }
  if (!report.manifest) {
    return with_file(Error::of({.category = Category::mani,
                                .code = "MANI-ABSENT",
                                .message = "the file has no manifest to sign",
                                .hint = "rushlight manifest FILE --sha256 writes one, and sign --sidecar writes both "
                                        "beside the file"}),
                     name);
  }
  if (report.manifest->level != ManifestLevel::sha256 || report.manifest->state != Integrity::verified) {
    return with_file(Error::of({.category = Category::sig,
                                .code = "SIG-NEEDS-SHA256",
                                .message = "a manifest without SHA-256 is not signed: whoever chooses bytes can keep "
                                           "their XXH3-128",
                                .hint = "rushlight manifest FILE --sha256 writes one"}),
                     name);
  }
  std::shared_ptr<const Source> source = verify_options.manifest;
  std::string text;
  if (source != nullptr) {
    text.resize(static_cast<std::size_t>(source->size_bytes()));
    RUSHLIGHT_TRY(source->read_at(0, std::as_writable_bytes(std::span<char>(text))));
    return text;
  }
  open::Opened opened;
  LoadOptions load;
  load.limits = options.limits;
  RUSHLIGHT_TRY_ASSIGN(source, open_file(file, options.access));
  RUSHLIGHT_TRY(open::open_container(std::move(source), load, opened));
  const std::string root = report.format.root.empty() ? "" : report.format.root + "/";
  const zip::Entry* entry = opened.archive->find(root + std::string(checkpoint::kManifestName));
  if (entry == nullptr)
    return Error::of({.category = Category::mani, .code = "MANI-ABSENT", .message = "the manifest is gone"});
  RUSHLIGHT_TRY_ASSIGN(const zip::RecordBytes bytes, opened.archive->read(*entry, options.limits.json_bytes));
  return std::string(as_text(bytes.span()));
}

struct ManifestToSign {
  std::string text;
  fs::path path;  // empty: in the archive
  bool is_new = false;
};

// Whether an archive has a manifest in it, whatever is wrong with it.
Result<bool> has_manifest_inside(const fs::path& file, const SignOptions& options) {
  const Result<Manifest> inside = read_manifest(file, options.limits);
  if (inside) return true;
  const Error& error = inside.error();
  if (error.finding.category == Category::mani) return error.code != ErrorCode::not_found;
  if (open::could_not_look(error)) return error;
  // What is wrong with the file is said by whoever makes its manifest.
  return false;
}

// That which is named; that in the archive; that beside the file; or else a new one beside it.
Result<ManifestToSign> manifest_to_sign(const fs::path& file, const SignOptions& options) {
  ManifestToSign chosen{.text = {}, .path = options.manifest};
  if (chosen.path.empty()) {
    RUSHLIGHT_TRY_ASSIGN(const bool is_inside, has_manifest_inside(file, options));
    if (!is_inside) chosen.path = sidecar_manifest_path(file);
  }
  std::error_code failed;
  const fs::file_status status = fs::symlink_status(chosen.path, failed);
  if (chosen.path.empty() || fs::exists(status) || (failed && status.type() == fs::file_type::none)) {
    SignOptions of_this = options;
    of_this.manifest = chosen.path;
    RUSHLIGHT_TRY_ASSIGN(chosen.text, signable_manifest(file, of_this));
    return chosen;
  }
  ManifestOptions manifest_options;
  manifest_options.level = ManifestLevel::sha256;
  manifest_options.limits = options.limits;
  manifest_options.access = options.access;
  manifest_options.executor = options.executor;
  manifest_options.progress = options.progress;
  RUSHLIGHT_TRY_ASSIGN(Sidecar made, make_sidecar(file, manifest_options));
  chosen.text = std::move(made.text);
  chosen.is_new = true;
  return chosen;
}

}  // namespace

std::string_view to_string(ManifestLevel level) noexcept {
  switch (level) {
    case ManifestLevel::none:
      return "none";
    case ManifestLevel::xxh3:
      return "xxh3";
    case ManifestLevel::sha256:
      return "sha256";
  }
  return "?";
}

Result<Manifest> parse_manifest(std::string_view text, const Limits& limits) {
  return or_no_memory([&]() -> Result<Manifest> { return checkpoint::decode_manifest(text, limits); });
}

Result<Manifest> read_manifest(const fs::path& path, const Limits& limits) {
  return or_no_memory([&]() -> Result<Manifest> {
    RUSHLIGHT_TRY_ASSIGN(std::shared_ptr<const Source> source, open_file(path));
    const std::string file = open::printable_file(path.string());
    LoadOptions load;
    load.limits = limits;
    open::Opened opened;
    RUSHLIGHT_TRY(open::open_container(std::move(source), load, opened));
    if (opened.archive != nullptr) {
      FormatInfo format = opened.format;
      std::vector<Finding> oddities;
      RUSHLIGHT_TRY_ASSIGN(const auto container,
                           checkpoint::ZipContainer::open(opened.archive, load, format, oddities));
      const std::string root = format.root.empty() ? "" : format.root + "/";
      if (const zip::Entry* entry = opened.archive->find(root + std::string(checkpoint::kManifestName))) {
        RUSHLIGHT_TRY_ASSIGN(const zip::RecordBytes bytes, opened.archive->read(*entry, limits.json_bytes));
        Result<Manifest> manifest = checkpoint::decode_manifest(as_text(bytes.span()), limits);
        if (!manifest) return with_file(with_record(std::move(manifest).error(), checkpoint::kManifestName), file);
        return manifest;
      }
    }
    return with_file(
        Error::of(ErrorCode::not_found,
                  {.category = Category::mani, .code = "MANI-ABSENT", .message = "the file has no manifest"}),
        file);
  });
}

Result<Manifest> add_manifest(const fs::path& from, const fs::path& to, const ManifestOptions& options) {
  return or_no_memory([&]() -> Result<Manifest> {
    const ManifestLevel level = options.level == ManifestLevel::none ? ManifestLevel::xxh3 : options.level;
    RUSHLIGHT_TRY(needs_sha256(level));
    RUSHLIGHT_TRY_ASSIGN(const Examined examined,
                         examine(from, options.access, level, options.limits, options.executor, options.progress));
    return write_with_manifest(examined, to, level, options.overwrite, options.progress, nullptr);
  });
}

Result<Manifest> write_manifest_sidecar(const fs::path& file, const fs::path& sidecar, const ManifestOptions& options) {
  return or_no_memory([&]() -> Result<Manifest> {
    RUSHLIGHT_TRY_ASSIGN(Sidecar made, make_sidecar(file, options));
    RUSHLIGHT_TRY(write_new(sidecar, as_byte_span(made.text), options.overwrite));
    return std::move(made.manifest);
  });
}

Result<SignReport> sign(const fs::path& from, const fs::path& to, const SignOptions& options) {
  return or_no_memory([&]() -> Result<SignReport> {
    RUSHLIGHT_TRY_ASSIGN(const checksum::Ed25519PrivateKey key, checksum::ed25519_private_key(options.private_key_pem));
    SignOptions of_archive = options;
    of_archive.manifest.clear();
    RUSHLIGHT_TRY(signable_manifest(from, of_archive));
    // The signature is a record of its own, which the directory lists, and so the manifest is made anew.
    RUSHLIGHT_TRY_ASSIGN(const Examined examined, examine(from, options.access, ManifestLevel::sha256, options.limits,
                                                          options.executor, options.progress));
    SignReport report;
    RUSHLIGHT_TRY_ASSIGN(const checksum::Ed25519PublicKey public_key, checksum::ed25519_public_key(key));
    RUSHLIGHT_TRY_ASSIGN(report.key, checkpoint::key_name(public_key));
    RUSHLIGHT_TRY(write_with_manifest(examined, to, ManifestLevel::sha256, options.overwrite, options.progress, &key));
    return report;
  });
}

fs::path sidecar_manifest_path(const fs::path& file) {
  fs::path path = file;
  path += ".manifest.json";
  return path;
}

Result<SignReport> sign_detached(const fs::path& file, const fs::path& sidecar, const SignOptions& options) {
  return or_no_memory([&]() -> Result<SignReport> {
    RUSHLIGHT_TRY_ASSIGN(const checksum::Ed25519PrivateKey key, checksum::ed25519_private_key(options.private_key_pem));
    SignReport report;
    RUSHLIGHT_TRY_ASSIGN(const ManifestToSign manifest, manifest_to_sign(file, options));
    report.manifest = manifest.path;
    report.manifest_written = manifest.is_new;
    RUSHLIGHT_TRY_ASSIGN(const checkpoint::SignatureRecord made, checkpoint::make_signature(key, manifest.text));
    RUSHLIGHT_TRY_ASSIGN(report.key, checkpoint::key_name(made.key));
    // Both files have their place before either appears.
    RUSHLIGHT_TRY_ASSIGN(const std::unique_ptr<io::AtomicFile> out,
                         io::AtomicFile::create(sidecar, made.signature.size(), {.overwrite = options.overwrite}));
    if (manifest.is_new) RUSHLIGHT_TRY(write_new(manifest.path, as_byte_span(manifest.text), false));
    RUSHLIGHT_TRY(out->write(made.signature));
    RUSHLIGHT_TRY(out->commit());
    return report;
  });
}

Result<KeyFile> read_key_file(const fs::path& path, bool is_private) {
  return or_no_memory([&]() -> Result<KeyFile> {
    RUSHLIGHT_TRY_ASSIGN(const std::shared_ptr<const Source> source, open_file(path, FileAccess::pread));
    const std::string file = open::printable_file(path.string());
    if (source->size_bytes() > kMostKeyBytes) {
      return with_file(
          Error::of({.category = Category::sig, .code = "SIG-KEY", .message = "key file is larger than 64 KiB"}), file);
    }
    KeyFile key;
    key.pem.resize(static_cast<std::size_t>(source->size_bytes()));
    RUSHLIGHT_TRY(source->read_at(0, std::as_writable_bytes(std::span<char>(key.pem))));
    std::error_code failed;
    const fs::perms mode = fs::status(path, failed).permissions();
    constexpr fs::perms kOthers = fs::perms::group_all | fs::perms::others_all;
    if (is_private && !failed && (mode & kOthers) != fs::perms::none) {
      key.findings.push_back({.severity = Severity::warning,
                              .category = Category::sig,
                              .code = "SIG-KEY-MODE",
                              .message = "private key may be read by others than its owner",
                              .file = file,
                              .hint = "chmod 600 takes that away"});
    }
    return key;
  });
}

}  // namespace rushlight
