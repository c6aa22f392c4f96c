// Copies what a Value of another graph reaches into a graph that is being made: identity, sharing and cycles kept.
#pragma once

#include <memory>
#include <span>
#include <unordered_map>

#include "value/graph.hpp"
#include "value/node.hpp"

namespace rushlight {

class Grafter {
 public:
  // The copy of `value` in the builder's graph. What was copied before, by this Grafter, is not copied again.
  NodeId graft(ValueGraphBuilder& builder, const Value& value);

  // For a builder that goes on with the copy of an earlier one's graph: where its nodes are now. What is no longer
  // reachable is forgotten.
  void move_on(const std::shared_ptr<const ValueGraph>& earlier);

 private:
  using Copies = std::unordered_map<NodeId, NodeId>;
  struct Origin {
    std::weak_ptr<const ValueGraph> graph;  // so that a new graph at an old address is told apart
    Copies copies;
  };

  NodeId shallow(ValueGraphBuilder& builder, const ValueGraph& from, NodeId id);

  std::unordered_map<const ValueGraph*, Origin> origins_;
};

}  // namespace rushlight
