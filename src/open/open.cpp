#include <algorithm>
#include <optional>
#include <utility>

#include "base/fail.hpp"
#include "base/quote.hpp"
#include "checkpoint/build_value.hpp"
#include "checkpoint/globals_found.hpp"
#include "checkpoint/zip_container.hpp"
#include "open/opened.hpp"
#include "open/sniff.hpp"
#include "pickle/machine.hpp"

namespace rushlight::open {
namespace {

using checkpoint::PickleBytes;
using checkpoint::ZipContainer;

constexpr std::size_t kPathBytes = 4096;

// data.pkl holds one pickle. A second one is what another reader might take for it.
Error trailing_bytes(const pickle::Pickle& first, const PickleBytes& bytes) {
  const std::size_t count = bytes.bytes.size() - first.bytes_used;
  const ByteSpan rest = bytes.bytes.subspan(first.bytes_used);
  const std::string what = std::to_string(count) + (count == 1 ? " byte follows" : " bytes follow") + " the pickle";
  const bool is_pickle = pickle::read_pickle(rest, Limits::strict()).has_value();
  const std::vector<GlobalUse> uses =
      checkpoint::list_uses(pickle::list_globals(rest), first.protocol, {}, bytes.place.record);
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

Result<std::shared_ptr<const zip::Archive>> open_archive(std::shared_ptr<const Source> source,
                                                         const LoadOptions& options, Opened& opened) {
  opened.file = std::string(source->name());
  opened.format.size_bytes = source->size_bytes();
  const auto placed = [&](Error error) { return with_file(std::move(error), opened.file); };
  Result<Sniffed> sniffed = sniff(*source);
  if (!sniffed) return placed(std::move(sniffed).error());
  opened.format.kind = sniffed->kind;
  opened.is_pickle = sniffed->is_pickle;
  if (sniffed->container == Container::other) return placed(*std::move(sniffed->refusal));

  std::vector<Finding> oddities;
  Result<std::shared_ptr<const zip::Archive>> archive =
      zip::Archive::open(source, {.limits = options.limits, .window_offset = 0, .window_bytes = {}}, oddities);
  if (!archive) {
    Error error = std::move(archive).error();
    if (could_not_look(error)) return placed(std::move(error));
    // Neither by its beginning nor by its end.
    if (sniffed->container == Container::unknown && error.code == ErrorCode::not_a_checkpoint) {
      return placed(*std::move(sniffed->refusal));
    }
    if (std::string damage = transport_damage(*source); !damage.empty()) error.finding.hint = std::move(damage);
    return placed(std::move(error));
  }
  for (Finding& finding : oddities) {
    finding.file = escaped(opened.file, kPathBytes);
    opened.findings.push_back(std::move(finding));
  }
  return archive;
}

Status load_archive(std::shared_ptr<const zip::Archive> archive, const LoadOptions& options, Opened& opened) {
  Result<std::unique_ptr<ZipContainer>> container =
      ZipContainer::open(std::move(archive), options, opened.format, opened.findings);
  if (!container) return std::move(container).error();
  RUSHLIGHT_TRY_ASSIGN(const zip::RecordBytes record, (*container)->read_pickle());
  const PickleBytes bytes{record.span(),
                          record.owner(),
                          {.file = escaped(opened.file, kPathBytes),
                           .record = escaped((*container)->pickle_name()),
                           .file_offset = (*container)->pickle_offset()}};
  Result<pickle::Pickle> pickle = pickle::read_pickle(bytes.bytes, options.limits);
  if (!pickle || pickle->bytes_used != bytes.bytes.size()) {
    // The stream is scanned for names once more, without its objects: damage must not hide them.
    const int protocol = pickle ? pickle->protocol : 2;
    opened.globals = checkpoint::list_uses(pickle::list_globals(bytes.bytes), protocol, options.accepted_globals,
                                           bytes.place.record);
    Error error = pickle ? trailing_bytes(*pickle, bytes) : std::move(pickle).error();
    bytes.place.fill(error.finding, error.finding.record_offset.value_or(0));
    return error;
  }
  opened.format.pickle_protocol = pickle->protocol;
  opened.globals =
      checkpoint::list_uses(pickle->globals, pickle->protocol, options.accepted_globals, bytes.place.record);
  RUSHLIGHT_TRY_ASSIGN(checkpoint::BuiltValue built,
                       checkpoint::build_value(*pickle, bytes, **container, options, opened.findings));
  opened.globals = std::move(built.globals);
  opened.root = std::move(built.root);
  (*container)->report_case(opened.findings);
  (*container)->report_unused(opened.findings);
  return {};
}

Status open_source(std::shared_ptr<const Source> source, const LoadOptions& options, Opened& opened) {
  RUSHLIGHT_TRY_ASSIGN(std::shared_ptr<const zip::Archive> archive, open_archive(std::move(source), options, opened));
  RUSHLIGHT_TRY(load_archive(std::move(archive), options, opened));
  if (options.strict) {
    if (std::optional<Error> odd = first_oddity(opened.findings)) return *std::move(odd);
  }
  return {};
}

}  // namespace rushlight::open

namespace rushlight {

Checkpoint::Checkpoint(std::shared_ptr<const Impl> impl) noexcept : impl_(std::move(impl)) {}

Result<Checkpoint> Checkpoint::open(const std::filesystem::path& path, const LoadOptions& options) {
  RUSHLIGHT_TRY_ASSIGN(std::shared_ptr<const Source> source, open_file(path, options.access));
  return open(std::move(source), options);
}

Result<Checkpoint> Checkpoint::open(std::shared_ptr<const Source> source, const LoadOptions& options) {
  if (source == nullptr) {
    return Error::of({.category = Category::argument, .code = "ARG-SOURCE", .message = "there is no source to open"});
  }
  const auto impl = std::make_shared<Impl>();
  RUSHLIGHT_TRY(open::open_source(std::move(source), options, impl->opened));
  impl->file = open::printable_file(impl->opened.file);
  return Checkpoint(impl);
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
