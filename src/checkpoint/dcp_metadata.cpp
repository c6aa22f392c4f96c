#include "checkpoint/dcp_metadata.hpp"

#include <algorithm>
#include <functional>
#include <map>
#include <numeric>
#include <span>
#include <utility>

#include "base/checked.hpp"
#include "base/fail.hpp"
#include "base/quote.hpp"
#include "tensor/layout.hpp"

namespace rushlight::checkpoint {
namespace {

constexpr std::size_t kNamed = 64;  // items in one finding

Error failure(Category category, std::string_view code, std::string message) {
  return Error::of({.category = category, .code = std::string(code), .message = std::move(message)});
}
Error malformed(const std::string& what) {
  return failure(Category::type, "DCP-METADATA", what);
}
Error of_entry(Category category, std::string_view code, std::string_view name, const std::string& what) {
  Error error = failure(category, code, rushlight::quoted(name) + ": " + what);
  error.finding.tensors = {std::string(name)};
  return error;
}

// Classes moved from one module to another; their own names stayed.
bool is_a(const Value& value, std::string_view class_name) {
  const std::string_view found = value.class_name();
  return value.kind() == ValueKind::opaque && found.starts_with("torch.distributed.") &&
         found.substr(found.rfind('.') + 1) == class_name;
}

std::string described(const Value& value) {
  return value.exists() ? escaped(value.class_name()) : std::string("nothing");
}

std::optional<Shape> read_sizes(const Value& value) {
  const ValueKind kind = value.kind();
  if (kind != ValueKind::size && kind != ValueKind::tuple && kind != ValueKind::list) return std::nullopt;
  Shape sizes;
  sizes.reserve(value.item_count());
  for (std::size_t i = 0; i < value.item_count(); ++i) {
    const std::optional<std::int64_t> size = value.item(i).as_int();
    if (!size) return std::nullopt;
    sizes.push_back(*size);
  }
  return sizes;
}

// "[0, 3) x [0, 6)", or "scalar".
std::string box_text(const Shape& offsets, const Shape& sizes) {
  if (offsets.empty()) return "scalar";
  std::string text;
  for (std::size_t i = 0; i < offsets.size(); ++i) {
    const auto end = checked_add(offsets[i], sizes[i]);
    text += (i == 0 ? "[" : " x [") + std::to_string(offsets[i]) + ", " + (end ? std::to_string(*end) : "...") + ")";
  }
  return text;
}

// MetadataIndex compares and hashes by name and offset, not by its third field.
std::string key_of(std::string_view name, const std::optional<Shape>& offset) {
  return std::string(name) + '\0' + (offset ? shape_text(*offset) : std::string("None"));
}

bool is_empty(const DcpChunk& chunk) {
  return std::find(chunk.sizes.begin(), chunk.sizes.end(), 0) != chunk.sizes.end();
}

bool overlap(const DcpChunk& a, const DcpChunk& b) {
  for (std::size_t i = 0; i < a.sizes.size(); ++i) {
    if (a.offsets[i] + a.sizes[i] <= b.offsets[i] || b.offsets[i] + b.sizes[i] <= a.offsets[i]) return false;
  }
  return true;
}

class Reader {
 public:
  Reader(const Value& root, const Limits& limits, std::vector<Finding>& findings)
      : root_(root), limits_(limits), findings_(findings) {}

  Result<DcpMetadata> read() {
    if (!is_a(root_, "Metadata")) {
      return malformed("the metadata of a distributed checkpoint is an object of class Metadata, found " +
                       described(root_));
    }
    RUSHLIGHT_TRY(read_storage_data());
    const Value tensors = root_.attr("state_dict_metadata");
    if (tensors.kind() != ValueKind::dict) {
      return malformed("'state_dict_metadata' is a dict, found " + described(tensors));
    }
    for (std::size_t i = 0; i < tensors.entry_count(); ++i) {
      const auto [key, value] = tensors.entry(i);
      const std::optional<std::string_view> name = key.as_string();
      if (!name) return malformed("a key of 'state_dict_metadata' is a str, found " + described(key));
      if (result_.entries.size() == limits_.tensors) {
        return failure(Category::limit, "LIMIT-TENSORS",
                       "there are more than " + std::to_string(limits_.tensors) + " tensors (tensors)");
      }
      RUSHLIGHT_TRY(read_entry(std::string(*name), value));
    }
    report_unused();
    return std::move(result_);
  }

 private:
  struct Place {
    DcpItem item;
    bool used = false;
  };

  Status read_storage_data() {
    const Value places = root_.attr("storage_data");
    if (places.kind() != ValueKind::dict) return malformed("'storage_data' is a dict, found " + described(places));
    for (std::size_t i = 0; i < places.entry_count(); ++i) {
      const auto [index, info] = places.entry(i);
      const std::optional<std::string_view> name = index.attr("fqn").as_string();
      if (!is_a(index, "MetadataIndex") || !name) {
        return malformed("a key of 'storage_data' is a MetadataIndex with a name, found " + described(index));
      }
      const Value at = index.attr("offset");
      std::optional<Shape> offset;
      if (!at.is_none()) {
        offset = read_sizes(at);
        if (!offset)
          return malformed("the offset of " + rushlight::quoted(*name) + " is a torch.Size, found " + described(at));
      }
      Place place;
      place.item.name = std::string(*name) + (offset ? " at " + shape_text(*offset) : std::string());
      RUSHLIGHT_TRY(read_place(info, place.item));
      order_.push_back(key_of(*name, offset));
      if (!places_.emplace(order_.back(), std::move(place)).second) {
        return of_entry(Category::ambig, "DCP-DUPLICATE", *name,
                        "two items of 'storage_data' are at " + (offset ? shape_text(*offset) : "no offset"));
      }
    }
    return {};
  }

  Status read_place(const Value& info, DcpItem& item) {
    const std::optional<std::string_view> file = info.attr("relative_path").as_string();
    const std::optional<std::int64_t> offset = info.attr("offset").as_int();
    const std::optional<std::int64_t> length = info.attr("length").as_int();
    if (!is_a(info, "_StorageInfo") || !file || !offset || !length || *offset < 0 || *length < 0) {
      return malformed("item " + rushlight::quoted(item.name) +
                       " lies in a _StorageInfo with a relative_path, an offset and a length, found " +
                       described(info));
    }
    // Zstandard and whatever else a program registers: the bytes are no file of torch.save then.
    const Value transforms = info.attr("transform_descriptors");
    if (transforms.size() > 0) {
      return of_entry(Category::unsup, "DCP-TRANSFORM", item.name,
                      "its bytes went through a transform (" +
                          rushlight::quoted(transforms.item(0).as_string().value_or("?")) +
                          "), which is not undone here");
    }
    const auto [known, is_new] = files_.try_emplace(std::string(*file), result_.files.size());
    if (is_new) result_.files.emplace_back(*file);
    item.file = known->second;
    item.offset = static_cast<std::uint64_t>(*offset);
    item.size_bytes = static_cast<std::uint64_t>(*length);
    return {};
  }

  // The position of an item in the result; each is named by one chunk or value.
  std::optional<std::size_t> take(const std::string& name, const std::optional<Shape>& offset) {
    const auto found = places_.find(key_of(name, offset));
    if (found == places_.end() || found->second.used) return std::nullopt;
    found->second.used = true;
    result_.items.push_back(found->second.item);
    return result_.items.size() - 1;
  }

  Status read_entry(std::string name, const Value& description) {
    DcpEntry entry;
    entry.name = std::move(name);
    RUSHLIGHT_TRY(read_path(entry));
    if (is_a(description, "TensorStorageMetadata")) {
      RUSHLIGHT_TRY(read_tensor(description, entry));
    } else if (is_a(description, "BytesStorageMetadata")) {
      const std::optional<std::size_t> item = take(entry.name, std::nullopt);
      if (!item) return of_entry(Category::store, "DCP-ITEM-MISSING", entry.name, "no item of 'storage_data' holds it");
      entry.item = *item;
    } else {
      return of_entry(Category::type, "DCP-METADATA", entry.name,
                      "it is a TensorStorageMetadata or a BytesStorageMetadata, found " + described(description));
    }
    result_.entries.push_back(std::move(entry));
    return {};
  }

  // Programs hold nested dicts and lists; the planner flattens them and keeps the way to each.
  Status read_path(DcpEntry& entry) {
    const Value path = root_.attr("planner_data").get(Value(entry.name));
    if (!path.exists()) {
      entry.path = {DcpEntry::Step(entry.name)};
      return {};
    }
    const auto wrong = [&](const std::string& what) {
      return of_entry(Category::type, "DCP-PATH", entry.name, "its path in 'planner_data' " + what);
    };
    const bool is_sequence = path.kind() == ValueKind::tuple || path.kind() == ValueKind::list;
    if (!is_sequence || path.item_count() == 0) return wrong("is a tuple of names, found " + described(path));
    if (path.item_count() > limits_.pickle_depth) {
      return of_entry(Category::limit, "LIMIT-PICKLE-DEPTH", entry.name,
                      "its path has more than " + std::to_string(limits_.pickle_depth) + " steps (pickle_depth)");
    }
    for (std::size_t i = 0; i < path.item_count(); ++i) {
      const Value step = path.item(i);
      if (const auto key = step.as_string()) {
        entry.path.emplace_back(std::string(*key));
      } else if (const auto index = step.as_int(); index && *index >= 0 && step.kind() == ValueKind::integer) {
        entry.path.emplace_back(*index);
      } else {
        return wrong("has a step that is neither a str nor a position in a list, found " + described(step));
      }
    }
    if (!std::holds_alternative<std::string>(entry.path.front())) return wrong("begins with a position in a list");
    return {};
  }

  Status read_tensor(const Value& description, DcpEntry& entry) {
    entry.is_tensor = true;
    const std::optional<Shape> shape = read_sizes(description.attr("size"));
    if (!shape) {
      return of_entry(Category::type, "DCP-METADATA", entry.name,
                      "its size is a torch.Size, found " + described(description.attr("size")));
    }
    entry.shape = *shape;
    const Result<std::int64_t> numel = checked_numel(*shape);
    if (!numel) {
      return of_entry(numel.error().finding.category, "DCP-SHAPE", entry.name, numel.error().finding.message);
    }
    RUSHLIGHT_TRY(read_properties(description.attr("properties"), entry));
    const auto bytes = checked_mul<std::int64_t>(*numel, std::int64_t{size_bytes(entry.dtype)});
    if (!bytes) {
      return of_entry(Category::tensor, "DCP-SHAPE", entry.name,
                      "the bytes of " + shape_text(*shape) + " " + std::string(to_string(entry.dtype)) +
                          " overflow a 64-bit count");
    }
    RUSHLIGHT_TRY(read_chunks(description.attr("chunks"), entry));
    return check_cover(entry, *numel);
  }

  // (dtype, layout, requires_grad, memory format, pin_memory[, strides]): only the first two say anything about the
  // bytes. Strides are those of the chunk of one rank.
  Status read_properties(const Value& properties, DcpEntry& entry) {
    const Value state = properties.state();
    const bool is_tuple = state.kind() == ValueKind::tuple;
    const Value dtype = is_tuple ? state.item(0) : properties.attr("dtype");
    const Value layout = is_tuple ? state.item(1) : properties.attr("layout");
    if (!is_a(properties, "TensorProperties")) {
      return of_entry(Category::type, "DCP-METADATA", entry.name,
                      "its properties are a TensorProperties, found " + described(properties));
    }
    const std::optional<DType> known = dtype.kind() == ValueKind::dtype ? dtype.as_dtype() : std::nullopt;
    if (!known || values_per_unit(*known) > 1) {
      return of_entry(Category::unsup, "DCP-DTYPE", entry.name,
                      "elements of dtype " + (known ? std::string(to_string(*known)) : described(dtype)) +
                          " are not read from chunks");
    }
    if (layout.exists() && layout.class_name() != "torch.strided") {
      return of_entry(Category::unsup, "DCP-LAYOUT", entry.name,
                      "its layout is torch.strided, found " + described(layout));
    }
    entry.dtype = *known;
    return {};
  }

  Status read_chunks(const Value& chunks, DcpEntry& entry) {
    if (chunks.kind() != ValueKind::list) {
      return of_entry(Category::type, "DCP-METADATA", entry.name, "its chunks are a list, found " + described(chunks));
    }
    for (std::size_t i = 0; i < chunks.item_count(); ++i) {
      const Value value = chunks.item(i);
      std::optional<Shape> offsets = read_sizes(value.attr("offsets"));
      std::optional<Shape> sizes = read_sizes(value.attr("sizes"));
      if (!is_a(value, "ChunkStorageMetadata") || !offsets || !sizes) {
        return of_entry(Category::type, "DCP-METADATA", entry.name,
                        "chunk " + std::to_string(i) + " is a ChunkStorageMetadata with offsets and sizes, found " +
                            described(value));
      }
      RUSHLIGHT_TRY(check_inside(entry, i, *offsets, *sizes));
      const std::optional<std::size_t> item = take(entry.name, offsets);
      if (!item) {
        // A chunk that stands twice covers its elements twice: that is the better message.
        const auto same = [&](const DcpChunk& other) { return other.offsets == *offsets; };
        const auto twin = std::find_if(entry.chunks.begin(), entry.chunks.end(), same);
        if (twin != entry.chunks.end()) return overlapping(entry, *twin, {*std::move(offsets), *std::move(sizes), 0});
        return of_entry(Category::store, "DCP-ITEM-MISSING", entry.name,
                        "no item of 'storage_data' holds its chunk at " + shape_text(*offsets));
      }
      entry.chunks.push_back({*std::move(offsets), *std::move(sizes), *item});
    }
    return {};
  }

  static Status check_inside(const DcpEntry& entry, std::size_t index, const Shape& offsets, const Shape& sizes) {
    const std::string chunk = "chunk " + std::to_string(index);
    if (offsets.size() != entry.shape.size() || sizes.size() != entry.shape.size()) {
      return of_entry(Category::tensor, "DCP-CHUNK-RANGE", entry.name,
                      chunk + " has offsets " + shape_text(offsets) + " and sizes " + shape_text(sizes) +
                          " in a tensor of shape " + shape_text(entry.shape));
    }
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      if (offsets[i] >= 0 && sizes[i] >= 0 && offsets[i] <= entry.shape[i] && sizes[i] <= entry.shape[i] - offsets[i]) {
        continue;
      }
      return of_entry(
          Category::tensor, "DCP-CHUNK-RANGE", entry.name,
          chunk + " at " + box_text(offsets, sizes) + " lies outside of the shape " + shape_text(entry.shape));
    }
    return {};
  }

  static Error overlapping(const DcpEntry& entry, const DcpChunk& a, const DcpChunk& b) {
    return of_entry(Category::store, "DCP-CHUNK-OVERLAP", entry.name,
                    "chunks at " + box_text(a.offsets, a.sizes) + " and " + box_text(b.offsets, b.sizes) + " overlap");
  }

  // Chunks that lie inside, do not overlap and have as many elements as the whole cover it exactly.
  Status check_cover(const DcpEntry& entry, std::int64_t numel) {
    std::vector<const DcpChunk*> sorted;
    for (const DcpChunk& chunk : entry.chunks) {
      if (!is_empty(chunk)) sorted.push_back(&chunk);
    }
    if (!entry.shape.empty()) {
      std::stable_sort(sorted.begin(), sorted.end(),
                       [](const DcpChunk* a, const DcpChunk* b) { return a->offsets < b->offsets; });
    }
    // A sweep along the first dimension: only chunks that reach beyond the beginning of the next one are compared.
    std::vector<const DcpChunk*> open;
    std::int64_t covered = 0;
    for (const DcpChunk* chunk : sorted) {
      if (!entry.shape.empty()) {
        std::erase_if(open,
                      [&](const DcpChunk* other) { return other->offsets[0] + other->sizes[0] <= chunk->offsets[0]; });
      }
      compared_ += open.size();
      if (compared_ > limits_.visited_nodes) {
        return of_entry(
            Category::limit, "LIMIT-VISITED-NODES", entry.name,
            "its chunks take more than " + std::to_string(limits_.visited_nodes) + " comparisons (visited_nodes)");
      }
      for (const DcpChunk* other : open) {
        if (overlap(*other, *chunk)) return overlapping(entry, *other, *chunk);
      }
      open.push_back(chunk);
      covered += std::accumulate(chunk->sizes.begin(), chunk->sizes.end(), std::int64_t{1}, std::multiplies<>());
    }
    if (covered == numel) return {};
    return of_entry(Category::store, "DCP-CHUNK-MISSING", entry.name,
                    "its chunks hold " + std::to_string(covered) + " of the " + std::to_string(numel) +
                        " elements of shape " + shape_text(entry.shape));
  }

  void report_unused() {
    std::vector<std::string> names;
    std::size_t count = 0;
    for (const std::string& key : order_) {
      const Place& place = places_.find(key)->second;
      if (place.used) continue;
      ++count;
      if (names.size() < kNamed) names.push_back(place.item.name);
    }
    if (count == 0) return;
    const std::string first = rushlight::quoted(names.front());
    findings_.push_back(
        {.severity = Severity::warning,
         .category = Category::store,
         .code = "DCP-ITEM-UNUSED",
         .message = std::to_string(count) +
                    (count == 1 ? " item of 'storage_data' belongs" : " items of 'storage_data' belong") +
                    " to nothing in 'state_dict_metadata', first " + first,
         .tensors = std::move(names)});
  }

  const Value& root_;
  const Limits& limits_;
  std::vector<Finding>& findings_;
  std::map<std::string, Place> places_;
  std::vector<std::string> order_;  // keys of places_, as they stand in the file
  std::map<std::string, std::size_t> files_;
  std::uint64_t compared_ = 0;
  DcpMetadata result_;
};

}  // namespace

const std::vector<std::string>& dcp_classes() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all = {"pathlib.Path", "pathlib.PosixPath", "pathlib.WindowsPath",
                                    "pathlib._local.PosixPath", "pathlib._local.WindowsPath"};
    for (const std::string module : {"torch.distributed.checkpoint.", "torch.distributed._shard.checkpoint.",
                                     "torch.distributed._shard.sharded_tensor."}) {
      for (const char* name : {"metadata.Metadata", "metadata.MetadataIndex", "metadata.TensorStorageMetadata",
                               "metadata.BytesStorageMetadata", "metadata.ChunkStorageMetadata",
                               "metadata.TensorProperties", "metadata.MEM_FORMAT_ENCODING",
                               "metadata._MEM_FORMAT_ENCODING", "metadata.StorageMeta", "filesystem._StorageInfo"}) {
        all.push_back(module + name);
      }
    }
    return all;
  }();
  return names;
}

Result<DcpMetadata> read_dcp_metadata(const Value& root, const Limits& limits, std::vector<Finding>& findings) {
  return Reader(root, limits, findings).read();
}

}  // namespace rushlight::checkpoint
