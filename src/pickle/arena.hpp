// The arena behind ObjectGraph: 16 bytes an object, children in one pool, no allocation per object.
#pragma once

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

}  // namespace rushlight::pickle
