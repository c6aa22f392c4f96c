#include "checkpoint/archive_reading.hpp"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "base/fail.hpp"
#include "base/quote.hpp"
#include "checkpoint/build_value.hpp"
#include "checkpoint/globals_found.hpp"
#include "pickle/machine.hpp"

namespace rushlight::checkpoint {
namespace {

// A record holds one pickle. A second one is what another reader might take for it.
Error trailing_bytes(const pickle::Pickle& first, const PickleBytes& bytes) {
  const std::size_t count = bytes.bytes.size() - first.bytes_used;
  const ByteSpan rest = bytes.bytes.subspan(first.bytes_used);
  const std::string what = std::to_string(count) + (count == 1 ? " byte follows" : " bytes follow") + " the pickle";
  const bool is_pickle = pickle::read_pickle(rest, Limits::strict()).has_value();
  const std::vector<GlobalUse> uses = list_uses(pickle::list_globals(rest), first.protocol, {}, bytes.place.record);
  std::string names;
  for (std::size_t i = 0; i < std::min<std::size_t>(uses.size(), 8); ++i) {
    names += (i == 0 ? ", which name '" : ", '") + uses[i].name + "'";
  }
  Error error = Error::of({.category = is_pickle ? Category::ambig : Category::pkl,
                           .code = is_pickle ? "PKL-SECOND" : "PKL-TRAILING",
                           .message = what + (is_pickle ? " and make a second one" : "") + names,
                           .found = std::to_string(count),
                           .expected = "0"});
  bytes.place.fill(error.finding, first.bytes_used);
  return error;
}

// What is read of an archive that could do more.
void note_values_only(ArchiveReading& reading) {
  std::string_view what;
  switch (reading.format.kind) {
    case FileKind::torchscript:
    case FileKind::torchscript_mobile:
      what = "TorchScript";
      break;
    case FileKind::pt2:
      what = "torch.export";
      break;
    case FileKind::torch_package:
      what = "torch.package";
      break;
    default:
      return;
  }
  reading.findings.push_back(
      {.severity = Severity::note,
       .category = Category::unsup,
       .code = "KIND-VALUES-ONLY",
       .message = "weights and values of the " + std::string(what) + " archive only: running it comes later"});
}

}  // namespace

Result<Value> read_pickle_record(ArchiveReading& reading, const zip::Entry& entry, StorageProvider& storages) {
  RUSHLIGHT_TRY_ASSIGN(const PickleBytes bytes, reading.container.read_pickle(entry));
  reading.index.emplace_back(reading.container.short_name(entry));
  const LoadOptions& options = reading.options;
  const auto add_globals = [&](std::vector<GlobalUse> uses) {
    reading.globals.insert(reading.globals.end(), std::make_move_iterator(uses.begin()),
                           std::make_move_iterator(uses.end()));
  };
  Result<pickle::Pickle> pickle = pickle::read_pickle(bytes.bytes, options.limits);
  if (!pickle || pickle->bytes_used != bytes.bytes.size()) {
    // The stream is scanned for names once more, without its objects: damage must not hide them.
    const int protocol = pickle ? pickle->protocol : 2;
    add_globals(list_uses(pickle::list_globals(bytes.bytes), protocol, options.accepted_globals, bytes.place.record));
    Error error = pickle ? trailing_bytes(*pickle, bytes) : std::move(pickle).error();
    bytes.place.fill(error.finding, error.finding.record_offset.value_or(0));
    return error;
  }
  reading.format.pickle_protocol = std::max(reading.format.pickle_protocol, pickle->protocol);
  Result<BuiltValue> built = build_value(*pickle, bytes, storages, options, reading.findings);
  if (!built) {
    add_globals(list_uses(pickle->globals, pickle->protocol, options.accepted_globals, bytes.place.record));
    return std::move(built).error();
  }
  add_globals(std::move(built->globals));
  return std::move(built->root);
}

Result<Value> read_nested_archive(ArchiveReading& reading, const zip::Entry& entry) {
  ZipContainer& outer = reading.container;
  const zip::Archive& archive = *outer.context().archive;
  const std::string within(outer.short_name(entry));
  const auto placed = [&](Error error) {
    if (!error.finding.record) error.finding.record = escaped(within);
    return with_file(std::move(error), outer.context().file);
  };
  outer.mark_used(entry);
  reading.index.push_back(within);
  std::shared_ptr<const Source> source = archive.source();
  zip::OpenOptions window{.limits = reading.options.limits, .window_offset = 0, .window_bytes = {}};
  const bool inflated = entry.method != zip::Method::stored;
  if (inflated) {
    RUSHLIGHT_TRY_ASSIGN(const zip::RecordBytes record, outer.read(entry, entry.size_bytes));
    source = Source::from_memory(record.span(), outer.context().file, record.owner());
  } else {
    Result<zip::Extent> extent = archive.data_extent(entry);
    if (!extent) return placed(std::move(extent).error());
    window.window_offset = extent->begin;
    window.window_bytes = extent->size_bytes();
  }
  std::vector<Finding> oddities;
  Result<std::shared_ptr<const zip::Archive>> inner = zip::Archive::open(std::move(source), window, oddities);
  if (!inner) {
    Error error = std::move(inner).error();
    error.finding.message = "what torch.save wrote into the record: " + std::move(error.finding.message);
    error.finding.record.reset();
    if (error.code == ErrorCode::not_a_checkpoint) {  // the file around it is one
      error.code = ErrorCode::corrupt;
      error.finding.category = Category::zip;
    }
    if (inflated) error.finding.offset.reset();
    return placed(std::move(error));
  }
  FormatInfo format;
  RUSHLIGHT_TRY_ASSIGN(
      const std::unique_ptr<ZipContainer> container,
      ZipContainer::open_within(within, inflated, *std::move(inner), reading.options, format, oddities));
  for (Finding& finding : oddities) {
    finding.record = escaped(within);
    if (inflated) finding.offset.reset();
    reading.findings.push_back(std::move(finding));
  }
  if (format.kind != FileKind::torch_zip) {
    return placed(Error::of({.category = Category::unsup,
                             .code = "NESTED-KIND",
                             .message = "the record is an archive of kind " + std::string(to_string(format.kind)) +
                                        ", expected one of torch.save",
                             .found = std::string(to_string(format.kind)),
                             .expected = "torch-zip"}));
  }
  std::vector<std::string> inner_index;  // the record as a whole is in the outer one
  ArchiveReading nested{*container, reading.options, format, reading.findings, reading.globals, inner_index};
  RUSHLIGHT_TRY_ASSIGN(Value root, read_pickle_record(nested, *container->pickle(), *container));
  reading.format.pickle_protocol = std::max(reading.format.pickle_protocol, format.pickle_protocol);
  return root;
}

Result<Value> read_archive(ArchiveReading& reading) {
  note_values_only(reading);
  const std::vector<std::string>& texts = reading.container.text_records();
  reading.index.insert(reading.index.end(), texts.begin(), texts.end());
  switch (reading.format.kind) {
    case FileKind::torchscript:
    case FileKind::torchscript_mobile:
      return reading.container.pickle() == nullptr ? read_script_json(reading) : read_script_archive(reading);
    case FileKind::pt2:
      return read_exported(reading);
    case FileKind::torch_package:
      return read_package(reading);
    default:
      return read_pickle_record(reading, *reading.container.pickle(), reading.container);
  }
}

}  // namespace rushlight::checkpoint
