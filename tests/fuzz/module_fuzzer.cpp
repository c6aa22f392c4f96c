// Whole modules: a checkpoint becomes a graph, the graph a model, and where that is small the numbers it computes.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <variant>
#include <vector>

#include "fuzz/answers.hpp"
#include "fuzz/network_checks.hpp"
#include "model/operator_table.hpp"
#include "rushlight/load_model.hpp"
#include "rushlight/summary.hpp"

namespace {

using namespace rushlight;
using namespace rushlight::test;

// The channels or features that the first layer with any takes; 4 where there is none.
std::int64_t channels_of(const Graph& graph) {
  for (const Node& node : graph.nodes()) {
    Operator op = node.op;
    for (const model::Attribute& attribute : model::attributes(op)) {
      const std::string_view name = attribute.info->name;
      const bool counts = name == "in_channels" || name == "in_features" || name == "num_features" ||
                          name == "num_channels" || name == "input_size" || name == "embed_dim" || name == "dim";
      const auto* number = std::get_if<std::int64_t*>(&attribute.field);
      if (counts && number != nullptr && **number > 0 && **number <= 64) return **number;
    }
  }
  return 4;
}

// Inputs of the kinds that layers take: pictures, maps with channels last, sequences, rows.
std::vector<Shape> candidates(const Graph& graph) {
  const std::int64_t channels = channels_of(graph);
  return {{1, channels, 6, 6}, {1, 4, 4, channels}, {2, channels, 7},
          {2, 3, channels},    {2, channels},       {1, channels, 3, 4, 4}};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span<const std::byte> bytes = std::as_bytes(std::span(data, size));
  LoadOptions open;
  open.limits = small_limits();
  const Result<Checkpoint> checkpoint = Checkpoint::open(Source::from_memory(bytes), open);
  if (!checkpoint) return 0;  // what opening says is the business of other targets
  LoadReport report;
  ModelOptions options;
  options.limits = network_limits();
  options.report = &report;
  const Result<Model> model = load_model(*checkpoint, options);
  if (!model) {
    (void)checked_line(model.error());
    return 0;
  }
  check_graph(model->graph());
  require(report.ok() && model->missing().empty());
  for (const std::string& note : model->graph().notes()) require(is_plain_text(note));
  // Weights of a file can be such that any rounding shows.
  const std::optional<StateDict> state = some_state(model->graph());
  if (!state || model->inputs().size() != 1) return 0;
  const Result<Model> tame = model->with_state_dict(*state);
  if (!tame) {
    (void)checked_line(tame.error());
    return 0;
  }
  for (const Shape& shape : candidates(model->graph())) {
    const std::vector<Shape> given = {shape};
    const Result<std::vector<Shape>> shapes = model->graph().infer_shapes(given);
    if (!shapes) {
      (void)checked_line(shapes.error());
      continue;
    }
    const Result<Summary> summary = summarize(*model, given, network_limits());
    if (!summary) {
      (void)checked_line(summary.error());
      continue;
    }
    if (summary->macs <= kMostMacs) run_network(*tame, given);
  }
  return 0;
}
