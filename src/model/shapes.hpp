// Shapes and dtypes of every edge: torch's own formulas (infer/), with -1 for sizes that are not known yet.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "model/graph_impl.hpp"
#include "rushlight/result.hpp"

namespace rushlight::model {

// The first `output_count` outputs of one operator. Errors do not name the layer.
[[nodiscard]] Result<std::vector<EdgeType>> infer_outputs(const Operator& op, std::span<const EdgeType> inputs,
                                                          std::size_t output_count);
// The same for one output and inputs of float32.
[[nodiscard]] Result<Shape> infer_shape(const Operator& op, std::span<const Shape> inputs);

// What output `index` holds, whatever the shapes.
[[nodiscard]] DType output_dtype(const Operator& op, std::span<const DType> inputs, std::size_t index) noexcept;

// Of every edge, by Edge::index.
[[nodiscard]] std::vector<DType> edge_dtypes(const Graph::Impl& graph);

// By Edge::index. Inputs without a value have no known rank, and neither has what follows from them.
[[nodiscard]] Result<std::vector<std::optional<EdgeType>>> infer_edges(const Graph::Impl& graph,
                                                                       std::span<const std::optional<Shape>> inputs);

// What the graph's own declarations allow to check: every layer fits, labels fit the classes.
[[nodiscard]] Status check_declared_shapes(const Graph::Impl& graph);

}  // namespace rushlight::model
