#include "architectures/compare.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <utility>

#include "base/fail.hpp"
#include "rushlight/architectures.hpp"
#include "rushlight/model.hpp"
#include "rushlight/npy.hpp"

namespace rushlight::test {
namespace {

std::string shape_text(std::span<const std::int64_t> shape) {
  std::string text = "[";
  for (const std::int64_t size : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(size);
  return text + "]";
}

Shape shape_of(const Tensor& tensor) {
  return {tensor.shape().begin(), tensor.shape().end()};
}

// Every so many-th element along each dimension, in C order.
std::vector<float> thinned(std::span<const float> values, const Shape& shape, const Shape& every) {
  std::vector<float> kept;
  Shape index(shape.size(), 0);
  for (const float value : values) {
    bool keeps = true;
    for (std::size_t d = 0; d < every.size(); ++d) keeps = keeps && index[d] % every[d] == 0;
    if (keeps) kept.push_back(value);
    for (std::size_t d = shape.size(); d-- > 0;) {
      if (++index[d] < shape[d]) break;
      index[d] = 0;
    }
  }
  return kept;
}

// A NaN on one side only, or an infinity, is as wrong as can be.
double distance(double have, double expected) {
  const double difference = std::abs(have - expected);
  return std::isnan(difference) ? std::numeric_limits<double>::infinity() : difference;
}

std::size_t best_class(std::span<const float> row) {
  return static_cast<std::size_t>(std::max_element(row.begin(), row.end()) - row.begin());
}

// Of PyTorch's float32 result there are only a few values and the statistics.
Result<OutputVerdict> judge(const Activation& expected, const Tensor& have) {
  OutputVerdict verdict{.name = expected.module, .torch_error = expected.error};
  if (shape_of(have) != expected.shape) {
    verdict.problem = "has the shape " + shape_text(have.shape()) + ", expected " + shape_text(expected.shape);
    return verdict;
  }
  RUSHLIGHT_TRY_ASSIGN(const std::span<const float> values, have.values<float>());
  double sum = 0;
  double squares = 0;
  double max_abs = 0;
  for (const double value : values) {
    sum += value;
    squares += value * value;
    max_abs = std::max(max_abs, std::abs(value));
  }
  const auto count = static_cast<double>(values.size());
  const double mean = sum / count;
  verdict.error = std::max({distance(mean, expected.mean), distance(max_abs, expected.max_abs),
                            distance(std::sqrt(std::max(squares / count - mean * mean, 0.0)), expected.std)});
  for (std::size_t i = 0; i < expected.first.size(); ++i) {
    verdict.error = std::max(verdict.error, distance(values[i], expected.first[i]));
  }
  verdict.error /= expected.max_abs;
  if (verdict.error > tolerance(expected.error)) verdict.problem = "is off by " + std::to_string(verdict.error);
  return verdict;
}

Result<std::vector<Tensor>> outputs_of(Graph graph, const ArchitectureRun& run, const StateDict& weights,
                                       const SessionOptions& options) {
  RUSHLIGHT_TRY_ASSIGN(const Model model, Model::create(std::move(graph), weights));
  RUSHLIGHT_TRY_ASSIGN(Session session, model.session(Device::cpu(), options));
  const Tensor input = make_tensor(run.input, {});
  return session.run(std::span<const Tensor>(&input, 1));
}

}  // namespace

Result<OutputVerdict> judge_output(const ExpectedOutput& output, const ArchitectureRun& run, const Tensor& have) {
  OutputVerdict verdict{.name = output.name, .torch_error = output.error};
  RUSHLIGHT_TRY_ASSIGN(const Tensor expected, read_npy(output.file));
  RUSHLIGHT_TRY_ASSIGN(const std::span<const double> reference, expected.values<double>());
  RUSHLIGHT_TRY_ASSIGN(const std::span<const float> all, have.values<float>());
  const std::vector<float> values =
      run.every.empty() ? std::vector<float>(all.begin(), all.end()) : thinned(all, shape_of(have), run.every);
  if (values.size() != reference.size()) {
    verdict.problem = "has the shape " + shape_text(have.shape()) + ", expected " + shape_text(expected.shape());
    return verdict;
  }
  double largest = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    largest = std::max(largest, std::abs(reference[i]));
    verdict.error = std::max(verdict.error, distance(values[i], reference[i]));
  }
  verdict.error /= largest;
  if (verdict.error > tolerance(output.error)) verdict.problem = "is off by " + std::to_string(verdict.error);
  for (std::size_t i = 0; i < run.top1.size(); ++i) {
    const std::size_t classes = all.size() / run.top1.size();
    const std::size_t best = best_class(all.subspan(i * classes, classes));
    if (best != static_cast<std::size_t>(run.top1[i])) {
      verdict.problem = "has the best class " + std::to_string(best) + ", expected " + std::to_string(run.top1[i]);
    }
  }
  return verdict;
}

double tolerance(double torch_error) {
  return std::max(4 * torch_error, 2e-5);
}

bool has_outputs(const ArchitectureRun& run) {
  return std::all_of(run.outputs.begin(), run.outputs.end(),
                     [](const ExpectedOutput& output) { return std::filesystem::exists(output.file); });
}

Result<std::vector<OutputVerdict>> compare_run(const ArchitectureRun& run, const StateDict& weights,
                                               const SessionOptions& options) {
  RUSHLIGHT_TRY_ASSIGN(Graph graph, architecture_graph(run.arch, weights));
  RUSHLIGHT_TRY_ASSIGN(const std::vector<Tensor> have, outputs_of(std::move(graph), run, weights, options));
  std::vector<OutputVerdict> verdicts;
  for (std::size_t i = 0; i < run.outputs.size(); ++i) {
    RUSHLIGHT_TRY_ASSIGN(OutputVerdict verdict, judge_output(run.outputs[i], run, have[i]));
    verdicts.push_back(std::move(verdict));
  }
  return verdicts;
}

Result<std::vector<OutputVerdict>> compare_trace(const ArchitectureCase& architecture, const StateDict& weights,
                                                 const SessionOptions& options) {
  std::vector<std::string> modules;
  for (const Activation& activation : architecture.trace) modules.push_back(activation.module);
  const ArchitectureRun& run = architecture.runs.front();
  RUSHLIGHT_TRY_ASSIGN(const Graph plain, architecture_graph(run.arch, weights));
  RUSHLIGHT_TRY_ASSIGN(Graph graph, plain.with_outputs(modules));
  RUSHLIGHT_TRY_ASSIGN(const std::vector<Tensor> have, outputs_of(std::move(graph), run, weights, options));
  std::vector<OutputVerdict> verdicts;
  for (std::size_t i = 0; i < modules.size(); ++i) {
    RUSHLIGHT_TRY_ASSIGN(OutputVerdict verdict, judge(architecture.trace[i], have[i]));
    verdicts.push_back(std::move(verdict));
  }
  return verdicts;
}

}  // namespace rushlight::test
