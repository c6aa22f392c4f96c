#include "value/leave_out.hpp"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>

#include "base/fail.hpp"
#include "value/graft.hpp"
#include "value/graph.hpp"

namespace rushlight {
namespace {

class Removal {
 public:
  explicit Removal(const Value& root) {
    Grafter grafter;
    root_ = grafter.graft(builder_, root);
    view_ = std::shared_ptr<const ValueGraph>(std::shared_ptr<void>(), &builder_.graph());
    goes_.resize(graph().nodes.size());
    is_state_.resize(graph().nodes.size());
  }

  Result<LeftOut> run(const std::function<bool(const Value&)>& goes, const Limits& limits) {
    for (NodeId node = 0; node < goes_.size(); ++node) {
      if (goes(Value(view_, node))) mark(node);
    }
    find_states();
    find_holders();
    while (!pending_.empty()) {
      const NodeId node = pending_.back();
      pending_.pop_back();
      auto link = std::lower_bound(holders_.begin(), holders_.end(), node,
                                   [](const Link& known, NodeId part) { return known.part < part; });
      for (; link != holders_.end() && link->part == node; ++link) mark(link->holder);
    }
    LeftOut left;
    left.has_root = !goes_[root_];
    RUSHLIGHT_TRY(name_places(left.places, limits));
    if (!left.has_root) return left;
    for (NodeId node = 0; node < goes_.size(); ++node) {
      if (!goes_[node]) remove_from(node);
    }
    left.root = Value(std::move(builder_).finish(), root_);
    return left;
  }

 private:
  struct Link {
    NodeId part;
    NodeId holder;
  };

  [[nodiscard]] ValueGraph& graph() noexcept { return builder_.graph(); }

  void mark(NodeId node) {
    if (goes_[node]) return;
    goes_[node] = true;
    pending_.push_back(node);
  }

  // Dicts that hold the attributes of an object.
  void find_states() {
    for (NodeId node = 0; node < goes_.size(); ++node) {
      const NodeId state = graph().state(node);
      if (state != kNoNode) is_state_[state] = true;
      for (const NodeId dict : graph().attributes(node)) is_state_[dict] = true;
    }
  }

  [[nodiscard]] bool loses_entries(NodeId node) {
    const ValueKind kind = graph()[node].kind;
    return (kind == ValueKind::dict || kind == ValueKind::opaque) && !is_state_[node];
  }
  [[nodiscard]] bool loses_items(NodeId node) { return graph()[node].kind == ValueKind::set; }

  // Of each part, what cannot do without it.
  void find_holders() {
    const auto add = [&](NodeId part, NodeId holder) { holders_.push_back({part, holder}); };
    for (NodeId node = 0; node < goes_.size(); ++node) {
      if (!loses_items(node)) {
        for (const NodeId item : graph().items(node)) add(item, node);
      }
      if (!loses_entries(node)) {
        for (const NodeId entry : graph().entries(node)) add(entry, node);
      }
      if (const NodeExtra* const extra = graph().extra(node)) {
        if (extra->arguments != kNoNode) add(extra->arguments, node);
        if (extra->state != kNoNode) add(extra->state, node);
      }
    }
    std::ranges::sort(holders_, {}, [](const Link& link) { return std::pair(link.part, link.holder); });
  }

  Status name_places(std::vector<std::string>& places, const Limits& limits) {
    return walk(
        Value(view_, root_),
        [&](const WalkItem& item) {
          if (!goes_[item.value->identity()]) return true;
          const ValueKind kind = item.value->kind();
          const bool is_leaf = kind == ValueKind::tensor || kind == ValueKind::composite || kind == ValueKind::storage;
          if (!is_leaf) places.push_back(to_string(item.path));
          return false;
        },
        limits.visited_nodes);
  }

  void remove_from(NodeId node) {
    bool changed = false;
    if (loses_entries(node) && !graph().entries(node).empty()) {
      Children& entries = graph().children_of_entries(node);
      std::uint32_t kept = 0;
      for (std::uint32_t i = 0; i + 1 < entries.count; i += 2) {
        if (goes_[entries.data[i]] || goes_[entries.data[i + 1]]) continue;
        entries.data[kept] = entries.data[i];
        entries.data[kept + 1] = entries.data[i + 1];
        kept += 2;
      }
      changed = kept != entries.count;
      entries.count = kept;
    }
    if (loses_items(node) && !graph().items(node).empty()) {
      Children& items = graph().nodes[node].children;
      NodeId* const end =
          std::remove_if(items.data, items.data + items.count, [&](NodeId item) { return goes_[item]; });
      changed = changed || end != items.data + items.count;
      items.count = static_cast<std::uint32_t>(end - items.data);
    }
    if (changed) graph().rebuild_index(node, builder_.memo());
  }

  ValueGraphBuilder builder_;
  std::shared_ptr<const ValueGraph> view_;
  NodeId root_ = kNoNode;
  std::vector<bool> goes_;
  std::vector<bool> is_state_;
  std::vector<NodeId> pending_;
  std::vector<Link> holders_;
};

}  // namespace

Result<LeftOut> leave_out(const Value& root, const std::function<bool(const Value&)>& goes, const Limits& limits) {
  return Removal(root).run(goes, limits);
}

}  // namespace rushlight
