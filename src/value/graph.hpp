// The arena behind Value: nodes linked by index. Built once (ValueGraphBuilder), then immutable and shared.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "rushlight/tensor.hpp"
#include "rushlight/value.hpp"
#include "value/node.hpp"

namespace rushlight {

// Makes a graph node by node. Containers may be filled after they were made, so cycles are easy; every id returned here
// is one object (identity; None, True and False are one each, as in Python). Texts are copied unless `borrowed` says
// that `keep_alive` owns them.
class ValueGraphBuilder {
 public:
  // `keep_alive` owns the bytes behind texts added with borrowed = true (the pickle record, typically).
  explicit ValueGraphBuilder(std::shared_ptr<const void> keep_alive = nullptr);
  ValueGraphBuilder(ValueGraphBuilder&&) noexcept;
  ValueGraphBuilder& operator=(ValueGraphBuilder&&) noexcept;
  ~ValueGraphBuilder();

  NodeId none();
  NodeId boolean(bool value);
  NodeId integer(std::int64_t value);
  NodeId big_integer(std::string_view twos_complement_le);  // any length
  NodeId real(double value);
  NodeId complex(double re, double im);
  NodeId string(std::string_view utf8, bool borrowed = false);
  NodeId bytes(std::string_view bytes, bool borrowed = false);
  NodeId bytearray(std::string_view bytes, bool borrowed = false);
  NodeId list();
  NodeId tuple(std::span<const NodeId> items);
  NodeId size(std::span<const NodeId> items);  // torch.Size
  NodeId dict();
  NodeId set();
  // Equal items count once. kNoNode when one is not hashable in Python.
  NodeId frozenset(std::span<const NodeId> items);
  NodeId tensor(Tensor tensor);
  // Another tensor in the same place, with the same attributes: an object that no file has spelt.
  void replace_tensor(NodeId node, Tensor tensor);
  // Its parts become tensors of their own, its attributes.
  NodeId composite(CompositeTensor tensor);
  // The same without the parts: whoever copies a graph has them already.
  NodeId bare_composite(CompositeTensor tensor);
  NodeId storage(Storage storage, DType dtype);
  NodeId dtype(DType dtype);
  NodeId device(std::string_view text);
  NodeId global(std::string_view class_name);
  // class_name is "module.name"; arguments a tuple node or kNoNode.
  NodeId opaque(std::string_view class_name, NodeId arguments);
  // An array of objects is filled with append().
  NodeId ndarray(std::string_view class_name, NdArray array);
  // The value as a scalar of NumPy: with its class and dtype. `node` is not to be used again; the id may be another
  // one.
  NodeId numpy_scalar(NodeId node, std::string_view class_name, std::string_view dtype);

  // An id whose kind is decided later (a tuple met inside itself): becomes() gives it the content of another node,
  // which is not to be used again: the object is the placeholder.
  NodeId placeholder();
  void becomes(NodeId placeholder, NodeId node);

  // list, set, ndarray, and opaque objects (list subclasses). A set takes equal items (Python's ==) once; false when an
  // item of a set is not hashable, which is then left out.
  bool append(NodeId container, NodeId item);
  // dict, and opaque objects (dict subclasses). A key equal to one that is there (Python's ==) replaces its value.
  // False when the key is not hashable in Python (list, dict, set, bytearray, a tuple that holds one).
  [[nodiscard]] bool set_item(NodeId container, NodeId key, NodeId value);
  // opaque: the BUILD state. Others (OrderedDict with `_metadata`, tensors): a dict of attributes.
  void set_state(NodeId object, NodeId state);
  // A class name for a dict that is a known subclass ("collections.OrderedDict", "collections.Counter").
  void set_class(NodeId node, std::string_view class_name);

  [[nodiscard]] ValueKind kind(NodeId node) const noexcept;
  // Whether a dict would take it as a key.
  [[nodiscard]] bool hashable(NodeId node);
  [[nodiscard]] std::size_t node_count() const noexcept;
  [[nodiscard]] std::shared_ptr<const ValueGraph> finish() &&;

  // For src/value itself.
  [[nodiscard]] ValueGraph& graph() noexcept { return *graph_; }
  [[nodiscard]] const ValueGraph& graph() const noexcept { return *graph_; }
  [[nodiscard]] KeyMemo& memo() noexcept { return memo_; }

 private:
  bool add_to_set(NodeId set, NodeId item);
  void index_added(NodeId container, std::uint64_t hash, std::uint32_t position);

  std::unique_ptr<ValueGraph> graph_;
  KeyMemo memo_;
};

}  // namespace rushlight
