#include "rushlight/evaluate.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>
#include <span>
#include <utility>
#include <variant>

#include "base/fail.hpp"
#include "base/no_memory.hpp"
#include "base/quote.hpp"
#include "model/describe.hpp"
#include "runtime/failure.hpp"

namespace rushlight {
namespace {

using runtime::wrong_argument;

// True when the output is a softmax already, whatever passes through behind it.
bool ends_in_softmax(const Graph& graph) {
  Edge edge = graph.outputs()[0].edge;
  for (std::size_t i = graph.nodes().size(); i-- > 0;) {
    const Node& node = graph.nodes()[i];
    if (!(node.output() == edge)) continue;
    if (node.op.is<Softmax>()) return true;
    if (!node.op.is<Identity>() && !node.op.is<Dropout>()) return false;
    edge = node.inputs[0];
  }
  return false;
}

// The order of scores, best first: NaN before all numbers, as torch's topk and argmax have it; equal ones by index.
bool is_better(std::span<const float> scores, std::size_t a, std::size_t b) {
  const bool nan_a = std::isnan(scores[a]);
  const bool nan_b = std::isnan(scores[b]);
  if (nan_a != nan_b) return nan_a;
  if (!nan_a && scores[a] != scores[b]) return scores[a] > scores[b];
  return a < b;
}

std::vector<double> softmax(std::span<const float> scores) {
  double largest = -std::numeric_limits<double>::infinity();
  for (const float score : scores) largest = std::max(largest, static_cast<double>(score));
  std::vector<double> result(scores.size());
  double sum = 0;
  for (std::size_t i = 0; i < scores.size(); ++i) sum += result[i] = std::exp(static_cast<double>(scores[i]) - largest);
  for (double& value : result) value /= sum;
  return result;
}

EvaluatedItem score_item(std::span<const float> scores, bool are_probabilities, std::size_t top,
                         std::span<const std::string> labels) {
  EvaluatedItem item;
  std::vector<std::size_t> order(scores.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  top = std::min(top, order.size());
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(top), order.end(),
                    [&](std::size_t a, std::size_t b) { return is_better(scores, a, b); });
  const std::vector<double> probabilities =
      are_probabilities ? std::vector<double>(scores.begin(), scores.end()) : softmax(scores);
  for (std::size_t i = 0; i < top; ++i) {
    const std::size_t index = order[i];
    item.top.push_back({.index = static_cast<std::int64_t>(index),
                        .label = index < labels.size() ? labels[index] : std::string(),
                        .score = static_cast<double>(scores[index]),
                        .probability = probabilities[index]});
  }
  return item;
}

Status check_labels(std::size_t labels, bool has_classes, const Shape& output) {
  if (!has_classes) {
    return wrong_argument("EVALUATE-LABELS",
                          "labels need an output of scores, [items, classes], found " + model::shape_text(output));
  }
  if (labels == static_cast<std::size_t>(output[1])) return {};
  return wrong_argument("EVALUATE-LABELS", "labels: expected " + std::to_string(output[1]) +
                                               ", one for each class, found " + std::to_string(labels));
}

// The right classes as integers, checked.
Result<std::vector<std::int64_t>> read_targets(const Tensor& targets, std::int64_t items, std::int64_t classes) {
  if (targets.dim() != 1 || targets.shape()[0] != items) {
    return wrong_argument("EVALUATE-TARGETS", "targets: expected shape [" + std::to_string(items) + "], found " +
                                                  model::shape_text(targets.shape()));
  }
  if (targets.dtype() != DType::u8 && targets.dtype() != DType::i64) {
    return wrong_argument("EVALUATE-TARGETS",
                          "targets: expected uint8 or int64, found " + std::string(to_string(targets.dtype())));
  }
  RUSHLIGHT_TRY_ASSIGN(const Tensor dense, targets.contiguous());
  std::vector<std::int64_t> result;
  if (dense.dtype() == DType::u8) {
    RUSHLIGHT_TRY_ASSIGN(const auto values, dense.values<std::uint8_t>());
    result.assign(values.begin(), values.end());
  } else {
    RUSHLIGHT_TRY_ASSIGN(const auto values, dense.values<std::int64_t>());
    result.assign(values.begin(), values.end());
  }
  for (std::size_t i = 0; i < result.size(); ++i) {
    if (result[i] >= 0 && result[i] < classes) continue;
    return wrong_argument("EVALUATE-TARGETS", "targets: expected classes 0 to " + std::to_string(classes - 1) +
                                                  ", found " + std::to_string(result[i]) + " at item " +
                                                  std::to_string(i));
  }
  return result;
}

// Runs all items, `batch` at a time, into `output`; the time is that of Session::run alone.
Status run_batches(Session& session, const Tensor& input, Tensor& output, std::int64_t batch, Progress* progress,
                   double& milliseconds) {
  RUSHLIGHT_TRY_ASSIGN(const std::span<const std::byte> from, input.bytes());
  RUSHLIGHT_TRY_ASSIGN(const std::span<std::byte> to, output.mutable_bytes());
  const std::int64_t items = input.shape()[0];
  Shape in_shape(input.shape().begin(), input.shape().end());
  Shape out_shape(output.shape().begin(), output.shape().end());
  const std::size_t in_bytes = items == 0 ? 0 : from.size() / static_cast<std::size_t>(items);
  const std::size_t out_bytes = items == 0 ? 0 : to.size() / static_cast<std::size_t>(items);
  for (std::int64_t first = 0; first < items; first += batch) {
    in_shape[0] = out_shape[0] = std::min(batch, items - first);
    RUSHLIGHT_TRY(session.prepare(std::span(&in_shape, 1)));
    const TensorView in{
        .data = from.data() + static_cast<std::size_t>(first) * in_bytes, .dtype = input.dtype(), .shape = in_shape};
    const MutableTensorView out{
        .data = to.data() + static_cast<std::size_t>(first) * out_bytes, .dtype = output.dtype(), .shape = out_shape};
    const auto start = std::chrono::steady_clock::now();
    RUSHLIGHT_TRY(session.run(std::span(&in, 1), std::span(&out, 1)));
    milliseconds += std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
    const auto done = static_cast<std::uint64_t>(first + in_shape[0]);
    if (progress != nullptr && !progress->on_progress("run", done, static_cast<std::uint64_t>(items))) {
      return runtime::run_was_cancelled();
    }
  }
  return {};
}

}  // namespace

Result<Evaluation> evaluate(const Model& model, const Tensor& input, const EvaluateOptions& options) {
  return or_no_memory([&]() -> Result<Evaluation> {
    if (model.inputs().size() != 1 || model.outputs().size() != 1) {
      Error error = wrong_argument("EVALUATE-PORTS", "evaluation wants a model with 1 input and 1 output, found " +
                                                         std::to_string(model.inputs().size()) + " and " +
                                                         std::to_string(model.outputs().size()));
      if (model.inputs().size() == 1 && !model.outputs().empty()) {
        for (const Port& port : model.outputs()) {
          error.finding.hint +=
              (error.finding.hint.empty() ? "choose one (Graph::with_outputs, --tap): " : ", ") + quoted(port.name);
        }
      }
      return error;
    }
    if (options.batch < 1) {
      return wrong_argument("EVALUATE-BATCH", "batch: expected at least 1, found " + std::to_string(options.batch));
    }
    if (options.top < 0) {
      return wrong_argument("EVALUATE-TOP", "top: expected at least 0, found " + std::to_string(options.top));
    }
    if (input.dim() == 0) return wrong_argument("EVALUATE-INPUT", "the input is a single number, not a set of items");
    const DType wanted = model.inputs()[0].dtype;
    if (input.dtype() != wanted) {
      return wrong_argument("EVALUATE-INPUT", "the input: expected " + std::string(to_string(wanted)) + ", found " +
                                                  std::string(to_string(input.dtype())));
    }
    RUSHLIGHT_TRY_ASSIGN(Session session, model.session(options.device, options.session));
    RUSHLIGHT_TRY_ASSIGN(const Tensor host, input.to(Device::cpu()));
    RUSHLIGHT_TRY_ASSIGN(const Tensor dense, host.contiguous());

    Evaluation evaluation;
    evaluation.device = session.device();
    evaluation.items = dense.shape()[0];
    // A model that declares a batch size gets it.
    const Shape& declared = model.inputs()[0].shape;
    const bool has_own_batch = !declared.empty() && declared[0] >= 0;
    const std::int64_t batch = has_own_batch ? declared[0] : options.batch;
    if (has_own_batch && (batch == 0 ? evaluation.items != 0 : evaluation.items % batch != 0)) {
      return wrong_argument("EVALUATE-BATCH", "the model takes batches of " + std::to_string(batch) + ", which " +
                                                  std::to_string(evaluation.items) + " items do not fill");
    }
    Shape item(dense.shape().begin(), dense.shape().end());
    item[0] = std::min(batch, evaluation.items);
    RUSHLIGHT_TRY_ASSIGN(const std::vector<Shape> shapes, session.output_shapes(std::span(&item, 1)));
    Shape out_shape = shapes[0];
    if (out_shape.empty() || out_shape[0] != item[0]) {
      return wrong_argument("EVALUATE-OUTPUT", "the model joins the items of a batch: its output for " +
                                                   model::shape_text(item) + " is " + model::shape_text(out_shape));
    }
    out_shape[0] = evaluation.items;
    RUSHLIGHT_TRY_ASSIGN(evaluation.output, Tensor::zeros(session.outputs()[0].dtype, out_shape));
    const bool has_classes = out_shape.size() == 2 && evaluation.output.dtype() == DType::f32;
    if (!options.labels.empty()) RUSHLIGHT_TRY(check_labels(options.labels.size(), has_classes, out_shape));
    std::vector<std::int64_t> targets;
    if (options.targets != nullptr) {
      if (!has_classes) {
        return wrong_argument("EVALUATE-TARGETS", "targets need an output of scores, [items, classes], found " +
                                                      std::string(to_string(evaluation.output.dtype())) + " " +
                                                      model::shape_text(out_shape));
      }
      RUSHLIGHT_TRY_ASSIGN(targets, read_targets(*options.targets, evaluation.items, out_shape[1]));
    }
    RUSHLIGHT_TRY(run_batches(session, dense, evaluation.output, batch, options.progress, evaluation.milliseconds));
    if (!has_classes) return evaluation;

    RUSHLIGHT_TRY_ASSIGN(const std::span<const float> scores, std::as_const(evaluation.output).values<float>());
    const std::vector<std::string>& labels = options.labels.empty() ? model.graph().labels() : options.labels;
    const bool are_probabilities = ends_in_softmax(model.graph());
    const auto classes = static_cast<std::size_t>(out_shape[1]);
    std::int64_t right = 0;
    for (std::size_t i = 0; i < static_cast<std::size_t>(evaluation.items); ++i) {
      const std::span<const float> row = scores.subspan(i * classes, classes);
      evaluation.results.push_back(score_item(row, are_probabilities, static_cast<std::size_t>(options.top), labels));
      if (targets.empty()) continue;
      // Where a score is NaN no class is the best one.
      if (std::any_of(row.begin(), row.end(), [](float score) { return std::isnan(score); })) continue;
      const EvaluatedItem best = score_item(row, true, 1, {});
      if (!best.top.empty() && best.top[0].index == targets[i]) ++right;
    }
    if (!targets.empty()) {
      evaluation.accuracy = static_cast<double>(right) / static_cast<double>(evaluation.items);
    }
    return evaluation;
  });
}

}  // namespace rushlight
