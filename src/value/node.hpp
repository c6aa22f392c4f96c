// The nodes behind Value: 24 bytes each, linked by index. Whatever only few of them have lies in a table beside.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "rushlight/tensor.hpp"
#include "rushlight/value.hpp"
#include "value/arena.hpp"
#include "value/hash_index.hpp"
#include "value/origin.hpp"

namespace rushlight {

using NodeId = std::uint32_t;
inline constexpr NodeId kNoNode = 0xFFFFFFFFu;
inline constexpr std::uint32_t kNoExtra = 0xFFFFFFFFu;

// What is known already about the large keys of one graph (long texts, tuples, frozensets). Without it a few bytes of a
// file, repeated, could ask for the same megabytes to be hashed or compared again and again.
struct KeyMemo {
  std::unordered_map<NodeId, std::uint64_t> hashes;
  std::unordered_map<NodeId, NodeId> twins;  // to an equal key that came before
};

// A growing array of ids in the arena.
struct Children {
  NodeId* data;
  std::uint32_t count;
  std::uint32_t capacity;

  [[nodiscard]] std::span<const NodeId> ids() const noexcept { return {data, count}; }
};

struct NodeText {
  const char* data;
  std::size_t size;

  [[nodiscard]] std::string_view view() const noexcept { return {data, size}; }
};

struct ValueNode {
  ValueKind kind = ValueKind::none;
  bool big = false;             // integer: `text` is its two's complement, little-endian, shortest, beyond 64 bits
  bool all_string_keys = true;  // dict
  std::uint32_t extra = kNoExtra;
  union {
    bool boolean;
    std::int64_t integer;
    double real;
    double complex[2];
    NodeText text;        // string, bytes, bytearray, device, global (its name), big integer
    Children children;    // items, of an array of objects too; of a dict keys and values in turn
    std::uint32_t index;  // tensor, composite, storage: into the graph's tables
    DType dtype;
  };

  ValueNode() noexcept : complex{} {}
  explicit ValueNode(ValueKind kind_in) noexcept : kind(kind_in), complex{} {}
};
static_assert(sizeof(ValueNode) == 24);

// What containers and objects have besides their items.
struct NodeExtra {
  std::string_view class_name;   // empty: the kind's own
  NodeId arguments = kNoNode;    // opaque
  NodeId state = kNoNode;        // of BUILD
  std::string_view numpy_dtype;  // of arrays and scalars of NumPy
  std::shared_ptr<const NdArray> ndarray;
  Children entries{};                // opaque: a dict subclass's keys and values in turn
  std::unique_ptr<HashIndex> index;  // over the keys of a dict or opaque object, or the items of a set
};

class ValueGraph {
 public:
  // Always there, the same in every graph.
  static constexpr NodeId kNone = 0;
  static constexpr NodeId kFalse = 1;
  static constexpr NodeId kTrue = 2;

  struct TypedStorage {
    Storage storage;
    DType dtype;
  };

  std::vector<ValueNode> nodes;
  std::vector<NodeExtra> extras;
  std::vector<Tensor> tensors;
  std::vector<CompositeTensor> composites;
  std::vector<TypedStorage> storages;
  std::vector<std::string_view> class_names;  // each once
  HashIndex class_index;
  Arena arena;
  std::shared_ptr<const void> keep_alive;
  std::uint64_t seed = random_seed();
  std::vector<std::shared_ptr<const ValueOrigin>> origins;
  std::vector<NodeOrigin> node_origins;  // by node, as far as it reaches

  [[nodiscard]] NodeOrigin origin_of(NodeId id) const noexcept {
    return id < node_origins.size() ? node_origins[id] : NodeOrigin{};
  }
  [[nodiscard]] const ValueNode& operator[](NodeId id) const noexcept { return nodes[id]; }
  [[nodiscard]] const NodeExtra* extra(NodeId id) const noexcept {
    return nodes[id].extra == kNoExtra ? nullptr : &extras[nodes[id].extra];
  }

  // Of a container, object or tensor of another class than its kind's own; empty otherwise.
  [[nodiscard]] std::string_view extra_class(NodeId id) const noexcept {
    const NodeExtra* const found = extra(id);
    return found == nullptr ? std::string_view() : found->class_name;
  }
  // Items of sequences, sets and list subclasses; empty for everything else.
  [[nodiscard]] std::span<const NodeId> items(NodeId id) const noexcept;
  // Keys and values in turn, of dicts and dict subclasses; empty for everything else.
  [[nodiscard]] std::span<const NodeId> entries(NodeId id) const noexcept;
  [[nodiscard]] NodeId state(NodeId id) const noexcept;
  // The dicts that hold an object's attributes: none, one, or two (`__dict__` and slots). A state of another form is
  // not attributes.
  struct Attributes {
    NodeId dicts[2] = {kNoNode, kNoNode};
    std::size_t count = 0;

    // Iterable itself: a view on a temporary would not live through a range-for.
    [[nodiscard]] const NodeId* begin() const noexcept { return dicts; }
    [[nodiscard]] const NodeId* end() const noexcept { return dicts + count; }
  };
  [[nodiscard]] Attributes attributes(NodeId id) const noexcept;

  // The position of an entry among entries(id) / 2, or of an item of a set.
  [[nodiscard]] std::optional<std::uint32_t> find_text(NodeId container, std::string_view key) const;
  [[nodiscard]] std::optional<std::uint32_t> find_key(NodeId container, const ValueGraph& key_graph, NodeId key) const;
  // The same with a hash that is known, under this graph's seed; the memos belong to this graph and to the key's.
  [[nodiscard]] std::optional<std::uint32_t> find_hashed(NodeId container, std::uint64_t hash,
                                                         const ValueGraph& key_graph, NodeId key, KeyMemo& mine,
                                                         KeyMemo& theirs) const;
  // The value under a string key, or kNoNode.
  [[nodiscard]] NodeId value_of(NodeId container, std::string_view key) const;
  // The value of an attribute, or kNoNode.
  [[nodiscard]] NodeId attribute(NodeId id, std::string_view name) const;

  // Changes, for the builder and the editor.
  NodeId add(const ValueNode& node);
  NodeExtra& make_extra(NodeId id);
  // The index of an origin, which is added where it is new.
  std::uint32_t index_of_origin(const std::shared_ptr<const ValueOrigin>& origin);
  // None, True and False have none; a node keeps the first it gets.
  void set_origin(NodeId id, NodeOrigin origin);
  void push(Children& children, NodeId id);
  [[nodiscard]] std::string_view intern_class(std::string_view name);
  [[nodiscard]] Children& children_of_entries(NodeId container);
  // Anew, after entries or items went away or came without being looked up. `memo` as for hash_key().
  void rebuild_index(NodeId container, KeyMemo& memo);
};

}  // namespace rushlight
