#include "rushlight/load_model.hpp"

#include <optional>
#include <utility>

#include "base/fail.hpp"
#include "base/quote.hpp"
#include "doors/module_pickle.hpp"
#include "rushlight/architectures.hpp"

namespace rushlight {
namespace doors {
namespace {

// rushlight:: stands before quoted() here, since <filesystem> brings std::quoted along, which look-up would prefer.

constexpr std::string_view kRemedies =
    "give the structure: a named architecture (ModelOptions::arch, --arch), a JSON spec (ModelOptions::spec, --spec), "
    "or "
    "a whole module saved with torch.save(model), its own classes mapped by ModelOptions::classes";

// "resnet50, resnext50_32x4d or wide_resnet50_2"; empty when the weights look like nothing that is built in.
std::string looks_like(const StateDict& weights) {
  const std::vector<const ArchitectureInfo*> found = architectures_like(weights);
  std::string names;
  for (std::size_t i = 0; i < found.size(); ++i) {
    if (i > 0) names += i + 1 == found.size() ? " or " : ", ";
    names += found[i]->name;
  }
  return names;
}

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

std::string remedies(const Checkpoint& checkpoint, const ModelOptions& options) {
  const Result<StateDict> weights = checkpoint.state_dict(options.state_dict);
  const std::string names = weights ? looks_like(*weights) : std::string();
  return names.empty() ? std::string(kRemedies)
                       : "the names look like those of " + names + " (--arch); or " + std::string(kRemedies);
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
                    .hint = remedies(checkpoint, options)});
}

struct Structure {
  Graph graph;
  std::string path;  // of the weights in the same file
};

Result<Structure> find_structure(const Checkpoint& checkpoint, const ModelOptions& options) {
  if (!options.spec.empty()) {
    RUSHLIGHT_TRY_ASSIGN(Graph graph, Graph::from_spec(options.spec, options.limits));
    return Structure{std::move(graph), options.state_dict};
  }
  RUSHLIGHT_TRY_ASSIGN(const FoundModule found, find_module(checkpoint, options));
  RUSHLIGHT_TRY_ASSIGN(Graph graph, graph_of_module(found.module, options));
  return Structure{std::move(graph), options.state_dict.empty() ? found.path : options.state_dict};
}

// The network of that name for these weights. No guess is run: what fits better is only named.
Result<Model> load_architecture(const StateDict& weights, const ModelOptions& options) {
  RUSHLIGHT_TRY_ASSIGN(Graph graph, architecture_graph(options.arch, weights));
  Result<Model> model = Model::create(std::move(graph), weights, options.report, options.strict);
  if (model || model.error().finding.category != Category::model) return model;
  const std::string names = looks_like(weights);
  if (names.empty() || names == options.arch.substr(0, options.arch.find(':'))) return model;
  Error error = std::move(model).error();
  std::string& hint = error.finding.hint;
  hint += (hint.empty() ? "" : "; ") + ("the names look like those of " + names);
  return error;
}

// The structure that the file or a spec gives, with the file's own weights or, if not null, others.
Result<Model> load(const Checkpoint& checkpoint, const StateDict* other_weights, const ModelOptions& options) {
  if (!options.arch.empty() && !options.spec.empty()) {
    return Error::of(
        {.category = Category::argument, .code = "MODEL-OPTIONS", .message = "give one of arch and spec, not both"});
  }
  if (!options.arch.empty()) {
    if (other_weights != nullptr) return load_architecture(*other_weights, options);
    RUSHLIGHT_TRY_ASSIGN(const StateDict weights, checkpoint.state_dict(options.state_dict));
    return load_architecture(weights, options);
  }
  RUSHLIGHT_TRY_ASSIGN(Structure structure, find_structure(checkpoint, options));
  if (other_weights != nullptr) {
    return Model::create(std::move(structure.graph), *other_weights, options.report, options.strict);
  }
  RUSHLIGHT_TRY_ASSIGN(const StateDict weights, checkpoint.state_dict(structure.path));
  return Model::create(std::move(structure.graph), weights, options.report, options.strict);
}

}  // namespace
}  // namespace doors

Result<Model> load_model(const Checkpoint& checkpoint, const ModelOptions& options) {
  return doors::load(checkpoint, nullptr, options);
}

Result<Model> load_model(const Checkpoint& checkpoint, const StateDict& weights, const ModelOptions& options) {
  return doors::load(checkpoint, &weights, options);
}

}  // namespace rushlight
