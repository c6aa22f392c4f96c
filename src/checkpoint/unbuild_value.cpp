#include "checkpoint/unbuild_value.hpp"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "base/fail.hpp"
#include "base/no_memory.hpp"
#include "base/quote.hpp"
#include "checkpoint/object_maker.hpp"
#include "pickle/pickler.hpp"
#include "value/graph.hpp"

namespace rushlight::checkpoint {
namespace {

using pickle::ObjectId;

// Each is a walk over the values: a file may name a hundred thousand classes.
constexpr std::size_t kNamedPlaces = 16;

// Where a node stands, for messages; the steps of a walk, for as long as one may take.
std::string name_of(const Value& root, NodeId node, const Limits& limits) {
  std::string name;
  static_cast<void>(walk(
      root,
      [&](const WalkItem& item) {
        if (name.empty() && item.value->identity() == node) name = to_string(item.path);
        return name.empty();
      },
      limits.visited_nodes));
  return name;
}

// Keys in the order in which the pickle names the storages.
struct Keys {
  std::vector<std::uint32_t> storages;
  std::vector<std::string> names;
};

Keys keys_of(ObjectMaker& maker, const pickle::Pickled& pickled, bool keep_keys) {
  Keys keys;
  std::vector<bool> seen(maker.storages().size());
  for (const ObjectId persistent : pickled.persistent) {
    const std::optional<std::uint32_t> storage = maker.storage_of(persistent);
    if (!storage || seen[*storage]) continue;
    seen[*storage] = true;
    keys.storages.push_back(*storage);
  }
  std::set<std::string_view> taken;
  for (const std::uint32_t storage : keys.storages) {
    const std::string_view first = maker.storages()[storage].first_key;
    keep_keys = keep_keys && !first.empty() && taken.insert(first).second;
  }
  for (std::size_t i = 0; i < keys.storages.size(); ++i) {
    keys.names.push_back(keep_keys ? std::string(maker.storages()[keys.storages[i]].first_key) : std::to_string(i));
  }
  return keys;
}

std::string reader_of(TorchRelease release) {
  const std::string reader = "torch.load(weights_only=True)";
  return release == kCurrentRelease ? reader : reader + " of torch " + to_string(release);
}

// `root`: null where the place is not looked for.
Finding refused(const ObjectMaker::RefusedName& name, const Value* root, const UnbuildOptions& options) {
  Finding finding{.severity = Severity::warning,
                  .category = Category::global,
                  .code = "SAVE-NOT-SAFE",
                  .message = reader_of(options.weights_only) + " does not read '" + escaped(name.name) + "'",
                  .found = escaped(name.name),
                  .hint = "load it with weights_only=False, or name it in torch.serialization.add_safe_globals()"};
  if (root != nullptr && name.at != kNoNode) {
    if (const std::string at = name_of(*root, name.at, options.limits); !at.empty()) {
      finding.message += ", which " + rushlight::quoted(at) + " needs";
    }
  }
  return finding;
}

}  // namespace

Result<UnbuiltValue> unbuild_value(const Value& root, const UnbuildOptions& options) {
  // A Value of None may have no graph.
  const std::shared_ptr<const ValueGraph> graph =
      root.graph() ? root.graph() : std::shared_ptr<const ValueGraph>(ValueGraphBuilder().finish());
  const NodeId root_node = root.graph() ? root.identity() : ValueGraph::kNone;
  const pickle::PicklerOptions pickler{.protocol = options.protocol, .max_bytes = options.limits.pickle_bytes};
  // Keys that turn out other than in the file cannot be the same objects as other texts there.
  for (const bool shares_keys : {true, false}) {
    ObjectMaker maker(*graph, options, shares_keys);
    RUSHLIGHT_TRY(maker.make(root_node));
    RUSHLIGHT_TRY_ASSIGN(pickle::Pickled pickled, pickle::write_pickle(maker.objects(), pickler));
    const Keys keys = keys_of(maker, pickled, options.keep_keys);
    bool as_before = true;
    for (std::size_t i = 0; i < keys.storages.size(); ++i) {
      as_before = as_before && maker.storages()[keys.storages[i]].first_key == keys.names[i];
    }
    if (shares_keys && !as_before &&
        std::ranges::any_of(maker.storages(), [](const auto& storage) { return !storage.first_key.empty(); })) {
      continue;
    }
    if (!as_before) {
      for (std::size_t i = 0; i < keys.storages.size(); ++i) {
        if (!maker.set_key(keys.storages[i], keys.names[i])) return no_memory();
      }
      RUSHLIGHT_TRY_ASSIGN(pickled, pickle::write_pickle(maker.objects(), pickler));
    }
    UnbuiltValue unbuilt{.pickle = std::move(pickled.bytes), .storages = {}, .findings = {}};
    for (std::size_t i = 0; i < keys.storages.size(); ++i) {
      const ObjectMaker::MadeStorage& made = maker.storages()[keys.storages[i]];
      unbuilt.storages.push_back({keys.names[i], made.storage, made.numel});
    }
    for (const ObjectMaker::RefusedName& name : maker.refused_names()) {
      const bool with_place = unbuilt.findings.size() < kNamedPlaces;
      unbuilt.findings.push_back(refused(name, with_place ? &root : nullptr, options));
    }
    if (pickled.has_floats && options.weights_only < kFirstWeightsOnlyFloats) {
      unbuilt.findings.push_back({.severity = Severity::warning,
                                  .category = Category::pkl,
                                  .code = "SAVE-NOT-SAFE",
                                  .message = reader_of(options.weights_only) + " does not read floats outside tensors",
                                  .hint = "it reads tensors and whole numbers; later releases read floats too"});
    }
    return unbuilt;
  }
  return UnbuiltValue{};  // the second round always returns
}

}  // namespace rushlight::checkpoint
