// What stands below a node, in traversal order, and by which step: the one definition behind walk() and paths.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "value/node.hpp"

namespace rushlight {

struct Child {
  NodeId node = kNoNode;
  PathStep::Kind kind = PathStep::Kind::key;
  NodeId key = kNoNode;      // Kind::key
  std::size_t position = 0;  // among the items or entries it stands in
  std::string_view name;     // Kind::attr
};

class ChildCursor {
 public:
  ChildCursor(const ValueGraph& graph, NodeId node) noexcept : graph_(&graph), node_(node) {}
  std::optional<Child> next();

 private:
  // Runs of children of one sort, in the order in which a pickle makes them: an opaque object's arguments and state
  // come before what is put into it.
  enum class Run : std::uint8_t { arguments, items, entries, attributes, slots, state, own_items, own_entries, end };

  std::optional<Child> item(NodeId holder) const noexcept;
  std::optional<Child> entry(NodeId holder) const noexcept;
  std::optional<Child> attribute(std::size_t dict) const noexcept;
  std::optional<Child> of_state() const noexcept;
  [[nodiscard]] std::optional<Child> at_position() const;

  const ValueGraph* graph_;
  NodeId node_;
  Run run_ = Run::arguments;
  std::uint32_t position_ = 0;
};

// Writes the step that leads to a child; `step` may be used again and again, its text keeps its memory.
void describe_step(const std::shared_ptr<const ValueGraph>& graph, const Child& child, PathStep& step);

// The arguments of an opaque object, where it has any, and what their step is called.
[[nodiscard]] NodeId arguments_of(const ValueGraph& graph, NodeId node) noexcept;
[[nodiscard]] std::string_view arguments_step(const ValueGraph& graph, NodeId node);

// What a state that is no set of attributes adds to its object: it stands for the object where it is a container and
// the object has no such content of its own, and is the attribute "__state__" otherwise. kNoNode where there is none.
struct OtherState {
  NodeId node = kNoNode;
  bool items = false;    // its items are the object's
  bool entries = false;  // its entries are
};
[[nodiscard]] OtherState other_state(const ValueGraph& graph, NodeId node) noexcept;

// The node whose items or entries stand at `node` in paths: itself, or its state.
[[nodiscard]] NodeId items_holder(const ValueGraph& graph, NodeId node) noexcept;
[[nodiscard]] NodeId entries_holder(const ValueGraph& graph, NodeId node) noexcept;

// By name: an attribute, the arguments, the state.
[[nodiscard]] NodeId find_attribute(const ValueGraph& graph, NodeId node, std::string_view name);
// kNoNode when the step leads nowhere.
[[nodiscard]] NodeId find_child(const ValueGraph& graph, NodeId node, const PathStep& step);

}  // namespace rushlight
