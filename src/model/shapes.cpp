#include "model/shapes.hpp"

#include <cstdint>
#include <limits>
#include <string>
#include <utility>

#include "base/checked.hpp"
#include "base/fail.hpp"
#include "base/quote.hpp"
#include "model/describe.hpp"
#include "model/infer/infer.hpp"
#include "model/visit_operator.hpp"

namespace rushlight::model {
namespace {

// A tensor of 8-byte elements must be addressable.
constexpr std::int64_t kMostElements = std::numeric_limits<std::int64_t>::max() / 8;

Status check_addressable(const Shape& shape) {
  std::int64_t elements = 1;
  for (const std::int64_t size : shape) {
    if (size == kUnknown || size == 0) continue;
    const auto product = checked_mul(elements, size);
    if (!product || *product > kMostElements) return misfit("output " + shape_text(shape) + " overflows 64 bits");
    elements = *product;
  }
  return {};
}

Error named(Error error, const std::string& where) {
  error.finding.message = where + ": " + error.finding.message;
  return error;
}

}  // namespace

Result<std::vector<EdgeType>> infer_outputs(const Operator& op, std::span<const EdgeType> inputs,
                                            std::size_t output_count) {
  Inferred outputs = misfit("it has no operator");
  const Operands operands{inputs, output_count};
  visit_operator(op, [&](const auto& inside) { outputs = infer(inside, operands); });
  if (!outputs) return outputs;
  if (outputs->size() < output_count) {
    return misfit("it has " + count_text(outputs->size(), "output") + ", not " + std::to_string(output_count));
  }
  outputs->resize(output_count);
  for (const EdgeType& output : *outputs) RUSHLIGHT_TRY(check_addressable(output.shape));
  return outputs;
}

DType output_dtype(const Operator& op, std::span<const DType> inputs, std::size_t index) noexcept {
  switch (op.kind()) {
    case OperatorKind::Equal:
    case OperatorKind::NotEqual:
    case OperatorKind::Less:
    case OperatorKind::LessEqual:
    case OperatorKind::Greater:
    case OperatorKind::GreaterEqual:
    case OperatorKind::LogicalAnd:
    case OperatorKind::LogicalOr:
    case OperatorKind::LogicalXor:
    case OperatorKind::LogicalNot:
    case OperatorKind::IsNan:
    case OperatorKind::IsInf:
      return DType::boolean;
    case OperatorKind::ArgMax:
    case OperatorKind::ArgMin:
      return DType::i64;
    case OperatorKind::Max:
    case OperatorKind::Min:
    case OperatorKind::TopK:
    case OperatorKind::MaxPool1d:
    case OperatorKind::MaxPool2d:
    case OperatorKind::MaxPool3d:
    case OperatorKind::AdaptiveMaxPool1d:
    case OperatorKind::AdaptiveMaxPool2d:
    case OperatorKind::AdaptiveMaxPool3d:
    case OperatorKind::FractionalMaxPool2d:
    case OperatorKind::FractionalMaxPool3d:
      return index == 1 ? DType::i64 : DType::f32;
    case OperatorKind::Parameter:
      return op.get<Parameter>().integer ? DType::i64 : DType::f32;
    case OperatorKind::Constant:
      return op.get<Constant>().integer ? DType::i64 : DType::f32;
    case OperatorKind::Where:
      return inputs.size() > 1 ? inputs[1] : DType::f32;
    case OperatorKind::Identity:
    case OperatorKind::Dropout:
    case OperatorKind::Flatten:
    case OperatorKind::Unflatten:
    case OperatorKind::Reshape:
    case OperatorKind::Squeeze:
    case OperatorKind::Unsqueeze:
    case OperatorKind::Permute:
    case OperatorKind::Transpose:
    case OperatorKind::Chunk:
    case OperatorKind::Split:
    case OperatorKind::Unbind:
    case OperatorKind::Slice:
    case OperatorKind::Narrow:
    case OperatorKind::Select:
    case OperatorKind::IndexSelect:
    case OperatorKind::Gather:
    case OperatorKind::Cat:
    case OperatorKind::Stack:
    case OperatorKind::Expand:
    case OperatorKind::ExpandAs:
    case OperatorKind::Repeat:
    case OperatorKind::Flip:
    case OperatorKind::Roll:
    case OperatorKind::Pad:
    case OperatorKind::PadAs:
      return inputs.empty() ? DType::f32 : inputs[0];
    default:
      return DType::f32;
  }
}

std::vector<DType> edge_dtypes(const Graph::Impl& graph) {
  std::vector<DType> dtypes(graph.edge_count, DType::f32);
  for (const Port& port : graph.inputs) dtypes[static_cast<std::size_t>(port.edge.index)] = port.dtype;
  std::vector<DType> inputs;
  for (const Node& node : graph.nodes) {
    inputs.clear();
    for (const Edge edge : node.inputs) inputs.push_back(dtypes[static_cast<std::size_t>(edge.index)]);
    for (std::size_t i = 0; i < node.outputs.size(); ++i) {
      dtypes[static_cast<std::size_t>(node.outputs[i].index)] = output_dtype(node.op, inputs, i);
    }
  }
  return dtypes;
}

Result<Shape> infer_shape(const Operator& op, std::span<const Shape> inputs) {
  std::vector<EdgeType> types;
  for (const Shape& shape : inputs) types.push_back({DType::f32, shape});
  RUSHLIGHT_TRY_ASSIGN(std::vector<EdgeType> outputs, infer_outputs(op, types, 1));
  return std::move(outputs.front().shape);
}

Result<std::vector<std::optional<EdgeType>>> infer_edges(const Graph::Impl& graph,
                                                         std::span<const std::optional<Shape>> inputs) {
  std::vector<std::optional<EdgeType>> edges(graph.edge_count);
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (!inputs[i]) continue;
    if (const Status status = check_addressable(*inputs[i]); !status) {
      return named(status.error(), "input " + quoted(graph.inputs[i].name));
    }
    edges[static_cast<std::size_t>(graph.inputs[i].edge.index)] = EdgeType{graph.inputs[i].dtype, *inputs[i]};
  }
  std::vector<EdgeType> operands;
  for (const Node& node : graph.nodes) {
    operands.clear();
    for (const Edge edge : node.inputs) {
      const std::optional<EdgeType>& type = edges[static_cast<std::size_t>(edge.index)];
      if (type) operands.push_back(*type);
    }
    if (operands.size() < node.inputs.size()) continue;
    // A parameter whose shape its tensor decides has no known rank before it is there.
    const auto* parameter = node.op.get_if<Parameter>();
    if (parameter != nullptr && parameter->shape.empty() && !graph.resolved) continue;
    Result<std::vector<EdgeType>> outputs = infer_outputs(node.op, operands, node.outputs.size());
    if (!outputs) return named(std::move(outputs).error(), layer_text(node));
    for (std::size_t i = 0; i < node.outputs.size(); ++i) {
      edges[static_cast<std::size_t>(node.outputs[i].index)] = std::move((*outputs)[i]);
    }
  }
  return edges;
}

Status check_declared_shapes(const Graph::Impl& graph) {
  std::vector<std::optional<Shape>> inputs;
  for (const Port& port : graph.inputs) {
    inputs.push_back(port.shape.empty() ? std::optional<Shape>() : port.shape);
  }
  RUSHLIGHT_TRY_ASSIGN(const auto edges, infer_edges(graph, inputs));
  if (graph.labels.empty() || graph.outputs.empty()) return {};
  const std::optional<EdgeType>& scores = edges[static_cast<std::size_t>(graph.outputs[0].edge.index)];
  if (!scores || scores->shape.size() != 2 || scores->shape[1] == kUnknown) return {};
  const std::int64_t classes = scores->shape[1];
  if (static_cast<std::size_t>(classes) == graph.labels.size()) return {};
  return misfit("labels: expected " + count_text(static_cast<std::size_t>(classes), "name") + ", found " +
                    std::to_string(graph.labels.size()),
                std::to_string(classes), std::to_string(graph.labels.size()));
}

}  // namespace rushlight::model
