#include "cli/name_tree.hpp"

#include "rushlight/inspect.hpp"

namespace rushlight::cli {

std::string tree_prefix(const std::vector<bool>& is_last) {
  std::string prefix;
  for (std::size_t i = 0; i < is_last.size(); ++i) {
    if (i + 1 < is_last.size()) {
      prefix += is_last[i] ? "  " : "│ ";
    } else {
      prefix += is_last[i] ? "└ " : "├ ";
    }
  }
  return prefix;
}

std::size_t NameTree::new_child(std::size_t parent, std::string_view part) {
  nodes_[parent].children.push_back(nodes_.size());
  nodes_.push_back({.part = std::string(part), .item = std::nullopt, .children = {}});
  return nodes_.size() - 1;
}

void NameTree::add(std::string_view name, std::size_t item) {
  std::size_t node = 0;
  std::size_t above = 0;
  for (const std::string_view part : name_parts(name)) {
    above = node;
    const auto [at, is_new] = by_part_.try_emplace({node, std::string(part)}, nodes_.size());
    if (is_new) new_child(node, part);
    node = at->second;
  }
  if (nodes_[node].item) node = new_child(above, nodes_[node].part);
  nodes_[node].item = item;
}

void NameTree::for_each(const std::function<void(const Line&)>& visit) const {
  struct Frame {
    std::size_t node;
    std::size_t next = 0;
  };
  std::vector<Frame> stack{{0}};
  std::vector<bool> is_last;
  while (!stack.empty()) {
    Frame& frame = stack.back();
    const std::vector<std::size_t>& children = nodes_[frame.node].children;
    if (frame.next == children.size()) {
      stack.pop_back();
      if (!is_last.empty()) is_last.pop_back();
      continue;
    }
    const Node& child = nodes_[children[frame.next++]];
    is_last.push_back(frame.next == children.size());
    // The first level stands at the margin.
    visit({tree_prefix({is_last.begin() + 1, is_last.end()}), child.part, child.item});
    stack.push_back({children[frame.next - 1]});
  }
}

}  // namespace rushlight::cli
