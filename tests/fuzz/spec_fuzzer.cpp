// JSON model specs: their syntax, the graph, its shapes, and where the network is small the numbers it computes.
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "doors/json_syntax.hpp"
#include "fuzz/answers.hpp"
#include "rushlight/graph.hpp"
#include "rushlight/model.hpp"
#include "rushlight/summary.hpp"

namespace {

using namespace rushlight;
using namespace rushlight::test;

// Of all parameters, and of one value between layers, where a network is run.
constexpr std::int64_t kMostParameters = 1 << 14;
constexpr std::int64_t kMostElements = 1 << 10;
constexpr std::int64_t kMostMacs = 1 << 18;

Limits spec_limits() {
  Limits limits = small_limits();
  limits.json_bytes = kMostBytes;
  limits.graph_nodes = 1 << 10;
  limits.arena_bytes = kMostBytes;
  return limits;
}

// -1 becomes `size`.
Shape with_sizes(std::span<const std::int64_t> shape, std::int64_t size) {
  Shape known(shape.begin(), shape.end());
  std::replace(known.begin(), known.end(), std::int64_t{-1}, size);
  return known;
}

// nullopt beyond `most`.
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

// Where a size is unknown, knowing more may fill it in, and changes no other.
void check_shapes(const Graph& graph, const std::vector<Shape>& declared, const std::vector<Shape>& given) {
  const auto before = graph.infer_shapes(declared);
  require(before.has_value() && before->size() == graph.edge_count());  // build() has checked them
  const auto after = graph.infer_shapes(given);
  if (!after) {
    (void)checked_line(after.error());
    return;
  }
  for (std::size_t edge = 0; edge < after->size(); ++edge) {
    const Shape& general = (*before)[edge];
    const Shape& special = (*after)[edge];
    if (general.empty()) continue;  // of a rank that is not known
    require(general.size() == special.size());
    for (std::size_t i = 0; i < general.size(); ++i) require(general[i] == -1 || general[i] == special[i]);
  }
}

// Small values that differ; none where there would be too many. Sizes that the weights would say are 1.
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

bool close(float a, float b) {
  if (!std::isfinite(a) || !std::isfinite(b)) return true;  // where sums of such are cut differs
  return std::abs(a - b) <= 1e-3f * std::max(1.0f, std::max(std::abs(a), std::abs(b)));
}

// Both implementations compute the shapes that were inferred, and the same values.
void run(const Model& model, const std::vector<Shape>& shapes) {
  std::vector<Tensor> inputs;
  for (const Shape& shape : shapes) {
    const auto count = elements(shape, kMostElements);
    if (shape.empty() || !count) return;
    std::vector<float> values(static_cast<std::size_t>(*count));
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 5) - 2;
    inputs.push_back(Tensor::from_values<float>(values, shape).value());
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
    options.limits = spec_limits();
    Result<Session> session = model.session(Device::cpu(), options);
    if (!session) {
      (void)checked_line(session.error());
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
  require(inferred.has_value());
  for (std::size_t i = 0; i < answers[0].size(); ++i) {
    const Shape& shape = (*inferred)[static_cast<std::size_t>(model.outputs()[i].edge.index)];
    require(std::equal(shape.begin(), shape.end(), answers[0][i].shape().begin(), answers[0][i].shape().end(),
                       [](std::int64_t a, std::int64_t b) { return a == -1 || a == b; }));
    const auto fast = answers[0][i].values<float>();
    const auto exact = answers[1][i].values<float>();
    require(fast.has_value() && exact.has_value());
    require(std::equal(fast->begin(), fast->end(), exact->begin(), exact->end(), close));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const Result<Graph> graph = Graph::from_spec(text, spec_limits());
  const auto syntax = doors::find_json_error(text, 16);
  if (syntax) {
    require(!graph && syntax->offset <= size && syntax->line >= 1 && syntax->column >= 1);
    require(is_plain_text(syntax->message));
  }
  if (!graph) {
    (void)checked_line(graph.error());
    return 0;
  }
  check_graph(*graph);
  std::vector<Shape> declared;
  std::vector<Shape> given;
  for (const Port& port : graph->inputs()) {
    declared.push_back(port.shape);
    given.push_back(with_sizes(port.shape, 2));
  }
  // An empty shape is one that is not declared here, and that of a scalar there.
  if (std::none_of(declared.begin(), declared.end(), [](const Shape& shape) { return shape.empty(); })) {
    check_shapes(*graph, declared, given);
  }

  const std::optional<StateDict> state = some_state(*graph);
  if (!state) return 0;
  LoadReport report;
  const Result<Model> model = Model::create(*graph, *state, &report);
  require(report.missing.empty() && report.unexpected.empty());
  if (!model) {
    (void)checked_line(model.error());
    return 0;
  }
  require(report.ok() && model->missing().empty() && model->state_dict().size() == state->size());
  if (!std::all_of(given.begin(), given.end(), [](const Shape& shape) { return elements(shape, kMostElements); })) {
    return 0;
  }
  const Result<Summary> summary = summarize(*model, given);
  if (!summary) {
    (void)checked_line(summary.error());
    return 0;
  }
  require(summary->rows.size() == graph->nodes().size() && summary->parameters >= 0 && summary->macs >= 0);
  if (summary->macs <= kMostMacs) run(*model, given);
  return 0;
}
