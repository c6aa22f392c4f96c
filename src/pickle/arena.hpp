// The arena behind ObjectGraph: 16 bytes an object, children in one pool, no allocation per object.
#pragma once

#include <cassert>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/bytes.hpp"
#include "pickle/buffer.hpp"
#include "pickle/object.hpp"

namespace rushlight::pickle {

// A run of ids in Storage::slots. Those of lists, dicts, sets and states grow: room is kept up to the next power of two
// of `count`, so the capacity needs no field of its own.
struct Slice {
  std::uint32_t begin = 0;
  std::uint32_t count = 0;
};

// Where the text of a node lies: this many bytes behind its opcode, or one of these.
inline constexpr std::uint8_t kDecodedText = 0;      // in Storage::decoded, by Storage::texts[text]
inline constexpr std::uint8_t kNamesOnStack = 0xFF;  // global: module and name are string nodes

struct Node {
  ObjectKind kind = ObjectKind::none;
  std::uint8_t text_at = 0;
  std::uint16_t depth = 0;  // 0 for leaves, else 1 + the deepest child when it was added; stops at 65,535
  std::uint32_t offset = 0;
  struct Pair {
    std::uint32_t first, second;
  };
  union {
    std::int64_t integer;  // integer; boolean as 0 and 1
    double real;           // real
    std::uint64_t text;    // string kinds, big_integer: the length, or with kDecodedText an index into texts
    Slice slice;           // list, tuple, dict, set, frozenset
    Pair names;            // global: lengths of the two lines, or with kNamesOnStack two string nodes
    std::uint32_t call;    // call: an index into calls
    Pair persistent;       // the argument, an index into additions or kNoObject
  };
};
static_assert(sizeof(Node) == 16);

struct Call {
  ObjectId callable;
  ObjectId arguments;
  ObjectId keywords;
  std::uint32_t additions;  // an index into additions, or kNoObject
  CallKind kind;
};

// What later opcodes gave to an object: rare, so kept apart.
struct Additions {
  Slice items;
  Slice pairs;
  Slice states;
};

struct TextRange {
  std::size_t begin, size;
};

class ObjectGraph::Storage {
 public:
  [[nodiscard]] std::string_view text_of(ObjectId id) const noexcept {
    const Node& node = nodes[id];
    if (node.text_at == kDecodedText) {
      const TextRange& range = texts[static_cast<std::size_t>(node.text)];
      return {decoded.data() + range.begin, range.size};
    }
    return as_text(stream.subspan(std::size_t{node.offset} + node.text_at, static_cast<std::size_t>(node.text)));
  }
  [[nodiscard]] std::span<const ObjectId> slice(Slice part) const noexcept {
    return slots.span().subspan(part.begin, part.count);
  }

  // Appends ids to a growing slice: in place when it has room or is the last one, else it moves to the end of the pool.
  // These three say false, or null, when there is no memory.
  [[nodiscard]] bool extend(Slice& slice, const ObjectId* ids, std::size_t count) noexcept;
  // The record of what a call or persistent object collects beside its making, made when there is none.
  [[nodiscard]] Additions* additions_of(ObjectId id) noexcept;
  // Keeps a decoded text; its number is texts.size() - 1.
  [[nodiscard]] bool add_text(std::string_view text) noexcept;

  ByteSpan stream;
  Buffer<Node> nodes;
  Buffer<ObjectId> slots;
  Buffer<Call> calls;
  Buffer<Additions> additions;
  Buffer<char> decoded;
  Buffer<TextRange> texts;
  ObjectId root = kNoObject;
};

// --- the accessors of ObjectGraph: inline, for src/checkpoint asks a dozen of them for every object ---

inline ObjectId ObjectGraph::root() const noexcept {
  return storage_->root;
}
inline std::size_t ObjectGraph::size() const noexcept {
  return storage_->nodes.size();
}
inline ObjectKind ObjectGraph::kind(ObjectId id) const noexcept {
  return storage_->nodes[id].kind;
}
inline std::uint64_t ObjectGraph::offset(ObjectId id) const noexcept {
  return storage_->nodes[id].offset;
}

inline bool ObjectGraph::boolean(ObjectId id) const noexcept {
  assert(kind(id) == ObjectKind::boolean);
  return storage_->nodes[id].integer != 0;
}
inline std::int64_t ObjectGraph::integer(ObjectId id) const noexcept {
  assert(kind(id) == ObjectKind::integer);
  return storage_->nodes[id].integer;
}
inline double ObjectGraph::real(ObjectId id) const noexcept {
  assert(kind(id) == ObjectKind::real);
  return storage_->nodes[id].real;
}

inline std::string_view ObjectGraph::text(ObjectId id) const noexcept {
  assert(kind(id) >= ObjectKind::big_integer && kind(id) <= ObjectKind::bytearray && kind(id) != ObjectKind::real);
  return storage_->text_of(id);
}

inline std::span<const ObjectId> ObjectGraph::items(ObjectId id) const noexcept {
  const Node& node = storage_->nodes[id];
  if (node.kind == ObjectKind::call) {
    const std::uint32_t additions = storage_->calls[node.call].additions;
    return additions == kNoObject ? std::span<const ObjectId>() : storage_->slice(storage_->additions[additions].items);
  }
  assert(node.kind == ObjectKind::list || node.kind == ObjectKind::tuple || node.kind == ObjectKind::set ||
         node.kind == ObjectKind::frozenset);
  return storage_->slice(node.slice);
}

inline std::span<const ObjectId> ObjectGraph::pairs(ObjectId id) const noexcept {
  const Node& node = storage_->nodes[id];
  if (node.kind == ObjectKind::call) {
    const std::uint32_t additions = storage_->calls[node.call].additions;
    return additions == kNoObject ? std::span<const ObjectId>() : storage_->slice(storage_->additions[additions].pairs);
  }
  assert(node.kind == ObjectKind::dict);
  return storage_->slice(node.slice);
}

inline std::span<const ObjectId> ObjectGraph::states(ObjectId id) const noexcept {
  const Node& node = storage_->nodes[id];
  std::uint32_t additions = kNoObject;
  if (node.kind == ObjectKind::call) additions = storage_->calls[node.call].additions;
  if (node.kind == ObjectKind::persistent) additions = node.persistent.second;
  return additions == kNoObject ? std::span<const ObjectId>() : storage_->slice(storage_->additions[additions].states);
}

inline std::string_view ObjectGraph::module(ObjectId id) const noexcept {
  const Node& node = storage_->nodes[id];
  assert(node.kind == ObjectKind::global);
  if (node.text_at == kNamesOnStack) return storage_->text_of(node.names.first);
  return as_text(storage_->stream.subspan(std::size_t{node.offset} + node.text_at, node.names.first));
}
inline std::string_view ObjectGraph::name(ObjectId id) const noexcept {
  const Node& node = storage_->nodes[id];
  assert(node.kind == ObjectKind::global);
  if (node.text_at == kNamesOnStack) return storage_->text_of(node.names.second);
  const std::size_t begin = std::size_t{node.offset} + node.text_at + node.names.first + 1;  // behind the newline
  return as_text(storage_->stream.subspan(begin, node.names.second));
}

inline CallKind ObjectGraph::call_kind(ObjectId id) const noexcept {
  assert(kind(id) == ObjectKind::call);
  return storage_->calls[storage_->nodes[id].call].kind;
}
inline ObjectId ObjectGraph::callable(ObjectId id) const noexcept {
  assert(kind(id) == ObjectKind::call);
  return storage_->calls[storage_->nodes[id].call].callable;
}
inline ObjectId ObjectGraph::arguments(ObjectId id) const noexcept {
  assert(kind(id) == ObjectKind::call);
  return storage_->calls[storage_->nodes[id].call].arguments;
}
inline ObjectId ObjectGraph::keywords(ObjectId id) const noexcept {
  assert(kind(id) == ObjectKind::call);
  return storage_->calls[storage_->nodes[id].call].keywords;
}
inline bool ObjectGraph::is_bare_reduce(ObjectId id) const noexcept {
  assert(kind(id) == ObjectKind::call);
  const Call& call = storage_->calls[storage_->nodes[id].call];
  return call.kind == CallKind::reduce && call.additions == kNoObject;
}
inline ObjectId ObjectGraph::persistent_argument(ObjectId id) const noexcept {
  assert(kind(id) == ObjectKind::persistent);
  return storage_->nodes[id].persistent.first;
}

}  // namespace rushlight::pickle
