// What a pickle stream makes: inert objects in one arena, linked by index. Sharing is free, cycles are visible, and
// destruction never recurses. Names, calls and persistent ids are data; src/checkpoint gives some of them a meaning.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.hpp"

namespace rushlight::pickle {

using ObjectId = std::uint32_t;
inline constexpr ObjectId kNoObject = 0xFFFFFFFFu;

enum class ObjectKind : std::uint8_t {
  none,
  boolean,
  integer,      // fits int64
  big_integer,  // two's complement, little-endian, any length
  real,
  string,       // UTF-8, surrogates passed through
  byte_string,  // Python 2 str (STRING, BINSTRING, SHORT_BINSTRING): undecided text or bytes
  bytes,
  bytearray,
  list,
  tuple,
  dict,
  set,
  frozenset,
  global,      // module and name; this and those below are what src/checkpoint gives a role
  call,        // an object made by REDUCE, NEWOBJ, NEWOBJ_EX, INST or OBJ; collects BUILD, APPEND and SETITEM
  persistent,  // BINPERSID or PERSID with its argument
};
std::string_view to_string(ObjectKind kind) noexcept;

enum class CallKind : std::uint8_t { reduce, newobj, newobj_ex, inst, obj };

// The result of one pickle: an arena of objects, immutable once the machine has finished.
class ObjectGraph {
 public:
  ObjectGraph();
  ObjectGraph(ObjectGraph&&) noexcept;
  ObjectGraph& operator=(ObjectGraph&&) noexcept;
  ~ObjectGraph();

  [[nodiscard]] ObjectId root() const noexcept;
  [[nodiscard]] std::size_t size() const noexcept;  // number of objects; ids are 0 .. size() - 1

  [[nodiscard]] ObjectKind kind(ObjectId id) const noexcept;
  // Byte offset, in the stream, of the opcode that made the object.
  [[nodiscard]] std::uint64_t offset(ObjectId id) const noexcept;

  [[nodiscard]] bool boolean(ObjectId id) const noexcept;
  [[nodiscard]] std::int64_t integer(ObjectId id) const noexcept;
  [[nodiscard]] double real(ObjectId id) const noexcept;
  // string, byte_string, bytes, bytearray, big_integer (its two's complement bytes). Views into the pickle's own bytes
  // where the stream holds them verbatim: the caller keeps those alive as long as the graph.
  [[nodiscard]] std::string_view text(ObjectId id) const noexcept;
  // list, tuple, set, frozenset: items. call: items that APPEND(S)/ADDITEMS added.
  [[nodiscard]] std::span<const ObjectId> items(ObjectId id) const noexcept;
  // dict, call: key, value, key, value ... in stream order, duplicates included.
  [[nodiscard]] std::span<const ObjectId> pairs(ObjectId id) const noexcept;
  // global: names exactly as the stream has them (Python 2 names are not mapped here).
  [[nodiscard]] std::string_view module(ObjectId id) const noexcept;
  [[nodiscard]] std::string_view name(ObjectId id) const noexcept;
  // call
  [[nodiscard]] CallKind call_kind(ObjectId id) const noexcept;
  [[nodiscard]] ObjectId callable(ObjectId id) const noexcept;   // usually a global
  [[nodiscard]] ObjectId arguments(ObjectId id) const noexcept;  // a tuple (INST and OBJ: one is made)
  [[nodiscard]] ObjectId keywords(ObjectId id) const noexcept;   // NEWOBJ_EX: a dict; else kNoObject
  // A REDUCE to which nothing was added afterwards: what torch makes its tensors with.
  [[nodiscard]] bool is_bare_reduce(ObjectId id) const noexcept;
  // call, and list/dict/tuple/... where a stream BUILDs on them: the BUILD states in order (usually none or one).
  [[nodiscard]] std::span<const ObjectId> states(ObjectId id) const noexcept;
  // persistent
  [[nodiscard]] ObjectId persistent_argument(ObjectId id) const noexcept;

  class Storage;  // the arena, src/pickle/arena.hpp
  [[nodiscard]] Storage& storage() noexcept { return *storage_; }
  [[nodiscard]] const Storage& storage() const noexcept { return *storage_; }

 private:
  std::unique_ptr<Storage> storage_;
};

}  // namespace rushlight::pickle

#include "pickle/arena.hpp"  // defines the accessors
