/// \file
/// Value: a handle into an inert graph of Python objects. Nothing in it can run.
///
/// The graph keeps what a checkpoint holds: identity (one list met twice is one list), cycles, any hashable dict key,
/// integers of any size, and objects of classes nobody here knows, as *opaque* values with class, arguments and state.
#pragma once

#include <complex>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "rushlight/composite_tensor.hpp"
#include "rushlight/export.hpp"
#include "rushlight/ndarray.hpp"
#include "rushlight/result.hpp"
#include "rushlight/tensor.hpp"

namespace rushlight {

class ValueGraph;  // src/value/graph.hpp
class ValueEditor;

enum class ValueKind : std::uint8_t {
  none,
  boolean,
  integer,  ///< of any size; as_int() when it fits 64 bits
  real,     ///< Python float
  complex,
  string,  ///< UTF-8; lone surrogates kept as their three bytes
  bytes,
  bytearray,
  list,
  tuple,
  dict,
  set,
  frozenset,
  tensor,
  composite,  ///< a sparse or nested tensor; its parts are attributes: "indices", "values" ...
  storage,    ///< a storage saved by itself
  dtype,
  device,
  size,     ///< torch.Size
  global,   ///< a class or function, by name: data only
  opaque,   ///< an object of a class without meaning here: class, arguments, state, items
  ndarray,  ///< a NumPy array; its items where its elements are objects. NumPy scalars are numbers and texts
};
RUSHLIGHT_API std::string_view to_string(ValueKind kind) noexcept;

struct PathStep;
/// From a container down to something in it.
using Path = std::vector<PathStep>;

/// A handle: cheap to copy, immutable, usable from several threads at once; keeps its whole graph alive.
/// Accessors never fail loudly: a wrong kind gives nullopt, an absent child gives Value::none() with exists() false.
class RUSHLIGHT_API Value {
 public:
  /// Python's None.
  Value();
  static Value none() { return {}; }
  Value(bool value);               // NOLINT(google-explicit-constructor)
  Value(int value);                // NOLINT(google-explicit-constructor)
  Value(std::int64_t value);       // NOLINT(google-explicit-constructor)
  Value(double value);             // NOLINT(google-explicit-constructor)
  Value(const char* utf8);         // NOLINT(google-explicit-constructor)
  Value(std::string_view utf8);    // NOLINT(google-explicit-constructor)
  Value(const std::string& utf8);  // NOLINT(google-explicit-constructor)
  Value(Tensor tensor);            // NOLINT(google-explicit-constructor)
  Value(CompositeTensor tensor);   // NOLINT(google-explicit-constructor)
  static Value bytes(std::span<const std::byte> bytes);
  static Value list(std::span<const Value> items);
  static Value tuple(std::span<const Value> items);
  /// Later duplicates of a key (in Python's equality) replace the value, as in Python. Pairs whose key is not hashable
  /// in Python are left out.
  static Value dict(std::span<const std::pair<Value, Value>> items);

  [[nodiscard]] ValueKind kind() const noexcept;
  [[nodiscard]] bool is_none() const noexcept { return kind() == ValueKind::none; }
  /// False for what look-ups return when there is nothing; such a value also reads as None.
  [[nodiscard]] bool exists() const noexcept;

  [[nodiscard]] std::optional<bool> as_bool() const noexcept;
  /// Integers that fit, and bools as 0 and 1, as in Python.
  [[nodiscard]] std::optional<std::int64_t> as_int() const noexcept;
  /// Any integer as decimal text.
  [[nodiscard]] std::optional<std::string> as_decimal() const;
  /// Floats, integers and bools; integers beyond the largest double have none.
  [[nodiscard]] std::optional<double> as_double() const noexcept;
  [[nodiscard]] std::optional<std::complex<double>> as_complex() const noexcept;
  /// Valid while this graph lives.
  [[nodiscard]] std::optional<std::string_view> as_string() const noexcept;
  [[nodiscard]] std::optional<std::span<const std::byte>> as_bytes() const noexcept;
  [[nodiscard]] std::optional<Tensor> as_tensor() const;
  [[nodiscard]] std::optional<CompositeTensor> as_composite() const;
  [[nodiscard]] std::optional<Storage> as_storage() const;
  /// A dtype object, or the element type of a storage saved by itself.
  [[nodiscard]] std::optional<DType> as_dtype() const noexcept;
  /// A NumPy array; valid while this graph lives. nullptr for everything else, tensors too.
  [[nodiscard]] const NdArray* as_ndarray() const noexcept;
  /// NumPy's name of the dtype of an array or scalar of NumPy, "<f4"; none for values that are not NumPy's. A scalar is
  /// otherwise a value of its kind (a number, a text, bytes) whose class_name() is "numpy.float32".
  [[nodiscard]] std::optional<std::string_view> numpy_dtype() const noexcept;
  /// "cuda:0" for torch.device objects.
  [[nodiscard]] std::optional<std::string_view> as_device() const noexcept;

  /// Children of list, tuple, set, frozenset, size; the objects of an array of objects;
  /// entries of a dict; of an opaque object the items it carries, or else its entries;
  /// 0 otherwise.
  [[nodiscard]] std::size_t size() const noexcept;
  /// What item() can reach: the children of sequences and sets, and of opaque objects that are list subclasses.
  [[nodiscard]] std::size_t item_count() const noexcept;
  /// What entry() can reach: the entries of dicts, and of opaque objects that are dict subclasses.
  [[nodiscard]] std::size_t entry_count() const noexcept;
  /// The i-th child of a sequence or set (in insertion order), or of an opaque object that carries items.
  [[nodiscard]] Value item(std::size_t index) const;
  /// The i-th entry of a dict, or of an opaque object that carries items (a dict subclass), in insertion order.
  [[nodiscard]] std::pair<Value, Value> entry(std::size_t index) const;
  /// The value under a key, in Python's equality (1 == 1.0 == True); dicts and dict subclasses.
  [[nodiscard]] Value get(const Value& key) const;
  [[nodiscard]] Value operator[](std::string_view key) const;
  [[nodiscard]] Value operator[](const char* key) const { return (*this)[std::string_view(key)]; }
  /// item(); a template so that value[0] is no null pointer. Negative indices lead nowhere.
  template <std::integral Index>
  [[nodiscard]] Value operator[](Index index) const {
    return item(static_cast<std::size_t>(index));
  }
  [[nodiscard]] bool contains(std::string_view key) const { return (*this)[key].exists(); }

  /// The class of the object, as `module.name`: "collections.OrderedDict", "argparse.Namespace", "torch.Tensor"; for
  /// ValueKind::global the name itself; for builtin kinds Python's name ("int", "dict").
  [[nodiscard]] std::string_view class_name() const noexcept;
  /// Opaque objects: the arguments of the call that makes them (a tuple), and the BUILD state; None when absent.
  [[nodiscard]] Value arguments() const;
  [[nodiscard]] Value state() const;
  /// An attribute: of an opaque object's state (a dict, or the pair of a dict and a dict of slots), or one that BUILD
  /// put on another object, such as an OrderedDict (`_metadata`) or a tensor.
  [[nodiscard]] Value attr(std::string_view name) const;
  /// All attributes, in order; empty when the state is something else (then state() gives it).
  [[nodiscard]] std::vector<std::pair<std::string_view, Value>> attributes() const;

  /// Follows steps from here; exists() is false when one leads nowhere.
  [[nodiscard]] Value at(std::span<const PathStep> path) const;
  /// As above with the readable form, "optimizer.param_groups[0].lr"; keys with dots are tried longest first. Whatever
  /// walk() names is found again, save where two names are equal (a key "a.b" beside "a" with a "b").
  [[nodiscard]] Value at(std::string_view path) const;

  /// The same object (`a is b`), not merely an equal one.
  [[nodiscard]] bool same_object(const Value& other) const noexcept;
  /// A number that tells objects of one graph apart: equal for equal identity.
  [[nodiscard]] std::uint32_t identity() const noexcept { return node_; }

  /// For the library's own layers.
  Value(std::shared_ptr<const ValueGraph> graph, std::uint32_t node) noexcept;
  [[nodiscard]] const std::shared_ptr<const ValueGraph>& graph() const noexcept { return graph_; }

 private:
  std::shared_ptr<const ValueGraph> graph_;  // null: None, or absent when node_ is kAbsent
  std::uint32_t node_ = 0;
};

/// One step from a container to something in it: a dict key, the index of a sequence's or set's item, or an attribute
/// of an object. The arguments that make an opaque object are its attribute "args" ("__args__" where it has one of that
/// name); a state that is no set of attributes stands for the object itself where it is a container, and is its
/// attribute "__state__" otherwise.
struct PathStep {
  enum class Kind : std::uint8_t { key, index, attr };
  Kind kind = Kind::key;
  std::int64_t index = 0;    ///< for Kind::index, and for Kind::key when the key is an integer
  std::string text{};        ///< for Kind::attr; for Kind::key when the key is a string, or `other_key` for people
  bool integer_key = false;  ///< Kind::key only: `index` holds the key
  /// Kind::key only: a key that is neither a string nor an integer of 64 bits. `text` is then Python's notation of it:
  /// "None", "(1, 'a')", "0.5"; where there is none, its class and its place in the dict: "<torch.Tensor #0>".
  std::optional<Value> other_key{};

  friend bool operator==(const PathStep& a, const PathStep& b) noexcept {
    return a.kind == b.kind && a.index == b.index && a.text == b.text && a.integer_key == b.integer_key &&
           a.other_key.has_value() == b.other_key.has_value();
  }
};

/// String keys and attributes joined with '.', everything else in brackets: `model_state_dict.conv1.weight`,
/// `optimizer.state[0].exp_avg`, `cache[(1, 2)]` (the contract of the command line, "names of tensors").
RUSHLIGHT_API std::string to_string(std::span<const PathStep> path);

/// What a walk over a value graph visits; see walk().
struct WalkItem {
  const Value* value;
  std::span<const PathStep> path;
  bool seen_before;  ///< this very object was visited under another path: its children are not visited again
};
/// Visits a graph in traversal order (parents before children, insertion order; dict keys are part of the path and not
/// visited), without recursion. Return false from `visit` to skip the children.
///
/// Lists, dicts, sets and opaque objects are entered once; tuples, torch.Size, frozensets and tensors (whose attributes
/// follow them) under every path, as Python programs rarely know that they share them. ErrorCode::limit_exceeded after
/// `max_nodes` visits: memo bombs of tuples unfold exponentially.
RUSHLIGHT_API Status walk(const Value& root, const std::function<bool(const WalkItem&)>& visit,
                          std::uint64_t max_nodes = 10'000'000);

/// Changes a graph: copy-on-write. The Value it was made from never changes; tensors are shared, not copied.
///
///     ValueEditor edit(checkpoint.root());
///     edit.set("epoch", 5).value();
///     Value changed = edit.value();
class RUSHLIGHT_API ValueEditor {
 public:
  explicit ValueEditor(const Value& root);
  ValueEditor(ValueEditor&&) noexcept;
  ValueEditor& operator=(ValueEditor&&) noexcept;
  ~ValueEditor();

  /// Puts a value under a path; the last step may be a new dict key or attribute. An object that several containers
  /// share changes for all of them, as in Python. ErrorCode::not_found names the step that leads nowhere;
  /// ::invalid_argument for what Python cannot change either (tuples, sets by index).
  ///
  /// A new string key is what follows the last '.', or all that is left of the path where the dict has keys with dots
  /// already, as state dicts do. A Value of another graph is copied in with all it reaches, once: objects that it
  /// shares with Values set before stay shared.
  Status set(std::string_view path, const Value& value);
  Status set(std::span<const PathStep> path, const Value& value);
  /// To a list, a list subclass, or a set.
  Status append(std::string_view path_of_list, const Value& value);
  /// A dict entry, a list item or an attribute.
  Status erase(std::string_view path);
  /// A snapshot; the editor may go on.
  [[nodiscard]] Value value() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace rushlight
