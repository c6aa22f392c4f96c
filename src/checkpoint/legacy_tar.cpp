#include "checkpoint/legacy_tar.hpp"

#include <array>
#include <charconv>
#include <optional>
#include <utility>

#include "base/checked.hpp"
#include "base/fail.hpp"
#include "base/quote.hpp"
#include "checkpoint/globals.hpp"
#include "tensor/derived_memory.hpp"
#include "tensor/file_memory.hpp"
#include "tensor/tensor_impl.hpp"

namespace rushlight::checkpoint {
namespace {

using namespace std::string_view_literals;
using pickle::ObjectGraph;
using pickle::ObjectId;
using pickle::ObjectKind;

constexpr std::uint64_t kBlockBytes = 512;
// torch writes four members, each behind a header of its own; more than a few hundred are no checkpoint.
constexpr int kMostMembers = 1024;
constexpr std::uint64_t kPaxBytes = 64 << 10;

// A number in octal digits, padded with blanks or zeros; nullopt for anything else.
std::optional<std::uint64_t> parse_octal(std::string_view field) noexcept {
  while (!field.empty() && (field.back() == '\0' || field.back() == ' ')) field.remove_suffix(1);
  while (!field.empty() && field.front() == ' ') field.remove_prefix(1);
  if (field.empty()) return 0;
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), value, 8);
  if (error != std::errc() || end != field.data() + field.size()) return std::nullopt;
  return value;
}

std::string_view text_field(std::string_view field) noexcept {
  return field.substr(0, field.find('\0'));
}

// What an extended header says about the next member: "LENGTH KEY=VALUE\n" each (POSIX.1-2001, pax).
struct Extended {
  std::optional<std::string> path;
  std::optional<std::uint64_t> size_bytes;
};
// False when it is malformed.
bool parse_extended(std::string_view text, Extended& extended) {
  while (!text.empty() && text.front() != '\0') {
    std::size_t length = 0;
    const auto [digits, error] = std::from_chars(text.data(), text.data() + text.size(), length);
    const auto prefix = static_cast<std::size_t>(digits - text.data()) + 1;
    if (error != std::errc() || length <= prefix || length > text.size() || *digits != ' ') return false;
    const std::string_view record = text.substr(prefix, length - prefix - 1);
    const std::size_t equals = record.find('=');
    if (equals == std::string_view::npos) return false;
    const std::string_view key = record.substr(0, equals);
    const std::string_view value = record.substr(equals + 1);
    if (key == "path") extended.path = std::string(value);
    if (key == "size") {
      std::uint64_t size_bytes = 0;
      const auto [end, bad] = std::from_chars(value.data(), value.data() + value.size(), size_bytes);
      if (bad != std::errc() || end != value.data() + value.size()) return false;
      extended.size_bytes = size_bytes;
    }
    text.remove_prefix(length);
  }
  return true;
}

// A tuple of this many integers (big ones do not fit) and texts, as the tables hold.
std::optional<std::int64_t> integer_at(const ObjectGraph& graph, std::span<const ObjectId> items, std::size_t i) {
  if (i >= items.size() || graph.kind(items[i]) != ObjectKind::integer) return std::nullopt;
  return graph.integer(items[i]);
}

}  // namespace

Error LegacyTar::failure(Category category, std::string_view code, std::string message, std::uint64_t offset) const {
  return Error::of({.category = category,
                    .code = std::string(code),
                    .message = std::move(message),
                    .file = file_,
                    .offset = offset});
}

Error LegacyTar::wrong_entry(const StreamPickle& entry, std::string_view what) const {
  Error error = Error::of({.category = Category::type,
                           .code = "TAR-ENTRY",
                           .message = "an entry is no " + std::string(what),
                           .expected = std::string(what)});
  entry.bytes.place.fill(error.finding, 0);
  return error;
}

Result<std::unique_ptr<LegacyTar>> LegacyTar::open(std::shared_ptr<const Source> source, std::string_view file,
                                                   const LoadOptions& options) {
  std::unique_ptr<LegacyTar> tar(new LegacyTar(std::move(source), file));
  RUSHLIGHT_TRY_ASSIGN(const Members members, tar->list_members());
  const auto pickle = members.find("pickle");
  const auto storages = members.find("storages");
  if (pickle == members.end() || storages == members.end()) {
    return tar->failure(
        Category::store, "TAR-MEMBER",
        pickle == members.end() ? "the tar archive has no member 'pickle'" : "the tar archive has no member 'storages'",
        0);
  }
  StreamPart storages_part = storages->second;
  storages_part.name = storages->first;
  RUSHLIGHT_TRY(tar->read_storages(storages_part, options));
  // Files of other programs leave it out and name storages alone.
  if (const auto tensors = members.find("tensors"); tensors != members.end()) {
    StreamPart tensors_part = tensors->second;
    tensors_part.name = tensors->first;
    RUSHLIGHT_TRY(tar->read_tensors(tensors_part, options));
  }
  StreamPart pickle_part = pickle->second;
  pickle_part.name = pickle->first;
  RUSHLIGHT_TRY_ASSIGN(tar->object_, read_stream_pickle(tar->source_, pickle_part, file, options.limits));
  return tar;
}

Result<LegacyTar::Members> LegacyTar::list_members() const {
  Members members;
  Extended extended;
  const std::uint64_t size_bytes = source_->size_bytes();
  std::uint64_t at = 0;
  for (int i = 0; range_fits(at, kBlockBytes, size_bytes); ++i) {
    if (i == kMostMembers) {
      return failure(Category::limit, "LIMIT-TAR-MEMBERS",
                     "the tar archive has more than " + std::to_string(kMostMembers) + " members", at);
    }
    std::array<std::byte, kBlockBytes> block{};
    RUSHLIGHT_TRY(source_->read_at(at, block));
    const std::string_view header = as_text(block);
    if (header[0] == '\0') break;  // two blocks of zeros end an archive
    if (header.substr(257, 5) != "ustar") {
      return failure(Category::trunc, "TAR-HEADER", "no tar header where a member should begin", at);
    }
    const std::optional<std::uint64_t> field = parse_octal(header.substr(124, 12));
    const std::uint64_t data = at + kBlockBytes;
    const char type = header[156];
    const bool is_extended = type == 'x' || type == 'g';
    const std::optional<std::uint64_t> member_bytes = !is_extended && extended.size_bytes ? extended.size_bytes : field;
    if (!member_bytes) return failure(Category::zip, "TAR-SIZE", "the size of a tar member is no octal number", at);
    std::string name = extended.path && !is_extended ? *extended.path : std::string(text_field(header.substr(0, 100)));
    if (!range_fits(data, *member_bytes, size_bytes)) {
      Error error = failure(Category::trunc, "TAR-TRUNCATED",
                            "tar member " + rushlight::quoted(name) + " ends early, expected " +
                                std::to_string(*member_bytes) + " bytes, found " + std::to_string(size_bytes - data),
                            at);
      error.finding.hint = "the download, copy or save was cut short: fetch the file again";
      return error;
    }
    if (is_extended) {
      if (*member_bytes > kPaxBytes) {
        return failure(Category::limit, "LIMIT-TAR-HEADER", "an extended tar header is too long", at);
      }
      std::string text(static_cast<std::size_t>(*member_bytes), '\0');
      RUSHLIGHT_TRY(source_->read_at(data, std::as_writable_bytes(std::span<char>(text))));
      if (type == 'x') extended = {};
      if (type == 'x' && !parse_extended(text, extended)) {
        return failure(Category::zip, "TAR-EXTENDED", "an extended tar header is malformed", at);
      }
    } else {
      const bool is_file = type == '0' || type == '\0';
      constexpr std::array kWanted = {"sys_info"sv, "pickle"sv, "tensors"sv, "storages"sv};
      for (const std::string_view wanted : kWanted) {
        if (name != wanted) continue;
        // A link could name any file; there is none in a checkpoint.
        if (!is_file) {
          return failure(Category::unsup, "TAR-LINK", "tar member " + rushlight::quoted(name) + " is no plain file",
                         at);
        }
        members[std::string(wanted)] = {data, data + *member_bytes, {}};
      }
      extended = {};
    }
    // It lies in the file, so rounding up cannot overflow.
    at = data + (*member_bytes + kBlockBytes - 1) / kBlockBytes * kBlockBytes;
  }
  return members;
}

Result<StreamPickle> LegacyTar::next_pickle(StreamPart& rest, const LoadOptions& options) const {
  RUSHLIGHT_TRY_ASSIGN(StreamPickle pickle, read_stream_pickle(source_, rest, file_, options.limits));
  rest.begin = pickle.end;
  return pickle;
}

Result<std::uint64_t> LegacyTar::read_count(StreamPart& rest, std::string_view what, const LoadOptions& options) const {
  const std::uint64_t begin = rest.begin;
  RUSHLIGHT_TRY_ASSIGN(const StreamPickle pickle, next_pickle(rest, options));
  const ObjectGraph& graph = pickle.pickle.graph;
  if (graph.kind(graph.root()) != ObjectKind::integer || graph.integer(graph.root()) < 0) {
    return wrong_entry(pickle, "number of " + std::string(what));
  }
  const auto count = static_cast<std::uint64_t>(graph.integer(graph.root()));
  if (count > rest.end - rest.begin) {
    return failure(Category::store, "TAR-COUNT",
                   "there are said to be " + std::to_string(count) + " " + std::string(what) + ", and " +
                       std::to_string(rest.end - rest.begin) + " bytes are left",
                   begin);
  }
  return count;
}

Status LegacyTar::read(StreamPart& rest, std::span<std::byte> out) const {
  if (out.size() > rest.end - rest.begin) {
    return failure(Category::trunc, "TAR-TRUNCATED",
                   "tar member " + quoted(rest.name) + " ends early, expected " + std::to_string(out.size()) +
                       " bytes, found " + std::to_string(rest.end - rest.begin),
                   rest.begin);
  }
  RUSHLIGHT_TRY(source_->read_at(rest.begin, out));
  rest.begin += out.size();
  return {};
}

Status LegacyTar::read_storages(StreamPart rest, const LoadOptions& options) {
  RUSHLIGHT_TRY_ASSIGN(const std::uint64_t count, read_count(rest, "storages", options));
  for (std::uint64_t i = 0; i < count; ++i) RUSHLIGHT_TRY(read_storage(rest, options));
  return read_views(rest, options);
}

// (key, location, storage class), then the number of elements and the elements.
Status LegacyTar::read_storage(StreamPart& rest, const LoadOptions& options) {
  RUSHLIGHT_TRY_ASSIGN(const StreamPickle entry, next_pickle(rest, options));
  const ObjectGraph& graph = entry.pickle.graph;
  const bool is_tuple = graph.kind(graph.root()) == ObjectKind::tuple;
  const std::span<const ObjectId> items = is_tuple ? graph.items(graph.root()) : std::span<const ObjectId>();
  const std::optional<std::int64_t> key = integer_at(graph, items, 0);
  const auto is_text = [&](std::size_t i) {
    return graph.kind(items[i]) == ObjectKind::string || graph.kind(items[i]) == ObjectKind::byte_string;
  };
  if (!key || items.size() != 3 || !is_text(1) || graph.kind(items[2]) != ObjectKind::global) {
    return wrong_entry(entry, "tuple of a key, a location and a storage class");
  }
  const PythonName name = python3_name(graph.module(items[2]), graph.name(items[2]), entry.pickle.protocol);
  const std::optional<KnownGlobal> known = find_global(name.module, name.name);
  if (!known || known->meaning != Meaning::storage_class) {
    return failure(Category::unsup, "TAR-CLASS",
                   "a storage is of a class that is not known here: " + rushlight::quoted(dotted(name)), rest.begin);
  }
  const std::uint64_t at = rest.begin;
  std::array<std::byte, 8> count_bytes{};
  RUSHLIGHT_TRY(read(rest, count_bytes));
  const auto count = load_le<std::uint64_t>(count_bytes.data());
  const std::optional<std::uint64_t> bytes = checked_mul(count, std::uint64_t{size_bytes(known->dtype)});
  if (!bytes || *bytes > rest.end - rest.begin) {
    return failure(Category::trunc, "TAR-TRUNCATED",
                   "storage " + std::to_string(*key) + " of " + std::to_string(static_cast<std::int64_t>(count)) +
                       " elements ends early, found " + std::to_string(rest.end - rest.begin) + " bytes",
                   at);
  }
  const std::string location(graph.text(items[1]));
  std::shared_ptr<Memory> memory =
      std::make_shared<FileMemory>(source_, rest.begin, *bytes, location, std::to_string(*key));
  if (const Device device = options.map_location.map(location); device != Device::cpu()) {
    RUSHLIGHT_TRY_ASSIGN(memory, copy_to_device(*memory, device));
  }
  rest.begin += *bytes;
  Keyed keyed;
  keyed.storage = Storage(std::move(memory));
  keyed.dtype = known->dtype;
  if (!objects_.emplace(*key, std::move(keyed)).second) {
    return failure(Category::store, "TAR-KEY-TWICE", "storage " + std::to_string(*key) + " comes twice", at);
  }
  return {};
}

// [(key, key of the whole storage, offset, numel)]: slices of storages, in elements.
Status LegacyTar::read_views(StreamPart& rest, const LoadOptions& options) {
  RUSHLIGHT_TRY_ASSIGN(const StreamPickle entry, next_pickle(rest, options));
  const ObjectGraph& graph = entry.pickle.graph;
  if (graph.kind(graph.root()) != ObjectKind::list) return wrong_entry(entry, "list of views on storages");
  for (const ObjectId view : graph.items(graph.root())) {
    const bool is_sequence = graph.kind(view) == ObjectKind::tuple || graph.kind(view) == ObjectKind::list;
    const std::span<const ObjectId> items = is_sequence ? graph.items(view) : std::span<const ObjectId>();
    const std::optional<std::int64_t> key = integer_at(graph, items, 0);
    const std::optional<std::int64_t> whole = integer_at(graph, items, 1);
    const std::optional<std::int64_t> offset = integer_at(graph, items, 2);
    const std::optional<std::int64_t> numel = integer_at(graph, items, 3);
    if (!key || !whole || !offset || !numel || items.size() != 4) {
      return wrong_entry(entry, "view: two keys, an offset and a size");
    }
    const auto known = objects_.find(*whole);
    if (known == objects_.end()) {
      return failure(Category::store, "STORE-MISSING",
                     "a view names storage " + std::to_string(*whole) + ", which is not there",
                     *entry.bytes.place.file_offset);
    }
    const Storage& storage = *known->second.storage;
    const std::uint32_t unit_bytes = size_bytes(known->second.dtype);
    if (*offset < 0 || *numel < 0 ||
        !range_fits(static_cast<std::uint64_t>(*offset), static_cast<std::uint64_t>(*numel),
                    storage.size_bytes() / unit_bytes)) {
      return failure(Category::store, "STORE-VIEW",
                     "view " + std::to_string(*key) + " of storage " + std::to_string(*whole) +
                         " reaches beyond it: offset " + std::to_string(*offset) + ", " + std::to_string(*numel) +
                         " elements",
                     *entry.bytes.place.file_offset);
    }
    Keyed keyed;
    keyed.storage = Storage(make_window_memory(storage.memory(), static_cast<std::uint64_t>(*offset) * unit_bytes,
                                               static_cast<std::uint64_t>(*numel) * unit_bytes));
    keyed.dtype = known->second.dtype;
    if (!objects_.emplace(*key, std::move(keyed)).second) {
      return failure(Category::store, "TAR-KEY-TWICE", "key " + std::to_string(*key) + " comes twice",
                     *entry.bytes.place.file_offset);
    }
  }
  return {};
}

Status LegacyTar::read_tensors(StreamPart rest, const LoadOptions& options) {
  RUSHLIGHT_TRY_ASSIGN(const std::uint64_t count, read_count(rest, "tensors", options));
  if (count > options.limits.tensors) {
    return failure(Category::limit, "LIMIT-TENSORS",
                   "there are " + std::to_string(count) + " tensors, more than the limit tensors, expected at most " +
                       std::to_string(options.limits.tensors),
                   rest.begin);
  }
  for (std::uint64_t i = 0; i < count; ++i) RUSHLIGHT_TRY(read_tensor(rest, options));
  return {};
}

// (key, key of the storage, class), then the geometry.
Status LegacyTar::read_tensor(StreamPart& rest, const LoadOptions& options) {
  RUSHLIGHT_TRY_ASSIGN(const StreamPickle entry, next_pickle(rest, options));
  const ObjectGraph& graph = entry.pickle.graph;
  const bool is_tuple = graph.kind(graph.root()) == ObjectKind::tuple;
  const std::span<const ObjectId> items = is_tuple ? graph.items(graph.root()) : std::span<const ObjectId>();
  const std::optional<std::int64_t> key = integer_at(graph, items, 0);
  const std::optional<std::int64_t> storage_key = integer_at(graph, items, 1);
  if (!key || !storage_key || items.size() != 3) return wrong_entry(entry, "tuple of two keys and a tensor class");
  const std::uint64_t at = rest.begin;
  std::array<std::byte, 8> head{};  // the number of dimensions, and four bytes without a meaning
  RUSHLIGHT_TRY(read(rest, head));
  const auto dims = load_le<std::int32_t>(head.data());
  if (dims < 0 || static_cast<std::uint64_t>(dims) > options.limits.tensor_dims) {
    return failure(Category::tensor, "TENSOR-DIMS",
                   "tensor " + std::to_string(*key) + " has " + std::to_string(dims) + " dimensions, expected 0 to " +
                       std::to_string(options.limits.tensor_dims),
                   at);
  }
  const auto read_integers = [&](std::vector<std::int64_t>& out, std::size_t count) -> Status {
    for (std::size_t i = 0; i < count; ++i) {
      std::array<std::byte, 8> bytes{};
      RUSHLIGHT_TRY(read(rest, bytes));
      out.push_back(load_le<std::int64_t>(bytes.data()));
    }
    return {};
  };
  std::vector<std::int64_t> sizes;
  std::vector<std::int64_t> strides;
  std::vector<std::int64_t> offset;
  RUSHLIGHT_TRY(read_integers(sizes, static_cast<std::size_t>(dims)));
  RUSHLIGHT_TRY(read_integers(strides, static_cast<std::size_t>(dims)));
  RUSHLIGHT_TRY(read_integers(offset, 1));
  const auto storage = objects_.find(*storage_key);
  if (storage == objects_.end() || !storage->second.storage) {
    return failure(
        Category::store, "STORE-MISSING",
        "tensor " + std::to_string(*key) + " names storage " + std::to_string(*storage_key) + ", which is not there",
        at);
  }
  Result<Tensor> tensor =
      Tensor::Impl::view(*storage->second.storage, storage->second.dtype, sizes, strides, offset[0]);
  if (!tensor) {
    Error error = std::move(tensor).error();
    error.finding.message = "tensor " + std::to_string(*key) + ": " + error.finding.message;
    error.finding.offset = at;
    return with_file(std::move(error), file_);
  }
  Keyed keyed;
  keyed.dtype = tensor->dtype();
  keyed.tensor = *std::move(tensor);
  if (!objects_.emplace(*key, std::move(keyed)).second) {
    return failure(Category::store, "TAR-KEY-TWICE", "key " + std::to_string(*key) + " comes twice", at);
  }
  return {};
}

Result<std::shared_ptr<Memory>> LegacyTar::memory(const StorageRequest& request, std::uint64_t) {
  return Error::of({.category = Category::store,
                    .code = "STORE-MISSING",
                    .message = "storage " + quoted(request.key) + " is named in the way of later releases",
                    .found = escaped(request.key)});
}

Result<StorageProvider::Keyed> LegacyTar::keyed(std::string_view key) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), number);
  const auto known = error == std::errc() && end == key.data() + key.size() ? objects_.find(number) : objects_.end();
  if (known == objects_.end()) return StorageProvider::keyed(key);
  return known->second;
}

}  // namespace rushlight::checkpoint
