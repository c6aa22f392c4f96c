// Names as a tree of their parts, drawn with lines: `list --tree`, `du`.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rushlight::cli {

class NameTree {
 public:
  NameTree() { nodes_.emplace_back(); }

  // `item` is the caller's number of what has that name. Of two with one name the second gets a line of its own.
  void add(std::string_view name, std::size_t item);

  struct Line {
    std::string prefix;  // "│ └ "
    std::string_view part;
    std::optional<std::size_t> item;
  };
  // Depth first, in the order of adding.
  void for_each(const std::function<void(const Line&)>& visit) const;

 private:
  struct Node {
    std::string part;
    std::optional<std::size_t> item;
    std::vector<std::size_t> children;
  };
  std::size_t new_child(std::size_t parent, std::string_view part);

  std::vector<Node> nodes_;
  std::map<std::pair<std::size_t, std::string>, std::size_t> by_part_;
};

// The lines that join a child to what stands above it: `is_last` for each level below the first.
std::string tree_prefix(const std::vector<bool>& is_last);

}  // namespace rushlight::cli
