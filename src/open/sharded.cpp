#include "open/sharded.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/fail.hpp"
#include "base/quote.hpp"
#include "interchange/shard_index.hpp"
#include "open/set_files.hpp"
#include "tensor/memory.hpp"
#include "value/graft.hpp"
#include "value/graph.hpp"

namespace rushlight::open {
namespace {

using interchange::ShardIndex;

constexpr std::size_t kNamedTensors = 1000;  // in one finding

class Loader {
 public:
  Loader(const LoadOptions& options, Opened& opened) : options_(options), opened_(opened) {}

  Status run() {
    opened_.format.kind = FileKind::sharded;
    opened_.format.byteorder = "little";
    RUSHLIGHT_TRY_ASSIGN(index_, interchange::read_shard_index(*opened_.source, options_.limits));
    opened_.explained_bytes = opened_.format.size_bytes;
    for (std::size_t i = 0; i < index_.entries.size(); ++i) {
      const ShardIndex::Entry& entry = index_.entries[i];
      opened_.members.push_back({entry.name, {entry.shard}});
      positions_.emplace(entry.name, i);
    }
    RUSHLIGHT_TRY(open_files());
    values_.resize(index_.entries.size());
    elsewhere_.resize(index_.entries.size());
    for (std::size_t shard = 0; shard < index_.shards.size(); ++shard) RUSHLIGHT_TRY(load_shard(shard));
    RUSHLIGHT_TRY(check_names());
    check_total_size();
    build_root();
    return {};
  }

 private:
  // All of them, so that verify() can look at those that are there.
  Status open_files() {
    std::optional<Error> first;
    for (const std::string& name : index_.shards) {
      Part part{.name = name, .source = nullptr};
      Result<std::shared_ptr<const Source>> source = open_set_file(options_, name);
      if (source) {
        part.source = *std::move(source);
        part.size_bytes = part.source->size_bytes();
        opened_.format.size_bytes += part.size_bytes;
      } else {
        Error error = with_file(std::move(source).error(), opened_.file);
        error.finding.tensors = names_in(opened_.parts.size());
        part.problem = error.finding;
        if (!first) first = std::move(error);
      }
      opened_.parts.push_back(std::move(part));
    }
    if (first) return *std::move(first);
    return {};
  }

  [[nodiscard]] std::vector<std::string> names_in(std::size_t shard) const {
    std::vector<std::string> names;
    for (const ShardIndex::Entry& entry : index_.entries) {
      if (entry.shard == shard && names.size() < kNamedTensors) names.push_back(entry.name);
    }
    return names;
  }

  Status load_shard(std::size_t shard) {
    Opened file;
    const LoadOptions options = options_for_part(options_);
    Status loaded = [&]() -> Status {
      RUSHLIGHT_TRY(open_container(opened_.parts[shard].source, options, file));
      if (file.is_set()) {
        return Error::of(
            {.category = Category::store,
             .code = "SHARD-KIND",
             .message = "shard " + rushlight::quoted(index_.shards[shard]) + " is itself the list of a set of files"});
      }
      return load_values(options, file);
    }();
    const std::string printable = escaped(file.file, kPathBytes);
    for (Finding& finding : file.findings) {
      if (finding.file.empty()) finding.file = printable;
      opened_.findings.push_back(std::move(finding));
    }
    for (GlobalUse& use : file.globals) {
      use.record = escaped(index_.shards[shard]) + (use.record.empty() ? "" : ":" + use.record);
      opened_.globals.push_back(std::move(use));
    }
    if (!loaded) {
      Error error = with_file(std::move(loaded).error(), file.file);
      if (error.finding.tensors.empty()) error.finding.tensors = names_in(shard);
      return error;
    }
    if (shard == 0) {
      opened_.format.torch = file.format.torch;
      opened_.format.version = file.format.version;
      opened_.format.pickle_protocol = file.format.pickle_protocol;
    }
    if (file.root.kind() != ValueKind::dict) {
      return with_file(Error::of({.category = Category::store,
                                  .code = "SHARD-ROOT",
                                  .message = "shard " + rushlight::quoted(index_.shards[shard]) +
                                             " holds no dict of tensors, found " + escaped(file.root.class_name()),
                                  .found = escaped(file.root.class_name()),
                                  .expected = "dict"}),
                       file.file);
    }
    take_values(shard, file.root, printable);
    return {};
  }

  void take_values(std::size_t shard, const Value& root, const std::string& file) {
    std::vector<std::string> unlisted;
    std::size_t count = 0;
    for (std::size_t i = 0; i < root.entry_count(); ++i) {
      auto [key, value] = root.entry(i);
      const std::optional<std::string_view> name = key.as_string();
      const auto position = name ? positions_.find(*name) : positions_.end();
      if (position == positions_.end()) {
        ++count;
        if (unlisted.size() < kNamedTensors) unlisted.emplace_back(name.value_or("?"));
      } else if (index_.entries[position->second].shard == shard) {
        values_[position->second] = std::move(value);
      } else if (!elsewhere_[position->second]) {
        elsewhere_[position->second] = shard;
      }
    }
    if (count == 0) return;
    const std::string first = rushlight::quoted(unlisted.front());
    opened_.findings.push_back({.severity = Severity::warning,
                                .category = Category::store,
                                .code = "SHARD-UNLISTED",
                                .message = "shard " + rushlight::quoted(index_.shards[shard]) + " holds " +
                                           std::to_string(count) + (count == 1 ? " name" : " names") +
                                           " that the index does not list, first " + first,
                                .file = file,
                                .tensors = std::move(unlisted)});
  }

  Status check_names() const {
    for (std::size_t i = 0; i < values_.size(); ++i) {
      if (values_[i] && !elsewhere_[i]) continue;
      const ShardIndex::Entry& entry = index_.entries[i];
      const std::string own = rushlight::quoted(index_.shards[entry.shard]);
      const std::string other = elsewhere_[i] ? rushlight::quoted(index_.shards[*elsewhere_[i]]) : std::string();
      if (values_[i]) {
        return failure(Category::ambig, "SHARD-DUPLICATE", entry.name, "is in shard " + own + " and in shard " + other);
      }
      return failure(Category::store, "SHARD-TENSOR-MISSING", entry.name,
                     "is not in its shard " + own + (other.empty() ? "" : ", but in " + other));
    }
    return {};
  }

  [[nodiscard]] Error failure(Category category, std::string_view code, const std::string& name,
                              const std::string& what) const {
    return Error::of({.category = category,
                      .code = std::string(code),
                      .message = rushlight::quoted(name) + " " + what,
                      .file = escaped(opened_.file, kPathBytes),
                      .tensors = {name}});
  }

  // Writers count the bytes of every name, or those of shared storages once.
  void check_total_size() {
    if (!index_.total_size) return;
    std::uint64_t all = 0;
    std::uint64_t shared_once = 0;
    std::set<const Memory*> storages;
    for (const std::optional<Value>& value : values_) {
      const std::optional<Tensor> tensor = value->as_tensor();
      if (!tensor) return;  // what else counts, and how, nobody has written down
      all += tensor->size_bytes();
      if (storages.insert(tensor->storage().memory().get()).second) shared_once += tensor->size_bytes();
    }
    if (*index_.total_size == all || *index_.total_size == shared_once) return;
    opened_.findings.push_back({.severity = Severity::warning,
                                .category = Category::store,
                                .code = "SHARD-TOTAL-SIZE",
                                .message = "total_size is " + std::to_string(*index_.total_size) +
                                           ", and the tensors take " + std::to_string(all) + " bytes",
                                .file = escaped(opened_.file, kPathBytes),
                                .found = std::to_string(*index_.total_size),
                                .expected = std::to_string(all)});
  }

  void build_root() {
    ValueGraphBuilder builder;
    Grafter grafter;
    const NodeId root = builder.dict();
    builder.set_class(root, "collections.OrderedDict");
    for (std::size_t i = 0; i < values_.size(); ++i) {
      const NodeId value = grafter.graft(builder, *values_[i]);
      // Strings are hashable: it cannot fail.
      (void)builder.set_item(root, builder.string(index_.entries[i].name), value);
    }
    opened_.root = Value(std::move(builder).finish(), root);
  }

  const LoadOptions& options_;
  Opened& opened_;
  ShardIndex index_;
  std::map<std::string_view, std::size_t> positions_;  // in index_.entries
  std::vector<std::optional<Value>> values_;           // by entry: what its shard holds
  std::vector<std::optional<std::size_t>> elsewhere_;  // by entry: another shard that holds the name
};

}  // namespace

Status load_sharded(const LoadOptions& options, Opened& opened) {
  return Loader(options, opened).run();
}

}  // namespace rushlight::open
