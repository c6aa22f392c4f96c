// Draft: a graph on its way to a Plan. The passes work on it: they merge operators, and never touch shapes or layouts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "runtime/backend.hpp"
#include "runtime/constant.hpp"
#include "runtime/plan.hpp"
#include "rushlight/graph.hpp"
#include "rushlight/result.hpp"

namespace rushlight::runtime {

// An edge of the graph.
using ValueId = std::uint32_t;
inline constexpr ValueId kNoValue = ~ValueId{0};

struct DraftOp {
  std::size_t node = 0;  // index into Graph::nodes(): the operator, its attributes and its name
  std::vector<ValueId> inputs;
  ValueId output = kNoValue;
  std::vector<ValueId> more_outputs;  // of operators that have several: passes leave them alone
  // What passes have merged into it, in the order in which it is applied.
  std::size_t batch_norm = kNoNode;
  ValueId residual = kNoValue;
  Activation activation = {};
};

struct Draft {
  const Network& network;
  std::vector<Shape> shapes;  // of each value
  std::vector<DType> dtypes;  // likewise
  std::vector<DraftOp> ops;   // in an order in which they can run
  std::vector<ValueId> inputs;
  std::vector<ValueId> outputs;
  // Of each node: the first with the same operator and the very same parameters, which stands for it where weights are
  // kept. A module that is called again, and layers whose weights are tied, have them packed once.
  std::vector<std::size_t> weights_node;

  [[nodiscard]] const Node& node(const DraftOp& op) const noexcept { return network.graph.nodes()[op.node]; }
};

// Who makes and who uses each value.
struct Uses {
  std::vector<std::uint32_t> count;   // operands that name it, graph outputs included
  std::vector<std::size_t> producer;  // index into Draft::ops, or kNoNode

  explicit Uses(const Draft& draft);
};

// Removes the operators whose flag is set.
void erase_ops(Draft& draft, const std::vector<bool>& erase);

[[nodiscard]] Result<Draft> make_draft(const Network& network, std::span<const Shape> input_shapes);

// The passes, in the order in which make_plan() runs them. Each lies in a file of its own under passes/.
void remove_dead(Draft& draft);       // what no output needs
void drop_identities(Draft& draft);   // Identity and Dropout: their users read what they read
void fold_batch_norms(Draft& draft);  // into the Conv2d or Linear before them
void fuse_additions(Draft& draft);    // Add as the residual of the convolution or Linear that runs last before it
// ReLU into whatever makes its input, other activations too if `all`.
void fuse_activations(Draft& draft, bool all);

}  // namespace rushlight::runtime
