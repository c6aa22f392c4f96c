#include "open/scan_pickles.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/bytes.hpp"
#include "base/fail.hpp"
#include "base/quote.hpp"
#include "checkpoint/globals_found.hpp"
#include "pickle/machine.hpp"

namespace rushlight::open {
namespace {

// magic number, protocol, system, objects, storage keys (torch/serialization.py, _legacy_save).
constexpr int kLegacyPickles = 5;

void add_uses(const std::vector<pickle::NamedGlobal>& globals, int protocol, const LoadOptions& options,
              const std::string& record, std::uint64_t offset, std::vector<GlobalUse>& uses) {
  for (GlobalUse& use : checkpoint::list_uses(globals, protocol, options.accepted_globals, record)) {
    use.record_offset += offset;
    uses.push_back(std::move(use));
  }
}

}  // namespace

Result<std::vector<GlobalUse>> scan_stream(const Source& source, const LoadOptions& options) {
  const std::uint64_t count = std::min(source.size_bytes(), options.limits.pickle_bytes);
  ByteSpan bytes = source.mapping();
  std::vector<std::byte> read;
  if (bytes.empty() && count > 0) {
    read.resize(static_cast<std::size_t>(count));
    RUSHLIGHT_TRY(source.read_at(0, read));
    bytes = read;
  }
  bytes = bytes.first(static_cast<std::size_t>(count));
  std::vector<GlobalUse> uses;
  std::size_t at = 0;
  for (int i = 0; i < kLegacyPickles && at < bytes.size(); ++i) {
    const ByteSpan rest = bytes.subspan(at);
    const Result<pickle::Pickle> pickle = pickle::read_pickle(rest, options.limits);
    if (!pickle) {
      // Damage must not hide names. The data of storages behind the pickles is not reached: those were read.
      add_uses(pickle::list_globals(rest), 2, options, {}, at, uses);
      break;
    }
    add_uses(pickle->globals, pickle->protocol, options, {}, at, uses);
    at += pickle->bytes_used;
  }
  return uses;
}

std::vector<GlobalUse> scan_records(const zip::Archive& archive, std::string_view root,
                                    const std::vector<std::string>& known, const LoadOptions& options) {
  std::vector<GlobalUse> uses;
  const auto is_known = [&](std::string_view name) {
    return std::any_of(known.begin(), known.end(), [&](const std::string& record) {
      return name.size() == root.size() + record.size() && name.starts_with(root) && name.ends_with(record);
    });
  };
  for (const zip::Entry& entry : archive.entries()) {
    if (!entry.name.ends_with(".pkl") || is_known(entry.name)) continue;
    const Result<zip::RecordBytes> record = archive.read(entry, options.limits.pickle_bytes);
    if (!record) continue;  // the audit of verify() says why
    const std::string_view name = entry.name.starts_with(root) ? entry.name.substr(root.size()) : entry.name;
    add_uses(pickle::list_globals(record->span()), 2, options, escaped(name), 0, uses);
  }
  return uses;
}

}  // namespace rushlight::open
