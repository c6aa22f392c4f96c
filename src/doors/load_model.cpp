#include "rushlight/load_model.hpp"

#include <optional>
#include <unordered_set>
#include <utility>

#include "base/fail.hpp"
#include "base/quote.hpp"
#include "doors/module_pickle.hpp"

namespace rushlight {
namespace doors {
namespace {

// rushlight:: stands before quoted() here, since <filesystem> brings std::quoted along, which look-up would prefer.

constexpr std::string_view kRemedies =
    "give the structure: a JSON spec (ModelOptions::spec, --spec), or a whole module saved with torch.save(model), its "
    "own classes mapped by ModelOptions::classes";

// What the structure is read from, and where it stands: the weights are looked for in the same place.
struct FoundModule {
  Value module;
  std::string path;
};

bool has_builder(const Value& value, const ModelOptions& options) {
  const auto found = options.classes.find(std::string(value.class_name()));
  return found != options.classes.end() && found->second != nullptr;
}

bool is_structure(const Value& value, const ModelOptions& options) {
  return is_module(value) || has_builder(value, options);
}

// The root, what `state_dict` names, what Checkpoint::state_dict("") chooses, or the only module in a dict of things.
Result<FoundModule> find_module(const Checkpoint& checkpoint, const ModelOptions& options) {
  const Value& root = checkpoint.root();
  if (options.state_dict.empty()) {
    if (is_structure(root, options)) return FoundModule{root, ""};
  } else if (const Value named = root.at(options.state_dict); is_structure(named, options)) {
    return FoundModule{named, options.state_dict};
  }
  if (options.state_dict.empty()) {
    if (const Result<StateDict> chosen = checkpoint.state_dict(); chosen && !chosen->path().empty()) {
      if (const Value value = root.at(chosen->path()); is_structure(value, options)) {
        return FoundModule{value, chosen->path()};
      }
    }
  }
  std::vector<FoundModule> modules;
  if (root.kind() == ValueKind::dict) {
    for (std::size_t i = 0; i < root.size(); ++i) {
      const std::pair<Value, Value> entry = root.entry(i);
      const std::optional<std::string_view> key = entry.first.as_string();
      if (key && is_structure(entry.second, options)) modules.push_back({entry.second, std::string(*key)});
    }
  }
  if (modules.size() == 1) return std::move(modules[0]);
  if (modules.size() > 1) {
    std::string names;
    for (const FoundModule& found : modules) names += (names.empty() ? "" : ", ") + rushlight::quoted(found.path);
    return Error::of({.category = Category::ambig,
                      .code = "MODEL-AMBIGUOUS",
                      .message = "the file holds several modules: " + names,
                      .hint = "name one (ModelOptions::state_dict, --state-dict)"});
  }
  const FileKind kind = checkpoint.format().kind;
  const bool has_code = kind == FileKind::torchscript || kind == FileKind::torchscript_mobile || kind == FileKind::pt2;
  return Error::of({.category = Category::unsup,
                    .code = "MODEL-STRUCTURE",
                    .message = has_code ? "the file holds a program of kind " + std::string(to_string(kind)) +
                                              ", which is not run here"
                                        : "the file holds weights, and nothing that says how to compute with them",
                    .hint = std::string(kRemedies)});
}

struct Structure {
  Graph graph;
  std::string path;        // of the weights in the same file
  bool of_module = false;  // made of a pickled module, whose forward() is known to use what the graph does
};

Result<Structure> find_structure(const Checkpoint& checkpoint, const ModelOptions& options) {
  if (!options.arch.empty() && !options.spec.empty()) {
    return Error::of(
        {.category = Category::argument, .code = "MODEL-OPTIONS", .message = "give one of arch and spec, not both"});
  }
  if (!options.arch.empty()) {
    return Error::of({.category = Category::unsup,
                      .code = "MODEL-ARCH",
                      .message = "architecture " + rushlight::quoted(options.arch) +
                                 ": no architectures are built into this version",
                      .hint = std::string(kRemedies)});
  }
  if (!options.spec.empty()) {
    RUSHLIGHT_TRY_ASSIGN(Graph graph, Graph::from_spec(options.spec, options.limits));
    return Structure{std::move(graph), options.state_dict};
  }
  RUSHLIGHT_TRY_ASSIGN(const FoundModule found, find_module(checkpoint, options));
  RUSHLIGHT_TRY_ASSIGN(Graph graph, graph_of_module(found.module, options));
  return Structure{std::move(graph), options.state_dict.empty() ? found.path : options.state_dict, true};
}

// A module's state dict has more than eval mode computes with: auxiliary heads, buffers that only say what the
// attributes say. Those names are expected; others that a state dict of another file may have are not.
Result<StateDict> without_unused(const Structure& structure, const Checkpoint& checkpoint, const StateDict& weights) {
  if (!structure.of_module) return weights;
  std::unordered_set<std::string> used;
  for (const ParameterSpec& parameter : structure.graph.parameters()) used.insert(parameter.name);
  RUSHLIGHT_TRY_ASSIGN(const StateDict own, checkpoint.state_dict(structure.path));
  StateDict kept;
  kept.set_path(weights.path());
  kept.set_metadata(weights.metadata());
  kept.reserve(weights.size());
  for (const auto& [name, tensor] : weights) {
    if (used.contains(name) || own.find(name) == nullptr) kept.insert(name, tensor);
  }
  return kept;
}

}  // namespace
}  // namespace doors

Result<Model> load_model(const Checkpoint& checkpoint, const ModelOptions& options) {
  RUSHLIGHT_TRY_ASSIGN(doors::Structure structure, doors::find_structure(checkpoint, options));
  RUSHLIGHT_TRY_ASSIGN(const StateDict all, checkpoint.state_dict(structure.path));
  RUSHLIGHT_TRY_ASSIGN(const StateDict weights, doors::without_unused(structure, checkpoint, all));
  return Model::create(std::move(structure.graph), weights, options.report, options.strict);
}

Result<Model> load_model(const Checkpoint& checkpoint, const StateDict& weights, const ModelOptions& options) {
  RUSHLIGHT_TRY_ASSIGN(doors::Structure structure, doors::find_structure(checkpoint, options));
  RUSHLIGHT_TRY_ASSIGN(const StateDict used, doors::without_unused(structure, checkpoint, weights));
  return Model::create(std::move(structure.graph), used, options.report, options.strict);
}

}  // namespace rushlight
