#include "value/node.hpp"

#include <algorithm>
#include <cstring>

#include "value/keys.hpp"

namespace rushlight {
namespace {

bool has_items(ValueKind kind) noexcept {
  switch (kind) {
    case ValueKind::list:
    case ValueKind::tuple:
    case ValueKind::set:
    case ValueKind::frozenset:
    case ValueKind::size:
    case ValueKind::opaque:
    case ValueKind::ndarray:
      return true;
    default:
      return false;
  }
}

bool is_attribute_dict(const ValueGraph& graph, NodeId id) noexcept {
  return graph[id].kind == ValueKind::dict && graph[id].all_string_keys;
}

}  // namespace

std::span<const NodeId> ValueGraph::items(NodeId id) const noexcept {
  return has_items(nodes[id].kind) ? nodes[id].children.ids() : std::span<const NodeId>{};
}

std::span<const NodeId> ValueGraph::entries(NodeId id) const noexcept {
  if (nodes[id].kind == ValueKind::dict) return nodes[id].children.ids();
  const NodeExtra* more = nodes[id].kind == ValueKind::opaque ? extra(id) : nullptr;
  return more != nullptr ? more->entries.ids() : std::span<const NodeId>{};
}

NodeId ValueGraph::state(NodeId id) const noexcept {
  const NodeExtra* more = extra(id);
  return more != nullptr ? more->state : kNoNode;
}

// copyreg.__reduce_ex__ of objects with __slots__ writes the pair (__dict__ or None, slots).
ValueGraph::Attributes ValueGraph::attributes(NodeId id) const noexcept {
  Attributes found;
  const NodeId where = state(id);
  if (where == kNoNode) return found;
  if (is_attribute_dict(*this, where)) {
    found.dicts[found.count++] = where;
    return found;
  }
  const std::span<const NodeId> pair = items(where);
  if (nodes[where].kind != ValueKind::tuple || pair.size() != 2 || !is_attribute_dict(*this, pair[1])) return found;
  const bool has_dict = is_attribute_dict(*this, pair[0]);
  if (!has_dict && nodes[pair[0]].kind != ValueKind::none) return found;
  if (has_dict) found.dicts[found.count++] = pair[0];
  found.dicts[found.count++] = pair[1];
  return found;
}

std::optional<std::uint32_t> ValueGraph::find_text(NodeId container, std::string_view key) const {
  const std::span<const NodeId> all = entries(container);
  const auto is_it = [&](std::uint32_t position) {
    const ValueNode& candidate = nodes[all[2 * std::size_t{position}]];
    return candidate.kind == ValueKind::string && candidate.text.view() == key;
  };
  const NodeExtra* more = extra(container);
  if (more != nullptr && more->index) return more->index->find(hash_text_key(key, seed), is_it);
  for (std::uint32_t i = 0; 2 * std::size_t{i} < all.size(); ++i) {
    if (is_it(i)) return i;
  }
  return std::nullopt;
}

std::optional<std::uint32_t> ValueGraph::find_key(NodeId container, const ValueGraph& key_graph, NodeId key) const {
  KeyMemo mine;
  KeyMemo other;
  KeyMemo& theirs = &key_graph == this ? mine : other;
  const std::optional<std::uint64_t> hash = hash_key(key_graph, key, seed, theirs);
  return hash ? find_hashed(container, *hash, key_graph, key, mine, theirs) : std::nullopt;
}

std::optional<std::uint32_t> ValueGraph::find_hashed(NodeId container, std::uint64_t hash, const ValueGraph& key_graph,
                                                     NodeId key, KeyMemo& mine, KeyMemo& theirs) const {
  const bool is_set = nodes[container].kind == ValueKind::set || nodes[container].kind == ValueKind::frozenset;
  const std::span<const NodeId> all = is_set ? items(container) : entries(container);
  const std::size_t step = is_set ? 1 : 2;
  const auto is_it = [&](std::uint32_t position) {
    return equal_keys(*this, all[step * position], mine, key_graph, key, theirs, seed);
  };
  const NodeExtra* more = extra(container);
  if (more != nullptr && more->index) return more->index->find(hash, is_it);
  for (std::uint32_t i = 0; step * i < all.size(); ++i) {
    if (is_it(i)) return i;
  }
  return std::nullopt;
}

NodeId ValueGraph::value_of(NodeId container, std::string_view key) const {
  const std::optional<std::uint32_t> position = find_text(container, key);
  return position ? entries(container)[2 * std::size_t{*position} + 1] : kNoNode;
}

NodeId ValueGraph::attribute(NodeId id, std::string_view name) const {
  for (const NodeId dict : attributes(id)) {
    if (const NodeId value = value_of(dict, name); value != kNoNode) return value;
  }
  return kNoNode;
}

NodeId ValueGraph::add(const ValueNode& node) {
  nodes.push_back(node);
  return static_cast<NodeId>(nodes.size() - 1);
}

std::uint32_t ValueGraph::index_of_origin(const std::shared_ptr<const ValueOrigin>& origin) {
  const auto known = std::find(origins.begin(), origins.end(), origin);
  const auto index = static_cast<std::uint32_t>(known - origins.begin());
  if (known == origins.end()) origins.push_back(origin);
  return index;
}

void ValueGraph::set_origin(NodeId id, NodeOrigin origin) {
  if (id <= kTrue) return;
  if (id >= node_origins.size()) node_origins.resize(std::max<std::size_t>(nodes.size(), std::size_t{id} + 1));
  if (!node_origins[id].exists()) node_origins[id] = origin;
}

NodeExtra& ValueGraph::make_extra(NodeId id) {
  if (nodes[id].extra == kNoExtra) {
    nodes[id].extra = static_cast<std::uint32_t>(extras.size());
    extras.emplace_back();
  }
  return extras[nodes[id].extra];
}

void ValueGraph::push(Children& children, NodeId id) {
  if (children.count == children.capacity) {
    const std::uint32_t capacity = std::max<std::uint32_t>(4, 2 * children.capacity);
    auto* const data = static_cast<NodeId*>(arena.allocate(capacity * sizeof(NodeId)));
    if (children.count > 0) std::memcpy(data, children.data, children.count * sizeof(NodeId));
    children.data = data;
    children.capacity = capacity;
  }
  children.data[children.count++] = id;
}

std::string_view ValueGraph::intern_class(std::string_view name) {
  const std::uint64_t hash = hash_text(name, seed);
  const auto known = class_index.find(hash, [&](std::uint32_t at) { return class_names[at] == name; });
  if (known) return class_names[*known];
  class_index.insert(hash, static_cast<std::uint32_t>(class_names.size()));
  class_names.push_back(arena.copy(name));
  return class_names.back();
}

Children& ValueGraph::children_of_entries(NodeId container) {
  return nodes[container].kind == ValueKind::dict ? nodes[container].children : make_extra(container).entries;
}

void ValueGraph::rebuild_index(NodeId container, KeyMemo& memo) {
  const bool is_set = nodes[container].kind == ValueKind::set || nodes[container].kind == ValueKind::frozenset;
  const std::span<const NodeId> all = is_set ? items(container) : entries(container);
  const std::size_t step = is_set ? 1 : 2;
  const auto count = static_cast<std::uint32_t>(all.size() / step);
  if (!is_set) {
    bool all_strings = true;
    for (std::uint32_t i = 0; i < count; ++i) {
      all_strings = all_strings && nodes[all[step * i]].kind == ValueKind::string;
    }
    nodes[container].all_string_keys = all_strings;
  }
  if (count <= kLinearSearch) {
    if (nodes[container].extra != kNoExtra) make_extra(container).index.reset();
    return;
  }
  auto index = std::make_unique<HashIndex>();
  index->reserve(count);
  for (std::uint32_t i = 0; i < count; ++i) {
    // Keys were hashable when they came in, and hashable things do not change.
    index->insert(hash_key(*this, all[step * i], seed, memo).value_or(0), i);
  }
  make_extra(container).index = std::move(index);
}

}  // namespace rushlight
