#include <algorithm>
#include <optional>
#include <utility>

#include "base/fail.hpp"
#include "base/no_memory.hpp"
#include "base/quote.hpp"
#include "checkpoint/archive_reading.hpp"
#include "checkpoint/build_value.hpp"
#include "checkpoint/globals_found.hpp"
#include "checkpoint/legacy_stream.hpp"
#include "checkpoint/legacy_tar.hpp"
#include "checkpoint/stream_pickle.hpp"
#include "checkpoint/zip_container.hpp"
#include "interchange/npz.hpp"
#include "open/dcp.hpp"
#include "open/load_interchange.hpp"
#include "open/opened.hpp"
#include "open/set_files.hpp"
#include "open/sharded.hpp"
#include "open/sniff.hpp"
#include "pickle/machine.hpp"

namespace rushlight::open {
namespace {

using checkpoint::PickleBytes;
using checkpoint::ZipContainer;

// LoadOptions::strict: what is merely odd is refused too. The note on unused records counts (hostile-inputs S07).
std::optional<Error> first_oddity(const std::vector<Finding>& findings) {
  const auto odd = std::find_if(findings.begin(), findings.end(), [](const Finding& finding) {
    return finding.severity == Severity::warning || finding.code == "ZIP-UNUSED-RECORD";
  });
  if (odd == findings.end()) return std::nullopt;
  Finding finding = *odd;
  finding.severity = Severity::error;
  return Error::of(std::move(finding));
}

}  // namespace

bool could_not_look(const Error& error) noexcept {
  return error.code == ErrorCode::io || error.code == ErrorCode::out_of_memory || error.code == ErrorCode::cancelled ||
         error.code == ErrorCode::not_found || error.code == ErrorCode::invalid_argument;
}

std::string printable_file(const std::string& file) {
  return is_valid_utf8(file) ? file : escaped(file, kPathBytes);
}

namespace {

// From the objects of a pickle to values, with what it names noted first.
Status build(const pickle::Pickle& pickle, const PickleBytes& bytes, checkpoint::StorageProvider& storages,
             const LoadOptions& options, Opened& opened) {
  opened.format.pickle_protocol = pickle.protocol;
  opened.globals = checkpoint::list_uses(pickle.globals, pickle.protocol, options.accepted_globals, bytes.place.record);
  RUSHLIGHT_TRY_ASSIGN(checkpoint::BuiltValue built,
                       checkpoint::build_value(pickle, bytes, storages, options, opened.findings));
  opened.globals = std::move(built.globals);
  opened.root = std::move(built.root);
  return {};
}

Status open_archive(Sniffed& sniffed, const LoadOptions& options, Opened& opened) {
  std::vector<Finding> oddities;
  Result<std::shared_ptr<const zip::Archive>> archive =
      zip::Archive::open(opened.source, {.limits = options.limits, .window_offset = 0, .window_bytes = {}}, oddities);
  if (!archive) {
    Error error = std::move(archive).error();
    if (could_not_look(error)) return error;
    // Neither by its beginning nor by its end.
    if (sniffed.container == Container::unknown && error.code == ErrorCode::not_a_checkpoint) {
      return *std::move(sniffed.refusal);
    }
    if (std::string damage = transport_damage(*opened.source); !damage.empty()) error.finding.hint = std::move(damage);
    return error;
  }
  for (Finding& finding : oddities) {
    finding.file = escaped(opened.file, kPathBytes);
    opened.findings.push_back(std::move(finding));
  }
  opened.archive = *std::move(archive);
  opened.container = Container::zip;
  return {};
}

}  // namespace

// An archive of torch.save, torch.jit, torch.export or torch.package.
Status load_archive(const LoadOptions& options, Opened& opened) {
  Result<std::unique_ptr<ZipContainer>> container =
      ZipContainer::open(opened.archive, options, opened.format, opened.findings);
  if (!container) return std::move(container).error();
  checkpoint::ArchiveReading reading{**container,     options,        opened.format,
                                     opened.findings, opened.globals, opened.index};
  RUSHLIGHT_TRY_ASSIGN(opened.root, checkpoint::read_archive(reading));
  (*container)->report_case(opened.findings);
  (*container)->report_unused(opened.findings);
  return {};
}

namespace {

// pickle.dump() of a state dict: its storages are whole files inside it, and no persistent id means anything.
class NoStorages final : public checkpoint::StorageProvider {
 public:
  Result<std::shared_ptr<Memory>> memory(const checkpoint::StorageRequest& request, std::uint64_t) override {
    return Error::of({.category = Category::store,
                      .code = "STORE-MISSING",
                      .message = "storage " + quoted(request.key) + " is named, and a bare pickle holds none",
                      .found = escaped(request.key)});
  }
};

Status load_legacy(const LoadOptions& options, Opened& opened) {
  opened.format.byteorder = "little";
  Result<std::unique_ptr<checkpoint::LegacyStream>> stream =
      checkpoint::LegacyStream::open(opened.source, 0, escaped(opened.file, kPathBytes), options, opened.findings);
  if (!stream) return std::move(stream).error();
  const checkpoint::StreamPickle& object = (*stream)->object();
  // The small pickles around the object name nothing in torch's own files; what they name counts like everything else.
  const std::vector<GlobalUse>& others = (*stream)->other_globals();
  const checkpoint::PicklePlace around{.file = escaped(opened.file, kPathBytes),
                                       .record = others.empty() ? std::string() : others.front().record,
                                       .file_offset = {}};
  if (options.globals == Globals::strict) {
    if (std::optional<Error> refused = checkpoint::refusal(others, around)) return *std::move(refused);
  }
  checkpoint::report_unknown(others, around, opened.findings);
  RUSHLIGHT_TRY(build(object.pickle, object.bytes, **stream, options, opened));
  opened.globals.insert(opened.globals.end(), others.begin(), others.end());
  opened.explained_bytes = (*stream)->end();
  return {};
}

Status load_pickle(const LoadOptions& options, Opened& opened) {
  opened.format.byteorder = "little";
  RUSHLIGHT_TRY_ASSIGN(const checkpoint::StreamPickle stream,
                       checkpoint::read_stream_pickle(opened.source, {0, opened.source->size_bytes()},
                                                      escaped(opened.file, kPathBytes), options.limits));
  // A magic number in another spelling than torch's own: the pickles behind it are read by torch, and so here.
  if (checkpoint::LegacyStream::is_magic(stream.pickle)) {
    opened.container = Container::legacy;
    opened.format.kind = FileKind::torch_legacy;
    return load_legacy(options, opened);
  }
  if (stream.end != opened.source->size_bytes()) {
    const std::uint64_t count = opened.source->size_bytes() - stream.end;
    opened.findings.push_back({.severity = Severity::warning,
                               .category = Category::ambig,
                               .code = "PKL-TRAILING",
                               .message = std::to_string(count) + (count == 1 ? " byte follows" : " bytes follow") +
                                          " the pickle, and were not read",
                               .file = escaped(opened.file, kPathBytes),
                               .offset = stream.end,
                               .found = std::to_string(count),
                               .expected = "0"});
  }
  NoStorages storages;
  RUSHLIGHT_TRY(build(stream.pickle, stream.bytes, storages, options, opened));
  opened.explained_bytes = stream.end;
  return {};
}

Status load_tar(const LoadOptions& options, Opened& opened) {
  opened.format.byteorder = "little";
  Result<std::unique_ptr<checkpoint::LegacyTar>> tar =
      checkpoint::LegacyTar::open(opened.source, escaped(opened.file, kPathBytes), options);
  if (!tar) return std::move(tar).error();
  const checkpoint::StreamPickle& object = (*tar)->object();
  RUSHLIGHT_TRY(build(object.pickle, object.bytes, **tar, options, opened));
  opened.explained_bytes = opened.format.size_bytes;
  return {};
}

}  // namespace

Status open_container(std::shared_ptr<const Source> source, const LoadOptions& options, Opened& opened) {
  opened.file = std::string(source->name());
  opened.format.size_bytes = source->size_bytes();
  opened.source = std::move(source);
  const Status status = [&]() -> Status {
    RUSHLIGHT_TRY_ASSIGN(Sniffed sniffed, sniff(*opened.source));
    opened.format.kind = sniffed.kind;
    opened.container = sniffed.container;
    opened.is_pickle = sniffed.is_pickle;
    switch (sniffed.container) {
      case Container::other:
        return *std::move(sniffed.refusal);
      case Container::zip:
      case Container::unknown:
        return open_archive(sniffed, options, opened);
      case Container::legacy:
      case Container::tar:
      case Container::pickle:
      case Container::safetensors:
      case Container::gguf:
      case Container::npy:
      case Container::sharded:
      case Container::dcp:
        break;
    }
    return {};
  }();
  if (!status) return with_file(status.error(), opened.file);
  return {};
}

Status open_window(const Part& part, const LoadOptions& options, Opened& opened) {
  opened.file = std::string(part.source->name());
  opened.source = part.source;
  opened.container = Container::zip;
  opened.format.size_bytes = part.size_bytes;
  std::vector<Finding> oddities;
  Result<std::shared_ptr<const zip::Archive>> archive = zip::Archive::open(
      part.source, {.limits = options.limits, .window_offset = part.offset, .window_bytes = part.size_bytes}, oddities);
  if (!archive) return with_file(std::move(archive).error(), opened.file);
  for (Finding& finding : oddities) {
    finding.file = escaped(opened.file, kPathBytes);
    opened.findings.push_back(std::move(finding));
  }
  opened.archive = *std::move(archive);
  return {};
}

Status load_values(const LoadOptions& options, Opened& opened) {
  switch (opened.container) {
    case Container::zip:
      if (interchange::is_npz(*opened.archive)) return load_npz(options, opened);
      return load_archive(options, opened);
    case Container::legacy:
      return load_legacy(options, opened);
    case Container::tar:
      return load_tar(options, opened);
    case Container::pickle:
      return load_pickle(options, opened);
    case Container::safetensors:
      return load_safetensors(options, opened);
    case Container::gguf:
      return load_gguf(options, opened);
    case Container::npy:
      return load_npy(options, opened);
    case Container::sharded:
      return load_sharded(options, opened);
    case Container::dcp:
      return load_dcp(options, opened);
    case Container::other:
    case Container::unknown:
      break;
  }
  return {};
}

Status open_source(std::shared_ptr<const Source> source, const LoadOptions& options, Opened& opened) {
  RUSHLIGHT_TRY(open_container(std::move(source), options, opened));
  RUSHLIGHT_TRY(load_values(options, opened));
  if (options.strict) {
    if (std::optional<Error> odd = first_oddity(opened.findings)) return *std::move(odd);
  }
  return {};
}

}  // namespace rushlight::open

namespace rushlight {

Checkpoint::Checkpoint(std::shared_ptr<const Impl> impl) noexcept : impl_(std::move(impl)) {}

Result<Checkpoint> Checkpoint::open(const std::filesystem::path& path, const LoadOptions& options) {
  return or_no_memory([&]() -> Result<Checkpoint> {
    RUSHLIGHT_TRY_ASSIGN(open::FileInFolder file, open::open_path(path, options.access));
    if (options.open_beside) return open(std::move(file.source), options);
    LoadOptions with_folder = options;
    with_folder.open_beside = std::move(file.open_beside);
    return open(std::move(file.source), with_folder);
  });
}

Result<Checkpoint> Checkpoint::open(std::shared_ptr<const Source> source, const LoadOptions& options) {
  return or_no_memory([&]() -> Result<Checkpoint> {
    if (source == nullptr) {
      return Error::of({.category = Category::argument, .code = "ARG-SOURCE", .message = "there is no source to open"});
    }
    const auto impl = std::make_shared<Impl>();
    RUSHLIGHT_TRY(open::open_source(std::move(source), options, impl->opened));
    impl->file = open::printable_file(impl->opened.file);
    return Checkpoint(impl);
  });
}

const std::string& Checkpoint::file() const noexcept {
  return impl_->file;
}
const Value& Checkpoint::root() const noexcept {
  return impl_->opened.root;
}
const FormatInfo& Checkpoint::format() const noexcept {
  return impl_->opened.format;
}
std::span<const Finding> Checkpoint::findings() const noexcept {
  return impl_->opened.findings;
}
std::span<const GlobalUse> Checkpoint::globals() const noexcept {
  return impl_->opened.globals;
}

}  // namespace rushlight
