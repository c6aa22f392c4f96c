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
#include "fuzz/network_checks.hpp"
#include "rushlight/graph.hpp"
#include "rushlight/model.hpp"
#include "rushlight/summary.hpp"

namespace {

using namespace rushlight;
using namespace rushlight::test;

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

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const Result<Graph> graph = Graph::from_spec(text, network_limits());
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
  const Result<Summary> summary = summarize(*model, given, network_limits());
  if (!summary) {
    (void)checked_line(summary.error());
    return 0;
  }
  require(summary->rows.size() == graph->nodes().size() && summary->parameters >= 0 && summary->macs >= 0);
  if (summary->macs <= kMostMacs) run_network(*model, given);
  return 0;
}
