#include "checkpoint/pickle_place.hpp"

#include <algorithm>
#include <span>
#include <string_view>
#include <utility>

namespace rushlight::checkpoint {

using pickle::ObjectId;
using pickle::ObjectKind;

void PicklePlace::fill(Finding& finding, std::uint64_t record_offset) const {
  if (finding.file.empty()) finding.file = file;
  if (!finding.record && !record.empty()) finding.record = record;
  if (!finding.record_offset) finding.record_offset = record_offset;
  if (!finding.offset && file_offset) finding.offset = *file_offset + *finding.record_offset;
}

ObjectPaths::ObjectPaths(const pickle::ObjectGraph& graph) : graph_(graph), parents_(graph.size()) {
  std::vector<ObjectId> pending{graph.root()};
  parents_[graph.root()].edge = Edge::inside;
  // Breadth first: the first way found is a shortest one.
  for (std::size_t next = 0; next < pending.size(); ++next) visit_children(pending[next], pending);
}

void ObjectPaths::visit(ObjectId parent, ObjectId child, Edge edge, ObjectId step, std::vector<ObjectId>& pending) {
  if (child >= parents_.size() || parents_[child].edge != Edge::none) return;
  parents_[child] = {parent, step, edge};
  pending.push_back(child);
}

void ObjectPaths::visit_children(ObjectId id, std::vector<ObjectId>& pending) {
  const auto visit_items = [&](std::span<const ObjectId> items, Edge edge) {
    for (std::size_t i = 0; i < items.size(); ++i) visit(id, items[i], edge, static_cast<ObjectId>(i), pending);
  };
  const auto visit_pairs = [&](std::span<const ObjectId> pairs) {
    for (std::size_t i = 0; i + 1 < pairs.size(); i += 2) {
      visit(id, pairs[i + 1], Edge::key, pairs[i], pending);
      visit(id, pairs[i], Edge::inside, 0, pending);
    }
  };
  // A state is attributes where it is a dict, or a pair of dicts (`__dict__` and slots).
  const auto visit_attributes = [&](ObjectId state) {
    if (graph_.kind(state) != ObjectKind::dict) {
      visit(id, state, Edge::inside, 0, pending);
      return;
    }
    const std::span<const ObjectId> pairs = graph_.pairs(state);
    for (std::size_t i = 0; i + 1 < pairs.size(); i += 2) visit(id, pairs[i + 1], Edge::attr, pairs[i], pending);
    visit(id, state, Edge::inside, 0, pending);
  };
  const auto visit_states = [&](ObjectId of) {
    for (const ObjectId state : graph_.states(of)) {
      if (graph_.kind(state) == ObjectKind::tuple) {
        for (const ObjectId part : graph_.items(state)) visit_attributes(part);
      }
      visit_attributes(state);
    }
  };
  switch (graph_.kind(id)) {
    case ObjectKind::list:
    case ObjectKind::tuple:
      visit_items(graph_.items(id), Edge::index);
      break;
    case ObjectKind::set:
    case ObjectKind::frozenset:
      visit_items(graph_.items(id), Edge::inside);
      break;
    case ObjectKind::dict:
      visit_pairs(graph_.pairs(id));
      break;
    case ObjectKind::call:
      visit_initial_pairs(id, pending);
      visit_pairs(graph_.pairs(id));
      visit_items(graph_.items(id), Edge::index);
      visit_states(id);
      visit(id, graph_.arguments(id), Edge::inside, 0, pending);
      visit(id, graph_.callable(id), Edge::inside, 0, pending);
      if (graph_.keywords(id) != pickle::kNoObject) visit(id, graph_.keywords(id), Edge::inside, 0, pending);
      break;
    case ObjectKind::persistent:
      visit(id, graph_.persistent_argument(id), Edge::inside, 0, pending);
      break;
    default:
      break;
  }
}

// Python 2 wrote an OrderedDict as a call with a list of pairs.
void ObjectPaths::visit_initial_pairs(ObjectId call, std::vector<ObjectId>& pending) {
  const ObjectId callable = graph_.callable(call);
  if (graph_.kind(callable) != ObjectKind::global || graph_.name(callable) != "OrderedDict") return;
  const std::span<const ObjectId> arguments = graph_.items(graph_.arguments(call));
  if (arguments.size() != 1 || graph_.kind(arguments[0]) != ObjectKind::list) return;
  for (const ObjectId pair : graph_.items(arguments[0])) {
    const ObjectKind kind = graph_.kind(pair);
    if (kind != ObjectKind::list && kind != ObjectKind::tuple) continue;
    const std::span<const ObjectId> parts = graph_.items(pair);
    if (parts.size() == 2) visit(call, parts[1], Edge::key, parts[0], pending);
  }
}

Path ObjectPaths::path(ObjectId id) const {
  Path path;
  for (ObjectId at = id; at != pickle::kNoObject && at < parents_.size(); at = parents_[at].id) {
    const Parent& parent = parents_[at];
    PathStep step;
    switch (parent.edge) {
      case Edge::none:
      case Edge::inside:
        continue;
      case Edge::index:
        // The items of a call's arguments belong to the call itself.
        if (parents_[parent.id].edge == Edge::inside && parents_[parent.id].id != pickle::kNoObject) continue;
        step.kind = PathStep::Kind::index;
        step.index = parent.step;
        break;
      case Edge::key:
      case Edge::attr: {
        step.kind = parent.edge == Edge::key ? PathStep::Kind::key : PathStep::Kind::attr;
        const ObjectKind kind = graph_.kind(parent.step);
        if (kind == ObjectKind::string || kind == ObjectKind::byte_string) {
          step.text = graph_.text(parent.step);
        } else if (kind == ObjectKind::integer) {
          step.index = graph_.integer(parent.step);
          step.integer_key = true;
        } else {
          step.text = pickle::to_string(kind);
        }
        break;
      }
    }
    path.push_back(std::move(step));
  }
  std::reverse(path.begin(), path.end());
  return path;
}

std::string ObjectPaths::name(ObjectId id) const {
  return listed_name(path(id));
}

std::string listed_name(const Path& path) {
  Path shown;
  shown.reserve(path.size());
  for (const PathStep& step : path) {
    const bool of_module = step.kind == PathStep::Kind::attr &&
                           (step.text == "_modules" || step.text == "_parameters" || step.text == "_buffers");
    if (!of_module) shown.push_back(step);
  }
  return to_string(std::span<const PathStep>(shown));
}

}  // namespace rushlight::checkpoint
