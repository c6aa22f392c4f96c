#include "rushlight/summary.hpp"

#include <cstdint>
#include <limits>
#include <set>
#include <tuple>
#include <utility>

#include "base/checked.hpp"
#include "base/fail.hpp"
#include "base/quote.hpp"
#include "model/describe.hpp"
#include "model/macs.hpp"
#include "model/parameters.hpp"
#include "model/visit_operator.hpp"
#include "rushlight/session.hpp"

namespace rushlight {
namespace {

// "k3", or "k3x5" where height and width differ.
std::string pair_detail(char letter, IntPair pair) {
  return letter + (pair.h == pair.w ? std::to_string(pair.h) : model::pair_text(pair));
}

std::string size_text(std::int64_t size) {
  return size == kFromWeights ? "?" : std::to_string(size);
}

void add(std::string& detail, const std::string& part) {
  detail += (detail.empty() ? "" : " ") + part;
}

template <class Windowed>
void add_window(std::string& detail, const Windowed& op) {
  add(detail, op.kernel_size == IntPair(kFromWeights) ? "k?" : pair_detail('k', op.kernel_size));
  add(detail, pair_detail('s', op.stride));
}

void add_padding(std::string& detail, const Padding& padding) {
  switch (padding.kind) {
    case Padding::Kind::amounts:
      if (padding.amount != IntPair(0)) add(detail, pair_detail('p', padding.amount));
      break;
    case Padding::Kind::valid:
      break;
    case Padding::Kind::same:
      add(detail, "same");
      break;
  }
}

std::string detail_of(const Conv2d& op) {
  std::string detail = size_text(op.in_channels) + "->" + size_text(op.out_channels);
  add_window(detail, op);
  add_padding(detail, op.padding);
  if (op.dilation != IntPair(1)) add(detail, pair_detail('d', op.dilation));
  if (op.groups != 1) add(detail, "g" + std::to_string(op.groups));
  if (!op.bias) add(detail, "no bias");
  return detail;
}
std::string detail_of(const Linear& op) {
  std::string detail = size_text(op.in_features) + "->" + size_text(op.out_features);
  if (!op.bias) add(detail, "no bias");
  return detail;
}
std::string detail_of(const BatchNorm1d& op) {
  return size_text(op.num_features);
}
std::string detail_of(const BatchNorm2d& op) {
  return size_text(op.num_features);
}
std::string detail_of(const SyncBatchNorm& op) {
  return size_text(op.num_features);
}
std::string detail_of(const MaxPool2d& op) {
  std::string detail;
  add_window(detail, op);
  add_padding(detail, Padding(op.padding));
  if (op.dilation != IntPair(1)) add(detail, pair_detail('d', op.dilation));
  if (op.ceil_mode) add(detail, "ceil");
  return detail;
}
std::string detail_of(const AvgPool2d& op) {
  std::string detail;
  add_window(detail, op);
  add_padding(detail, Padding(op.padding));
  if (op.ceil_mode) add(detail, "ceil");
  return detail;
}
std::string detail_of(const AdaptiveAvgPool2d& op) {
  const auto side = [](std::int64_t size) { return size == -1 ? std::string("same") : std::to_string(size); };
  return "to " + side(op.output_size.h) + " x " + side(op.output_size.w);
}
std::string detail_of(const Softmax& op) {
  return "dim " + std::to_string(op.dim);
}
template <class Op>
std::string detail_of(const Op&) {
  return {};
}

std::int64_t saturating_add(std::int64_t a, std::int64_t b) noexcept {
  return checked_add(a, b).value_or(std::numeric_limits<std::int64_t>::max());
}

// Buffers are no learnable parameters: torch calls them by these names in its norms.
bool is_buffer(std::string_view name) noexcept {
  return name == "running_mean" || name == "running_var";
}

// The declared shapes, with a batch of 1.
Result<std::vector<Shape>> declared_shapes(const Model& model) {
  std::vector<Shape> shapes;
  for (const Port& port : model.inputs()) {
    Shape shape = port.shape;
    bool known = !shape.empty();
    for (std::size_t i = 0; i < shape.size(); ++i) {
      if (shape[i] != -1) continue;
      known = known && i == 0;
      shape[i] = 1;
    }
    if (!known) {
      return Error::of({.category = Category::argument,
                        .code = "SUMMARY-INPUT",
                        .message = "input " + rushlight::quoted(port.name) + ": its shape is open, declared as " +
                                   (port.shape.empty() ? "nothing" : model::shape_text(port.shape)),
                        .hint = "give one with its batch: --input 1,3,224,224"});
    }
    shapes.push_back(std::move(shape));
  }
  return shapes;
}

SummaryRow row_of(const Model& model, const Node& node, std::span<const Shape> edges) {
  const Shape& output = edges[static_cast<std::size_t>(node.output().index)];
  SummaryRow row;
  row.name = node.name;
  row.type = std::string(model::info(node.op)->type);
  row.output = output;
  std::span<const std::int64_t> input;
  if (!node.inputs.empty()) input = edges[static_cast<std::size_t>(node.inputs[0].index)];
  row.macs = model::macs_of(node.op, input, output);
  model::visit_operator(node.op, [&](const auto& op) { row.detail = detail_of(op); });
  for (const model::ParameterShape& parameter : model::parameter_shapes(node.op)) {
    std::string name = node.parameter(parameter.name);
    if (const Tensor* tensor = model.state_dict().find(name); tensor != nullptr) {
      if (!is_buffer(parameter.name)) row.parameters = saturating_add(row.parameters, tensor->numel());
      row.read.push_back(std::move(name));
    }
  }
  return row;
}

// Tied parameters count once, as in torch's model.parameters().
std::int64_t distinct_parameters(const Model& model) {
  std::set<std::tuple<const Memory*, std::int64_t, std::int64_t>> seen;
  std::int64_t count = 0;
  for (const Node& node : model.graph().nodes()) {
    for (const model::ParameterShape& parameter : model::parameter_shapes(node.op)) {
      const Tensor* tensor = model.state_dict().find(node.parameter(parameter.name));
      if (tensor == nullptr || is_buffer(parameter.name)) continue;
      if (seen.emplace(tensor->storage().memory().get(), tensor->storage_offset(), tensor->numel()).second) {
        count = saturating_add(count, tensor->numel());
      }
    }
  }
  return count;
}

}  // namespace

Result<Summary> summarize(const Model& model, std::vector<Shape> input_shapes, const Limits& limits) {
  if (input_shapes.empty()) {
    RUSHLIGHT_TRY_ASSIGN(input_shapes, declared_shapes(model));
  }
  RUSHLIGHT_TRY_ASSIGN(const std::vector<Shape> shapes, model.graph().infer_shapes(input_shapes));
  Summary summary;
  for (const Node& node : model.graph().nodes()) {
    summary.rows.push_back(row_of(model, node, shapes));
    summary.macs = saturating_add(summary.macs, summary.rows.back().macs);
  }
  summary.parameters = distinct_parameters(model);
  summary.notes = model.graph().notes();
  if (model.missing().empty()) {
    RUSHLIGHT_TRY_ASSIGN(Session session, model.session(Device::cpu(), {.limits = limits}));
    RUSHLIGHT_TRY(session.prepare(input_shapes));
    summary.workspace_bytes = session.workspace_bytes();
  } else {
    summary.notes.push_back(model::count_text(model.missing().size(), "parameter") + " missing: it cannot run");
  }
  summary.inputs = std::move(input_shapes);
  return summary;
}

}  // namespace rushlight
