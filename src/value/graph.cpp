#include "value/graph.hpp"

#include <algorithm>
#include <utility>

#include "value/big_integer.hpp"
#include "value/keys.hpp"

namespace rushlight {
namespace {

NodeText text_node(ValueGraph& graph, std::string_view text, bool borrowed) {
  const std::string_view kept = borrowed ? text : graph.arena.copy(text);
  return {kept.data(), kept.size()};
}

Children copied(ValueGraph& graph, std::span<const NodeId> ids) {
  Children children{};
  if (ids.empty()) return children;
  children.data = static_cast<NodeId*>(graph.arena.allocate(ids.size_bytes()));
  children.count = static_cast<std::uint32_t>(ids.size());
  children.capacity = children.count;
  std::copy(ids.begin(), ids.end(), children.data);
  return children;
}

}  // namespace

ValueGraphBuilder::ValueGraphBuilder(std::shared_ptr<const void> keep_alive) : graph_(std::make_unique<ValueGraph>()) {
  graph_->keep_alive = std::move(keep_alive);
  graph_->nodes.reserve(8);
  graph_->add(ValueNode(ValueKind::none));
  ValueNode boolean(ValueKind::boolean);
  boolean.boolean = false;
  graph_->add(boolean);
  boolean.boolean = true;
  graph_->add(boolean);
}

ValueGraphBuilder::ValueGraphBuilder(ValueGraphBuilder&&) noexcept = default;
ValueGraphBuilder& ValueGraphBuilder::operator=(ValueGraphBuilder&&) noexcept = default;
ValueGraphBuilder::~ValueGraphBuilder() = default;

NodeId ValueGraphBuilder::none() {
  return ValueGraph::kNone;
}

NodeId ValueGraphBuilder::boolean(bool value) {
  return value ? ValueGraph::kTrue : ValueGraph::kFalse;
}

NodeId ValueGraphBuilder::integer(std::int64_t value) {
  ValueNode node(ValueKind::integer);
  node.integer = value;
  return graph_->add(node);
}

NodeId ValueGraphBuilder::big_integer(std::string_view twos_complement_le) {
  const std::string_view shortest = shortest_twos_complement(twos_complement_le);
  if (const auto small = to_int64(shortest)) return integer(*small);
  ValueNode node(ValueKind::integer);
  node.big = true;
  node.text = text_node(*graph_, shortest, false);
  return graph_->add(node);
}

NodeId ValueGraphBuilder::real(double value) {
  ValueNode node(ValueKind::real);
  node.real = value;
  return graph_->add(node);
}

NodeId ValueGraphBuilder::complex(double re, double im) {
  ValueNode node(ValueKind::complex);
  node.complex[0] = re;
  node.complex[1] = im;
  return graph_->add(node);
}

NodeId ValueGraphBuilder::string(std::string_view utf8, bool borrowed) {
  ValueNode node(ValueKind::string);
  node.text = text_node(*graph_, utf8, borrowed);
  return graph_->add(node);
}

NodeId ValueGraphBuilder::bytes(std::string_view bytes, bool borrowed) {
  ValueNode node(ValueKind::bytes);
  node.text = text_node(*graph_, bytes, borrowed);
  return graph_->add(node);
}

NodeId ValueGraphBuilder::bytearray(std::string_view bytes, bool borrowed) {
  ValueNode node(ValueKind::bytearray);
  node.text = text_node(*graph_, bytes, borrowed);
  return graph_->add(node);
}

NodeId ValueGraphBuilder::list() {
  ValueNode node(ValueKind::list);
  node.children = {};
  return graph_->add(node);
}

NodeId ValueGraphBuilder::tuple(std::span<const NodeId> items) {
  ValueNode node(ValueKind::tuple);
  node.children = copied(*graph_, items);
  return graph_->add(node);
}

NodeId ValueGraphBuilder::size(std::span<const NodeId> items) {
  ValueNode node(ValueKind::size);
  node.children = copied(*graph_, items);
  return graph_->add(node);
}

NodeId ValueGraphBuilder::dict() {
  ValueNode node(ValueKind::dict);
  node.children = {};
  return graph_->add(node);
}

NodeId ValueGraphBuilder::set() {
  ValueNode node(ValueKind::set);
  node.children = {};
  return graph_->add(node);
}

NodeId ValueGraphBuilder::frozenset(std::span<const NodeId> items) {
  for (const NodeId item : items) {
    if (!hashable(item)) return kNoNode;
  }
  ValueNode node(ValueKind::frozenset);
  node.children = {};
  const NodeId made = graph_->add(node);
  for (const NodeId item : items) add_to_set(made, item);
  return made;
}

NodeId ValueGraphBuilder::tensor(Tensor tensor) {
  ValueNode node(ValueKind::tensor);
  node.index = static_cast<std::uint32_t>(graph_->tensors.size());
  graph_->tensors.push_back(std::move(tensor));
  return graph_->add(node);
}

void ValueGraphBuilder::replace_tensor(NodeId node, Tensor tensor) {
  graph_->tensors[graph_->nodes[node].index] = std::move(tensor);
  if (node < graph_->node_origins.size()) graph_->node_origins[node] = {};
}

NodeId ValueGraphBuilder::bare_composite(CompositeTensor tensor) {
  ValueNode node(ValueKind::composite);
  node.index = static_cast<std::uint32_t>(graph_->composites.size());
  graph_->composites.push_back(std::move(tensor));
  return graph_->add(node);
}

NodeId ValueGraphBuilder::composite(CompositeTensor tensor) {
  const NodeId parts = dict();
  for (const auto& [name, part] : tensor.components()) {
    // A string is hashable: it cannot fail.
    (void)set_item(parts, string(name), this->tensor(part));
  }
  const NodeId made = bare_composite(std::move(tensor));
  set_state(made, parts);
  return made;
}

NodeId ValueGraphBuilder::storage(Storage storage, DType dtype) {
  ValueNode node(ValueKind::storage);
  node.index = static_cast<std::uint32_t>(graph_->storages.size());
  graph_->storages.push_back({std::move(storage), dtype});
  return graph_->add(node);
}

NodeId ValueGraphBuilder::dtype(DType dtype) {
  ValueNode node(ValueKind::dtype);
  node.dtype = dtype;
  return graph_->add(node);
}

NodeId ValueGraphBuilder::device(std::string_view text) {
  ValueNode node(ValueKind::device);
  node.text = text_node(*graph_, text, false);
  return graph_->add(node);
}

NodeId ValueGraphBuilder::global(std::string_view class_name) {
  const std::string_view name = graph_->intern_class(class_name);
  ValueNode node(ValueKind::global);
  node.text = {name.data(), name.size()};
  return graph_->add(node);
}

NodeId ValueGraphBuilder::opaque(std::string_view class_name, NodeId arguments) {
  ValueNode node(ValueKind::opaque);
  node.children = {};
  const NodeId made = graph_->add(node);
  NodeExtra& extra = graph_->make_extra(made);
  extra.class_name = graph_->intern_class(class_name);
  extra.arguments = arguments;
  return made;
}

NodeId ValueGraphBuilder::ndarray(std::string_view class_name, NdArray array) {
  ValueNode node(ValueKind::ndarray);
  node.children = {};
  const NodeId made = graph_->add(node);
  set_class(made, class_name);
  NodeExtra& extra = graph_->make_extra(made);
  extra.numpy_dtype = graph_->intern_class(array.dtype);
  extra.ndarray = std::make_shared<const NdArray>(std::move(array));
  return made;
}

NodeId ValueGraphBuilder::numpy_scalar(NodeId node, std::string_view class_name, std::string_view dtype) {
  // There is one True in Python, and any number of numpy.bool_(True).
  if (graph_->nodes[node].kind == ValueKind::boolean) {
    const ValueNode copy = graph_->nodes[node];
    node = graph_->add(copy);
  }
  set_class(node, class_name);
  graph_->make_extra(node).numpy_dtype = graph_->intern_class(dtype);
  return node;
}

NodeId ValueGraphBuilder::placeholder() {
  return graph_->add(ValueNode(ValueKind::none));
}

void ValueGraphBuilder::becomes(NodeId placeholder, NodeId node) {
  graph_->nodes[placeholder] = graph_->nodes[node];
}

bool ValueGraphBuilder::add_to_set(NodeId set, NodeId item) {
  const auto hash = hash_key(*graph_, item, graph_->seed, memo_);
  if (!hash) return false;
  if (graph_->find_hashed(set, *hash, *graph_, item, memo_, memo_)) return true;
  const std::uint32_t position = graph_->nodes[set].children.count;
  graph_->push(graph_->nodes[set].children, item);
  index_added(set, *hash, position);
  return true;
}

bool ValueGraphBuilder::append(NodeId container, NodeId item) {
  if (graph_->nodes[container].kind == ValueKind::set) return add_to_set(container, item);
  graph_->push(graph_->nodes[container].children, item);
  return true;
}

bool ValueGraphBuilder::set_item(NodeId container, NodeId key, NodeId value) {
  const auto hash = hash_key(*graph_, key, graph_->seed, memo_);
  if (!hash) return false;
  if (const auto known = graph_->find_hashed(container, *hash, *graph_, key, memo_, memo_)) {
    graph_->children_of_entries(container).data[2 * std::size_t{*known} + 1] = value;
    return true;
  }
  Children& entries = graph_->children_of_entries(container);
  const std::uint32_t position = entries.count / 2;
  graph_->push(entries, key);
  graph_->push(entries, value);
  if (graph_->nodes[key].kind != ValueKind::string) graph_->nodes[container].all_string_keys = false;
  index_added(container, *hash, position);
  return true;
}

// Small containers have no index: it is made when they grow, of all that is in them.
void ValueGraphBuilder::index_added(NodeId container, std::uint64_t hash, std::uint32_t position) {
  if (position < kLinearSearch) return;
  if (position == kLinearSearch) return graph_->rebuild_index(container, memo_);
  graph_->make_extra(container).index->insert(hash, position);
}

void ValueGraphBuilder::set_state(NodeId object, NodeId state) {
  graph_->make_extra(object).state = state;
}

void ValueGraphBuilder::set_class(NodeId node, std::string_view class_name) {
  const std::string_view name = graph_->intern_class(class_name);
  graph_->make_extra(node).class_name = name;
}

ValueKind ValueGraphBuilder::kind(NodeId node) const noexcept {
  return graph_->nodes[node].kind;
}

bool ValueGraphBuilder::hashable(NodeId node) {
  return hash_key(*graph_, node, graph_->seed, memo_).has_value();
}

std::size_t ValueGraphBuilder::node_count() const noexcept {
  return graph_->nodes.size();
}

std::shared_ptr<const ValueGraph> ValueGraphBuilder::finish() && {
  memo_ = {};
  return std::shared_ptr<const ValueGraph>(std::move(graph_));
}

}  // namespace rushlight
