#include "runtime/draft.hpp"

#include <map>
#include <utility>

#include "base/fail.hpp"
#include "model/parameters.hpp"

namespace rushlight::runtime {
namespace {

std::vector<std::size_t> find_weights_nodes(const Network& network) {
  // Parameters are dense and of the shapes that the operator says: where they lie tells them apart.
  using Place = std::pair<const Memory*, std::int64_t>;
  std::map<std::vector<Place>, std::size_t> first;
  const std::span<const Node> nodes = network.graph.nodes();
  std::vector<std::size_t> result(nodes.size());
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    result[i] = i;
    std::vector<Place> places;
    for (const model::ParameterShape& parameter : model::parameter_shapes(nodes[i].op)) {
      const Tensor* tensor = network.parameters.find(nodes[i].parameter(parameter.name));
      if (tensor == nullptr) continue;
      places.emplace_back(tensor->storage().memory().get(), tensor->storage_offset());
    }
    if (places.empty()) continue;
    const std::size_t before = first.try_emplace(std::move(places), i).first->second;
    if (nodes[before].op == nodes[i].op) result[i] = before;
  }
  return result;
}

}  // namespace

Uses::Uses(const Draft& draft) : count(draft.shapes.size(), 0), producer(draft.shapes.size(), kNoNode) {
  for (std::size_t i = 0; i < draft.ops.size(); ++i) {
    const DraftOp& op = draft.ops[i];
    for (const ValueId input : op.inputs) ++count[input];
    if (op.residual != kNoValue) ++count[op.residual];
    producer[op.output] = i;
    for (const ValueId output : op.more_outputs) producer[output] = i;
  }
  for (const ValueId output : draft.outputs) ++count[output];
}

void erase_ops(Draft& draft, const std::vector<bool>& erase) {
  std::size_t kept = 0;
  for (std::size_t i = 0; i < draft.ops.size(); ++i) {
    if (erase[i]) continue;
    if (kept != i) draft.ops[kept] = std::move(draft.ops[i]);
    ++kept;
  }
  draft.ops.resize(kept);
}

Result<Draft> make_draft(const Network& network, std::span<const Shape> input_shapes) {
  RUSHLIGHT_TRY_ASSIGN(std::vector<EdgeType> types, network.graph.infer_types(input_shapes));
  Draft draft{.network = network,
              .shapes = {},
              .dtypes = {},
              .ops = {},
              .inputs = {},
              .outputs = {},
              .weights_node = find_weights_nodes(network)};
  for (EdgeType& type : types) {
    draft.shapes.push_back(std::move(type.shape));
    draft.dtypes.push_back(type.dtype);
  }
  const auto value = [](Edge edge) { return static_cast<ValueId>(edge.index); };
  for (const Port& port : network.graph.inputs()) draft.inputs.push_back(value(port.edge));
  for (const Port& port : network.graph.outputs()) draft.outputs.push_back(value(port.edge));
  const std::span<const Node> nodes = network.graph.nodes();
  draft.ops.reserve(nodes.size());
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    DraftOp op;
    op.node = i;
    op.output = value(nodes[i].output());
    for (std::size_t k = 1; k < nodes[i].outputs.size(); ++k) op.more_outputs.push_back(value(nodes[i].outputs[k]));
    for (const Edge edge : nodes[i].inputs) op.inputs.push_back(value(edge));
    draft.ops.push_back(std::move(op));
  }
  return draft;
}

}  // namespace rushlight::runtime
