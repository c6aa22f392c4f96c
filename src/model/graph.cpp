#include "rushlight/graph.hpp"

#include <algorithm>
#include <memory>
#include <unordered_set>
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
const SelfTest* Graph::self_test() const noexcept {
  return impl_->self_test ? &*impl_->self_test : nullptr;
}
const std::vector<std::string>& Graph::notes() const noexcept {
  return impl_->notes;
}
const std::vector<std::string>& Graph::ignored() const noexcept {
  return impl_->ignored;
}

std::vector<ParameterSpec> Graph::parameters() const {
  std::vector<ParameterSpec> specs;
  std::unordered_set<std::string> listed;
  for (std::size_t i = 0; i < impl_->nodes.size(); ++i) {
    const Node& node = impl_->nodes[i];
    for (model::ParameterShape& parameter : model::parameter_shapes(node.op)) {
      std::string name = node.parameter(parameter.name);
      if (listed.insert(name).second) specs.push_back({std::move(name), std::move(parameter.shape), i});
    }
  }
  return specs;
}

Result<Graph> Graph::with_outputs(std::span<const std::string> names) const {
  auto other = std::make_shared<Impl>(*impl_);
  other->outputs.clear();
  other->self_test.reset();  // it knows the outputs that were there
  other->labels.clear();
  const std::vector<DType> dtypes = model::edge_dtypes(*impl_);
  for (const std::string& name : names) {
    const auto has_name = [&](const Port& port) { return port.name == name; };
    if (std::any_of(other->outputs.begin(), other->outputs.end(), has_name)) continue;
    const auto own = std::find_if(impl_->outputs.begin(), impl_->outputs.end(), has_name);
    if (own != impl_->outputs.end()) {
      other->outputs.push_back(*own);
      continue;
    }
    const Node* found = nullptr;
    for (const Node& node : impl_->nodes) {
      if (node.name == name) {
        found = &node;
        break;
      }
      if (node.name.size() > name.size() && node.name.starts_with(name) && node.name[name.size()] == '.') found = &node;
    }
    if (found == nullptr) {
      std::vector<std::string> known;
      for (const Node& node : impl_->nodes) known.push_back(node.name);
      std::string hint;
      for (const std::string& near : nearest(name, known))
        hint += (hint.empty() ? "did you mean " : " or ") + quoted(near);
      return Error::of(ErrorCode::not_found, {.category = Category::argument,
                                              .code = "GRAPH-NODE",
                                              .message = "there is no layer " + quoted(name) + " in the network",
                                              .found = escaped(name),
                                              .hint = std::move(hint)});
    }
    other->outputs.push_back({name, dtypes[static_cast<std::size_t>(found->output().index)], {}, found->output()});
  }
  if (other->outputs.empty()) {
    return Error::of({.category = Category::argument, .code = "GRAPH-NODE", .message = "no outputs are named"});
  }
  return Graph(std::shared_ptr<const Impl>(std::move(other)));
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
