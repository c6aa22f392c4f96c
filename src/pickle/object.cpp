#include "pickle/object.hpp"

#include <cassert>

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

ObjectId ObjectGraph::root() const noexcept {
  return storage_->root;
}
std::size_t ObjectGraph::size() const noexcept {
  return storage_->nodes.size();
}
ObjectKind ObjectGraph::kind(ObjectId id) const noexcept {
  return storage_->nodes[id].kind;
}
std::uint64_t ObjectGraph::offset(ObjectId id) const noexcept {
  return storage_->nodes[id].offset;
}

bool ObjectGraph::boolean(ObjectId id) const noexcept {
  assert(kind(id) == ObjectKind::boolean);
  return storage_->nodes[id].integer != 0;
}
std::int64_t ObjectGraph::integer(ObjectId id) const noexcept {
  assert(kind(id) == ObjectKind::integer);
  return storage_->nodes[id].integer;
}
double ObjectGraph::real(ObjectId id) const noexcept {
  assert(kind(id) == ObjectKind::real);
  return storage_->nodes[id].real;
}

std::string_view ObjectGraph::text(ObjectId id) const noexcept {
  assert(kind(id) >= ObjectKind::big_integer && kind(id) <= ObjectKind::bytearray && kind(id) != ObjectKind::real);
  return storage_->text_of(id);
}

std::span<const ObjectId> ObjectGraph::items(ObjectId id) const noexcept {
  const Node& node = storage_->nodes[id];
  if (node.kind == ObjectKind::call) {
    const std::uint32_t additions = storage_->calls[node.call].additions;
    return additions == kNoObject ? std::span<const ObjectId>() : storage_->slice(storage_->additions[additions].items);
  }
  assert(node.kind == ObjectKind::list || node.kind == ObjectKind::tuple || node.kind == ObjectKind::set ||
         node.kind == ObjectKind::frozenset);
  return storage_->slice(node.slice);
}

std::span<const ObjectId> ObjectGraph::pairs(ObjectId id) const noexcept {
  const Node& node = storage_->nodes[id];
  if (node.kind == ObjectKind::call) {
    const std::uint32_t additions = storage_->calls[node.call].additions;
    return additions == kNoObject ? std::span<const ObjectId>() : storage_->slice(storage_->additions[additions].pairs);
  }
  assert(node.kind == ObjectKind::dict);
  return storage_->slice(node.slice);
}

std::span<const ObjectId> ObjectGraph::states(ObjectId id) const noexcept {
  const Node& node = storage_->nodes[id];
  std::uint32_t additions = kNoObject;
  if (node.kind == ObjectKind::call) additions = storage_->calls[node.call].additions;
  if (node.kind == ObjectKind::persistent) additions = node.persistent.second;
  return additions == kNoObject ? std::span<const ObjectId>() : storage_->slice(storage_->additions[additions].states);
}

std::string_view ObjectGraph::module(ObjectId id) const noexcept {
  const Node& node = storage_->nodes[id];
  assert(node.kind == ObjectKind::global);
  if (node.text_at == kNamesOnStack) return storage_->text_of(node.names.first);
  return as_text(storage_->stream.subspan(std::size_t{node.offset} + node.text_at, node.names.first));
}
std::string_view ObjectGraph::name(ObjectId id) const noexcept {
  const Node& node = storage_->nodes[id];
  assert(node.kind == ObjectKind::global);
  if (node.text_at == kNamesOnStack) return storage_->text_of(node.names.second);
  const std::size_t begin = std::size_t{node.offset} + node.text_at + node.names.first + 1;  // behind the newline
  return as_text(storage_->stream.subspan(begin, node.names.second));
}

CallKind ObjectGraph::call_kind(ObjectId id) const noexcept {
  assert(kind(id) == ObjectKind::call);
  return storage_->calls[storage_->nodes[id].call].kind;
}
ObjectId ObjectGraph::callable(ObjectId id) const noexcept {
  assert(kind(id) == ObjectKind::call);
  return storage_->calls[storage_->nodes[id].call].callable;
}
ObjectId ObjectGraph::arguments(ObjectId id) const noexcept {
  assert(kind(id) == ObjectKind::call);
  return storage_->calls[storage_->nodes[id].call].arguments;
}
ObjectId ObjectGraph::keywords(ObjectId id) const noexcept {
  assert(kind(id) == ObjectKind::call);
  return storage_->calls[storage_->nodes[id].call].keywords;
}
ObjectId ObjectGraph::persistent_argument(ObjectId id) const noexcept {
  assert(kind(id) == ObjectKind::persistent);
  return storage_->nodes[id].persistent.first;
}

}  // namespace rushlight::pickle
