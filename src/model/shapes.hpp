// Shapes of every edge: torch's own formulas, with -1 for sizes that are not known yet.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "model/graph_impl.hpp"
#include "rushlight/result.hpp"

namespace rushlight::model {

// The output of one operator. Its errors do not name the layer.
[[nodiscard]] Result<Shape> infer_shape(const Operator& op, std::span<const Shape> inputs);

// By Edge::index. Inputs without a value have no known rank, and neither has what follows from them.
[[nodiscard]] Result<std::vector<std::optional<Shape>>> infer_edges(const Graph::Impl& graph,
                                                                    std::span<const std::optional<Shape>> inputs);

// What the graph's own declarations allow to check: every layer fits, labels fit the classes.
[[nodiscard]] Status check_declared_shapes(const Graph::Impl& graph);

}  // namespace rushlight::model
