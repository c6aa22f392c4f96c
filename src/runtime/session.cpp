#include "rushlight/session.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>

#include "base/fail.hpp"
#include "base/no_memory.hpp"
#include "base/quote.hpp"
#include "model/describe.hpp"
#include "model/model_impl.hpp"
#include "model/operator_table.hpp"
#include "runtime/backend.hpp"
#include "runtime/devices.hpp"
#include "runtime/failure.hpp"
#include "runtime/make_session.hpp"
#include "rushlight/calibration.hpp"

namespace rushlight {

using runtime::Backend;
using runtime::PackedWeights;
using runtime::Program;
using runtime::wrong_argument;

namespace {

// Plans for this many shapes are kept: a full batch, the rest of a set, single items, one more.
constexpr std::size_t kMostPlans = 4;

// rushlight:: stands before quoted() here, since <filesystem> brings std::quoted along, which look-up would prefer.
std::string port_text(const char* kind, const Port& port) {
  return std::string(kind) + " " + rushlight::quoted(port.name);
}

// "[?, 1, 28, 28]": a declared shape, free sizes as question marks.
std::string declared_text(const Shape& shape) {
  std::string text = "[";
  for (const std::int64_t size : shape) {
    if (text.size() > 1) text += ", ";
    text += size < 0 ? "?" : std::to_string(size);
  }
  return text + "]";
}

bool fits(const Shape& declared, std::span<const std::int64_t> shape) {
  if (std::any_of(shape.begin(), shape.end(), [](std::int64_t size) { return size < 0; })) return false;
  if (declared.empty()) return true;
  if (declared.size() != shape.size()) return false;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (declared[i] >= 0 && declared[i] != shape[i]) return false;
  }
  return true;
}

bool equal(std::span<const std::int64_t> a, std::span<const std::int64_t> b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

// Shapes here have been through shape inference: their bytes can be counted.
std::uint64_t bytes_of(std::span<const std::int64_t> shape, DType dtype) {
  std::uint64_t bytes = size_bytes(dtype);
  for (const std::int64_t size : shape) bytes *= static_cast<std::uint64_t>(size);
  return bytes;
}

// A range of memory on one device.
struct Range {
  Device device;
  std::uintptr_t first;
  std::uintptr_t last;

  template <class View>
  explicit Range(const View& view)
      : device(view.device),
        first(reinterpret_cast<std::uintptr_t>(view.data)),
        last(first + static_cast<std::uintptr_t>(bytes_of(view.shape, view.dtype))) {}
  [[nodiscard]] bool overlaps(const Range& other) const {
    return device == other.device && first < other.last && other.first < last;
  }
};

}  // namespace

struct Session::Impl {
  // What was compiled for certain shapes of the inputs.
  struct Compiled {
    std::vector<Shape> inputs;
    std::vector<EdgeType> outputs;
    std::shared_ptr<Program> program;  // null when there is nothing to compute: every output is empty
    std::uint64_t last_use = 0;
    std::uint64_t last_ticket = 0;  // of run_async()

    // What runs may still use the session's threads; a Completion keeps the program, and them it does not.
    void finish() const {
      if (program != nullptr && last_ticket != 0) (void)program->wait(last_ticket);
    }
    [[nodiscard]] std::uint64_t workspace_bytes() const { return program ? program->workspace_bytes() : 0; }
  };

  std::shared_ptr<const Model::Impl> model;
  std::shared_ptr<const Backend> backend;
  std::shared_ptr<PackedWeights> weights;
  std::unique_ptr<Executor> own_pool;
  std::optional<Calibration> calibration;
  runtime::RunOptions options;
  std::vector<Compiled> plans;  // after what their programs use
  std::size_t current = 0;      // index into plans, when there are any
  std::uint64_t clock = 0;

  Impl() = default;
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl() {
    for (const Compiled& plan : plans) plan.finish();
  }

  [[nodiscard]] std::span<const Port> inputs() const { return model->graph.inputs(); }
  [[nodiscard]] std::span<const Port> outputs() const { return model->graph.outputs(); }
  // Null where there is no plan, or nothing to compute in it.
  [[nodiscard]] const Program* current_program() const {
    return current < plans.size() ? plans[current].program.get() : nullptr;
  }
  [[nodiscard]] runtime::Network network() const { return {model->graph, model->parameters}; }

  Status check_input(std::size_t port, std::span<const std::int64_t> shape) const {
    const Port& declared = inputs()[port];
    if (fits(declared.shape, shape)) return {};
    const std::string expected = declared.shape.empty() ? "sizes of at least 0" : declared_text(declared.shape);
    return wrong_argument("RUN-INPUT-SHAPE", port_text("input", declared) + ": expected shape " + expected +
                                                 ", found " + model::shape_text(shape));
  }

  Status check_count(const char* kind, std::size_t found, std::size_t expected) const {
    if (found == expected) return {};
    return wrong_argument("RUN-COUNT",
                          "expected " + model::count_text(expected, kind) + ", found " + std::to_string(found));
  }

  // Makes the plan for these shapes the current one. `shape_of(port)` is a span.
  template <class ShapeOf>
  Status select(std::size_t count, const ShapeOf& shape_of) {
    RUSHLIGHT_TRY(check_count("input", count, inputs().size()));
    const auto matches = [&](const Compiled& plan) {
      for (std::size_t port = 0; port < count; ++port) {
        if (!equal(plan.inputs[port], shape_of(port))) return false;
      }
      return true;
    };
    if (current < plans.size() && matches(plans[current])) return {};
    const auto found = std::find_if(plans.begin(), plans.end(), matches);
    if (found == plans.end()) {
      std::vector<Shape> shapes;
      for (std::size_t port = 0; port < count; ++port) {
        const std::span<const std::int64_t> shape = shape_of(port);
        RUSHLIGHT_TRY(check_input(port, shape));
        shapes.emplace_back(shape.begin(), shape.end());
      }
      return compile(std::move(shapes));
    }
    current = static_cast<std::size_t>(found - plans.begin());
    found->last_use = ++clock;
    return {};
  }

  Status compile(std::vector<Shape> shapes) {
    RUSHLIGHT_TRY_ASSIGN(const std::vector<EdgeType> edges, model->graph.infer_types(shapes));
    Compiled made;
    bool is_empty = true;
    for (const Port& port : outputs()) {
      made.outputs.push_back(edges[static_cast<std::size_t>(port.edge.index)]);
      is_empty = is_empty && bytes_of(made.outputs.back().shape, made.outputs.back().dtype) == 0;
    }
    // One workspace at a time: what is not there when this fails is made again by the next call.
    if (options.low_memory) {
      for (const Compiled& plan : plans) plan.finish();
      plans.clear();
    }
    if (!is_empty) {
      RUSHLIGHT_TRY_ASSIGN(made.program, backend->compile(network(), shapes, weights, options));
    }
    made.inputs = std::move(shapes);
    made.last_use = ++clock;
    make_room(made.workspace_bytes());
    plans.push_back(std::move(made));
    current = plans.size() - 1;
    return {};
  }

  // Gives back the plans that were not used for longest, until a new one fits the limits.
  void make_room(std::uint64_t needed_bytes) {
    const auto too_much = [&] {
      std::uint64_t sum = needed_bytes;
      for (const Compiled& plan : plans) sum += plan.workspace_bytes();
      return plans.size() >= kMostPlans || sum > options.limits.arena_bytes;
    };
    while (!plans.empty() && too_much()) {
      const auto oldest = std::min_element(
          plans.begin(), plans.end(), [](const Compiled& a, const Compiled& b) { return a.last_use < b.last_use; });
      oldest->finish();
      plans.erase(oldest);
    }
    current = plans.size();
  }

  template <class View>
  Status check_view(const char* kind, const Port& port, DType dtype, const View& view) const {
    if (view.dtype != dtype) {
      return wrong_argument("RUN-DTYPE", port_text(kind, port) + ": expected " + std::string(to_string(dtype)) +
                                             ", found " + std::string(to_string(view.dtype)));
    }
    if (!(view.device == Device::cpu()) && !(view.device == backend->device())) {
      const bool on_cpu = backend->device() == Device::cpu();
      return wrong_argument("RUN-DEVICE", port_text(kind, port) + ": expected memory of cpu" +
                                              (on_cpu ? "" : " or " + to_string(backend->device())) + ", found " +
                                              to_string(view.device));
    }
    const std::uint64_t bytes = bytes_of(view.shape, dtype);
    if (bytes == 0) return {};
    if (view.data == nullptr) {
      return wrong_argument("RUN-NULL",
                            port_text(kind, port) + ": a null pointer for " + std::to_string(bytes) + " bytes");
    }
    if (reinterpret_cast<std::uintptr_t>(view.data) % size_bytes(dtype) != 0) {
      return wrong_argument("RUN-ALIGNMENT", port_text(kind, port) + ": the data are not aligned to " +
                                                 std::to_string(size_bytes(dtype)) + " bytes");
    }
    return {};
  }

  Status check_outputs(std::span<const TensorView> in, std::span<const MutableTensorView> out) const {
    RUSHLIGHT_TRY(check_count("output", out.size(), outputs().size()));
    for (std::size_t port = 0; port < out.size(); ++port) {
      const Shape& expected = plans[current].outputs[port].shape;
      if (!equal(out[port].shape, expected)) {
        return wrong_argument("RUN-OUTPUT-SHAPE", port_text("output", outputs()[port]) + ": expected shape " +
                                                      model::shape_text(expected) + ", found " +
                                                      model::shape_text(out[port].shape));
      }
      RUSHLIGHT_TRY(check_view("output", outputs()[port], plans[current].outputs[port].dtype, out[port]));
      const Range range(out[port]);
      const auto overlapping = [&](const std::string& other) {
        return wrong_argument("RUN-OVERLAP", port_text("output", outputs()[port]) + " overlaps " + other);
      };
      for (std::size_t other = 0; other < in.size(); ++other) {
        if (range.overlaps(Range(in[other]))) return overlapping(port_text("input", inputs()[other]));
      }
      for (std::size_t other = 0; other < port; ++other) {
        if (range.overlaps(Range(out[other]))) return overlapping(port_text("output", outputs()[other]));
      }
    }
    return {};
  }

  // The program for these views, which it may be given; null where there is nothing to compute.
  Result<std::shared_ptr<Program>> program_for(std::span<const TensorView> in, std::span<const MutableTensorView> out) {
    RUSHLIGHT_TRY(select(in.size(), [&](std::size_t port) { return in[port].shape; }));
    for (std::size_t port = 0; port < in.size(); ++port) {
      RUSHLIGHT_TRY(check_view("input", inputs()[port], inputs()[port].dtype, in[port]));
    }
    RUSHLIGHT_TRY(check_outputs(in, out));
    return plans[current].program;
  }

  Status run(std::span<const TensorView> in, std::span<const MutableTensorView> out) {
    RUSHLIGHT_TRY_ASSIGN(const std::shared_ptr<Program> program, program_for(in, out));
    return program == nullptr ? Status() : program->run(in, out);
  }
};

Completion::Completion() noexcept = default;
Completion::Completion(Completion&&) noexcept = default;
Completion& Completion::operator=(Completion&&) noexcept = default;
Completion::~Completion() = default;
Completion::Completion(std::shared_ptr<runtime::Program> program, std::uint64_t ticket) noexcept
    : program_(std::move(program)), ticket_(ticket) {}

bool Completion::ready() const noexcept {
  return program_ == nullptr || program_->is_over(ticket_);
}
Status Completion::wait() const {
  return program_ == nullptr ? Status() : program_->wait(ticket_);
}
void* Completion::event() const noexcept {
  return program_ == nullptr ? nullptr : program_->event_of(ticket_);
}

Session::Session(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;
Session::~Session() = default;

std::span<const Port> Session::inputs() const noexcept {
  return impl_->inputs();
}
std::span<const Port> Session::outputs() const noexcept {
  return impl_->outputs();
}
Device Session::device() const noexcept {
  return impl_->backend->device();
}

Result<std::vector<Shape>> Session::output_shapes(std::span<const Shape> input_shapes) const {
  return or_no_memory([&]() -> Result<std::vector<Shape>> {
    RUSHLIGHT_TRY(impl_->check_count("input", input_shapes.size(), inputs().size()));
    for (std::size_t port = 0; port < input_shapes.size(); ++port) {
      RUSHLIGHT_TRY(impl_->check_input(port, input_shapes[port]));
    }
    RUSHLIGHT_TRY_ASSIGN(const std::vector<Shape> edges, impl_->model->graph.infer_shapes(input_shapes));
    std::vector<Shape> shapes;
    for (const Port& port : outputs()) shapes.push_back(edges[static_cast<std::size_t>(port.edge.index)]);
    return shapes;
  });
}

Status Session::prepare(std::span<const Shape> input_shapes) {
  return or_no_memory([&]() -> Status {
    return impl_->select(input_shapes.size(),
                         [&](std::size_t port) { return std::span<const std::int64_t>(input_shapes[port]); });
  });
}

std::uint64_t Session::workspace_bytes() const noexcept {
  return impl_->current < impl_->plans.size() ? impl_->plans[impl_->current].workspace_bytes() : 0;
}

std::span<const std::string> Session::host_layers() const noexcept {
  const Program* const program = impl_->current_program();
  return program == nullptr ? std::span<const std::string>() : program->host_layers();
}
std::string_view Session::launching() const noexcept {
  const Program* const program = impl_->current_program();
  return program == nullptr ? std::string_view() : program->launching();
}

Status Session::run(std::span<const TensorView> inputs, std::span<const MutableTensorView> outputs) {
  return or_no_memory([&]() -> Status { return impl_->run(inputs, outputs); });
}

Result<Completion> Session::run_async(std::span<const TensorView> inputs, std::span<const MutableTensorView> outputs,
                                      const AsyncOptions& options) {
  return or_no_memory([&]() -> Result<Completion> {
    if (options.stream != nullptr && device().kind != Device::Kind::cuda) {
      return wrong_argument("RUN-STREAM",
                            "a stream was given to a session on " + to_string(device()) + ", expected one on a GPU");
    }
    RUSHLIGHT_TRY_ASSIGN(std::shared_ptr<Program> program, impl_->program_for(inputs, outputs));
    if (program == nullptr) return Completion();
    RUSHLIGHT_TRY_ASSIGN(const std::uint64_t ticket, program->run_async(inputs, outputs, options.stream));
    impl_->plans[impl_->current].last_ticket = ticket;
    return ticket == 0 ? Completion() : Completion(std::move(program), ticket);
  });
}

Result<Tensor> Session::run(const Tensor& input) {
  return or_no_memory([&]() -> Result<Tensor> {
    if (outputs().size() != 1) {
      return wrong_argument("RUN-COUNT", "the model has " + model::count_text(outputs().size(), "output") +
                                             ": run it with a list of tensors");
    }
    RUSHLIGHT_TRY_ASSIGN(std::vector<Tensor> results, run(std::span(&input, 1)));
    return std::move(results.front());
  });
}

Result<std::vector<Tensor>> Session::run(std::span<const Tensor> input_tensors) {
  return or_no_memory([&]() -> Result<std::vector<Tensor>> {
    std::vector<Tensor> dense;
    std::vector<TensorView> in;
    for (const Tensor& tensor : input_tensors) {
      RUSHLIGHT_TRY_ASSIGN(const Tensor host, tensor.to(Device::cpu()));
      RUSHLIGHT_TRY_ASSIGN(Tensor contiguous, host.contiguous());
      dense.push_back(std::move(contiguous));
    }
    for (const Tensor& tensor : dense) {
      RUSHLIGHT_TRY_ASSIGN(const std::span<const std::byte> bytes, tensor.bytes());
      in.push_back({.data = bytes.data(), .dtype = tensor.dtype(), .shape = tensor.shape()});
    }
    RUSHLIGHT_TRY(impl_->select(in.size(), [&](std::size_t port) { return in[port].shape; }));
    std::vector<Tensor> results;
    std::vector<MutableTensorView> out;
    for (const EdgeType& type : impl_->plans[impl_->current].outputs) {
      RUSHLIGHT_TRY_ASSIGN(Tensor tensor, Tensor::zeros(type.dtype, type.shape));
      results.push_back(std::move(tensor));
    }
    for (Tensor& tensor : results) {
      RUSHLIGHT_TRY_ASSIGN(const std::span<std::byte> bytes, tensor.mutable_bytes());
      out.push_back({.data = bytes.data(), .dtype = tensor.dtype(), .shape = tensor.shape()});
    }
    RUSHLIGHT_TRY(impl_->run(in, out));
    return results;
  });
}

Result<Session> Model::session(Device device, const SessionOptions& options) const {
  return or_no_memory([&]() -> Result<Session> { return runtime::make_session(impl_, device, options, nullptr); });
}

namespace {

// As many digits as tell this number from others.
std::string shortest_text(float value) {
  std::array<char, 32> text{};
  const std::to_chars_result end = std::to_chars(text.data(), text.data() + text.size(), value);
  return {text.data(), end.ptr};
}

Status check_int8(const SessionOptions& options, const Backend& backend) {
  if (!(backend.device() == Device::cpu()) || options.implementation == Implementation::reference) {
    return Error::of({.category = Category::unsup,
                      .code = "PRECISION-INT8",
                      .message = std::string(backend.name()) +
                                 ": precision int8 is computed on the cpu alone, and not by "
                                 "the reference"});
  }
  if (options.calibration == nullptr) {
    return Error::of({.category = Category::argument,
                      .code = "CALIBRATION-MISSING",
                      .message = "precision int8 needs a calibration: the ranges of what its layers read",
                      .hint = "calibrate() finds them, and `rushlight calibrate`"});
  }
  for (const auto& [layer, range] : options.calibration->layers) {
    if (std::isfinite(range.low) && std::isfinite(range.high) && range.low <= 0 && range.high >= 0) continue;
    return wrong_argument("CALIBRATION-RANGE", "the calibration's range for layer " + rushlight::quoted(layer) +
                                                   ": expected a finite one that holds 0, found " +
                                                   shortest_text(range.low) + " to " + shortest_text(range.high));
  }
  return {};
}

}  // namespace

Result<Session> runtime::make_session(const std::shared_ptr<const Model::Impl>& model, Device device,
                                      const SessionOptions& options, StepTimes* step_times,
                                      ActivationRecorder* recorder) {
  if (!model->missing.empty()) {
    const std::size_t others = model->missing.size() - 1;
    return Error::of(ErrorCode::mismatch,
                     {.category = Category::model,
                      .code = "MODEL-MISSING",
                      .message = "the model lacks parameter " + rushlight::quoted(model->missing.front()) +
                                 (others == 0 ? "" : " and " + std::to_string(others) + " more")});
  }
  auto session = std::make_unique<Session::Impl>();
  session->model = model;
  RUSHLIGHT_TRY_ASSIGN(session->backend, runtime::make_backend(device, options.implementation));
  const Backend& backend = *session->backend;
  for (const Node& node : model->graph.nodes()) {
    const std::string reason = backend.lacks(node);
    if (reason.empty()) continue;
    return Error::of(
        {.category = Category::unsup,
         .code = "DEVICE-OPERATOR",
         .message = model::layer_text(node) + " (" + std::string(model::info(node.op)->spec_name) + "): " + reason,
         .hint = "it runs on the cpu"});
  }
  const auto make_weights = [&]() -> Result<std::shared_ptr<void>> {
    RUSHLIGHT_TRY_ASSIGN(std::shared_ptr<PackedWeights> made, backend.make_weights(session->network()));
    return std::shared_ptr<void>(std::move(made));
  };
  RUSHLIGHT_TRY_ASSIGN(const std::shared_ptr<void> weights,
                       model->packed_weights.get_or_make(backend.name(), make_weights));
  session->weights = std::static_pointer_cast<PackedWeights>(weights);
  const bool is_on_cpu = backend.device().kind == Device::Kind::cpu;
  session->options.limits = options.limits;
  session->options.precision = options.precision;
  if (options.precision == Precision::int8) {
    RUSHLIGHT_TRY(check_int8(options, backend));
    session->calibration = *options.calibration;
    session->options.calibration = &*session->calibration;
  }
  session->options.progress = options.progress;
  if (is_on_cpu) session->options.executor = options.executor;
  session->options.low_memory = options.low_memory;
  // Of 8-bit products there is nothing to choose.
  session->options.tuning = options.precision == Precision::int8 ? nullptr : options.tuning;
  session->options.step_times = step_times;
  session->options.recorder = recorder;
  if (is_on_cpu && options.executor == nullptr && options.threads != 1) {
    session->own_pool = make_thread_pool(options.threads);
    session->options.executor = session->own_pool.get();
  }
  // Where only the batch is open, one item is planned now: weights are packed here and not at the first run, and what
  // does not fit is said here.
  std::vector<Shape> one_item;
  for (const Port& port : session->inputs()) {
    const bool known = !port.shape.empty() && std::all_of(port.shape.begin() + 1, port.shape.end(),
                                                          [](std::int64_t size) { return size >= 0; });
    if (!known) break;
    one_item.push_back(port.shape);
    if (one_item.back()[0] < 0) one_item.back()[0] = 1;
  }
  Session result(std::move(session));
  // Some networks take no single item (pairs, clips of eight pictures): these are planned at their first run.
  if (one_item.size() == result.inputs().size() && model->graph.infer_types(one_item)) {
    RUSHLIGHT_TRY(result.prepare(one_item));
  }
  return result;
}

}  // namespace rushlight
