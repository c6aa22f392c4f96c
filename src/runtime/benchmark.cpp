#include "rushlight/benchmark.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <utility>

#include "base/cpu_features.hpp"
#include "base/fail.hpp"
#include "base/no_memory.hpp"
#include "base/quote.hpp"
#include "model/describe.hpp"
#include "model/macs.hpp"
#include "model/model_impl.hpp"
#include "runtime/devices.hpp"
#include "runtime/failure.hpp"
#include "runtime/make_session.hpp"

namespace rushlight {
namespace {

using runtime::wrong_argument;
using Clock = std::chrono::steady_clock;

constexpr int kLeastRuns = 3;
constexpr int kMostRuns = 1'000'000;

double milliseconds_since(Clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

// By linear interpolation between neighbours.
double percentile_of(std::vector<double> values, double percent) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const double place = std::clamp(percent, 0.0, 100.0) / 100 * static_cast<double>(values.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const std::size_t above = std::min(below + 1, values.size() - 1);
  return values[below] + (values[above] - values[below]) * (place - std::floor(place));
}

// Numbers in [-1, 1); indices of embeddings are 0, and masks false.
Result<Tensor> made_up(DType dtype, Shape shape) {
  RUSHLIGHT_TRY_ASSIGN(Tensor tensor, Tensor::zeros(dtype, std::move(shape)));
  if (dtype != DType::f32) return tensor;
  RUSHLIGHT_TRY_ASSIGN(const std::span<std::byte> bytes, tensor.mutable_bytes());
  std::uint64_t state = 1;
  for (std::size_t at = 0; at < bytes.size(); at += sizeof(float)) {
    state = state * 6364136223846793005U + 1442695040888963407U;
    const float value = static_cast<float>(state >> 40) / 8388608.0F - 1.0F;
    std::memcpy(bytes.data() + at, &value, sizeof value);
  }
  return tensor;
}

Result<Shape> shape_of_port(const Port& port, std::size_t index, const BenchmarkOptions& options) {
  if (index < options.input_shapes.size()) return options.input_shapes[index];
  Shape shape = port.shape;
  if (!shape.empty() && shape[0] < 0) shape[0] = options.batch;
  const bool is_open = shape.empty() || std::any_of(shape.begin(), shape.end(), [](auto size) { return size < 0; });
  if (is_open) {
    return wrong_argument("BENCH-INPUT",
                          "input " + quoted(port.name) + ": its shape is open, declared as " +
                              (port.shape.empty() ? "nothing" : model::shape_text(port.shape)),
                          "give one with its batch: --input 1,3,224,224");
  }
  return shape;
}

Result<std::vector<Tensor>> inputs_of(const Model& model, const BenchmarkOptions& options) {
  std::vector<Tensor> inputs;
  for (std::size_t i = 0; i < model.inputs().size(); ++i) {
    if (!options.inputs.empty()) {
      if (options.inputs.size() != model.inputs().size()) {
        return wrong_argument("RUN-COUNT", "expected " + model::count_text(model.inputs().size(), "input") +
                                               ", found " + std::to_string(options.inputs.size()));
      }
      RUSHLIGHT_TRY_ASSIGN(const Tensor host, options.inputs[i].to(Device::cpu()));
      RUSHLIGHT_TRY_ASSIGN(Tensor dense, host.contiguous());
      inputs.push_back(std::move(dense));
      continue;
    }
    RUSHLIGHT_TRY_ASSIGN(Shape shape, shape_of_port(model.inputs()[i], i, options));
    RUSHLIGHT_TRY_ASSIGN(Tensor input, made_up(model.inputs()[i].dtype, std::move(shape)));
    inputs.push_back(std::move(input));
  }
  return inputs;
}

// Of nothing there is no time to measure.
Status check_inputs(const Model& model, const std::vector<Shape>& shapes) {
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    if (std::ranges::count(shapes[i], 0) == 0) continue;
    return wrong_argument("BENCH-INPUT", "input " + quoted(model.inputs()[i].name) + ": nothing to measure, found " +
                                             model::shape_text(shapes[i]));
  }
  return {};
}

// A session with buffers for its inputs and outputs.
class Runner {
 public:
  static Result<Runner> make(Session session, const std::vector<Tensor>& inputs, std::span<const EdgeType> edges) {
    Runner runner(std::move(session));
    for (const Tensor& input : inputs) {
      RUSHLIGHT_TRY_ASSIGN(const std::span<const std::byte> bytes, input.bytes());
      runner.in_.push_back({.data = bytes.data(), .dtype = input.dtype(), .shape = input.shape()});
    }
    for (const Port& port : runner.session_.outputs()) {
      const EdgeType& type = edges[static_cast<std::size_t>(port.edge.index)];
      RUSHLIGHT_TRY_ASSIGN(Tensor output, Tensor::zeros(type.dtype, type.shape));
      runner.outputs_.push_back(std::move(output));
    }
    for (Tensor& output : runner.outputs_) {
      RUSHLIGHT_TRY_ASSIGN(const std::span<std::byte> bytes, output.mutable_bytes());
      runner.out_.push_back({.data = bytes.data(), .dtype = output.dtype(), .shape = output.shape()});
    }
    return runner;
  }

  Status run() { return session_.run(in_, out_); }
  [[nodiscard]] const Session& session() const noexcept { return session_; }
  [[nodiscard]] const std::vector<Tensor>& outputs() const noexcept { return outputs_; }

  // Until the time is over; `after` is called behind each run with its milliseconds.
  template <class After>
  Status run_for(double seconds, Progress* progress, const After& after) {
    const Clock::time_point begin = Clock::now();
    const auto total = static_cast<std::uint64_t>(seconds * 1000);
    std::uint64_t reported = 0;
    for (int runs = 0; runs < kMostRuns; ++runs) {
      if (runs >= kLeastRuns && milliseconds_since(begin) >= seconds * 1000) break;
      const Clock::time_point start = Clock::now();
      RUSHLIGHT_TRY(run());
      after(milliseconds_since(start));
      const std::uint64_t done = std::min(total, static_cast<std::uint64_t>(milliseconds_since(begin)));
      if (progress == nullptr || done < reported + 50) continue;
      reported = done;
      if (!progress->on_progress("run", done, total)) return runtime::run_was_cancelled();
    }
    return {};
  }

 private:
  explicit Runner(Session session) : session_(std::move(session)) {}

  Session session_;
  std::vector<Tensor> outputs_;
  std::vector<TensorView> in_;
  std::vector<MutableTensorView> out_;
};

std::int64_t macs_of(const Graph& graph, std::span<const EdgeType> edges) {
  const auto shape_of = [&](Edge edge) -> std::span<const std::int64_t> {
    return edges[static_cast<std::size_t>(edge.index)].shape;
  };
  double sum = 0;
  for (const Node& node : graph.nodes()) {
    std::span<const std::int64_t> input;
    if (!node.inputs.empty()) input = shape_of(node.inputs[0]);
    sum += static_cast<double>(model::macs_of(node.op, input, shape_of(node.output())));
  }
  constexpr double kMost = 9.2e18;
  return static_cast<std::int64_t>(std::min(sum, kMost));
}

Status measure_layers(const Model& model, const BenchmarkOptions& options, const std::vector<Tensor>& inputs,
                      std::span<const EdgeType> edges, Benchmark& report) {
  runtime::StepTimes times;
  RUSHLIGHT_TRY_ASSIGN(Session session,
                       runtime::make_session(Model::Impl::of(model), options.device, options.session, &times));
  RUSHLIGHT_TRY_ASSIGN(Runner runner, Runner::make(std::move(session), inputs, edges));
  RUSHLIGHT_TRY(runner.run());
  std::vector<std::vector<double>> samples(times.steps.size());
  RUSHLIGHT_TRY(runner.run_for(options.seconds, options.progress, [&](double) {
    for (std::size_t i = 0; i < samples.size(); ++i) {
      samples[i].push_back(static_cast<double>(times.steps[i].nanoseconds) / 1e6);
    }
  }));
  for (std::size_t i = 0; i < samples.size(); ++i) {
    runtime::TimedStep& step = times.steps[i];
    report.steps.push_back({.name = std::move(step.name),
                            .kind = std::move(step.kind),
                            .algorithm = std::move(step.algorithm),
                            .macs = step.macs,
                            .bytes = step.bytes,
                            .milliseconds = percentile_of(std::move(samples[i]), 50)});
  }
  return {};
}

// NaN at other places is an infinite difference; NaN at all places is none that anybody knows.
double relative_error(std::span<const float> exact, std::span<const float> found) {
  double largest = 0;
  double worst = 0;
  bool has_number = exact.empty();
  for (std::size_t i = 0; i < exact.size(); ++i) {
    if (std::isnan(exact[i]) != std::isnan(found[i])) return HUGE_VAL;
    has_number = has_number || !std::isnan(exact[i]);
    if (exact[i] == found[i] || std::isnan(exact[i])) continue;
    worst = std::max(worst, std::fabs(static_cast<double>(exact[i]) - static_cast<double>(found[i])));
  }
  if (!has_number) return std::numeric_limits<double>::quiet_NaN();
  for (const float value : exact) {
    if (std::isfinite(value)) largest = std::max(largest, std::fabs(static_cast<double>(value)));
  }
  return largest > 0 ? worst / largest : worst;
}

// Against the outputs of `runner`.
Status measure_error(const Model& model, const BenchmarkOptions& options, const std::vector<Tensor>& inputs,
                     std::span<const EdgeType> edges, const Runner& runner, Benchmark& report) {
  SessionOptions strict = options.session;
  strict.precision = Precision::strict;
  strict.tuning = nullptr;
  RUSHLIGHT_TRY_ASSIGN(Session session, model.session(options.device, strict));
  RUSHLIGHT_TRY_ASSIGN(Runner exact, Runner::make(std::move(session), inputs, edges));
  RUSHLIGHT_TRY(exact.run());
  report.error = 0;
  for (std::size_t i = 0; i < exact.outputs().size(); ++i) {
    if (exact.outputs()[i].dtype() != DType::f32) continue;
    RUSHLIGHT_TRY_ASSIGN(const std::span<const float> expected, exact.outputs()[i].values<float>());
    RUSHLIGHT_TRY_ASSIGN(const std::span<const float> found, runner.outputs()[i].values<float>());
    const double error = relative_error(expected, found);
    if (std::isnan(error) || error > *report.error) report.error = error;  // no number is less than NaN
  }
  return {};
}

Status measure_machine(const BenchmarkOptions& options, Benchmark& report) {
  RUSHLIGHT_TRY_ASSIGN(const auto backend, runtime::make_backend(options.device, options.session.implementation));
  std::unique_ptr<Executor> pool;
  Executor* executor = options.session.executor;
  if (executor == nullptr && options.session.threads != 1) {
    pool = make_thread_pool(options.session.threads);
    executor = pool.get();
  }
  const runtime::DeviceSpeed speed = backend->measure_speed(executor);
  report.machine_operations_per_second = speed.operations_per_second;
  report.machine_bytes_per_second = speed.bytes_per_second;
  return {};
}

}  // namespace

double Benchmark::percentile(double percent) const {
  return percentile_of(milliseconds, percent);
}

Result<Benchmark> benchmark(const Model& model, const BenchmarkOptions& options) {
  return or_no_memory([&]() -> Result<Benchmark> {
    if (options.batch < 1) {
      return wrong_argument("BENCH-BATCH", "batch: expected at least 1, found " + std::to_string(options.batch));
    }
    if (!(options.seconds >= 0 && options.seconds <= 1e6)) {
      return wrong_argument("BENCH-SECONDS", "seconds: expected 0 to 1000000");
    }
    RUSHLIGHT_TRY_ASSIGN(const std::vector<Tensor> inputs, inputs_of(model, options));
    Benchmark report;
    for (const Tensor& input : inputs) report.inputs.emplace_back(input.shape().begin(), input.shape().end());
    RUSHLIGHT_TRY(check_inputs(model, report.inputs));

    const Clock::time_point begin = Clock::now();
    RUSHLIGHT_TRY_ASSIGN(Session session, model.session(options.device, options.session));
    RUSHLIGHT_TRY(session.prepare(report.inputs));
    RUSHLIGHT_TRY_ASSIGN(const std::vector<EdgeType> edges, model.graph().infer_types(report.inputs));
    RUSHLIGHT_TRY_ASSIGN(Runner runner, Runner::make(std::move(session), inputs, edges));
    RUSHLIGHT_TRY(runner.run());
    report.first_result_ms = milliseconds_since(begin);

    report.device = runner.session().device();
    const bool is_reference = options.session.implementation == Implementation::reference;
    if (report.device == Device::cpu() && !is_reference) report.isa = std::string(to_string(usable_isa()));
    report.items = report.inputs.empty() || report.inputs[0].empty() ? 1 : report.inputs[0][0];
    report.macs = macs_of(model.graph(), edges);
    report.workspace_bytes = runner.session().workspace_bytes();
    const std::span<const std::string> host_layers = runner.session().host_layers();
    report.host_layers.assign(host_layers.begin(), host_layers.end());
    report.launching = runner.session().launching();
    // Not counted: caches, branch predictors and the processor's clock find their pace.
    RUSHLIGHT_TRY(runner.run_for(options.seconds / 10, options.progress, [](double) {}));
    RUSHLIGHT_TRY(runner.run_for(options.seconds, options.progress,
                                 [&](double milliseconds) { report.milliseconds.push_back(milliseconds); }));
    if (options.layers) RUSHLIGHT_TRY(measure_layers(model, options, inputs, edges, report));
    if (options.session.precision != Precision::strict) {
      RUSHLIGHT_TRY(measure_error(model, options, inputs, edges, runner, report));
    }
    if (options.machine) RUSHLIGHT_TRY(measure_machine(options, report));
    return report;
  });
}

}  // namespace rushlight
