// TorchScript since 1.3: data.pkl holds the root module, constants.pkl the tensors that the code names.
// Source: torch/csrc/jit/serialization/{export_module,import,pickler,unpickler}.cpp.
#include <algorithm>
#include <cassert>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/fail.hpp"
#include "base/quote.hpp"
#include "checkpoint/archive_reading.hpp"
#include "checkpoint/script_classes.hpp"
#include "tensor/tensor_impl.hpp"
#include "value/graft.hpp"
#include "value/graph.hpp"

// rushlight:: stands before quoted() of a std::string here, since std::quoted would be preferred.
namespace rushlight::checkpoint {
namespace {

constexpr std::string_view kPrefix = "__torch__.";

void set_class(ValueGraph& graph, NodeId node, TensorClass wanted) {
  if (graph[node].kind == ValueKind::composite) {
    CompositeTensor& tensor = graph.composites[graph[node].index];
    TensorOptions options = tensor.options();
    options.tensor_class = wanted;
    tensor = tensor.with_options(options);
    return;
  }
  Tensor& tensor = graph.tensors[graph[node].index];
  TensorOptions options = tensor.options();
  options.tensor_class = wanted;
  Result<Tensor> with = Tensor::Impl::view(tensor.storage(), tensor.dtype(), tensor.shape(), tensor.strides(),
                                           tensor.storage_offset(), options);
  if (with) tensor = *std::move(with);  // its geometry was checked when it was made
}

bool holds(const std::vector<std::string>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// The archive's code says which attributes are parameters and buffers. Without it, requires_grad tells them apart.
class Declarations {
 public:
  Declarations(ArchiveReading& reading, ValueGraph& graph)
      : reading_(reading), graph_(graph), classes_(reading.container, reading.options.limits.pickle_bytes) {}

  void apply() {
    const auto count = static_cast<NodeId>(graph_.nodes.size());
    for (NodeId id = 0; id < count; ++id) {
      const NodeExtra* extra = graph_.extra(id);
      if (graph_[id].kind == ValueKind::opaque && extra->class_name.starts_with(kPrefix))
        apply_to(id, extra->class_name);
    }
    if (undeclared_.empty()) return;
    reading_.findings.push_back({.severity = Severity::warning,
                                 .category = Category::unsup,
                                 .code = "SCRIPT-NO-CODE",
                                 .message = "class " + rushlight::quoted(undeclared_) +
                                            " has no source in the archive: its parameters are told from its buffers "
                                            "by requires_grad",
                                 .file = escaped(reading_.container.context().file, 4096),
                                 .found = escaped(undeclared_)});
  }

 private:
  void apply_to(NodeId module, std::string_view class_name) {
    const ScriptClass* declared = nullptr;
    bool looked_up = false;
    for (const NodeId dict : graph_.attributes(module)) {
      const std::span<const NodeId> pairs = graph_.entries(dict);
      for (std::size_t i = 0; i + 1 < pairs.size(); i += 2) {
        const NodeId value = pairs[i + 1];
        if (graph_[value].kind != ValueKind::tensor && graph_[value].kind != ValueKind::composite) continue;
        if (!std::exchange(looked_up, true)) {
          declared = classes_.find(class_name);
          if (declared == nullptr && undeclared_.empty()) undeclared_ = class_name;
        }
        set_class(graph_, value, class_of(declared, graph_[pairs[i]].text.view(), value));
      }
    }
  }

  [[nodiscard]] TensorClass class_of(const ScriptClass* declared, std::string_view name, NodeId value) const {
    if (declared == nullptr) {
      const bool grad =
          graph_[value].kind == ValueKind::tensor && graph_.tensors[graph_[value].index].options().requires_grad;
      return grad ? TensorClass::parameter : TensorClass::buffer;
    }
    if (!declared->parameters) return TensorClass::tensor;  // a class that is no module
    if (holds(*declared->parameters, name)) return TensorClass::parameter;
    return !declared->buffers || holds(*declared->buffers, name) ? TensorClass::buffer : TensorClass::tensor;
  }

  ArchiveReading& reading_;
  ValueGraph& graph_;
  ScriptClasses classes_;
  std::string undeclared_;  // the first class without source
};

// The root's attribute CONSTANTS: a dict c0, c1 ..., as the code calls them. False where the root takes none.
bool attach_constants(ValueGraphBuilder& builder, NodeId root, std::span<const NodeId> constants) {
  ValueGraph& graph = builder.graph();
  if (graph[root].kind != ValueKind::opaque) return false;
  NodeId state = graph.state(root);
  if (state == kNoNode) {
    state = builder.dict();
    builder.set_state(root, state);
  }
  if (graph.attributes(root).count == 0 || graph[state].kind != ValueKind::dict) return false;
  std::string name = "CONSTANTS";
  while (graph.find_text(state, name)) name += '_';  // a module may have an attribute of that name
  const NodeId dict = builder.dict();
  for (std::size_t i = 0; i < constants.size(); ++i) {
    [[maybe_unused]] const bool added = builder.set_item(dict, builder.string("c" + std::to_string(i)), constants[i]);
    assert(added);
  }
  return builder.set_item(state, builder.string(name), dict);
}

// Records that are no weights: source text, what it was made from, what runs on phones, the caller's extra files.
void mark_known(ZipContainer& container) {
  for (const std::string_view prefix :
       {"code/", "debug/", "extra/", "traced_inputs", "bytecode", "mobile_debug_handles"}) {
    container.mark_used_below(prefix);
  }
}

}  // namespace

Result<Value> read_script_archive(ArchiveReading& reading) {
  ZipContainer& container = reading.container;
  mark_known(container);
  FolderStorages data(container, "data/", PersistentIds::script);
  RUSHLIGHT_TRY_ASSIGN(const Value module, read_pickle_record(reading, *container.pickle(), data));
  Value constants;
  if (const zip::Entry* entry = container.find("constants.pkl"); entry != nullptr) {
    FolderStorages storages(container, "constants/", PersistentIds::script);
    RUSHLIGHT_TRY_ASSIGN(constants, read_pickle_record(reading, *entry, storages));
    if (constants.kind() != ValueKind::tuple) {
      return container.context().placed(
          Error::of({.category = Category::type,
                     .code = "SCRIPT-CONSTANTS",
                     .message = "the constants are no tuple, found " + escaped(constants.class_name()),
                     .found = escaped(constants.class_name()),
                     .expected = "tuple"}),
          *entry);
    }
  }
  ValueGraphBuilder builder;
  Grafter grafter;
  const NodeId root = grafter.graft(builder, module);
  Declarations(reading, builder.graph()).apply();
  std::vector<NodeId> nodes;
  for (std::size_t i = 0; i < constants.item_count(); ++i) nodes.push_back(grafter.graft(builder, constants.item(i)));
  if (!nodes.empty() && !attach_constants(builder, root, nodes)) {
    reading.findings.push_back(
        {.severity = Severity::warning,
         .category = Category::unsup,
         .code = "SCRIPT-CONSTANTS",
         .message = std::to_string(nodes.size()) + " constants are not listed: the root is no module with attributes",
         .file = escaped(container.context().file, 4096),
         .record = "constants.pkl"});
  }
  return Value(std::move(builder).finish(), root);
}

}  // namespace rushlight::checkpoint
