#include "rushlight/graph.hpp"

#include <utility>

#include "base/fail.hpp"
#include "base/quote.hpp"
#include "model/describe.hpp"
#include "model/graph_impl.hpp"
#include "model/parameters.hpp"
#include "model/shapes.hpp"

namespace rushlight {

Graph::Graph(std::shared_ptr<const Impl> impl) noexcept : impl_(std::move(impl)) {}

std::span<const Port> Graph::inputs() const noexcept {
  return impl_->inputs;
}
std::span<const Port> Graph::outputs() const noexcept {
  return impl_->outputs;
}
std::span<const Node> Graph::nodes() const noexcept {
  return impl_->nodes;
}
std::size_t Graph::edge_count() const noexcept {
  return impl_->edge_count;
}
const std::vector<std::string>& Graph::labels() const noexcept {
  return impl_->labels;
}
const Preprocessing& Graph::preprocessing() const noexcept {
  return impl_->preprocessing;
}
const std::vector<std::string>& Graph::notes() const noexcept {
  return impl_->notes;
}
const std::vector<std::string>& Graph::ignored() const noexcept {
  return impl_->ignored;
}

std::vector<ParameterSpec> Graph::parameters() const {
  std::vector<ParameterSpec> specs;
  for (std::size_t i = 0; i < impl_->nodes.size(); ++i) {
    const Node& node = impl_->nodes[i];
    for (model::ParameterShape& parameter : model::parameter_shapes(node.op)) {
      specs.push_back({node.parameter(parameter.name), std::move(parameter.shape), i});
    }
  }
  return specs;
}

namespace {

bool fits_port(const Shape& declared, const Shape& given) noexcept {
  if (declared.empty()) return true;
  if (declared.size() != given.size()) return false;
  for (std::size_t i = 0; i < given.size(); ++i) {
    if (declared[i] != -1 && given[i] != -1 && declared[i] != given[i]) return false;
  }
  return true;
}

}  // namespace

namespace {

// The node of that name, or else the last below it.
const Node* find_output(std::span<const Node> nodes, std::string_view name) noexcept {
  const Node* last = nullptr;
  for (const Node& node : nodes) {
    if (node.name == name) return &node;
    if (node.name.size() > name.size() && node.name.starts_with(name) && node.name[name.size()] == '.') last = &node;
  }
  return last;
}

Error no_such_node(std::span<const Node> nodes, const std::string& name) {
  std::vector<std::string> names;
  for (const Node& node : nodes) names.push_back(node.name);
  std::string hint;
  for (const std::string& candidate : nearest(name, names)) {
    hint += (hint.empty() ? "did you mean " : " or ") + quoted(candidate);
  }
  return Error::of(ErrorCode::not_found, {.category = Category::argument,
                                          .code = "GRAPH-OUTPUT",
                                          .message = "there is no node " + quoted(name) + " in the graph",
                                          .found = escaped(name),
                                          .hint = std::move(hint)});
}

std::vector<DType> edge_dtypes(std::span<const Port> inputs, std::span<const Node> nodes, std::size_t edge_count) {
  std::vector<DType> dtypes(edge_count, DType::f32);
  const auto at = [&](Edge edge) -> DType& { return dtypes[static_cast<std::size_t>(edge.index)]; };
  for (const Port& port : inputs) at(port.edge) = port.dtype;
  std::vector<DType> operands;
  for (const Node& node : nodes) {
    operands.clear();
    for (const Edge edge : node.inputs) operands.push_back(at(edge));
    for (std::size_t i = 0; i < node.outputs.size(); ++i) {
      at(node.outputs[i]) = model::output_dtype(node.op, operands, i);
    }
  }
  return dtypes;
}

}  // namespace

Result<Graph> Graph::with_outputs(std::span<const std::string> names) const {
  auto impl = std::make_shared<Impl>(*impl_);
  const std::vector<DType> dtypes = edge_dtypes(impl_->inputs, impl_->nodes, impl_->edge_count);
  for (const std::string& name : names) {
    const Node* node = find_output(impl_->nodes, name);
    if (node == nullptr) return no_such_node(impl_->nodes, name);
    for (const Port& port : impl->outputs) {
      if (port.name != name) continue;
      return Error::of({.category = Category::argument,
                        .code = "GRAPH-OUTPUT",
                        .message = "output " + quoted(name) + ": another output has this name"});
    }
    impl->outputs.push_back({name, dtypes[static_cast<std::size_t>(node->output().index)], {}, node->output()});
  }
  return Graph(std::move(impl));
}

Result<std::vector<Shape>> Graph::infer_shapes(std::span<const Shape> input_shapes) const {
  RUSHLIGHT_TRY_ASSIGN(std::vector<EdgeType> types, infer_types(input_shapes));
  std::vector<Shape> shapes;
  for (EdgeType& type : types) shapes.push_back(std::move(type.shape));
  return shapes;
}

Result<std::vector<EdgeType>> Graph::infer_types(std::span<const Shape> input_shapes) const {
  const auto& inputs = impl_->inputs;
  if (input_shapes.size() != inputs.size()) {
    return Error::of({.category = Category::argument,
                      .code = "GRAPH-INPUT",
                      .message = "expected " + model::count_text(inputs.size(), "input shape") + ", found " +
                                 std::to_string(input_shapes.size()),
                      .found = std::to_string(input_shapes.size()),
                      .expected = std::to_string(inputs.size())});
  }
  std::vector<std::optional<Shape>> given;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const Shape& shape = input_shapes[i];
    for (const std::int64_t size : shape) {
      if (size < -1) {
        return Error::of({.category = Category::argument,
                          .code = "GRAPH-INPUT",
                          .message = "input " + quoted(inputs[i].name) +
                                     ": expected sizes of at least 0, or -1, found " + model::shape_text(shape)});
      }
    }
    if (!fits_port(inputs[i].shape, shape)) {
      const std::string expected = model::shape_text(inputs[i].shape);
      const std::string found = model::shape_text(shape);
      return Error::of({.category = Category::model,
                        .code = "GRAPH-INPUT",
                        .message = "input " + quoted(inputs[i].name) + ": expected " + expected + ", found " + found,
                        .found = found,
                        .expected = expected});
    }
    given.emplace_back(shape);
  }
  RUSHLIGHT_TRY_ASSIGN(auto edges, model::infer_edges(*impl_, given));
  std::vector<EdgeType> types(edges.size());
  for (std::size_t i = 0; i < edges.size(); ++i) {
    if (edges[i]) types[i] = *std::move(edges[i]);
  }
  return types;
}

}  // namespace rushlight
