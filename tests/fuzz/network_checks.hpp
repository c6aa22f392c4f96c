// What the targets of networks ask of a graph and of a model, whatever door they came by.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "rushlight/graph.hpp"
#include "rushlight/limits.hpp"
#include "rushlight/model.hpp"

namespace rushlight::test {

// Of all parameters, and of one value between layers, where a network is run.
inline constexpr std::int64_t kMostParameters = 1 << 14;
inline constexpr std::int64_t kMostElements = 1 << 10;
inline constexpr std::int64_t kMostMacs = 1 << 18;

[[nodiscard]] Limits network_limits();

// -1 becomes `size`.
[[nodiscard]] Shape with_sizes(std::span<const std::int64_t> shape, std::int64_t size);

// nullopt beyond `most`.
[[nodiscard]] std::optional<std::int64_t> elements(const Shape& shape, std::int64_t most);

// Every value is made before it is read, and once; parameters have names of their own.
void check_graph(const Graph& graph);

// Small values that differ, for all parameters; none where there would be too many. Sizes that the weights would say
// are 1.
[[nodiscard]] std::optional<StateDict> some_state(const Graph& graph);

// Both implementations compute the shapes that were inferred, and the same values where rounding stays small.
// Larger networks are not run.
void run_network(const Model& model, const std::vector<Shape>& shapes);

}  // namespace rushlight::test
