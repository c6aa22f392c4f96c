#include "rushlight/value.hpp"

#include <array>
#include <utility>

#include "base/bytes.hpp"
#include "value/big_integer.hpp"
#include "value/graft.hpp"
#include "value/graph.hpp"
#include "value/node.hpp"

namespace rushlight {
namespace {

// What look-ups return when there is nothing.
Value absent() {
  return Value(nullptr, kNoNode);
}

Value value_or_absent(const std::shared_ptr<const ValueGraph>& graph, NodeId id) {
  return id == kNoNode ? absent() : Value(graph, id);
}

// nullptr for None and absent values, which have no graph.
const ValueNode* node_of(const Value& value) noexcept {
  return value.graph() ? &(*value.graph())[value.identity()] : nullptr;
}

template <class Make>
Value single(Make&& make) {
  ValueGraphBuilder builder;
  const NodeId node = make(builder);
  return Value(std::move(builder).finish(), node);
}

template <class Make>
Value collected(std::span<const Value> items, Make&& make) {
  ValueGraphBuilder builder;
  Grafter grafter;
  std::vector<NodeId> ids;
  ids.reserve(items.size());
  for (const Value& item : items) ids.push_back(grafter.graft(builder, item));
  const NodeId node = make(builder, ids);
  return Value(std::move(builder).finish(), node);
}

std::string_view tensor_class_name(TensorClass tensor_class) noexcept {
  switch (tensor_class) {
    case TensorClass::parameter:
      return "torch.nn.parameter.Parameter";
    case TensorClass::buffer:
      return "torch.nn.parameter.Buffer";
    case TensorClass::tensor:
      break;
  }
  return "torch.Tensor";
}

}  // namespace

std::string_view to_string(ValueKind kind) noexcept {
  switch (kind) {
    case ValueKind::none:
      return "none";
    case ValueKind::boolean:
      return "bool";
    case ValueKind::integer:
      return "int";
    case ValueKind::real:
      return "float";
    case ValueKind::complex:
      return "complex";
    case ValueKind::string:
      return "str";
    case ValueKind::bytes:
      return "bytes";
    case ValueKind::bytearray:
      return "bytearray";
    case ValueKind::list:
      return "list";
    case ValueKind::tuple:
      return "tuple";
    case ValueKind::dict:
      return "dict";
    case ValueKind::set:
      return "set";
    case ValueKind::frozenset:
      return "frozenset";
    case ValueKind::tensor:
      return "tensor";
    case ValueKind::composite:
      return "composite";
    case ValueKind::storage:
      return "storage";
    case ValueKind::dtype:
      return "dtype";
    case ValueKind::device:
      return "device";
    case ValueKind::size:
      return "size";
    case ValueKind::global:
      return "global";
    case ValueKind::opaque:
      return "opaque";
    case ValueKind::ndarray:
      return "ndarray";
  }
  return "?";
}

// --- making
// -----------------------------------------------------------------------------------------------------------

Value::Value() = default;
Value::Value(std::shared_ptr<const ValueGraph> graph, std::uint32_t node) noexcept
    : graph_(std::move(graph)), node_(node) {}
Value::Value(bool value) : Value(single([&](ValueGraphBuilder& b) { return b.boolean(value); })) {}
Value::Value(int value) : Value(std::int64_t{value}) {}
Value::Value(std::int64_t value) : Value(single([&](ValueGraphBuilder& b) { return b.integer(value); })) {}
Value::Value(double value) : Value(single([&](ValueGraphBuilder& b) { return b.real(value); })) {}
Value::Value(const char* utf8) : Value(std::string_view(utf8)) {}
Value::Value(std::string_view utf8) : Value(single([&](ValueGraphBuilder& b) { return b.string(utf8); })) {}
Value::Value(const std::string& utf8) : Value(std::string_view(utf8)) {}
Value::Value(Tensor tensor) : Value(single([&](ValueGraphBuilder& b) { return b.tensor(std::move(tensor)); })) {}

Value::Value(CompositeTensor tensor)
    : Value(single([&](ValueGraphBuilder& b) { return b.composite(std::move(tensor)); })) {}

Value Value::bytes(std::span<const std::byte> bytes) {
  return single([&](ValueGraphBuilder& b) { return b.bytes(as_text(bytes)); });
}

Value Value::list(std::span<const Value> items) {
  return collected(items, [](ValueGraphBuilder& b, std::span<const NodeId> ids) {
    const NodeId list = b.list();
    for (const NodeId id : ids) b.append(list, id);
    return list;
  });
}

Value Value::tuple(std::span<const Value> items) {
  return collected(items, [](ValueGraphBuilder& b, std::span<const NodeId> ids) { return b.tuple(ids); });
}

Value Value::dict(std::span<const std::pair<Value, Value>> items) {
  ValueGraphBuilder builder;
  Grafter grafter;
  const NodeId dict = builder.dict();
  for (const auto& [key, value] : items) {
    const NodeId key_node = grafter.graft(builder, key);
    const NodeId value_node = grafter.graft(builder, value);
    // A key that is not hashable is left out, as the header says.
    static_cast<void>(builder.set_item(dict, key_node, value_node));
  }
  return Value(std::move(builder).finish(), dict);
}

// --- leaves
// -----------------------------------------------------------------------------------------------------------

ValueKind Value::kind() const noexcept {
  const ValueNode* node = node_of(*this);
  return node != nullptr ? node->kind : ValueKind::none;
}

bool Value::exists() const noexcept {
  return node_ != kNoNode;
}

std::optional<bool> Value::as_bool() const noexcept {
  const ValueNode* node = node_of(*this);
  if (node == nullptr || node->kind != ValueKind::boolean) return std::nullopt;
  return node->boolean;
}

std::optional<std::int64_t> Value::as_int() const noexcept {
  const ValueNode* node = node_of(*this);
  if (node == nullptr) return std::nullopt;
  if (node->kind == ValueKind::boolean) return node->boolean ? 1 : 0;
  if (node->kind == ValueKind::integer && !node->big) return node->integer;
  return std::nullopt;
}

std::optional<std::string> Value::as_decimal() const {
  if (const auto small = as_int()) return std::to_string(*small);
  const ValueNode* node = node_of(*this);
  if (node == nullptr || node->kind != ValueKind::integer) return std::nullopt;
  return to_decimal(node->text.view());
}

std::optional<double> Value::as_double() const noexcept {
  if (const auto small = as_int()) return static_cast<double>(*small);
  const ValueNode* node = node_of(*this);
  if (node == nullptr) return std::nullopt;
  if (node->kind == ValueKind::real) return node->real;
  if (node->kind == ValueKind::integer) return to_double(node->text.view());
  return std::nullopt;
}

std::optional<std::complex<double>> Value::as_complex() const noexcept {
  const ValueNode* node = node_of(*this);
  if (node != nullptr && node->kind == ValueKind::complex) {
    return std::complex<double>(node->complex[0], node->complex[1]);
  }
  if (const auto real = as_double()) return std::complex<double>(*real, 0);
  return std::nullopt;
}

std::optional<std::string_view> Value::as_string() const noexcept {
  const ValueNode* node = node_of(*this);
  if (node == nullptr || node->kind != ValueKind::string) return std::nullopt;
  return node->text.view();
}

std::optional<std::span<const std::byte>> Value::as_bytes() const noexcept {
  const ValueNode* node = node_of(*this);
  if (node == nullptr || (node->kind != ValueKind::bytes && node->kind != ValueKind::bytearray)) return std::nullopt;
  return as_byte_span(node->text.view());
}

std::optional<Tensor> Value::as_tensor() const {
  const ValueNode* node = node_of(*this);
  if (node == nullptr || node->kind != ValueKind::tensor) return std::nullopt;
  return graph_->tensors[node->index];
}

std::optional<CompositeTensor> Value::as_composite() const {
  const ValueNode* node = node_of(*this);
  if (node == nullptr || node->kind != ValueKind::composite) return std::nullopt;
  return graph_->composites[node->index];
}

std::optional<Storage> Value::as_storage() const {
  const ValueNode* node = node_of(*this);
  if (node == nullptr || node->kind != ValueKind::storage) return std::nullopt;
  return graph_->storages[node->index].storage;
}

std::optional<DType> Value::as_dtype() const noexcept {
  const ValueNode* node = node_of(*this);
  if (node == nullptr) return std::nullopt;
  if (node->kind == ValueKind::dtype) return node->dtype;
  if (node->kind == ValueKind::storage) return graph_->storages[node->index].dtype;
  return std::nullopt;
}

std::optional<std::string_view> Value::as_device() const noexcept {
  const ValueNode* node = node_of(*this);
  if (node == nullptr || node->kind != ValueKind::device) return std::nullopt;
  return node->text.view();
}

const NdArray* Value::as_ndarray() const noexcept {
  const NodeExtra* extra = graph_ ? graph_->extra(node_) : nullptr;
  return extra != nullptr ? extra->ndarray.get() : nullptr;
}

std::optional<std::string_view> Value::numpy_dtype() const noexcept {
  const NodeExtra* extra = graph_ ? graph_->extra(node_) : nullptr;
  if (extra == nullptr || extra->numpy_dtype.empty()) return std::nullopt;
  return extra->numpy_dtype;
}

std::string_view to_string(ArrayOrder order) noexcept {
  switch (order) {
    case ArrayOrder::c:
      return "C";
    case ArrayOrder::fortran:
      return "F";
    case ArrayOrder::permuted:
      return "K";
  }
  return "?";
}

// --- containers
// -------------------------------------------------------------------------------------------------------

std::size_t Value::item_count() const noexcept {
  return graph_ ? graph_->items(node_).size() : 0;
}

std::size_t Value::entry_count() const noexcept {
  return graph_ ? graph_->entries(node_).size() / 2 : 0;
}

std::size_t Value::size() const noexcept {
  const std::size_t items = item_count();
  return items != 0 ? items : entry_count();
}

Value Value::item(std::size_t index) const {
  if (index >= item_count()) return absent();
  return Value(graph_, graph_->items(node_)[index]);
}

std::pair<Value, Value> Value::entry(std::size_t index) const {
  if (index >= entry_count()) return {absent(), absent()};
  const std::span<const NodeId> entries = graph_->entries(node_);
  return {Value(graph_, entries[2 * index]), Value(graph_, entries[2 * index + 1])};
}

Value Value::get(const Value& key) const {
  if (!graph_ || !key.exists()) return absent();
  // None has no graph of its own: every graph has it.
  const ValueGraph& key_graph = key.graph_ ? *key.graph_ : *graph_;
  const NodeId key_node = key.graph_ ? key.node_ : ValueGraph::kNone;
  if (graph_->entries(node_).empty()) return absent();  // sets are asked for items, not for values
  const auto position = graph_->find_key(node_, key_graph, key_node);
  return position ? entry(*position).second : absent();
}

Value Value::operator[](std::string_view key) const {
  return graph_ ? value_or_absent(graph_, graph_->value_of(node_, key)) : absent();
}

// --- objects
// ----------------------------------------------------------------------------------------------------------

std::string_view Value::class_name() const noexcept {
  const ValueNode* node = node_of(*this);
  if (node == nullptr) return "NoneType";
  if (node->kind == ValueKind::global) return node->text.view();
  if (const NodeExtra* extra = graph_->extra(node_); extra != nullptr && !extra->class_name.empty()) {
    return extra->class_name;
  }
  switch (node->kind) {
    case ValueKind::none:
      return "NoneType";
    case ValueKind::tensor:
      return tensor_class_name(graph_->tensors[node->index].options().tensor_class);
    case ValueKind::composite:
      return tensor_class_name(graph_->composites[node->index].options().tensor_class);
    case ValueKind::storage:
      return "torch.UntypedStorage";
    case ValueKind::dtype:
      return "torch.dtype";
    case ValueKind::device:
      return "torch.device";
    case ValueKind::size:
      return "torch.Size";
    case ValueKind::opaque:
      return {};
    default:
      return to_string(node->kind);
  }
}

Value Value::arguments() const {
  const NodeExtra* extra = graph_ ? graph_->extra(node_) : nullptr;
  return value_or_absent(graph_, extra != nullptr ? extra->arguments : kNoNode);
}

Value Value::state() const {
  return value_or_absent(graph_, graph_ ? graph_->state(node_) : kNoNode);
}

Value Value::attr(std::string_view name) const {
  return graph_ ? value_or_absent(graph_, graph_->attribute(node_, name)) : absent();
}

std::vector<std::pair<std::string_view, Value>> Value::attributes() const {
  std::vector<std::pair<std::string_view, Value>> all;
  if (!graph_) return all;
  for (const NodeId dict : graph_->attributes(node_)) {
    const std::span<const NodeId> entries = graph_->entries(dict);
    for (std::size_t i = 0; i < entries.size(); i += 2) {
      all.emplace_back((*graph_)[entries[i]].text.view(), Value(graph_, entries[i + 1]));
    }
  }
  return all;
}

bool Value::same_object(const Value& other) const noexcept {
  if (!exists() || !other.exists()) return false;
  if (graph_ == other.graph_) return node_ == other.node_;
  // What there is only one of in Python.
  if (kind() != other.kind()) return false;
  return kind() == ValueKind::none || (kind() == ValueKind::boolean && as_bool() == other.as_bool());
}

}  // namespace rushlight
