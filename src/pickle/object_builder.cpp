#include "pickle/object_builder.hpp"

#include "pickle/arena.hpp"

namespace rushlight::pickle {

ObjectId ObjectGraphBuilder::add(ObjectKind kind) {
  Buffer<Node>& nodes = graph_.storage().nodes;
  if (!note(nodes.size() < kNoObject && nodes.push(Node{.kind = kind, .integer = 0}))) return kNoObject;
  return static_cast<ObjectId>(nodes.size() - 1);
}

bool ObjectGraphBuilder::note(bool done) noexcept {
  is_complete_ = is_complete_ && done;
  return done;
}

bool ObjectGraphBuilder::is_call(ObjectId id) const noexcept {
  return id != kNoObject && graph_.kind(id) == ObjectKind::call;
}

ObjectId ObjectGraphBuilder::none() {
  return add(ObjectKind::none);
}
ObjectId ObjectGraphBuilder::boolean(bool value) {
  const ObjectId id = add(ObjectKind::boolean);
  if (id != kNoObject) graph_.storage().nodes[id].integer = value ? 1 : 0;
  return id;
}
ObjectId ObjectGraphBuilder::integer(std::int64_t value) {
  const ObjectId id = add(ObjectKind::integer);
  if (id != kNoObject) graph_.storage().nodes[id].integer = value;
  return id;
}
ObjectId ObjectGraphBuilder::big_integer(std::string_view twos_complement_le) {
  return text(ObjectKind::big_integer, twos_complement_le);
}
ObjectId ObjectGraphBuilder::real(double value) {
  const ObjectId id = add(ObjectKind::real);
  if (id != kNoObject) graph_.storage().nodes[id].real = value;
  return id;
}

ObjectId ObjectGraphBuilder::text(ObjectKind kind, std::string_view text) {
  const ObjectId id = add(kind);
  return id == kNoObject || !set_text(id, text) ? kNoObject : id;
}
bool ObjectGraphBuilder::set_text(ObjectId id, std::string_view text) {
  ObjectGraph::Storage& storage = graph_.storage();
  if (!note(id != kNoObject && storage.add_text(text))) return false;
  storage.nodes[id].text_at = kDecodedText;
  storage.nodes[id].text = storage.texts.size() - 1;
  return true;
}

ObjectId ObjectGraphBuilder::container(ObjectKind kind) {
  const ObjectId id = add(kind);
  if (id != kNoObject) graph_.storage().nodes[id].slice = {};
  return id;
}

ObjectId ObjectGraphBuilder::global(ObjectId module, ObjectId name) {
  const ObjectId id = add(ObjectKind::global);
  if (id == kNoObject) return id;
  Node& node = graph_.storage().nodes[id];
  node.text_at = kNamesOnStack;
  node.names = {module, name};
  return id;
}

ObjectId ObjectGraphBuilder::call(CallKind kind) {
  const ObjectId id = add(ObjectKind::call);
  ObjectGraph::Storage& storage = graph_.storage();
  if (!note(id != kNoObject && storage.calls.push({.callable = kNoObject,
                                                   .arguments = kNoObject,
                                                   .keywords = kNoObject,
                                                   .additions = kNoObject,
                                                   .kind = kind}))) {
    return kNoObject;
  }
  storage.nodes[id].call = static_cast<std::uint32_t>(storage.calls.size() - 1);
  return id;
}

ObjectId ObjectGraphBuilder::persistent(ObjectId argument) {
  const ObjectId id = add(ObjectKind::persistent);
  if (id != kNoObject) graph_.storage().nodes[id].persistent = {argument, kNoObject};
  return id;
}

bool ObjectGraphBuilder::set_call(ObjectId call, ObjectId callable, ObjectId arguments, ObjectId keywords) {
  if (!note(is_call(call) && callable != kNoObject && arguments != kNoObject)) return false;
  ObjectGraph::Storage& storage = graph_.storage();
  Call& made = storage.calls[storage.nodes[call].call];
  made.callable = callable;
  made.arguments = arguments;
  made.keywords = keywords;
  return true;
}

bool ObjectGraphBuilder::add_items(ObjectId container, std::span<const ObjectId> items) {
  if (!note(container != kNoObject)) return false;
  ObjectGraph::Storage& storage = graph_.storage();
  if (!is_call(container)) return note(storage.extend(storage.nodes[container].slice, items.data(), items.size()));
  Additions* const additions = items.empty() ? nullptr : storage.additions_of(container);
  return note(items.empty() || (additions != nullptr && storage.extend(additions->items, items.data(), items.size())));
}

bool ObjectGraphBuilder::add_pairs(ObjectId container, std::span<const ObjectId> pairs) {
  if (!note(container != kNoObject)) return false;
  ObjectGraph::Storage& storage = graph_.storage();
  if (!is_call(container)) return note(storage.extend(storage.nodes[container].slice, pairs.data(), pairs.size()));
  Additions* const additions = pairs.empty() ? nullptr : storage.additions_of(container);
  return note(pairs.empty() || (additions != nullptr && storage.extend(additions->pairs, pairs.data(), pairs.size())));
}

bool ObjectGraphBuilder::add_state(ObjectId call, ObjectId state) {
  if (!note(is_call(call))) return false;
  ObjectGraph::Storage& storage = graph_.storage();
  Additions* const additions = storage.additions_of(call);
  return note(additions != nullptr && storage.extend(additions->states, &state, 1));
}

void ObjectGraphBuilder::set_root(ObjectId id) {
  graph_.storage().root = id;
}

}  // namespace rushlight::pickle
