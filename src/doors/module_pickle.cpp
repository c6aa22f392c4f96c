#include "doors/module_pickle.hpp"

#include <optional>
#include <utility>
#include <vector>

#include "base/fail.hpp"
#include "base/quote.hpp"
#include "doors/module_attributes.hpp"
#include "model/operator_table.hpp"

namespace rushlight::doors {
namespace {

// No torch module has names like these; a pickle can claim them.
constexpr std::size_t kMaxNameBytes = 4096;

constexpr std::string_view kSequential = "torch.nn.modules.container.Sequential";

// Modules that pass their input to one child.
struct Wrapper {
  std::string_view torch_class;
  std::string_view child;
};
constexpr Wrapper kWrappers[] = {
    {"torch.nn.parallel.data_parallel.DataParallel", "module"},
    {"torch.nn.parallel.distributed.DistributedDataParallel", "module"},
    {"torch._dynamo.eval_frame.OptimizedModule", "_orig_mod"},
};

// Classes that compute, in eval mode, what one of the table computes.
struct Alias {
  std::string_view torch_class;
  std::string_view computed_as;
};
constexpr Alias kAliases[] = {
    {"torch.nn.modules.dropout.Dropout1d", "torch.nn.modules.dropout.Dropout"},
    {"torch.nn.modules.dropout.Dropout2d", "torch.nn.modules.dropout.Dropout"},
    {"torch.nn.modules.dropout.Dropout3d", "torch.nn.modules.dropout.Dropout"},
    {"torch.nn.modules.dropout.AlphaDropout", "torch.nn.modules.dropout.Dropout"},
    {"torch.nn.modules.dropout.FeatureAlphaDropout", "torch.nn.modules.dropout.Dropout"},
};

const model::OperatorInfo* find_stock(std::string_view class_name) noexcept {
  for (const Alias& alias : kAliases) {
    if (alias.torch_class == class_name) return model::find_torch_class(alias.computed_as);
  }
  return model::find_torch_class(class_name);
}

const Wrapper* find_wrapper(std::string_view class_name) noexcept {
  for (const Wrapper& wrapper : kWrappers) {
    if (wrapper.torch_class == class_name) return &wrapper;
  }
  return nullptr;
}

std::string joined(const std::string& prefix, std::string_view name) {
  return prefix.empty() ? std::string(name) : (prefix + ".").append(name);
}

// rushlight:: stands before quoted() here, since <filesystem> brings std::quoted along, which look-up would prefer.
class ModuleReader {
 public:
  explicit ModuleReader(const ModelOptions& options) : options_(options) {}

  Result<Graph> read(const Value& root) {
    // A builder of the caller's makes the whole graph, inputs and outputs included.
    if (const ModuleBuilder* build = find_class(root.class_name())) return (*build)(root);
    edge_ = builder_.input("input");
    levels_.push_back({"", {}, 0});
    RUSHLIGHT_TRY(enter(root, ""));
    while (!levels_.empty()) {
      Level& level = levels_.back();
      if (level.next == level.children.size()) {
        levels_.pop_back();
        continue;
      }
      const Child child = level.children[level.next++];
      RUSHLIGHT_TRY(enter(child.module, joined(level.prefix, child.name)));
    }
    if (training_) builder_.note("stored in training mode; inference means eval");
    builder_.output("output", edge_);
    return builder_.build();
  }

 private:
  struct Child {
    std::string name;
    Value module;
  };
  // A container whose children come one after the other.
  struct Level {
    std::string prefix;
    std::vector<Child> children;
    std::size_t next;
  };

  [[nodiscard]] const ModuleBuilder* find_class(std::string_view class_name) const {
    const auto found = options_.classes.find(std::string(class_name));
    return found == options_.classes.end() || !found->second ? nullptr : &found->second;
  }

  // Memo references let a small pickle unfold to a large tree, or contain itself: names, nodes and depth have budgets.
  Status charge(const std::string& name) {
    if (name.size() > kMaxNameBytes) {
      return Error::of({.category = Category::limit,
                        .code = "LIMIT-MODULE-NAME",
                        .message = "layer " + rushlight::quoted(name) + ": its name has " +
                                   std::to_string(name.size()) + " bytes, the limit is " +
                                   std::to_string(kMaxNameBytes)});
    }
    if (levels_.size() > options_.limits.pickle_depth) {
      return Error::of({.category = Category::limit,
                        .code = "LIMIT-MODULE-DEPTH",
                        .message = "layer " + rushlight::quoted(name) + ": modules nest deeper than " +
                                   std::to_string(options_.limits.pickle_depth)});
    }
    visited_ += 1 + name.size() / 64;
    if (visited_ <= options_.limits.graph_nodes) return {};
    return Error::of({.category = Category::limit,
                      .code = "LIMIT-GRAPH-NODES",
                      .message = "layer " + rushlight::quoted(name) + ": more than " +
                                 std::to_string(options_.limits.graph_nodes) + " modules"});
  }

  Status enter(const Value& module, const std::string& name) {
    RUSHLIGHT_TRY(charge(name));
    const std::string_view class_name = module.class_name();
    if (const ModuleBuilder* build = find_class(class_name)) return inline_graph(*build, module, name);
    if (!is_module(module)) {
      return Error::of({.category = Category::type,
                        .code = "MODULE-CHILD",
                        .message = module_text(name, module) + ": expected a module"});
    }
    training_ = training_ || module.attr("training").as_bool().value_or(false);
    if (class_name == kSequential) {
      RUSHLIGHT_TRY_ASSIGN(std::vector<Child> children, children_of(module, name));
      levels_.push_back({name, std::move(children), 0});
      return {};
    }
    if (const Wrapper* wrapper = find_wrapper(class_name)) {
      Value child = module.attr("_modules")[wrapper->child];
      if (!child.exists() || child.is_none()) {
        return wrong_attribute(name, module, wrapper->child, "a module", child);
      }
      levels_.push_back({name, {{std::string(wrapper->child), std::move(child)}}, 0});
      return {};
    }
    const model::OperatorInfo* row = find_stock(class_name);
    if (row == nullptr || row->min_inputs != 1) {
      return unsupported_module(
          name, module, "this class has no meaning here",
          "map " + rushlight::quoted(class_name) +
              " to a builder in ModelOptions::classes, or describe the network in a JSON spec (--spec)");
    }
    Operator op = model::make_operator(*row);
    RUSHLIGHT_TRY(read_module_attributes(module, name, op));
    edge_ = builder_.apply(name, std::move(op), edge_);
    return {};
  }

  Result<std::vector<Child>> children_of(const Value& module, const std::string& name) {
    const Value modules = module.attr("_modules");
    std::vector<Child> children;
    // Each is charged when it is entered; here its place in the list is.
    for (std::size_t i = 0; i < modules.size(); ++i) {
      const std::pair<Value, Value> entry = modules.entry(i);
      const std::optional<std::string_view> key = entry.first.as_string();
      if (!key) return wrong_attribute(name, module, "_modules", "names as keys", entry.first);
      if (entry.second.is_none()) continue;  // register_module("downsample", None)
      RUSHLIGHT_TRY(charge(joined(name, *key)));
      children.push_back({std::string(*key), entry.second});
    }
    return children;
  }

  // A user's class inside a stock container: its nodes become ours, under its name.
  Status inline_graph(const ModuleBuilder& build, const Value& module, const std::string& name) {
    RUSHLIGHT_TRY_ASSIGN(const Graph inner, build(module));
    if (inner.inputs().size() != 1 || inner.outputs().size() != 1) {
      return unsupported_module(name, module,
                                "a graph inside a Sequential has one input and one output, found " +
                                    std::to_string(inner.inputs().size()) + " and " +
                                    std::to_string(inner.outputs().size()));
    }
    std::vector<Edge> edges(inner.edge_count());
    const auto ours = [&](Edge edge) -> Edge& { return edges[static_cast<std::size_t>(edge.index)]; };
    ours(inner.inputs()[0].edge) = edge_;
    for (const Node& node : inner.nodes()) {
      std::string full = joined(name, node.name);
      if (node.name.empty()) full = name;  // a lone layer: its parameters are the module's own
      RUSHLIGHT_TRY(charge(full));
      std::vector<Edge> inputs;
      for (const Edge edge : node.inputs) inputs.push_back(ours(edge));
      const std::vector<Edge> outputs = builder_.apply(std::move(full), node.op, inputs, node.outputs.size());
      for (std::size_t i = 0; i < outputs.size(); ++i) ours(node.outputs[i]) = outputs[i];
    }
    edge_ = ours(inner.outputs()[0].edge);
    for (const std::string& note : inner.notes()) builder_.note(note);
    return {};
  }

  const ModelOptions& options_;
  GraphBuilder builder_;
  std::vector<Level> levels_;
  Edge edge_;
  std::uint64_t visited_ = 0;
  bool training_ = false;
};

}  // namespace

bool is_module(const Value& value) {
  if (value.kind() != ValueKind::opaque) return false;
  return value.attr("_modules").exists() && value.attr("_parameters").exists();
}

Result<Graph> graph_of_module(const Value& module, const ModelOptions& options) {
  return ModuleReader(options).read(module);
}

}  // namespace rushlight::doors
