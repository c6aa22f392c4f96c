// Makes an ObjectGraph object by object, for the pickler: what the machine makes from a stream, a writer makes here.
// Containers may be filled after they were made, tuples and calls too, so cycles are easy.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "pickle/object.hpp"

namespace rushlight::pickle {

// Every member returns kNoObject, or false, when there is no memory, and when it is given an object that there was none
// for; ids and texts are copied.
class ObjectGraphBuilder {
 public:
  ObjectId none();
  ObjectId boolean(bool value);
  ObjectId integer(std::int64_t value);
  ObjectId big_integer(std::string_view twos_complement_le);
  ObjectId real(double value);
  // string, byte_string, bytes, bytearray
  ObjectId text(ObjectKind kind, std::string_view text);
  // list, tuple, dict, set, frozenset, empty
  ObjectId container(ObjectKind kind);
  // Both names are objects of kind string: they have an identity of their own from protocol 4 on.
  ObjectId global(ObjectId module, ObjectId name);
  // callable and arguments by set_call().
  ObjectId call(CallKind kind);
  ObjectId persistent(ObjectId argument);

  [[nodiscard]] bool set_call(ObjectId call, ObjectId callable, ObjectId arguments, ObjectId keywords = kNoObject);
  // Items of a list, tuple, set, frozenset; of a call, what is appended to its result.
  [[nodiscard]] bool add_items(ObjectId container, std::span<const ObjectId> items);
  // Keys and values in turn, of a dict or a call.
  [[nodiscard]] bool add_pairs(ObjectId container, std::span<const ObjectId> pairs);
  [[nodiscard]] bool add_state(ObjectId call, ObjectId state);
  // Another text for an object that has one.
  [[nodiscard]] bool set_text(ObjectId id, std::string_view text);
  void set_root(ObjectId id);

  // False once there was no memory for anything: the graph then lacks it, and is good for nothing.
  [[nodiscard]] bool is_complete() const noexcept { return is_complete_; }
  [[nodiscard]] const ObjectGraph& graph() const noexcept { return graph_; }
  [[nodiscard]] ObjectGraph finish() && { return std::move(graph_); }

 private:
  ObjectId add(ObjectKind kind);
  // Gives `done`, and remembers where it is false.
  bool note(bool done) noexcept;
  [[nodiscard]] bool is_call(ObjectId id) const noexcept;

  ObjectGraph graph_;
  bool is_complete_ = true;
};

}  // namespace rushlight::pickle
