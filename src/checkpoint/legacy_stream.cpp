#include "checkpoint/legacy_stream.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <utility>

#include "base/checked.hpp"
#include "base/fail.hpp"
#include "base/quote.hpp"
#include "checkpoint/globals.hpp"
#include "checkpoint/globals_found.hpp"
#include "checkpoint/lost_memory.hpp"
#include "tensor/file_memory.hpp"

namespace rushlight::checkpoint {
namespace {

using namespace std::string_view_literals;
using pickle::ObjectGraph;
using pickle::ObjectId;
using pickle::ObjectKind;

// 0x1950A86A20F9469CFC6C, as two's complement (torch/serialization.py, MAGIC_NUMBER).
constexpr std::string_view kMagic = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"sv;
constexpr std::int64_t kProtocolVersion = 1001;
// Before each storage: the number of its elements.
constexpr std::uint64_t kCountBytes = 8;

bool is_text(const ObjectGraph& graph, ObjectId id) {
  return graph.kind(id) == ObjectKind::string || graph.kind(id) == ObjectKind::byte_string;
}

// Bytes in an element of a storage class; 0 for one that is not known here.
std::uint32_t unit_bytes_of(const pickle::Pickle& pickle, ObjectId storage_class) {
  const ObjectGraph& graph = pickle.graph;
  const PythonName name = python3_name(graph.module(storage_class), graph.name(storage_class), pickle.protocol);
  const std::optional<KnownGlobal> known = find_global(name.module, name.name);
  if (!known) return 0;
  if (known->meaning == Meaning::untyped_storage_class) return 1;
  return known->meaning == Meaning::storage_class ? size_bytes(known->dtype) : 0;
}

}  // namespace

Error LegacyStream::failure(Category category, std::string_view code, std::string message, std::uint64_t offset) const {
  return Error::of({.category = category,
                    .code = std::string(code),
                    .message = std::move(message),
                    .file = file_,
                    .offset = offset});
}

Result<std::unique_ptr<LegacyStream>> LegacyStream::open(std::shared_ptr<const Source> source, std::uint64_t offset,
                                                         std::string_view file, const LoadOptions& options,
                                                         std::vector<Finding>& findings) {
  std::unique_ptr<LegacyStream> stream(new LegacyStream(std::move(source), file));
  RUSHLIGHT_TRY(stream->read(offset, options, findings));
  return stream;
}

Result<std::unique_ptr<LegacyStream>> LegacyStream::open_cut(std::shared_ptr<const Source> source,
                                                             std::string_view file, const LoadOptions& options,
                                                             std::vector<Finding>& findings) {
  std::unique_ptr<LegacyStream> stream(new LegacyStream(std::move(source), file));
  stream->may_be_cut_ = true;
  RUSHLIGHT_TRY(stream->read(0, options, findings));
  return stream;
}

Status LegacyStream::read(std::uint64_t offset, const LoadOptions& options, std::vector<Finding>& findings) {
  RUSHLIGHT_TRY(read_head(offset, options));
  RUSHLIGHT_TRY_ASSIGN(object_, read_stream_pickle(source_, part(offset, "the object"), file_, options.limits));
  RUSHLIGHT_TRY_ASSIGN(
      const StreamPickle keys,
      read_stream_pickle(source_, part(object_.end, "the list of storage keys"), file_, options.limits));
  end_ = keys.end;
  collect_places();
  RUSHLIGHT_TRY(locate_storages(keys.pickle, keys.bytes, options));
  note_trailing(findings);
  return {};
}

bool LegacyStream::is_magic(const pickle::Pickle& pickle) {
  const ObjectGraph& graph = pickle.graph;
  return graph.kind(graph.root()) == ObjectKind::big_integer && graph.text(graph.root()) == kMagic;
}

Result<LegacyStream::NestedStorage> LegacyStream::read_storage(std::shared_ptr<const Source> source,
                                                               const LoadOptions& options, int file_depth) {
  std::vector<Finding> oddities;  // of a file that nobody sees: bytes behind the storage change nothing
  const std::string name(source->name());
  RUSHLIGHT_TRY_ASSIGN(const std::unique_ptr<LegacyStream> stream, open(std::move(source), 0, name, options, oddities));
  const StreamPickle& object = stream->object();
  RUSHLIGHT_TRY_ASSIGN(const BuiltValue built,
                       build_value(object.pickle, object.bytes, *stream, options, oddities, file_depth));
  const std::optional<Storage> storage = built.root.as_storage();
  if (!storage) {
    const std::string found = escaped(built.root.class_name());
    return Error::of({.category = Category::type,
                      .code = "TYPE-NESTED-FILE",
                      .message = "the file inside the pickle holds no storage, found " + found,
                      .found = found});
  }
  return NestedStorage{*storage, built.root.as_dtype().value_or(DType::u8)};
}

// Magic number, version, facts about the writer's machine. torch looks at the first two alone.
Status LegacyStream::read_head(std::uint64_t& offset, const LoadOptions& options) {
  const auto next = [&](std::string_view what) {
    return read_stream_pickle(source_, part(offset, what), file_, options.limits);
  };
  const auto note_names = [&](const StreamPickle& small, std::string_view what) {
    for (GlobalUse& use :
         list_uses(small.pickle.globals, small.pickle.protocol, options.accepted_globals, std::string(what))) {
      other_globals_.push_back(std::move(use));
    }
  };
  RUSHLIGHT_TRY_ASSIGN(const StreamPickle magic, next("the magic number"));
  note_names(magic, "the magic number");
  if (!is_magic(magic.pickle)) {
    return failure(Category::kind, "LEGACY-MAGIC", "the first pickle is not the magic number of torch.save", offset);
  }
  offset = magic.end;

  RUSHLIGHT_TRY_ASSIGN(const StreamPickle version, next("the version"));
  note_names(version, "the version");
  const ObjectGraph& version_graph = version.pickle.graph;
  const bool is_number = version_graph.kind(version_graph.root()) == ObjectKind::integer;
  if (!is_number || version_graph.integer(version_graph.root()) != kProtocolVersion) {
    const std::string found = is_number ? std::to_string(version_graph.integer(version_graph.root()))
                                        : std::string(pickle::to_string(version_graph.kind(version_graph.root())));
    Error error = failure(Category::unsup, "LEGACY-VERSION",
                          "the version of the legacy format is not known, expected 1001, found " + found, offset);
    error.finding.found = found;
    error.finding.expected = "1001";
    return error;
  }
  offset = version.end;

  RUSHLIGHT_TRY_ASSIGN(const StreamPickle system, next("the system"));
  note_names(system, "the system");
  const ObjectGraph& system_graph = system.pickle.graph;
  if (system_graph.kind(system_graph.root()) != ObjectKind::dict) {
    return failure(Category::pkl, "LEGACY-SYSTEM",
                   "what describes the writer's machine is no dict, found " +
                       std::string(pickle::to_string(system_graph.kind(system_graph.root()))),
                   offset);
  }
  // "little_endian" and the sizes of types in it say nothing about the data, which is always little-endian
  // (torch/csrc/serialization.cpp swaps on other machines).
  offset = system.end;
  return {};
}

// Every storage that any persistent id names, whether it is reachable or not: torch makes them all. The first id of a
// key says what the count before its data counts. Wrong ids are left to whoever builds the values.
void LegacyStream::collect_places() {
  const ObjectGraph& graph = object_.pickle.graph;
  std::map<ObjectId, std::uint32_t> unit_bytes;  // by class: Python memoises them
  const auto count = static_cast<ObjectId>(graph.size());
  for (ObjectId id = 0; id < count; ++id) {
    if (graph.kind(id) != ObjectKind::persistent) continue;
    const ObjectId argument = graph.persistent_argument(id);
    if (graph.kind(argument) != ObjectKind::tuple) continue;
    const std::span<const ObjectId> parts = graph.items(argument);
    const bool names_storage = (parts.size() == 5 || parts.size() == 6) && is_text(graph, parts[0]) &&
                               graph.text(parts[0]) == "storage" && graph.kind(parts[1]) == ObjectKind::global &&
                               is_text(graph, parts[2]) && graph.kind(parts[4]) == ObjectKind::integer &&
                               graph.integer(parts[4]) >= 0;
    if (!names_storage || find(graph.text(parts[2])) != nullptr) continue;
    const auto [known, is_new] = unit_bytes.try_emplace(parts[1], 0);
    if (is_new) known->second = unit_bytes_of(object_.pickle, parts[1]);
    Place place;
    place.key = graph.text(parts[2]);
    place.numel = static_cast<std::uint64_t>(graph.integer(parts[4]));
    place.unit_bytes = known->second;
    place.id_offset = graph.offset(id);
    index_.insert(hash_text(place.key, seed_), static_cast<std::uint32_t>(places_.size()));
    places_.push_back(place);
  }
}

LegacyStream::Place* LegacyStream::find(std::string_view key) {
  const auto found = index_.find(hash_text(key, seed_), [&](std::uint32_t i) { return places_[i].key == key; });
  return found ? &places_[*found] : nullptr;
}

Status LegacyStream::locate_storages(const pickle::Pickle& keys, const PickleBytes& keys_bytes,
                                     const LoadOptions& options) {
  const ObjectGraph& graph = keys.graph;
  for (GlobalUse& use : list_uses(keys.globals, keys.protocol, options.accepted_globals, "the list of storage keys")) {
    other_globals_.push_back(std::move(use));
  }
  const auto wrong_keys = [&](Category category, std::string_view code, std::string message, ObjectId at) {
    return failure(category, code, std::move(message), *keys_bytes.place.file_offset + graph.offset(at));
  };
  if (graph.kind(graph.root()) != ObjectKind::list) {
    return wrong_keys(Category::pkl, "LEGACY-KEYS",
                      "the storage keys are no list, found " + std::string(pickle::to_string(graph.kind(graph.root()))),
                      graph.root());
  }
  const std::span<const ObjectId> listed = graph.items(graph.root());
  const std::string of_count = " of " + std::to_string(listed.size());
  std::uint64_t at = end_;
  for (std::size_t i = 0; i < listed.size(); ++i) {
    if (!is_text(graph, listed[i])) {
      return wrong_keys(Category::type, "LEGACY-KEY-TYPE",
                        "a storage key is no text, found " + std::string(pickle::to_string(graph.kind(listed[i]))),
                        listed[i]);
    }
    const std::string_view key = graph.text(listed[i]);
    Place* const place = find(key);
    if (place == nullptr) {
      return wrong_keys(Category::store, "LEGACY-KEY-UNKNOWN",
                        "storage " + quoted(key) + " is listed, and no object names it", listed[i]);
    }
    if (place->is_listed) {
      return wrong_keys(Category::store, "LEGACY-KEY-TWICE", "storage " + quoted(key) + " is listed twice", listed[i]);
    }
    place->is_listed = true;
    const std::string name = "storage " + quoted(key) + " (" + std::to_string(i + 1) + of_count + ")";
    if (place->unit_bytes == 0) {
      if (i + 1 == listed.size()) {
        end_ = source_->size_bytes();
        return {};
      }
      return failure(Category::unsup, "LEGACY-CLASS",
                     name + " is of a class that is not known here: where the next one begins is not known either", at);
    }
    const auto ends_early = [&](std::uint64_t expected, std::uint64_t found) {
      Error error = failure(
          Category::trunc, "LEGACY-TRUNCATED",
          name + " ends early, expected " + std::to_string(expected) + " bytes, found " + std::to_string(found), at);
      error.finding.expected = std::to_string(expected);
      error.finding.found = std::to_string(found);
      error.finding.hint = "the download, copy or save was cut short: fetch the file again";
      return error;
    };
    const std::uint64_t left = source_->size_bytes() - at;
    if (left < kCountBytes) {
      if (!may_be_cut_) return ends_early(kCountBytes, left);
      place->lost = ends_early(kCountBytes, left);
      at = source_->size_bytes();  // those behind it are lost as well
      continue;
    }
    std::array<std::byte, kCountBytes> count_bytes{};
    RUSHLIGHT_TRY(source_->read_at(at, count_bytes));
    const auto count = load_le<std::uint64_t>(count_bytes.data());
    if (count != place->numel) {
      const auto found = std::to_string(static_cast<std::int64_t>(count));
      Error error = failure(Category::store, "LEGACY-COUNT",
                            name + " does not have the elements that the object names, expected " +
                                std::to_string(place->numel) + ", found " + found,
                            at);
      error.finding.expected = std::to_string(place->numel);
      error.finding.found = found;
      if (!may_be_cut_) return error;
      place->lost = std::move(error);  // nothing tells where the next one begins
      at = source_->size_bytes();
      continue;
    }
    const std::optional<std::uint64_t> bytes = checked_mul(count, std::uint64_t{place->unit_bytes});
    if (!bytes) {
      return failure(Category::store, "STORE-OVERFLOW",
                     name + " of " + std::to_string(count) + " elements overflows 64 bits", at);
    }
    if (*bytes > left - kCountBytes) {
      if (!may_be_cut_) return ends_early(*bytes, left - kCountBytes);
      place->lost = ends_early(*bytes, left - kCountBytes);
      at = source_->size_bytes();
      continue;
    }
    place->data_offset = at + kCountBytes;
    at = place->data_offset + *bytes;
  }
  end_ = at;
  return {};
}

// torch stops reading there: several objects may follow each other in one file.
void LegacyStream::note_trailing(std::vector<Finding>& findings) const {
  const std::uint64_t count = source_->size_bytes() - end_;
  if (count == 0) return;
  findings.push_back({.severity = Severity::warning,
                      .category = Category::ambig,
                      .code = "LEGACY-TRAILING",
                      .message = std::to_string(count) + (count == 1 ? " byte follows" : " bytes follow") +
                                 " the last storage, and were not read",
                      .file = file_,
                      .offset = end_,
                      .found = std::to_string(count),
                      .expected = "0"});
}

Result<std::shared_ptr<Memory>> LegacyStream::memory(const StorageRequest& request, std::uint64_t size_bytes) {
  const Place* const place = find(request.key);
  if (place == nullptr || !place->is_listed) {
    return Error::of({.category = Category::store,
                      .code = "STORE-MISSING",
                      .message = "storage " + quoted(request.key) + " is not in the list of storage keys",
                      .found = escaped(request.key)});
  }
  if (place->lost) {
    return make_lost_memory(size_bytes, std::string(request.location), std::string(request.key), *place->lost);
  }
  // Cannot overflow: it lies in the file.
  const std::uint64_t stored_bytes = place->numel * place->unit_bytes;
  if (stored_bytes != size_bytes) {
    return Error::of({.category = Category::store,
                      .code = "STORE-SIZE",
                      .message = "storage " + quoted(request.key) + " is named with different sizes, expected " +
                                 std::to_string(stored_bytes) + " bytes, found " + std::to_string(size_bytes),
                      .found = std::to_string(size_bytes),
                      .expected = std::to_string(stored_bytes)});
  }
  return std::static_pointer_cast<Memory>(std::make_shared<FileMemory>(
      source_, place->data_offset, size_bytes, std::string(request.location), std::string(request.key)));
}

}  // namespace rushlight::checkpoint
