#include "checkpoint/zip_container.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "base/fail.hpp"
#include "base/quote.hpp"
#include "checkpoint/record_names.hpp"
#include "checkpoint/zip_root.hpp"

namespace rushlight::checkpoint {
namespace {

// Of the small text records: torch writes at most 40 bytes.
constexpr std::uint64_t kTextRecordBytes = 64;
// The archive versions that exist (caffe2/serialize/versions.h: kMinSupported and kMaxSupportedFileFormatVersion).
constexpr std::uint64_t kFirstVersion = 1;
constexpr std::uint64_t kLastVersion = 10;

// The whole text as an unsigned decimal.
std::optional<std::uint64_t> parse_decimal(std::string_view text) noexcept {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// Whether `name` is the three others one behind the other.
bool is_join(std::string_view name, std::string_view root, std::string_view folder, std::string_view key) noexcept {
  return name.size() == root.size() + folder.size() + key.size() && name.ends_with(key) && name.starts_with(root) &&
         name.substr(root.size(), folder.size()) == folder;
}

Finding warning(std::string_view code, std::string message) {
  return {.severity = Severity::warning,
          .category = Category::zip,
          .code = std::string(code),
          .message = std::move(message)};
}

}  // namespace

void place(Finding& finding, const RecordContext& context) {
  if (finding.file.empty()) finding.file = escaped(context.file, 4096);
  if (!finding.record) return;
  const std::string root = escaped(context.root, context.root.size());
  if (finding.record->size() <= root.size()) return;
  if (equal_ignoring_case(std::string_view(*finding.record).substr(0, root.size()), root)) {
    finding.record->erase(0, root.size());
  }
}

Integrity integrity_of(const zip::RecordAudit& record) noexcept {
  if (!record.crc) return Integrity::not_checked;
  switch (record.crc->state) {
    case zip::CrcState::verified:
      return Integrity::verified;
    case zip::CrcState::mismatch:
      return Integrity::mismatch;
    case zip::CrcState::not_computed:
      return Integrity::not_computed;
  }
  return Integrity::not_checked;
}

ZipContainer::ZipContainer(std::shared_ptr<RecordContext> context, const LoadOptions& options)
    : context_(std::move(context)),
      pickle_limit_(options.limits.pickle_bytes),
      used_(context_->archive->entries().size()) {}

Result<std::unique_ptr<ZipContainer>> ZipContainer::open(std::shared_ptr<const zip::Archive> archive,
                                                         const LoadOptions& options, FormatInfo& format,
                                                         std::vector<Finding>& findings) {
  return open_within({}, false, std::move(archive), options, format, findings);
}

Result<std::unique_ptr<ZipContainer>> ZipContainer::open_within(std::string within, bool inflated,
                                                                std::shared_ptr<const zip::Archive> archive,
                                                                const LoadOptions& options, FormatInfo& format,
                                                                std::vector<Finding>& findings) {
  auto context = std::make_shared<RecordContext>();
  context->file = std::string(archive->source()->name());
  context->checksums = options.checksums;
  context->within = std::move(within);
  context->in_memory = inflated;
  context->archive = std::move(archive);
  std::unique_ptr<ZipContainer> container(new ZipContainer(std::move(context), options));
  container->findings_ = &findings;
  format.size_bytes = container->context_->archive->source()->size_bytes();
  format.byteorder = "little";
  RUSHLIGHT_TRY(container->find_root(format));
  if (options.checksums == Checksums::all_at_open) {
    RUSHLIGHT_TRY(container->audit(options.executor, options.progress));
  }
  container->report_foreign_folders();
  RUSHLIGHT_TRY(container->read_version(format));
  RUSHLIGHT_TRY(container->read_byteorder(format));
  RUSHLIGHT_TRY(container->read_alignment(format));
  container->guess_torch(format);
  container->findings_ = nullptr;
  return container;
}

Status ZipContainer::find_root(FormatInfo& format) {
  RUSHLIGHT_TRY_ASSIGN(ZipRoot root, locate_root(*context_->archive, format.kind));
  context_->root = std::move(root.folder);
  pickle_ = root.pickle;
  if (pickle_ != nullptr) mark_used(*pickle_);
  const std::string_view folder = context_->root.empty()
                                      ? std::string_view()
                                      : std::string_view(context_->root).substr(0, context_->root.size() - 1);
  format.root = is_valid_utf8(folder) ? std::string(folder) : escaped(folder);
  is_plain_export_ = format.kind == FileKind::pt2 && !has("archive_format");
  if (is_plain_export_) {
    // Python's zipfile wrote it, without a folder.
  } else if (context_->root.empty()) {
    findings_->push_back(warning("ZIP-NO-ROOT", "records lie in no root folder: torch.load refuses such a file"));
  } else if (folder.find('/') != std::string_view::npos) {
    findings_->push_back(warning("ZIP-DEEP-ROOT", "the root folder " + rushlight::quoted(folder) +
                                                      " lies in another folder: torch.load refuses such a file"));
  }
  if (root.other_case) warn_about_case(*pickle_);
  return {};
}

// Checksums::all_at_open: what verify() does, with the first finding as the error.
Status ZipContainer::audit(Executor* executor, Progress* progress) {
  const zip::Archive& archive = *context_->archive;
  Result<zip::Audit> audit = archive.audit(executor, progress);
  if (!audit) return with_file(std::move(audit).error(), context_->file);
  for (Finding& finding : audit->findings) {
    place(finding, *context_);
    if (finding.severity == Severity::error) return Error::of(std::move(finding));
    findings_->push_back(std::move(finding));
  }
  context_->audited.reserve(audit->records.size());
  for (const zip::RecordAudit& record : audit->records) context_->audited.push_back(integrity_of(record));
  return {};
}

// torch refuses any record beside the root folder; macOS's archiver adds such, and they change nothing.
void ZipContainer::report_foreign_folders() {
  if (context_->root.empty()) return;
  std::size_t count = 0;
  const zip::Entry* first = nullptr;
  for (const zip::Entry& entry : context_->archive->entries()) {
    // The folders on the way to a deep root are no strangers.
    if (entry.name.starts_with(context_->root) || (entry.is_directory() && context_->root.starts_with(entry.name))) {
      continue;
    }
    if (equal_ignoring_case(entry.name.substr(0, context_->root.size()), context_->root)) continue;
    if (first == nullptr) first = &entry;
    ++count;
  }
  if (first == nullptr) return;
  Finding finding =
      warning("ZIP-FOREIGN-FOLDER", std::to_string(count) + (count == 1 ? " record lies" : " records lie") +
                                        " outside the root folder " + rushlight::quoted(context_->root) + ", first " +
                                        rushlight::quoted(first->name));
  finding.record = escaped(first->name);
  finding.offset = first->directory_offset;
  finding.hint = "torch.load refuses such a file; they are left out here";
  findings_->push_back(std::move(finding));
}

Status ZipContainer::read_version(FormatInfo& format) {
  if (is_plain_export_) return {};
  // torch looks for `.data/version` first (inline_container.cc, PyTorchStreamReader::init).
  RUSHLIGHT_TRY_ASSIGN(const std::optional<SmallText> in_data, read_text(".data/version"));
  RUSHLIGHT_TRY_ASSIGN(const std::optional<SmallText> plain, read_text("version"));
  if (in_data && plain && in_data->text != plain->text) {
    return with_file(Error::of({.category = Category::ambig,
                                .code = "ZIP-TWO-VERSIONS",
                                .message = "records '.data/version' and 'version' differ: " +
                                           rushlight::quoted(in_data->text) + " and " + rushlight::quoted(plain->text),
                                .record = ".data/version",
                                .offset = in_data->offset,
                                .found = escaped(in_data->text),
                                .expected = escaped(plain->text)}),
                     context_->file);
  }
  if (!in_data && !plain) {
    findings_->push_back(warning("ZIP-NO-VERSION", "there is no version record: torch.load refuses such a file"));
    return {};
  }
  const SmallText& stated = in_data ? *in_data : *plain;
  std::string_view digits = stated.text;
  if (digits.ends_with('\n')) digits.remove_suffix(1);
  const std::optional<std::uint64_t> version = parse_decimal(digits);
  if (!version || *version < kFirstVersion || *version > kLastVersion) {
    return with_file(Error::of({.category = Category::zip,
                                .code = "ZIP-VERSION",
                                .message = "archive version is not one that exists, expected 1 to 10, found " +
                                           rushlight::quoted(digits),
                                .record = in_data ? ".data/version" : "version",
                                .offset = stated.offset,
                                .found = escaped(digits),
                                .expected = "1 to 10"}),
                     context_->file);
  }
  format.version = static_cast<int>(*version);
  return {};
}

Status ZipContainer::read_byteorder(FormatInfo& format) {
  RUSHLIGHT_TRY_ASSIGN(const std::optional<SmallText> record, read_text("byteorder"));
  if (!record) return {};
  const std::string& text = record->text;
  if (text != "little" && text != "big") {
    return with_file(
        Error::of({.category = Category::zip,
                   .code = "ZIP-BYTEORDER",
                   .message = "byte order is unknown, expected 'little' or 'big', found " + rushlight::quoted(text),
                   .record = "byteorder",
                   .offset = record->offset,
                   .found = escaped(text),
                   .expected = "little or big"}),
        context_->file);
  }
  format.byteorder = text;
  is_big_endian_ = text == "big";
  return {};
}

Status ZipContainer::read_alignment(FormatInfo& format) {
  RUSHLIGHT_TRY_ASSIGN(const std::optional<SmallText> record, read_text(".storage_alignment"));
  if (!record) return {};
  const std::optional<std::uint64_t> value = parse_decimal(record->text);
  // torch reads it only to guess offsets (config.load.calculate_storage_offsets); here offsets are never guessed.
  if (value && *value > 0) {
    format.storage_alignment = *value;
  } else {
    Finding finding =
        warning("ZIP-ALIGNMENT", "storage alignment is no positive number, found " + rushlight::quoted(record->text));
    finding.record = ".storage_alignment";
    finding.offset = record->offset;
    finding.found = escaped(record->text);
    findings_->push_back(std::move(finding));
  }
  return {};
}

// What tells the releases apart (format-spec/05, [C-20]): the records they write, and how they count storages.
void ZipContainer::guess_torch(FormatInfo& format) const {
  if (format.kind != FileKind::torch_zip) {
    if (format.kind == FileKind::pt2) format.torch = is_plain_export_ ? "2.1-2.7" : ">=2.8";
    if (format.kind == FileKind::torchscript && has("model.json")) format.torch = "1.0-1.2";
    return;
  }
  const std::span<const zip::Entry> entries = context_->archive->entries();
  const bool version_first = !entries.empty() && context_->short_name(entries.front()) == "version";
  const bool counted = has("data/0");
  const bool stored = counted || std::any_of(entries.begin(), entries.end(), [&](const zip::Entry& entry) {
                        return context_->short_name(entry).starts_with("data/") && !entry.is_directory();
                      });
  if (has(".format_version")) {
    format.torch = ">=2.7";
  } else if (has(".data/serialization_id")) {
    format.torch = "2.1-2.6";
  } else if (format.version == 1 && version_first) {
    format.torch = "1.4";
  } else if (format.version == 2 && version_first) {
    format.torch = "1.5";
  } else if (format.version >= 3 && !has("byteorder")) {
    const bool archive_root = context_->root == "archive/";
    if (!stored) {
      format.torch = archive_root ? "1.6-2.0" : "1.13-2.0";
    } else if (!counted) {
      format.torch = "1.6-1.8";
    } else {
      format.torch = archive_root ? "1.9-2.0" : "1.13-2.0";
    }
  }
}

bool ZipContainer::has(std::string_view name) const {
  return context_->archive->find(context_->root + std::string(name)) != nullptr;
}

const zip::Entry* ZipContainer::find(std::string_view name) {
  scratch_.assign(context_->root).append(name);
  const zip::Entry* entry = context_->archive->find_ignoring_case(scratch_);
  if (entry == nullptr || entry->name == scratch_) return entry;
  if (!equal_ignoring_case(entry->name, scratch_)) return nullptr;
  warn_about_case(*entry);
  return entry;
}

void ZipContainer::warn_about_case(const zip::Entry& entry) {
  if (std::exchange(case_reported_, true)) return;
  // In full where it is the root folder that differs.
  const std::string_view name = entry.name.starts_with(context_->root) ? context_->short_name(entry) : entry.name;
  Finding finding = warning(
      "ZIP-NAME-CASE", "record names differ from torch's in upper and lower case, first " + rushlight::quoted(name));
  finding.record = escaped(name);
  finding.offset = entry.directory_offset;
  if (findings_ != nullptr) {
    findings_->push_back(std::move(finding));
  } else {
    late_case_warning_ = std::move(finding);
  }
}

void ZipContainer::report_case(std::vector<Finding>& findings) {
  if (late_case_warning_) findings.push_back(*std::exchange(late_case_warning_, std::nullopt));
}

void ZipContainer::mark_used(const zip::Entry& entry) {
  used_[static_cast<std::size_t>(&entry - context_->archive->entries().data())] = true;
}

void ZipContainer::mark_used_below(std::string_view prefix) {
  const std::span<const zip::Entry> entries = context_->archive->entries();
  for (std::size_t i = 0; i < entries.size(); ++i) {
    if (context_->short_name(entries[i]).starts_with(prefix)) used_[i] = true;
  }
}

Result<std::optional<ZipContainer::SmallText>> ZipContainer::read_text(std::string_view name) {
  const zip::Entry* entry = find(name);
  if (entry == nullptr) return std::optional<SmallText>();
  mark_used(*entry);
  text_records_.emplace_back(short_name(*entry));
  if (entry->size_bytes > kTextRecordBytes) {
    return context_->placed(
        Error::of({.category = Category::zip,
                   .code = "ZIP-TEXT-SIZE",
                   .message = "record is too long for what it is, expected at most " +
                              std::to_string(kTextRecordBytes) + " bytes, found " + std::to_string(entry->size_bytes),
                   .offset = entry->directory_offset,
                   .found = std::to_string(entry->size_bytes),
                   .expected = std::to_string(kTextRecordBytes)}),
        *entry);
  }
  RUSHLIGHT_TRY_ASSIGN(const zip::RecordBytes record, read_checked(*entry, kTextRecordBytes));
  const Result<zip::Extent> extent = context_->archive->data_extent(*entry);
  return std::optional(
      SmallText{std::string(as_text(record.span())), extent ? std::optional(extent->begin) : std::nullopt});
}

Result<zip::RecordBytes> ZipContainer::read_checked(const zip::Entry& entry, std::uint64_t max_bytes,
                                                    Integrity* integrity) const {
  const zip::Archive& archive = *context_->archive;
  Result<zip::RecordBytes> record = archive.read(entry, max_bytes);
  if (!record) return context_->placed(std::move(record).error(), entry);
  if (context_->checksums == Checksums::ignore) return record;
  const zip::CrcCheck check = zip::Archive::check_crc(entry, record->span(), nullptr);
  if (integrity != nullptr) {
    *integrity = check.state == zip::CrcState::verified ? Integrity::verified : Integrity::not_computed;
  }
  if (check.state == zip::CrcState::mismatch) {
    const Result<zip::Extent> extent = archive.data_extent(entry);
    return context_->placed(zip::crc_mismatch(check, extent ? std::optional(extent->begin) : std::nullopt), entry);
  }
  return record;
}

Result<zip::RecordBytes> ZipContainer::read(const zip::Entry& entry, std::uint64_t max_bytes) {
  mark_used(entry);
  return read_checked(entry, max_bytes);
}

Result<PickleBytes> ZipContainer::read_pickle(const zip::Entry& entry) {
  if (entry.size_bytes > pickle_limit_) {
    return context_->placed(
        Error::of({.category = Category::limit,
                   .code = "LIMIT-PICKLE-BYTES",
                   .message = "pickle is larger than the limit pickle_bytes, expected at most " +
                              std::to_string(pickle_limit_) + ", found " + std::to_string(entry.size_bytes),
                   .offset = entry.directory_offset,
                   .found = std::to_string(entry.size_bytes),
                   .expected = std::to_string(pickle_limit_)}),
        entry);
  }
  mark_used(entry);
  Integrity integrity = Integrity::not_checked;
  RUSHLIGHT_TRY_ASSIGN(const zip::RecordBytes record, read_checked(entry, entry.size_bytes, &integrity));
  return PickleBytes{
      .bytes = record.span(),
      .owner = record.owner(),
      .place = {.file = escaped(context_->file, kPathBytes),
                .record = context_->printable_name(entry),
                .file_offset = data_offset(entry)},
      .storage_record = context_->within.empty() ? std::string(context_->short_name(entry)) : context_->within,
      .integrity = integrity};
}

std::optional<std::uint64_t> ZipContainer::data_offset(const zip::Entry& entry) const {
  if (entry.method != zip::Method::stored || context_->in_memory) return std::nullopt;
  const Result<zip::Extent> extent = context_->archive->data_extent(entry);
  return extent ? std::optional(extent->begin) : std::nullopt;
}

// The folder in any case, the key exactly. Torch lists its storages in the order in which the pickle names them: most
// of the time the record behind the last one is it.
const zip::Entry* ZipContainer::find_storage(std::span<const std::string_view> folders, std::string_view key) {
  const std::span<const zip::Entry> entries = context_->archive->entries();
  for (const std::string_view folder : folders) {
    if (next_storage_ < entries.size() && is_join(entries[next_storage_].name, context_->root, folder, key)) {
      return &entries[next_storage_++];
    }
    scratch_.assign(context_->root).append(folder).append(key);
    const zip::Entry* entry = context_->archive->find_ignoring_case(scratch_);
    if (entry == nullptr) continue;
    if (entry->name == scratch_) {
      next_storage_ = static_cast<std::size_t>(entry - entries.data()) + 1;
      return entry;
    }
    if (!entry->name.ends_with(key) || !equal_ignoring_case(entry->name, scratch_)) continue;
    warn_about_case(*entry);
    return entry;
  }
  return nullptr;
}

Result<std::shared_ptr<Memory>> ZipContainer::memory(const StorageRequest& request, std::uint64_t size_bytes) {
  constexpr std::array<std::string_view, 2> kFolders = {"data/", "tensors/"};  // the second before 1.5
  return memory_in(kFolders, request, size_bytes);
}

Result<std::shared_ptr<Memory>> ZipContainer::memory_in(std::span<const std::string_view> folders,
                                                        const StorageRequest& request, std::uint64_t size_bytes) {
  const std::string_view key = request.key;
  const zip::Entry* entry = find_storage(folders, key);
  if (entry == nullptr || entry->is_directory()) {
    Error error = Error::of({.category = Category::store,
                             .code = "STORE-MISSING",
                             .message = "storage " + rushlight::quoted(key) + " has no record '" +
                                        std::string(folders[0]) + escaped(key) + "'",
                             .found = escaped(key)});
    std::string nearest;
    for (const std::string& name : nearest_keys(folders[0], key)) nearest += (nearest.empty() ? "" : ", ") + name;
    if (!nearest.empty()) error.finding.hint = "the nearest records are " + nearest;
    return error;
  }
  if (entry->size_bytes != size_bytes) {
    return Error::of({.category = Category::store,
                      .code = "STORE-SIZE",
                      .message = "record " + rushlight::quoted(context_->short_name(*entry)) +
                                 " does not fit its storage, expected " + std::to_string(size_bytes) +
                                 " bytes, found " + std::to_string(entry->size_bytes),
                      .found = std::to_string(entry->size_bytes),
                      .expected = std::to_string(size_bytes)});
  }
  mark_used(*entry);
  return std::static_pointer_cast<Memory>(
      std::make_shared<RecordMemory>(context_, *entry, context_->interned(request.location)));
}

std::vector<std::string> ZipContainer::nearest_keys(std::string_view folder, std::string_view key) const {
  std::vector<std::string> names;
  for (const zip::Entry& entry : context_->archive->entries()) {
    const std::string_view name = context_->short_name(entry);
    if (name.starts_with(folder) && !entry.is_directory()) names.push_back(escaped(name));
  }
  return nearest(std::string(folder) + escaped(key), names);
}

void ZipContainer::report_unused(std::vector<Finding>& findings) const {
  constexpr std::size_t kNamed = 4;
  const std::span<const zip::Entry> entries = context_->archive->entries();
  std::size_t count = 0;
  std::string named;
  const zip::Entry* first = nullptr;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const zip::Entry& entry = entries[i];
    if (used_[i] || entry.is_directory() || !entry.name.starts_with(context_->root)) continue;
    const std::string_view name = context_->short_name(entry);
    // What torch and Rushlight write beside the storages and need not read (.data/serialization_id and the like).
    if (name == ".format_version" || name == ".data/serialization_id" || name.starts_with(".rushlight/")) continue;
    if (equal_ignoring_case(name, ".format_version") || equal_ignoring_case(name, ".data/serialization_id")) continue;
    if (first == nullptr) first = &entry;
    if (count++ < kNamed) {
      named +=
          (named.empty() ? "" : ", ") + rushlight::quoted(name) + " (" + std::to_string(entry.size_bytes) + " bytes)";
    }
  }
  if (first == nullptr) return;
  Finding finding{.severity = Severity::note,
                  .category = Category::ambig,
                  .code = "ZIP-UNUSED-RECORD",
                  .message = std::to_string(count) + (count == 1 ? " record belongs" : " records belong") +
                             " to no tensor: " + named + (count > kNamed ? " ..." : ""),
                  .record = escaped(context_->short_name(*first)),
                  .offset = first->directory_offset};
  finding.hint = "torch.load ignores them too; another reader may not";
  findings.push_back(std::move(finding));
}

}  // namespace rushlight::checkpoint
