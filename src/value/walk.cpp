#include <string>
#include <vector>

#include "base/no_memory.hpp"
#include "rushlight/value.hpp"
#include "value/children.hpp"
#include "value/node.hpp"

namespace rushlight {
namespace {

// Objects that programs share and know that they do: visited once.
bool entered_once(ValueKind kind) noexcept {
  return kind == ValueKind::list || kind == ValueKind::dict || kind == ValueKind::set || kind == ValueKind::opaque ||
         kind == ValueKind::ndarray;
}

struct Frame {
  ChildCursor cursor;
  NodeId node;
};

Error too_many(std::uint64_t max_nodes) {
  return Error::of({.category = Category::limit,
                    .code = "LIMIT-VISITED-NODES",
                    .message = "the values unfold to more than " + std::to_string(max_nodes) + " nodes (visited_nodes)",
                    .expected = "at most " + std::to_string(max_nodes)});
}

}  // namespace

Status walk(const Value& root, const std::function<bool(const WalkItem&)>& visit, std::uint64_t max_nodes) {
  return or_no_memory([&]() -> Status {
    if (!root.exists()) return {};
    if (max_nodes == 0) return too_many(max_nodes);
    if (!root.graph()) {
      visit({&root, {}, false});
      return {};
    }
    const std::shared_ptr<const ValueGraph>& graph = root.graph();
    std::vector<bool> entered(graph->nodes.size());  // objects visited once: at all; the others: on the present path
    std::vector<Frame> stack;
    // Steps are kept beyond the present depth, so that their texts need no memory again.
    Path path;

    const auto enter = [&](NodeId node) {
      const Value value(graph, node);
      const bool seen = entered[node];
      const bool go_on = visit({&value, {path.data(), stack.size()}, seen});
      if (seen || !go_on) return;
      stack.push_back({ChildCursor(*graph, node), node});
      entered[node] = true;
    };

    std::uint64_t visited = 1;
    enter(root.identity());
    while (!stack.empty()) {
      Frame& frame = stack.back();
      const std::optional<Child> child = frame.cursor.next();
      if (!child) {
        if (!entered_once((*graph)[frame.node].kind)) entered[frame.node] = false;
        stack.pop_back();
        continue;
      }
      if (visited++ == max_nodes) return too_many(max_nodes);
      if (path.size() < stack.size()) path.emplace_back();
      describe_step(graph, *child, path[stack.size() - 1]);
      enter(child->node);
    }
    return {};
  });
}

}  // namespace rushlight
