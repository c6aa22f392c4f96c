#include "open/dcp.hpp"

#include <algorithm>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/checked.hpp"
#include "base/fail.hpp"
#include "base/quote.hpp"
#include "checkpoint/build_value.hpp"
#include "checkpoint/dcp_metadata.hpp"
#include "checkpoint/globals_found.hpp"
#include "checkpoint/stream_pickle.hpp"
#include "open/dcp_memory.hpp"
#include "open/set_files.hpp"
#include "tensor/layout.hpp"
#include "value/graft.hpp"
#include "value/graph.hpp"

namespace rushlight::open {
namespace {

using checkpoint::DcpEntry;
using checkpoint::DcpItem;
using checkpoint::DcpMetadata;

// `.metadata` holds no tensors.
class NoStorages final : public checkpoint::StorageProvider {
 public:
  Result<std::shared_ptr<Memory>> memory(const checkpoint::StorageRequest& request, std::uint64_t) override {
    return Error::of({.category = Category::store,
                      .code = "STORE-MISSING",
                      .message = "storage " + rushlight::quoted(request.key) + " is named, and the metadata holds none",
                      .found = escaped(request.key)});
  }
};

std::string text_of(const std::vector<DcpEntry::Step>& path) {
  Path steps;
  for (const DcpEntry::Step& step : path) {
    PathStep out;
    if (const auto* key = std::get_if<std::string>(&step)) {
      out.text = *key;
    } else {
      out.kind = PathStep::Kind::index;
      out.index = std::get<std::int64_t>(step);
    }
    steps.push_back(std::move(out));
  }
  return to_string(std::span<const PathStep>(steps));
}

// The program's own dicts and lists, from the ways to their leaves (torch/distributed/checkpoint/_nested_dict.py,
// _traverse.py: set_element).
class Nest {
 public:
  explicit Nest(ValueGraphBuilder& values) : values_(values), root_(values.dict()) {}

  [[nodiscard]] NodeId root() const noexcept { return root_; }

  Status put(const DcpEntry& entry, NodeId leaf) {
    NodeId container = root_;
    for (std::size_t i = 0; i + 1 < entry.path.size(); ++i) {
      const bool is_list = std::holds_alternative<std::int64_t>(entry.path[i + 1]);
      const auto known = children_.find({container, entry.path[i]});
      if (known != children_.end()) {
        const ValueKind wanted = is_list ? ValueKind::list : ValueKind::dict;
        if (!known->second.is_container || values_.kind(known->second.node) != wanted) {
          return conflict(entry, "goes through what " + rushlight::quoted(known->second.of) + " is");
        }
        container = known->second.node;
        continue;
      }
      const NodeId child = is_list ? values_.list() : values_.dict();
      if (is_list) lists_.push_back(child);
      add(container, entry.path[i], {child, true, entry.name});
      container = child;
    }
    const auto known = children_.find({container, entry.path.back()});
    if (known != children_.end()) return conflict(entry, "is also that of " + rushlight::quoted(known->second.of));
    add(container, entry.path.back(), {leaf, false, entry.name});
    return {};
  }

  // Positions of lists come in any order; torch fills those that never come with None.
  Status finish(std::size_t entries) {
    std::size_t holes = 0;
    for (const NodeId list : lists_) {
      std::int64_t next = 0;
      for (auto it = children_.lower_bound({list, std::string()}); it != children_.end() && it->first.first == list;
           ++it) {
        const std::int64_t position = std::get<std::int64_t>(it->first.second);
        holes += static_cast<std::size_t>(position - next);
        if (holes > entries) {
          return Error::of({.category = Category::limit,
                            .code = "DCP-PATH",
                            .message = rushlight::quoted(it->second.of) + ": its path in 'planner_data' has position " +
                                       std::to_string(position) + " of a list of which little else is there",
                            .tensors = {it->second.of}});
        }
        for (; next < position; ++next) values_.append(list, values_.none());
        values_.append(list, it->second.node);
        ++next;
      }
    }
    return {};
  }

 private:
  struct Child {
    NodeId node;
    bool is_container;
    std::string of;  // the entry that it came with
  };

  void add(NodeId container, const DcpEntry::Step& step, Child child) {
    // Of lists when all positions are known. Strings are hashable: it cannot fail.
    if (const auto* key = std::get_if<std::string>(&step)) {
      (void)values_.set_item(container, values_.string(*key), child.node);
    }
    children_.emplace(std::pair(container, step), std::move(child));
  }

  static Error conflict(const DcpEntry& entry, const std::string& what) {
    return Error::of(
        {.category = Category::ambig,
         .code = "DCP-PATH",
         .message = rushlight::quoted(entry.name) + ": its path " + rushlight::quoted(text_of(entry.path)) + " " + what,
         .tensors = {entry.name}});
  }

  ValueGraphBuilder& values_;
  NodeId root_;
  std::map<std::pair<NodeId, DcpEntry::Step>, Child> children_;
  std::vector<NodeId> lists_;
};

class Loader {
 public:
  Loader(const LoadOptions& options, Opened& opened)
      : options_(options), opened_(opened), files_(std::make_shared<DcpFiles>()) {}

  Status run() {
    opened_.format.kind = FileKind::dcp;
    opened_.format.byteorder = "little";
    RUSHLIGHT_TRY(read_metadata());
    opened_.explained_bytes = opened_.format.size_bytes;
    for (const DcpEntry& entry : metadata_.entries) {
      Member member{text_of(entry.path), {}, entry.is_tensor};
      for (const checkpoint::DcpChunk& chunk : entry.chunks) member.parts.push_back(chunk.item);
      if (!entry.is_tensor) member.parts.push_back(entry.item);
      opened_.members.push_back(std::move(member));
    }
    Status files = open_files();
    for (const Member& member : opened_.members) {
      for (const std::size_t part : member.parts) {
        opened_.parts[part].of = member.parts.size() == 1 ? member.name : metadata_.items[part].name;
      }
    }
    if (!files) return files;
    files_->parts = opened_.parts;
    files_->items = metadata_.items;
    part_options_ = options_for_part(options_);
    files_->options = part_options_;
    files_->options.map_location = {};
    files_->options.executor = nullptr;  // it may be gone when a tensor is read
    if (options_.checksums == Checksums::all_at_open) files_->options.checksums = Checksums::on_first_read;
    return build_root();
  }

  // In the order of opened.members. Of chunks whose files are damaged, more is said by those who look there.
  [[nodiscard]] std::vector<std::optional<Error>> wrong_chunks() const {
    std::vector<std::optional<Error>> wrong(metadata_.entries.size());
    for (std::size_t i = 0; i < wrong.size(); ++i) {
      const DcpEntry& entry = metadata_.entries[i];
      for (const checkpoint::DcpChunk& chunk : entry.chunks) {
        const Result<Tensor> tensor = open_chunk(*files_, entry, chunk, files_->options);
        if (!tensor && !wrong[i]) wrong[i] = tensor.error();
      }
    }
    return wrong;
  }

 private:
  Status read_metadata() {
    const std::string file = escaped(opened_.file, kPathBytes);
    RUSHLIGHT_TRY_ASSIGN(
        const checkpoint::StreamPickle stream,
        checkpoint::read_stream_pickle(opened_.source, {0, opened_.source->size_bytes()}, file, options_.limits));
    if (stream.end != opened_.source->size_bytes()) {
      const std::uint64_t count = opened_.source->size_bytes() - stream.end;
      return at_file(Error::of({.category = Category::ambig,
                                .code = "PKL-TRAILING",
                                .message = std::to_string(count) + (count == 1 ? " byte follows" : " bytes follow") +
                                           " the pickle of the metadata",
                                .offset = stream.end}));
    }
    LoadOptions options = options_for_part(options_);
    const std::vector<std::string>& classes = checkpoint::dcp_classes();
    options.accepted_globals.insert(options.accepted_globals.end(), classes.begin(), classes.end());
    opened_.format.pickle_protocol = stream.pickle.protocol;
    opened_.globals =
        checkpoint::list_uses(stream.pickle.globals, stream.pickle.protocol, options.accepted_globals, {});
    opened_.own_globals = opened_.globals.size();
    NoStorages storages;
    RUSHLIGHT_TRY_ASSIGN(checkpoint::BuiltValue built,
                         checkpoint::build_value(stream.pickle, stream.bytes, storages, options, opened_.findings));
    opened_.globals = std::move(built.globals);
    opened_.own_globals = opened_.globals.size();
    const std::size_t before = opened_.findings.size();
    Result<DcpMetadata> metadata = checkpoint::read_dcp_metadata(built.root, options_.limits, opened_.findings);
    for (std::size_t i = before; i < opened_.findings.size(); ++i) opened_.findings[i].file = file;
    if (!metadata) return at_file(std::move(metadata).error());
    metadata_ = *std::move(metadata);
    return {};
  }

  [[nodiscard]] Error at_file(Error error) const { return with_file(std::move(error), opened_.file); }

  // All of them, so that verify() can look at those that are there.
  Status open_files() {
    std::optional<Error> first;
    std::vector<std::shared_ptr<const Source>> sources;
    std::vector<std::optional<Finding>> problems(metadata_.files.size());
    const auto note = [&](Error error) {
      if (!first) first = std::move(error);
    };
    for (std::size_t i = 0; i < metadata_.files.size(); ++i) {
      Result<std::shared_ptr<const Source>> source = open_set_file(options_, metadata_.files[i]);
      sources.push_back(source ? *source : nullptr);
      if (source) {
        opened_.format.size_bytes += sources.back()->size_bytes();
        continue;
      }
      Error error = at_file(std::move(source).error());
      problems[i] = error.finding;
      note(std::move(error));
    }
    for (const DcpItem& item : metadata_.items) {
      Part part{.name = metadata_.files[item.file],
                .source = sources[item.file],
                .offset = item.offset,
                .size_bytes = item.size_bytes,
                .problem = problems[item.file]};
      if (part.source && !range_fits(item.offset, item.size_bytes, part.source->size_bytes())) {
        Error error = beyond(item, *part.source);
        part.source = nullptr;
        part.problem = error.finding;
        note(std::move(error));
      }
      opened_.parts.push_back(std::move(part));
    }
    if (first) return *std::move(first);
    return {};
  }

  [[nodiscard]] static Error beyond(const DcpItem& item, const Source& source) {
    const auto end = checked_add(item.offset, item.size_bytes);
    return with_file(Error::of({.category = Category::trunc,
                                .code = "DCP-WINDOW",
                                .message = "item " + rushlight::quoted(item.name) + " takes the bytes [" +
                                           std::to_string(item.offset) + ", " + (end ? std::to_string(*end) : "...") +
                                           "), and the file has " + std::to_string(source.size_bytes()),
                                .offset = std::min(item.offset, source.size_bytes()),
                                .tensors = {item.name},
                                .hint = "the file was cut short: fetch it again"}),
                     source.name());
  }

  Status build_root() {
    ValueGraphBuilder values;
    Grafter grafter;
    Nest nest(values);
    std::vector<Value> kept;  // as long as the grafter asks for their graphs
    for (DcpEntry& entry : metadata_.entries) {
      NodeId leaf = kNoNode;
      if (entry.is_tensor) {
        RUSHLIGHT_TRY_ASSIGN(Tensor tensor, make_tensor(entry));
        leaf = values.tensor(std::move(tensor));
      } else {
        RUSHLIGHT_TRY_ASSIGN(Value value, load_value(entry.item));
        leaf = grafter.graft(values, value);
        kept.push_back(std::move(value));
      }
      Status put = nest.put(entry, leaf);
      if (!put) return at_file(std::move(put).error());
    }
    Status finished = nest.finish(metadata_.entries.size());
    if (!finished) return at_file(std::move(finished).error());
    const NodeId root = nest.root();
    opened_.root = Value(std::move(values).finish(), root);
    return {};
  }

  Result<Tensor> make_tensor(const DcpEntry& entry) {
    if (options_.checksums == Checksums::all_at_open) {
      for (const checkpoint::DcpChunk& chunk : entry.chunks) {
        RUSHLIGHT_TRY(open_chunk(*files_, entry, chunk, part_options_));
      }
    }
    RUSHLIGHT_TRY_ASSIGN(Tensor tensor, Tensor::view(Storage(std::make_shared<DcpMemory>(files_, entry)), entry.dtype,
                                                     entry.shape, contiguous_strides(entry.shape), 0));
    const Device device = options_.map_location.map("cpu");  // nothing else is recorded
    if (device == Device::cpu()) return tensor;
    return tensor.to(device);
  }

  Result<Value> load_value(std::size_t item) {
    Opened part;
    Status loaded = open_item(*files_, item, part_options_, part);
    opened_.findings.insert(opened_.findings.end(), std::make_move_iterator(part.findings.begin()),
                            std::make_move_iterator(part.findings.end()));
    for (GlobalUse& use : part.globals) {
      use.record = escaped(opened_.parts[item].name) + ":" + use.record;
      opened_.globals.push_back(std::move(use));
    }
    if (!loaded) return std::move(loaded).error();
    return std::move(part.root);
  }

  const LoadOptions& options_;
  Opened& opened_;
  LoadOptions part_options_;
  DcpMetadata metadata_;
  std::shared_ptr<DcpFiles> files_;
};

}  // namespace

Status load_dcp(const LoadOptions& options, Opened& opened) {
  return Loader(options, opened).run();
}

Status load_dcp(const LoadOptions& options, Opened& opened, std::vector<std::optional<Error>>& wrong_chunks) {
  Loader loader(options, opened);
  RUSHLIGHT_TRY(loader.run());
  wrong_chunks = loader.wrong_chunks();
  return {};
}

}  // namespace rushlight::open
