#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/fail.hpp"
#include "base/no_memory.hpp"
#include "base/quote.hpp"
#include "rushlight/value.hpp"
#include "value/children.hpp"
#include "value/graft.hpp"
#include "value/graph.hpp"
#include "value/keys.hpp"
#include "value/path.hpp"

namespace rushlight {
namespace {

std::string step_text(const PathStep& step) {
  return to_string(std::span<const PathStep>(&step, 1));
}

// "'optimizer.param_groups'", or "the root".
std::string place_text(std::span<const PathStep> path) {
  return path.empty() ? "the root" : quoted(to_string(path));
}

Error cannot_change(std::string_view what, std::span<const PathStep> where) {
  return Error::of({.category = Category::argument,
                    .code = "VALUE-IMMUTABLE",
                    .message = std::string(what) + " at " + place_text(where) + " cannot be changed"});
}

}  // namespace

// Either a snapshot that somebody may hold, or a graph that nobody has seen: only the latter is changed.
struct ValueEditor::Impl {
  std::shared_ptr<const ValueGraph> snapshot;  // null: `builder` has the state; both null: the root is None
  std::optional<ValueGraphBuilder> builder;
  Grafter grafter;
  NodeId root = ValueGraph::kNone;

  void begin_changes();
  Error nothing_at(std::span<const PathStep> known, NodeId deepest, std::string_view wanted) const;

  // Where the last step of a path starts.
  struct Target {
    NodeId container = kNoNode;  // kNoNode: the root itself is meant
    PathStep step;
    Path path;  // to the container
  };
  Result<Target> find_target(std::string_view text);
  Result<Target> find_target(std::span<const PathStep> path);
  Result<NodeId> find_node(std::string_view text);

  Status put(const Target& target, NodeId value);
  Status put_item(const Target& target, NodeId value);
  Status put_entry(const Target& target, NodeId value);
  Status put_attribute(const Target& target, NodeId value);
  Status remove(const Target& target);
  Status remove_entry(NodeId dict, const PathStep& step, const Target& target);

  [[nodiscard]] std::optional<std::uint32_t> entry_at(NodeId container, const PathStep& step);
  NodeId key_node(const PathStep& step);
  [[nodiscard]] bool has_dotted_keys(NodeId node) const;

  // A reader over the graph being made, without ownership: valid until the next change.
  [[nodiscard]] std::shared_ptr<const ValueGraph> view() {
    return std::shared_ptr<const ValueGraph>(std::shared_ptr<void>(), &builder->graph());
  }
};

void ValueEditor::Impl::begin_changes() {
  if (builder) return;
  builder.emplace();
  if (!snapshot) return;
  root = grafter.graft(*builder, Value(snapshot, root));
  grafter.move_on(snapshot);
  snapshot.reset();
}

Error ValueEditor::Impl::nothing_at(std::span<const PathStep> known, NodeId deepest, std::string_view wanted) const {
  const ValueGraph& graph = builder->graph();
  std::vector<std::string> names;
  const std::span<const NodeId> entries = graph.entries(entries_holder(graph, deepest));
  for (std::size_t i = 0; i < entries.size(); i += 2) {
    if (graph[entries[i]].kind == ValueKind::string) names.emplace_back(graph[entries[i]].text.view());
  }
  std::string hint;
  for (const std::string& name : nearest(wanted, names)) {
    hint += (hint.empty() ? "did you mean " : " or ") + quoted(name);
  }
  return Error::of(ErrorCode::not_found, {.category = Category::argument,
                                          .code = "VALUE-PATH",
                                          .message = "there is no " + quoted(wanted) + " in " + place_text(known),
                                          .found = escaped(wanted),
                                          .hint = std::move(hint)});
}

bool ValueEditor::Impl::has_dotted_keys(NodeId node) const {
  const ValueGraph& graph = builder->graph();
  const std::span<const NodeId> entries = graph.entries(node);
  for (std::size_t i = 0; i < entries.size(); i += 2) {
    const ValueNode& key = graph[entries[i]];
    if (key.kind == ValueKind::string && key.text.view().find('.') != std::string_view::npos) return true;
  }
  return false;
}

Result<ValueEditor::Impl::Target> ValueEditor::Impl::find_target(std::span<const PathStep> path) {
  if (path.empty()) return Target{};
  const ValueGraph& graph = builder->graph();
  Target target{root, path.back(), Path(path.begin(), path.end() - 1)};
  for (std::size_t i = 0; i + 1 < path.size(); ++i) {
    const NodeId child = find_child(graph, target.container, path[i]);
    if (child == kNoNode) return nothing_at(path.first(i), target.container, step_text(path[i]));
    target.container = child;
  }
  return target;
}

Result<ValueEditor::Impl::Target> ValueEditor::Impl::find_target(std::string_view text) {
  Resolution found = resolve(view(), root, text);
  if (found.found) return find_target(found.path);
  // The rest is one new step, or a mistake.
  std::string_view rest = text.substr(found.consumed);
  PathStep step;
  if (const auto integer = bracketed_integer(text, found.consumed); integer && integer->second == text.size()) {
    const bool keyed = builder->kind(found.node) == ValueKind::dict;
    step.kind = keyed ? PathStep::Kind::key : PathStep::Kind::index;
    step.integer_key = keyed;
    step.index = integer->first;
    return Target{found.node, std::move(step), std::move(found.path)};
  }
  if (found.consumed > 0 && rest.starts_with('.')) rest.remove_prefix(1);
  const bool one_step = rest.find_first_of(".[") == std::string_view::npos;
  if (!one_step && !has_dotted_keys(found.node)) {
    return nothing_at(found.path, found.node, rest.substr(0, rest.find_first_of(".[", 1)));
  }
  const ValueKind kind = builder->kind(found.node);
  step.kind = kind == ValueKind::dict ? PathStep::Kind::key : PathStep::Kind::attr;
  step.text = std::string(rest);
  return Target{found.node, std::move(step), std::move(found.path)};
}

Result<NodeId> ValueEditor::Impl::find_node(std::string_view text) {
  Resolution found = resolve(view(), root, text);
  if (found.found) return found.node;
  std::string_view rest = text.substr(found.consumed);
  if (found.consumed > 0 && rest.starts_with('.')) rest.remove_prefix(1);
  return nothing_at(found.path, found.node, rest);
}

NodeId ValueEditor::Impl::key_node(const PathStep& step) {
  if (step.integer_key) return builder->integer(step.index);
  if (step.other_key) {
    const bool own = step.other_key->graph().get() == &builder->graph();
    return own ? step.other_key->identity() : grafter.graft(*builder, *step.other_key);
  }
  return builder->string(step.text);
}

// The position of the entry that a step names.
std::optional<std::uint32_t> ValueEditor::Impl::entry_at(NodeId container, const PathStep& step) {
  const ValueGraph& graph = builder->graph();
  const NodeId value = find_child(graph, container, step);
  if (value == kNoNode) return std::nullopt;
  if (!step.integer_key && !step.other_key) return graph.find_text(container, step.text);
  const std::span<const NodeId> entries = graph.entries(container);
  for (std::uint32_t position = 0; 2 * std::size_t{position} < entries.size(); ++position) {
    const std::size_t i = position;
    // Several entries may hold one object, so the key decides.
    PathStep own;
    describe_step(view(), {entries[2 * i + 1], PathStep::Kind::key, entries[2 * i], i, {}}, own);
    if (entries[2 * i + 1] == value && own == step) return position;
  }
  return std::nullopt;
}

Status ValueEditor::Impl::put_item(const Target& target, NodeId value) {
  ValueGraph& graph = builder->graph();
  const NodeId holder = items_holder(graph, target.container);
  const ValueKind kind = graph[holder].kind;
  const std::span<const NodeId> items = graph.items(holder);
  if (target.step.index < 0 || static_cast<std::uint64_t>(target.step.index) >= items.size()) {
    return nothing_at(target.path, target.container, step_text(target.step));
  }
  if (kind != ValueKind::list && kind != ValueKind::opaque) {
    return cannot_change("a " + std::string(to_string(kind)), target.path);
  }
  graph.nodes[holder].children.data[target.step.index] = value;
  return {};
}

Status ValueEditor::Impl::put_entry(const Target& target, NodeId value) {
  const ValueGraph& graph = builder->graph();
  const NodeId holder = entries_holder(graph, target.container);
  const ValueKind kind = graph[holder].kind;
  if (kind != ValueKind::dict && kind != ValueKind::opaque) {
    return nothing_at(target.path, target.container, step_text(target.step));
  }
  if (const auto known = entry_at(holder, target.step)) {
    builder->graph().children_of_entries(holder).data[2 * std::size_t{*known} + 1] = value;
    return {};
  }
  if (builder->set_item(holder, key_node(target.step), value)) return {};
  return Error::of({.category = Category::argument,
                    .code = "VALUE-KEY",
                    .message = quoted(step_text(target.step)) + " is no key for a dict: it is not hashable"});
}

Status ValueEditor::Impl::put_attribute(const Target& target, NodeId value) {
  ValueGraph& graph = builder->graph();
  const NodeId object = target.container;
  const std::string& name = target.step.text;
  for (const NodeId dict : graph.attributes(object)) {
    if (const auto known = graph.find_text(dict, name)) {
      graph.nodes[dict].children.data[2 * std::size_t{*known} + 1] = value;
      return {};
    }
  }
  switch (graph[object].kind) {
    case ValueKind::opaque:
    case ValueKind::dict:
    case ValueKind::list:
    case ValueKind::set:
    case ValueKind::tensor:
      break;
    default:
      return nothing_at(target.path, object, name);
  }
  if (find_attribute(graph, object, name) != kNoNode)
    return cannot_change("the attribute " + quoted(name), target.path);
  ValueGraph::Attributes attributes = graph.attributes(object);
  const NodeId state = graph.state(object);
  if (attributes.count == 0) {
    if (state != kNoNode && graph[state].kind != ValueKind::none) return nothing_at(target.path, object, name);
    attributes.dicts[0] = builder->dict();
    builder->set_state(object, attributes.dicts[0]);
  }
  static_cast<void>(builder->set_item(attributes.dicts[0], builder->string(name), value));  // strings are hashable
  return {};
}

Status ValueEditor::Impl::put(const Target& target, NodeId value) {
  if (target.container == kNoNode) {
    root = value;
    return {};
  }
  switch (target.step.kind) {
    case PathStep::Kind::index:
      return put_item(target, value);
    case PathStep::Kind::attr:
      return put_attribute(target, value);
    case PathStep::Kind::key:
      break;
  }
  return put_entry(target, value);
}

Status ValueEditor::Impl::remove_entry(NodeId dict, const PathStep& step, const Target& target) {
  const auto position = entry_at(dict, step);
  if (!position) return nothing_at(target.path, target.container, step_text(step));
  ValueGraph& graph = builder->graph();
  Children& entries = graph.children_of_entries(dict);
  NodeId* const gap = entries.data + 2 * std::size_t{*position};
  std::copy(gap + 2, entries.data + entries.count, gap);
  entries.count -= 2;
  graph.rebuild_index(dict, builder->memo());
  return {};
}

Status ValueEditor::Impl::remove(const Target& target) {
  ValueGraph& graph = builder->graph();
  if (target.container == kNoNode) return cannot_change("the value", {});
  if (target.step.kind == PathStep::Kind::key) {
    return remove_entry(entries_holder(graph, target.container), target.step, target);
  }
  if (target.step.kind == PathStep::Kind::attr) {
    const PathStep key{.kind = PathStep::Kind::key, .text = target.step.text};
    for (const NodeId dict : graph.attributes(target.container)) {
      if (graph.find_text(dict, target.step.text)) return remove_entry(dict, key, target);
    }
    return nothing_at(target.path, target.container, target.step.text);
  }
  RUSHLIGHT_TRY(put_item(target, ValueGraph::kNone));  // the same conditions
  Children& items = graph.nodes[items_holder(graph, target.container)].children;
  NodeId* const gap = items.data + target.step.index;
  std::copy(gap + 1, items.data + items.count, gap);
  --items.count;
  return {};
}

ValueEditor::ValueEditor(const Value& root) : impl_(std::make_unique<Impl>()) {
  impl_->snapshot = root.graph();
  if (root.graph()) impl_->root = root.identity();
}
ValueEditor::ValueEditor(ValueEditor&&) noexcept = default;
ValueEditor& ValueEditor::operator=(ValueEditor&&) noexcept = default;
ValueEditor::~ValueEditor() = default;

Status ValueEditor::set(std::string_view path, const Value& value) {
  return or_no_memory([&]() -> Status {
    impl_->begin_changes();
    RUSHLIGHT_TRY_ASSIGN(const Impl::Target target,
                         path.empty() ? Result<Impl::Target>(Impl::Target{}) : impl_->find_target(path));
    return impl_->put(target, impl_->grafter.graft(*impl_->builder, value));
  });
}

Status ValueEditor::set(std::span<const PathStep> path, const Value& value) {
  return or_no_memory([&]() -> Status {
    impl_->begin_changes();
    RUSHLIGHT_TRY_ASSIGN(const Impl::Target target, impl_->find_target(path));
    return impl_->put(target, impl_->grafter.graft(*impl_->builder, value));
  });
}

Status ValueEditor::append(std::string_view path_of_list, const Value& value) {
  return or_no_memory([&]() -> Status {
    impl_->begin_changes();
    RUSHLIGHT_TRY_ASSIGN(const NodeId found, impl_->find_node(path_of_list));
    const NodeId container = items_holder(impl_->builder->graph(), found);
    const ValueKind kind = impl_->builder->kind(container);
    if (kind != ValueKind::list && kind != ValueKind::set && kind != ValueKind::opaque) {
      return Error::of({.category = Category::argument,
                        .code = "VALUE-APPEND",
                        .message = quoted(path_of_list) + " is a " + std::string(to_string(kind)) +
                                   ", nothing can be appended to it",
                        .found = std::string(to_string(kind)),
                        .expected = "a list or a set"});
    }
    if (impl_->builder->append(container, impl_->grafter.graft(*impl_->builder, value))) return {};
    return Error::of(
        {.category = Category::argument,
         .code = "VALUE-KEY",
         .message = "a " + std::string(to_string(value.kind())) + " cannot be an item of a set: it is not hashable"});
  });
}

Status ValueEditor::erase(std::string_view path) {
  return or_no_memory([&]() -> Status {
    impl_->begin_changes();
    Resolution found = resolve(impl_->view(), impl_->root, path);
    if (!found.found) return impl_->find_node(path).error();
    RUSHLIGHT_TRY_ASSIGN(const Impl::Target target, impl_->find_target(found.path));
    return impl_->remove(target);
  });
}

Value ValueEditor::value() const {
  if (impl_->builder) {
    impl_->snapshot = std::move(*impl_->builder).finish();
    impl_->builder.reset();
  }
  return impl_->snapshot ? Value(impl_->snapshot, impl_->root) : Value();
}

}  // namespace rushlight
