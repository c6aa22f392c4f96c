#include "value/children.hpp"

#include "value/graph.hpp"
#include "value/literal.hpp"

namespace rushlight {
namespace {

constexpr std::string_view kArguments = "args";
constexpr std::string_view kArgumentsBesideAttribute = "__args__";
constexpr std::string_view kState = "__state__";

bool is_sequence(ValueKind kind) noexcept {
  return kind == ValueKind::list || kind == ValueKind::tuple || kind == ValueKind::size;
}

}  // namespace

NodeId arguments_of(const ValueGraph& graph, NodeId node) noexcept {
  const NodeExtra* extra = graph[node].kind == ValueKind::opaque ? graph.extra(node) : nullptr;
  if (extra == nullptr || extra->arguments == kNoNode || graph.items(extra->arguments).empty()) return kNoNode;
  return extra->arguments;
}

std::string_view arguments_step(const ValueGraph& graph, NodeId node) {
  return graph.attribute(node, kArguments) == kNoNode ? kArguments : kArgumentsBesideAttribute;
}

OtherState other_state(const ValueGraph& graph, NodeId node) noexcept {
  const NodeId state = graph.state(node);
  if (state == kNoNode || graph[state].kind == ValueKind::none || graph.attributes(node).count > 0) return {};
  OtherState other{state};
  other.items = is_sequence(graph[state].kind) && graph.items(node).empty();
  other.entries = graph[state].kind == ValueKind::dict && graph.entries(node).empty();
  return other;
}

NodeId items_holder(const ValueGraph& graph, NodeId node) noexcept {
  const OtherState other = other_state(graph, node);
  return other.items ? other.node : node;
}

NodeId entries_holder(const ValueGraph& graph, NodeId node) noexcept {
  const OtherState other = other_state(graph, node);
  return other.entries ? other.node : node;
}

std::optional<Child> ChildCursor::item(NodeId holder) const noexcept {
  const std::span<const NodeId> items = graph_->items(holder);
  if (position_ >= items.size()) return std::nullopt;
  return Child{items[position_], PathStep::Kind::index, kNoNode, position_, {}};
}

std::optional<Child> ChildCursor::entry(NodeId holder) const noexcept {
  const std::span<const NodeId> entries = graph_->entries(holder);
  const std::size_t at = 2 * std::size_t{position_};
  if (at >= entries.size()) return std::nullopt;
  return Child{entries[at + 1], PathStep::Kind::key, entries[at], position_, {}};
}

std::optional<Child> ChildCursor::attribute(std::size_t dict) const noexcept {
  const ValueGraph::Attributes all = graph_->attributes(node_);
  if (dict >= all.count) return std::nullopt;
  std::optional<Child> child = entry(all.dicts[dict]);
  if (child) {
    child->kind = PathStep::Kind::attr;
    child->name = (*graph_)[child->key].text.view();
  }
  return child;
}

std::optional<Child> ChildCursor::of_state() const noexcept {
  const OtherState other = other_state(*graph_, node_);
  if (other.items) return item(other.node);
  if (other.entries) return entry(other.node);
  if (other.node == kNoNode || position_ > 0) return std::nullopt;
  return Child{other.node, PathStep::Kind::attr, kNoNode, 0, kState};
}

std::optional<Child> ChildCursor::at_position() const {
  const bool opaque = (*graph_)[node_].kind == ValueKind::opaque;
  switch (run_) {
    case Run::arguments:
      if (const NodeId arguments = arguments_of(*graph_, node_); arguments != kNoNode && position_ == 0) {
        return Child{arguments, PathStep::Kind::attr, kNoNode, 0, arguments_step(*graph_, node_)};
      }
      return std::nullopt;
    case Run::items:
      return opaque ? std::nullopt : item(node_);
    case Run::entries:
      return opaque ? std::nullopt : entry(node_);
    case Run::attributes:
      return attribute(0);
    case Run::slots:
      return attribute(1);
    case Run::state:
      return of_state();
    case Run::own_items:
      return opaque ? item(node_) : std::nullopt;
    case Run::own_entries:
      return opaque ? entry(node_) : std::nullopt;
    case Run::end:
      break;
  }
  return std::nullopt;
}

std::optional<Child> ChildCursor::next() {
  while (run_ != Run::end) {
    if (std::optional<Child> child = at_position()) {
      ++position_;
      return child;
    }
    run_ = static_cast<Run>(static_cast<int>(run_) + 1);
    position_ = 0;
  }
  return std::nullopt;
}

void describe_step(const std::shared_ptr<const ValueGraph>& graph, const Child& child, PathStep& step) {
  step.kind = child.kind;
  step.index = 0;
  step.integer_key = false;
  step.other_key.reset();
  step.text.clear();
  switch (child.kind) {
    case PathStep::Kind::index:
      step.index = static_cast<std::int64_t>(child.position);
      return;
    case PathStep::Kind::attr:
      step.text.assign(child.name);
      return;
    case PathStep::Kind::key:
      break;
  }
  const ValueNode& key = (*graph)[child.key];
  if (key.kind == ValueKind::string) {
    step.text.assign(key.text.view());
  } else if (key.kind == ValueKind::integer && !key.big) {
    step.index = key.integer;
    step.integer_key = true;
  } else {
    step.text = key_literal(*graph, child.key, child.position);
    step.other_key = Value(graph, child.key);
  }
}

NodeId find_attribute(const ValueGraph& graph, NodeId node, std::string_view name) {
  if (const NodeId found = graph.attribute(node, name); found != kNoNode) return found;
  if (name == kArguments || name == kArgumentsBesideAttribute) return arguments_of(graph, node);
  if (name == kState) {
    const OtherState other = other_state(graph, node);
    if (!other.items && !other.entries) return other.node;
  }
  return kNoNode;
}

NodeId find_child(const ValueGraph& graph, NodeId node, const PathStep& step) {
  if (step.kind == PathStep::Kind::attr) return find_attribute(graph, node, step.text);
  if (step.kind == PathStep::Kind::index) {
    const std::span<const NodeId> items = graph.items(items_holder(graph, node));
    if (step.index < 0 || static_cast<std::uint64_t>(step.index) >= items.size()) return kNoNode;
    return items[static_cast<std::size_t>(step.index)];
  }
  const NodeId holder = entries_holder(graph, node);
  const std::span<const NodeId> entries = graph.entries(holder);
  if (entries.empty()) return kNoNode;
  if (!step.integer_key && !step.other_key) return graph.value_of(holder, step.text);
  const Value key = step.integer_key ? Value(step.index) : *step.other_key;
  const ValueGraph& key_graph = key.graph() ? *key.graph() : graph;
  const NodeId key_node = key.graph() ? key.identity() : ValueGraph::kNone;
  if (const auto position = graph.find_key(holder, key_graph, key_node)) return entries[2 * std::size_t{*position} + 1];
  if (!step.other_key) return kNoNode;
  // Objects are only equal to themselves: in a copy of the graph, the notation tells which one is meant.
  for (std::size_t i = 0; i < entries.size() / 2; ++i) {
    const ValueNode& candidate = graph[entries[2 * i]];
    if (candidate.kind != ValueKind::string && key_literal(graph, entries[2 * i], i) == step.text) {
      return entries[2 * i + 1];
    }
  }
  return kNoNode;
}

}  // namespace rushlight
