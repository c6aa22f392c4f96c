// Several networks as one: nodes and parameters are put side by side, and their outputs averaged.
#include <string>
#include <utility>
#include <vector>

#include "base/fail.hpp"
#include "base/quote.hpp"
#include "model/describe.hpp"
#include "rushlight/model.hpp"

namespace rushlight {
namespace {

bool equal_ports(std::span<const Port> a, std::span<const Port> b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i].dtype != b[i].dtype || a[i].shape != b[i].shape || a[i].name != b[i].name) return false;
  }
  return true;
}

Status check(std::span<const Model> models) {
  if (models.empty()) {
    return Error::of(
        {.category = Category::argument, .code = "ENSEMBLE-EMPTY", .message = "an ensemble has no models"});
  }
  for (std::size_t i = 0; i < models.size(); ++i) {
    const std::string which = "model " + std::to_string(i) + " of the ensemble";
    if (!models[i].missing().empty()) {
      return Error::of(ErrorCode::mismatch, {.category = Category::model,
                                             .code = "MODEL-MISSING",
                                             .message = which + " lacks parameter " + quoted(models[i].missing()[0])});
    }
    if (!equal_ports(models[i].inputs(), models[0].inputs()) ||
        !equal_ports(models[i].outputs(), models[0].outputs())) {
      return Error::of(ErrorCode::mismatch, {.category = Category::model,
                                             .code = "ENSEMBLE-PORTS",
                                             .message = which + " has other inputs or outputs than the first"});
    }
  }
  for (const Port& port : models[0].outputs()) {
    if (port.dtype == DType::f32) continue;
    return Error::of(ErrorCode::mismatch, {.category = Category::model,
                                           .code = "ENSEMBLE-PORTS",
                                           .message = "output " + quoted(port.name) + " has no mean: it holds " +
                                                      std::string(to_string(port.dtype))});
  }
  return {};
}

// Adds the nodes of one model and returns its outputs.
std::vector<Edge> add(GraphBuilder& builder, const Model& model, const std::string& prefix,
                      const std::vector<Edge>& inputs) {
  const Graph& graph = model.graph();
  std::vector<Edge> edges(graph.edge_count());
  const auto ours = [&](Edge edge) -> Edge& { return edges[static_cast<std::size_t>(edge.index)]; };
  for (std::size_t i = 0; i < inputs.size(); ++i) ours(graph.inputs()[i].edge) = inputs[i];
  const auto full = [&](const std::string& name) { return name.empty() ? prefix : prefix + "." + name; };
  std::vector<Edge> operands;
  for (const Node& node : graph.nodes()) {
    operands.clear();
    for (const Edge edge : node.inputs) operands.push_back(ours(edge));
    const std::vector<Edge> made =
        node.module ? builder.apply_shared(full(node.name), full(*node.module), node.op, operands, node.outputs.size())
                    : builder.apply(full(node.name), node.op, operands, node.outputs.size());
    for (std::size_t i = 0; i < made.size(); ++i) ours(node.outputs[i]) = made[i];
  }
  std::vector<Edge> outputs;
  for (const Port& port : graph.outputs()) outputs.push_back(ours(port.edge));
  return outputs;
}

}  // namespace

Result<Model> make_ensemble(std::span<const Model> models) {
  RUSHLIGHT_TRY(check(models));
  GraphBuilder builder;
  std::vector<Edge> inputs;
  for (const Port& port : models[0].inputs()) inputs.push_back(builder.input(port.name, port.shape, port.dtype));
  StateDict state;
  std::vector<Edge> sums;
  for (std::size_t i = 0; i < models.size(); ++i) {
    const std::string prefix = std::to_string(i);
    const std::vector<Edge> outputs = add(builder, models[i], prefix, inputs);
    for (const auto& [name, tensor] : models[i].state_dict()) {
      std::string full = prefix;
      state.insert(full.append(".").append(name), tensor);
    }
    if (sums.empty()) {
      sums = outputs;
    } else {
      for (std::size_t port = 0; port < sums.size(); ++port)
        sums[port] = builder.apply("", Add{}, sums[port], outputs[port]);
    }
  }
  const double share = 1.0 / static_cast<double>(models.size());
  for (std::size_t port = 0; port < sums.size(); ++port) {
    const Edge mean = models.size() == 1 ? sums[port] : builder.apply("", Mul{.other = share}, sums[port]);
    builder.output(models[0].outputs()[port].name, mean);
  }
  builder.labels(models[0].graph().labels());
  builder.preprocessing(models[0].graph().preprocessing());
  builder.note("the mean of " + model::count_text(models.size(), "model"));
  RUSHLIGHT_TRY_ASSIGN(Graph graph, builder.build());
  return Model::create(std::move(graph), state);
}

}  // namespace rushlight
