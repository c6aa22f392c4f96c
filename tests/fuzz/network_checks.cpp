#include "fuzz/network_checks.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <set>
#include <string>

#include "fuzz/answers.hpp"
#include "model/operator_table.hpp"

namespace rushlight::test {
namespace {

bool close(float a, float b) {
  if (!std::isfinite(a) || !std::isfinite(b)) return true;  // where sums of such are cut differs
  return std::abs(a - b) <= 1e-3f * std::max(1.0f, std::max(std::abs(a), std::abs(b)));
}

// Norms of their input's own statistics make much of what is left of a constant, one after the other ever more.
bool amplifies(const Graph& graph) {
  std::size_t norms = 0;
  for (const Node& node : graph.nodes()) {
    const std::string_view type = model::info(node.op)->type;
    norms += type.find("Norm") != std::string_view::npos || type == "Normalize" ? 1 : 0;
  }
  return norms > 1;
}

}  // namespace

Limits network_limits() {
  Limits limits = small_limits();
  limits.json_bytes = kMostBytes;
  limits.graph_nodes = 1 << 10;
  limits.arena_bytes = kMostBytes;
  return limits;
}

Shape with_sizes(std::span<const std::int64_t> shape, std::int64_t size) {
  Shape known(shape.begin(), shape.end());
  std::replace(known.begin(), known.end(), std::int64_t{-1}, size);
  return known;
}

std::optional<std::int64_t> elements(const Shape& shape, std::int64_t most) {
  std::int64_t count = 1;
  for (const std::int64_t size : shape) {
    require(size >= 0);
    if (__builtin_mul_overflow(count, size, &count) || count > most) return std::nullopt;
  }
  return count;
}

void check_graph(const Graph& graph) {
  const auto valid = [&](Edge edge) {
    return edge.index >= 0 && static_cast<std::size_t>(edge.index) < graph.edge_count();
  };
  std::set<std::int32_t> made;
  require(!graph.inputs().empty() && !graph.outputs().empty());
  for (const Port& port : graph.inputs()) require(valid(port.edge) && made.insert(port.edge.index).second);
  for (const Node& node : graph.nodes()) {
    // What a node reads was made before, and each value once.
    for (const Edge edge : node.inputs) require(made.contains(edge.index));
    for (const Edge edge : node.outputs) require(valid(edge) && made.insert(edge.index).second);
  }
  for (const Port& port : graph.outputs()) require(made.contains(port.edge.index));
  std::set<std::string> names;
  for (const ParameterSpec& parameter : graph.parameters()) {
    require(parameter.node < graph.nodes().size() && names.insert(parameter.name).second);
    require(std::all_of(parameter.shape.begin(), parameter.shape.end(), [](std::int64_t n) { return n >= -1; }));
  }
}

std::optional<StateDict> some_state(const Graph& graph) {
  StateDict state;
  std::int64_t total = 0;
  for (const ParameterSpec& parameter : graph.parameters()) {
    const Shape shape = with_sizes(parameter.shape, 1);
    const auto count = elements(shape, kMostParameters);
    if (!count || (total += *count) > kMostParameters) return std::nullopt;
    std::vector<float> values(static_cast<std::size_t>(*count));
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>((i * 7 + 3) % 11) / 8;
    auto tensor = Tensor::from_values<float>(values, shape);
    require(tensor.has_value());
    state.insert(parameter.name, *std::move(tensor));
  }
  return state;
}

void run_network(const Model& model, const std::vector<Shape>& shapes) {
  std::vector<Tensor> inputs;
  for (const Shape& shape : shapes) {
    const auto count = elements(shape, kMostElements);
    if (shape.empty() || !count) return;
    std::vector<float> values(static_cast<std::size_t>(*count));
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 5) - 2;
    if (model.inputs()[inputs.size()].dtype != DType::f32) std::fill(values.begin(), values.end(), 0.0f);  // indices
    inputs.push_back(Tensor::from_values<float>(values, shape).value().to(model.inputs()[inputs.size()].dtype).value());
  }
  const auto inferred = model.graph().infer_shapes(shapes);
  if (inferred) {
    for (const Shape& shape : *inferred) {
      if (std::find(shape.begin(), shape.end(), -1) == shape.end() && !elements(shape, kMostElements)) return;
    }
  }
  std::vector<std::vector<Tensor>> answers;
  for (const Implementation implementation : {Implementation::automatic, Implementation::reference}) {
    SessionOptions options;
    options.implementation = implementation;
    options.limits = network_limits();
    Result<Session> session = model.session(Device::cpu(), options);
    if (!session) {
      (void)checked_line(session.error());
      if (session.error().code == ErrorCode::unsupported) continue;
      return;
    }
    Result<std::vector<Tensor>> outputs = session->run(inputs);
    if (!outputs) {
      (void)checked_line(outputs.error());
      require(answers.empty() || outputs.error().code == ErrorCode::limit_exceeded);
      return;
    }
    require(outputs->size() == model.outputs().size());
    answers.push_back(*std::move(outputs));
  }
  if (answers.empty()) return;
  require(inferred.has_value());
  for (std::size_t i = 0; i < answers[0].size(); ++i) {
    const Shape& shape = (*inferred)[static_cast<std::size_t>(model.outputs()[i].edge.index)];
    require(std::equal(shape.begin(), shape.end(), answers[0][i].shape().begin(), answers[0][i].shape().end(),
                       [](std::int64_t a, std::int64_t b) { return a == -1 || a == b; }));
    if (answers.size() < 2 || answers[0][i].dtype() != DType::f32 || amplifies(model.graph())) continue;
    const auto fast = answers[0][i].values<float>();
    const auto exact = answers[1][i].values<float>();
    require(fast.has_value() && exact.has_value());
    require(std::equal(fast->begin(), fast->end(), exact->begin(), exact->end(), close));
  }
}

}  // namespace rushlight::test
