// What a Graph holds. Made by GraphBuilder, and by resolve() from another one.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "rushlight/graph.hpp"

namespace rushlight {

struct Graph::Impl {
  std::vector<Port> inputs;
  std::vector<Port> outputs;
  std::vector<Node> nodes;  // in an order in which they can run
  std::size_t edge_count = 0;
  std::vector<std::string> labels;
  Preprocessing preprocessing;
  std::optional<SelfTest> self_test;
  std::vector<std::string> notes;
  std::vector<std::string> ignored;  // names of a state dict, with all below them
  bool resolved = false;  // with a state dict: attributes that it decides are known
};

}  // namespace rushlight
