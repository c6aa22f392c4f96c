#include "pickle/object.hpp"

#include "pickle/arena.hpp"

namespace rushlight::pickle {

std::string_view to_string(ObjectKind kind) noexcept {
  switch (kind) {
    case ObjectKind::none:
      return "None";
    case ObjectKind::boolean:
      return "bool";
    case ObjectKind::integer:
    case ObjectKind::big_integer:
      return "int";
    case ObjectKind::real:
      return "float";
    case ObjectKind::string:
      return "str";
    case ObjectKind::byte_string:
      return "Python 2 str";
    case ObjectKind::bytes:
      return "bytes";
    case ObjectKind::bytearray:
      return "bytearray";
    case ObjectKind::list:
      return "list";
    case ObjectKind::tuple:
      return "tuple";
    case ObjectKind::dict:
      return "dict";
    case ObjectKind::set:
      return "set";
    case ObjectKind::frozenset:
      return "frozenset";
    case ObjectKind::global:
      return "global";
    case ObjectKind::call:
      return "object";
    case ObjectKind::persistent:
      return "persistent object";
  }
  return "?";
}

ObjectGraph::ObjectGraph() : storage_(std::make_unique<Storage>()) {}
ObjectGraph::ObjectGraph(ObjectGraph&&) noexcept = default;
ObjectGraph& ObjectGraph::operator=(ObjectGraph&&) noexcept = default;
ObjectGraph::~ObjectGraph() = default;

}  // namespace rushlight::pickle
