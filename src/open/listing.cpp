#include "open/listing.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/fail.hpp"
#include "tensor/tensor_impl.hpp"
#include "value/children.hpp"
#include "value/graph.hpp"

namespace rushlight::open {
namespace {

using namespace std::string_view_literals;

constexpr std::string_view kParameters = "_parameters";
constexpr std::string_view kBuffers = "_buffers";
constexpr std::string_view kModules = "_modules";

// Attributes of every module that hold no data: torch/nn/modules/module.py, Module.__init__, all releases.
constexpr std::array kMachinery = {"_non_persistent_buffers_set"sv,
                                   "_backward_hooks"sv,
                                   "_backward_pre_hooks"sv,
                                   "_is_full_backward_hook"sv,
                                   "_forward_hooks"sv,
                                   "_forward_hooks_with_kwargs"sv,
                                   "_forward_hooks_always_called"sv,
                                   "_forward_pre_hooks"sv,
                                   "_forward_pre_hooks_with_kwargs"sv,
                                   "_state_dict_hooks"sv,
                                   "_state_dict_pre_hooks"sv,
                                   "_load_state_dict_pre_hooks"sv,
                                   "_load_state_dict_post_hooks"sv,
                                   "_backend"sv};

bool is_machinery(std::string_view name) noexcept {
  return std::find(kMachinery.begin(), kMachinery.end(), name) != kMachinery.end();
}

bool is_dict(const ValueGraph& graph, NodeId node) noexcept {
  return node != kNoNode && graph[node].kind == ValueKind::dict;
}

bool is_module_node(const ValueGraph& graph, NodeId node) {
  return graph[node].kind == ValueKind::opaque && is_dict(graph, graph.attribute(node, kParameters)) &&
         is_dict(graph, graph.attribute(node, kBuffers)) && is_dict(graph, graph.attribute(node, kModules));
}

// A module of TorchScript: its parameters, buffers and children are attributes of its own. Classes of its archive that
// are no modules are taken for some too, and have no parameters.
bool is_script_module_node(const ValueGraph& graph, NodeId node) {
  if (graph[node].kind != ValueKind::opaque || graph.attributes(node).count == 0) return false;
  const std::string_view name = graph.extra(node)->class_name;
  return name.starts_with("__torch__.") || name == "torch.jit.ScriptModule";
}

TensorClass tensor_class_of(const ValueGraph& graph, NodeId node) {
  if (graph[node].kind == ValueKind::tensor) return graph.tensors[graph[node].index].options().tensor_class;
  if (graph[node].kind == ValueKind::composite) return graph.composites[graph[node].index].options().tensor_class;
  return TensorClass::tensor;
}

// Whether a set of names (`_non_persistent_buffers_set`) holds one.
bool holds_text(const ValueGraph& graph, NodeId set, std::string_view text) {
  if (set == kNoNode) return false;
  const std::span<const NodeId> items = graph.items(set);
  return std::any_of(items.begin(), items.end(), [&](NodeId item) {
    return graph[item].kind == ValueKind::string && graph[item].text.view() == text;
  });
}

// Each visit makes a name and a path, which callers keep. So many bytes or steps of them count as one node, or a key of
// a megabyte above a million values would cost their product.
constexpr std::size_t kNameBytesPerNode = 256;
constexpr std::size_t kPathStepsPerNode = 16;

// Where a frame of the walk stands among the children of its node.
enum class ListingPart : std::uint8_t { all, parameters, buffers, attributes, modules };

struct Frame {
  NodeId node = kNoNode;
  ListingPart part = ListingPart::all;  // ListingPart::all for everything but modules
  ChildCursor cursor;                   // over the node, or over the dict of the part
  std::size_t path_steps = 0;           // of this node
  std::size_t name_bytes = 0;
  bool outside = false;  // below what state_dict() leaves out
  bool script = false;   // a module of TorchScript: every part is among its attributes
  bool first_visit = true;
};

class Walk {
 public:
  Walk(std::shared_ptr<const ValueGraph> graph, std::uint64_t max_nodes, ListingVisitor& visitor)
      : graph_(std::move(graph)),
        max_nodes_(max_nodes),
        visitor_(visitor),
        entered_(graph_->nodes.size()),
        active_(graph_->nodes.size()) {}

  Status run(NodeId root) {
    RUSHLIGHT_TRY(visit(root, ListingPart::all, false, {}));
    while (!stack_.empty()) {
      Frame& frame = stack_.back();
      const std::optional<Child> child = frame.cursor.next();
      if (!child) {
        if (!next_part(frame)) leave();
        continue;
      }
      RUSHLIGHT_TRY(visit_child(*child));
    }
    return {};
  }

 private:
  [[nodiscard]] std::span<const PathStep> path() const noexcept { return {path_.data(), path_steps_}; }

  PathStep& push_step() {
    if (path_steps_ == path_.size()) path_.emplace_back();
    return path_[path_steps_++];
  }

  // A module's parts follow each other in one frame; false when there is none left.
  bool next_part(Frame& frame) {
    const auto dict_of = [&](std::string_view attribute) {
      return frame.script ? frame.node : graph_->attribute(frame.node, attribute);
    };
    switch (frame.part) {
      case ListingPart::all:
      case ListingPart::modules:
        return false;
      case ListingPart::parameters:
        frame.part = ListingPart::buffers;
        frame.cursor = ChildCursor(*graph_, dict_of(kBuffers));
        return true;
      case ListingPart::buffers:
        if (frame.first_visit) {
          frame.part = ListingPart::attributes;
          frame.cursor = ChildCursor(*graph_, frame.node);
          return true;
        }
        [[fallthrough]];
      case ListingPart::attributes:
        frame.part = ListingPart::modules;
        frame.cursor = ChildCursor(*graph_, dict_of(kModules));
        return true;
    }
    return false;
  }

  Status visit_child(const Child& child) {
    const Frame frame = stack_.back();
    path_steps_ = frame.path_steps;
    name_.resize(frame.name_bytes);
    bool outside = frame.outside;
    if (frame.script) {
      if (script_part(child) != frame.part) return {};
      outside = outside || frame.part == ListingPart::attributes;
      return visit_step(frame.part, child, outside);
    }
    switch (frame.part) {
      case ListingPart::all:
        // The dtype of an array is no value of the program; the array's own text says it.
        if ((*graph_)[frame.node].kind == ValueKind::ndarray && child.kind == PathStep::Kind::attr) return {};
        break;
      case ListingPart::attributes:
        if (child.kind != PathStep::Kind::attr || is_machinery(child.name) || child.name == kParameters ||
            child.name == kBuffers || child.name == kModules) {
          return {};
        }
        outside = true;
        break;
      case ListingPart::parameters:
      case ListingPart::buffers:
      case ListingPart::modules: {
        PathStep& step = push_step();
        step = PathStep{};
        step.kind = PathStep::Kind::attr;
        step.text = frame.part == ListingPart::parameters ? kParameters
                    : frame.part == ListingPart::buffers  ? kBuffers
                                                          : kModules;
        break;
      }
    }
    PathStep& step = push_step();
    describe_step(graph_, child, step);
    append_name(step);
    if (frame.part == ListingPart::buffers) {
      outside = outside || holds_text(*graph_, graph_->attribute(frame.node, "_non_persistent_buffers_set"), step.text);
    }
    return visit(child.node, frame.part, outside, child.name);
  }

  Status visit_step(ListingPart part, const Child& child, bool outside) {
    PathStep& step = push_step();
    describe_step(graph_, child, step);
    append_name(step);
    return visit(child.node, part, outside, child.name);
  }

  // In which part a child of a TorchScript module comes.
  [[nodiscard]] ListingPart script_part(const Child& child) const {
    if (child.kind != PathStep::Kind::attr) return ListingPart::attributes;
    switch (tensor_class_of(*graph_, child.node)) {
      case TensorClass::parameter:
        return ListingPart::parameters;
      case TensorClass::buffer:
        return ListingPart::buffers;
      case TensorClass::tensor:
        break;
    }
    return is_script_module_node(*graph_, child.node) ? ListingPart::modules : ListingPart::attributes;
  }

  void append_name(const PathStep& step) {
    const bool bracketed = step.kind == PathStep::Kind::index ||
                           (step.kind == PathStep::Kind::key && (step.integer_key || step.other_key));
    if (bracketed) {
      name_ += '[';
      name_ += step.other_key ? step.text : std::to_string(step.index);
      name_ += ']';
    } else {
      if (path_steps_ > 1 && !name_.empty()) name_ += '.';
      name_ += step.text;
    }
  }

  // `part` is that of the frame around the node.
  Status visit(NodeId node, ListingPart part, bool outside, std::string_view attribute) {
    visited_ += 1 + name_.size() / kNameBytesPerNode + path_steps_ / kPathStepsPerNode;
    if (visited_ > max_nodes_) {
      return Error::of({.category = Category::limit,
                        .code = "LIMIT-VISITED-NODES",
                        .message = "the values unfold to more than " + std::to_string(max_nodes_) +
                                   " nodes, the limit visited_nodes",
                        .expected = "at most " + std::to_string(max_nodes_)});
    }
    const ValueGraph& graph = *graph_;
    switch (graph[node].kind) {
      case ValueKind::tensor:
        RUSHLIGHT_TRY(visit_tensor(node, part, outside));
        // state_dict() names the tensors of a module, not what hangs on them.
        return enter_repeatedly(node, outside || part == ListingPart::parameters || part == ListingPart::buffers);
      case ValueKind::composite:
        visit_composite(node, part, outside);
        return enter_repeatedly(node, outside);
      case ValueKind::list:
      case ValueKind::dict:
      case ValueKind::set:
        return enter_once(node, outside);
      case ValueKind::tuple:
      case ValueKind::frozenset:
        return enter_repeatedly(node, outside);
      case ValueKind::ndarray:
        visitor_.value(name_, path(), Value(graph_, node));
        return enter_once(node, outside);
      case ValueKind::opaque:
        if (is_module_node(graph, node)) {
          return visit_module(node, graph_->attribute(node, kParameters), part, outside, false);
        }
        if (is_script_module_node(graph, node)) return visit_module(node, node, part, outside, true);
        return visit_object(node, outside);
      default:
        // The two attributes that make a tensor an nn.Buffer are its class.
        if (stack_.empty() || graph[stack_.back().node].kind != ValueKind::tensor ||
            (attribute != "_is_buffer" && attribute != "persistent")) {
          visitor_.value(name_, path(), Value(graph_, node));
        }
        return {};
    }
  }

  // What stands among the parameters of a module is one, and so with buffers.
  static TensorClass class_in(ListingPart part, TensorClass own) noexcept {
    if (part == ListingPart::parameters) return TensorClass::parameter;
    return part == ListingPart::buffers ? TensorClass::buffer : own;
  }

  Status visit_tensor(NodeId node, ListingPart part, bool outside) {
    Tensor tensor = graph_->tensors[(*graph_)[node].index];
    const TensorClass wanted = class_in(part, tensor.options().tensor_class);
    if (wanted != tensor.options().tensor_class) {
      TensorOptions options = tensor.options();
      options.tensor_class = wanted;
      RUSHLIGHT_TRY_ASSIGN(tensor, Tensor::Impl::view(tensor.storage(), tensor.dtype(), tensor.shape(),
                                                      tensor.strides(), tensor.storage_offset(), options));
    }
    visitor_.tensor(name_, path(), std::move(tensor), !outside);
    return {};
  }

  void visit_composite(NodeId node, ListingPart part, bool outside) {
    CompositeTensor tensor = graph_->composites[(*graph_)[node].index];
    const TensorClass wanted = class_in(part, tensor.options().tensor_class);
    if (wanted != tensor.options().tensor_class) {
      TensorOptions options = tensor.options();
      options.tensor_class = wanted;
      tensor = tensor.with_options(options);
    }
    visitor_.composite(name_, path(), std::move(tensor), !outside);
  }

  Status visit_object(NodeId node, bool outside) {
    if (!entered_[node]) visitor_.object(name_, path(), Value(graph_, node));
    return enter_once(node, outside);
  }

  // As a child of a module it is entered under each name, otherwise once. A module inside itself ends there.
  Status visit_module(NodeId node, NodeId parameters, ListingPart part, bool outside, bool script) {
    const bool first = !entered_[node];
    if (active_[node] || (!first && part != ListingPart::modules)) return {};
    if (first) visitor_.object(name_, path(), Value(graph_, node));
    push(node, ListingPart::parameters, ChildCursor(*graph_, parameters), outside, first);
    stack_.back().script = script;
    return {};
  }

  Status enter_once(NodeId node, bool outside) {
    if (!entered_[node]) push(node, ListingPart::all, ChildCursor(*graph_, node), outside, true);
    return {};
  }
  // Immutable objects, as Python programs rarely know that they share them.
  Status enter_repeatedly(NodeId node, bool outside) {
    if (!active_[node]) push(node, ListingPart::all, ChildCursor(*graph_, node), outside, true);
    return {};
  }

  void push(NodeId node, ListingPart part, ChildCursor cursor, bool outside, bool first_visit) {
    entered_[node] = true;
    active_[node] = true;
    stack_.push_back({node, part, cursor, path_steps_, name_.size(), outside, false, first_visit});
  }
  void leave() {
    active_[stack_.back().node] = false;
    stack_.pop_back();
  }

  std::shared_ptr<const ValueGraph> graph_;
  std::uint64_t max_nodes_;
  ListingVisitor& visitor_;
  std::uint64_t visited_ = 0;
  std::vector<bool> entered_;
  std::vector<bool> active_;  // on the way to the present node
  std::vector<Frame> stack_;
  Path path_;  // the first path_steps_ count; the others keep their memory
  std::size_t path_steps_ = 0;
  std::string name_;
};

}  // namespace

void ListingVisitor::composite(std::string_view, std::span<const PathStep>, CompositeTensor, bool) {}

bool is_module(const Value& value) {
  if (value.graph() == nullptr || !value.exists()) return false;
  return is_module_node(*value.graph(), value.identity()) || is_script_module_node(*value.graph(), value.identity());
}

Status visit_listing(const Value& root, std::uint64_t max_nodes, ListingVisitor& visitor) {
  if (!root.exists()) return {};
  if (root.graph() == nullptr) {
    visitor.value({}, {}, root);
    return {};
  }
  return Walk(root.graph(), max_nodes, visitor).run(root.identity());
}

}  // namespace rushlight::open
