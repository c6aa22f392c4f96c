#include "value/graft.hpp"

#include <utility>
#include <vector>

namespace rushlight {
namespace {

// One pass over what a node points to, in the order in which it is copied.
template <class Visit>
void for_each_link(const ValueGraph& graph, NodeId id, Visit&& visit) {
  for (const NodeId item : graph.items(id)) visit(item);
  for (const NodeId entry : graph.entries(id)) visit(entry);
  if (const NodeExtra* extra = graph.extra(id)) {
    if (extra->arguments != kNoNode) visit(extra->arguments);
    if (extra->state != kNoNode) visit(extra->state);
  }
}

}  // namespace

// The node without what it points to.
NodeId Grafter::shallow(ValueGraphBuilder& builder, const ValueGraph& from, NodeId id) {
  const ValueNode& node = from[id];
  switch (node.kind) {
    case ValueKind::none:
      return builder.none();
    case ValueKind::boolean: {
      const NodeId shared = builder.boolean(node.boolean);
      const NodeExtra* extra = from.extra(id);
      return extra == nullptr ? shared : builder.numpy_scalar(shared, extra->class_name, extra->numpy_dtype);
    }
    case ValueKind::integer:
      return node.big ? builder.big_integer(node.text.view()) : builder.integer(node.integer);
    case ValueKind::real:
      return builder.real(node.real);
    case ValueKind::complex:
      return builder.complex(node.complex[0], node.complex[1]);
    case ValueKind::string:
      return builder.string(node.text.view());
    case ValueKind::bytes:
      return builder.bytes(node.text.view());
    case ValueKind::bytearray:
      return builder.bytearray(node.text.view());
    case ValueKind::list:
      return builder.list();
    case ValueKind::tuple:
      return builder.tuple({});
    case ValueKind::size:
      return builder.size({});
    case ValueKind::dict:
      return builder.dict();
    case ValueKind::set:
      return builder.set();
    case ValueKind::frozenset:
      return builder.frozenset({});
    case ValueKind::tensor:
      return builder.tensor(from.tensors[node.index]);
    case ValueKind::composite:
      return builder.bare_composite(from.composites[node.index]);
    case ValueKind::storage:
      return builder.storage(from.storages[node.index].storage, from.storages[node.index].dtype);
    case ValueKind::dtype:
      return builder.dtype(node.dtype);
    case ValueKind::device:
      return builder.device(node.text.view());
    case ValueKind::global:
      return builder.global(node.text.view());
    case ValueKind::opaque:
      return builder.opaque(from.extra(id)->class_name, kNoNode);
    case ValueKind::ndarray:
      return builder.ndarray(from.extra(id)->class_name, *from.extra(id)->ndarray);
  }
  return builder.none();
}

NodeId Grafter::graft(ValueGraphBuilder& builder, const Value& value) {
  if (!value.graph()) return builder.none();
  const ValueGraph& from = *value.graph();
  Origin& origin = origins_[&from];
  if (origin.graph.lock() != value.graph()) origin = {value.graph(), {}};
  Copies& copies = origin.copies;

  // First every node, then the links between them: cycles need no care. The containers are remembered in the order in
  // which they were met, so that a copy of a graph is laid out as one would walk it.
  std::vector<NodeId> fresh;
  const auto meet = [&](NodeId id) {
    const auto [known, added] = copies.try_emplace(id, kNoNode);
    if (!added) return;
    known->second = shallow(builder, from, id);
    fresh.push_back(id);
  };
  meet(value.identity());
  for (std::size_t i = 0; i < fresh.size(); ++i) for_each_link(from, fresh[i], meet);

  ValueGraph& to = builder.graph();
  const auto copy_of = [&](NodeId id) { return copies.find(id)->second; };
  std::vector<NodeId> indexed;
  for (const NodeId id : fresh) {
    const NodeId copy = copy_of(id);
    for (const NodeId item : from.items(id)) to.push(to.nodes[copy].children, copy_of(item));
    if (!from.entries(id).empty()) {
      Children& entries = to.children_of_entries(copy);
      for (const NodeId entry : from.entries(id)) to.push(entries, copy_of(entry));
    }
    if (const NodeExtra* extra = from.extra(id)) {
      if (!extra->class_name.empty()) builder.set_class(copy, extra->class_name);
      if (!extra->numpy_dtype.empty()) to.make_extra(copy).numpy_dtype = to.intern_class(extra->numpy_dtype);
      if (extra->arguments != kNoNode) to.make_extra(copy).arguments = copy_of(extra->arguments);
      if (extra->state != kNoNode) to.make_extra(copy).state = copy_of(extra->state);
      if (extra->index) indexed.push_back(copy);
    }
    to.nodes[copy].all_string_keys = from[id].all_string_keys;
    if (const NodeOrigin made_from = from.origin_of(id); made_from.exists()) {
      to.set_origin(copy, {to.index_of_origin(from.origins[made_from.origin]), made_from.object});
    }
  }
  // Hashes of tuples are known only now.
  for (const NodeId container : indexed) to.rebuild_index(container, builder.memo());
  return copy_of(value.identity());
}

void Grafter::move_on(const std::shared_ptr<const ValueGraph>& earlier) {
  const Copies moved = origins_[earlier.get()].copies;
  for (auto it = origins_.begin(); it != origins_.end();) {
    Origin& origin = it->second;
    if (origin.graph.expired()) {  // nobody can ask for its nodes any more
      it = origins_.erase(it);
      continue;
    }
    if (it->first != earlier.get()) {
      Copies still;
      for (const auto& [id, copy] : origin.copies) {
        if (const auto now = moved.find(copy); now != moved.end()) still.emplace(id, now->second);
      }
      origin.copies = std::move(still);
    }
    ++it;
  }
}

}  // namespace rushlight
