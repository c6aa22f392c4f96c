#include "runtime/reference/backend.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/checked.hpp"
#include "base/fail.hpp"
#include "model/describe.hpp"
#include "model/parameters.hpp"
#include "runtime/failure.hpp"
#include "runtime/reference/operators.hpp"

namespace rushlight::runtime::reference {
namespace {

// It reads the parameters as they are.
class NoWeights final : public PackedWeights {};

using Compute = Status (*)(const Call& call);
template <class Op>
Status compute_as(const Call& call) {
  return compute(call.node->op.get<Op>(), call);
}
// By OperatorKind, without `nothing`.
constexpr Compute kTable[] = {
#define RUSHLIGHT_OPERATOR(Type, spec, torch, min_inputs, max_inputs, max_outputs) compute_as<Type>,
#include "rushlight/operators.def"
};

template <class T>
void read_as(const void* from, std::span<double> to) {
  const auto* const values = static_cast<const T*>(from);
  for (std::size_t i = 0; i < to.size(); ++i) to[i] = static_cast<double>(values[i]);
}
template <class T>
void write_as(std::span<const double> from, void* to) {
  auto* const values = static_cast<T*>(to);
  for (std::size_t i = 0; i < from.size(); ++i) values[i] = static_cast<T>(from[i]);
}

void read_input(const TensorView& view, std::span<double> values) {
  switch (view.dtype) {
    case DType::i64:
      return read_as<std::int64_t>(view.data, values);
    case DType::i32:
      return read_as<std::int32_t>(view.data, values);
    case DType::boolean:
      return read_as<bool>(view.data, values);
    default:
      return read_as<float>(view.data, values);
  }
}
void write_output(std::span<const double> values, DType dtype, void* to) {
  switch (dtype) {
    case DType::i64:
      return write_as<std::int64_t>(values, to);
    case DType::i32:
      return write_as<std::int32_t>(values, to);
    case DType::boolean:
      return write_as<bool>(values, to);
    default:
      return write_as<float>(values, to);
  }
}

class ReferenceProgram final : public Program {
 public:
  ReferenceProgram(const Network& network, std::vector<EdgeType> types, const RunOptions& options)
      : network_(network), types_(std::move(types)), options_(options) {}

  Status prepare() {
    RUSHLIGHT_TRY(allocate());
    for (const Node& node : network_.graph.nodes()) {
      Call call;
      call.node = &node;
      call.scratch = &scratch_;
      for (const Edge edge : node.inputs) {
        const EdgeType& type = types_[index(edge)];
        call.inputs.push_back({values_[index(edge)], type.shape, type.dtype});
      }
      for (const Edge edge : node.outputs) {
        const EdgeType& type = types_[index(edge)];
        call.outputs.push_back({values_[index(edge)], type.shape, type.dtype});
      }
      for (model::ParameterShape& parameter : model::parameter_shapes(node.op)) {
        const Tensor* const tensor = network_.parameters.find(node.parameter(parameter.name));
        if (tensor == nullptr) continue;
        names_.push_back(std::make_unique<std::string>(std::move(parameter.name)));
        call.parameters.push_back({*names_.back(), *tensor});
      }
      calls_.push_back(std::move(call));
    }
    return {};
  }

  Status run(std::span<const TensorView> inputs, std::span<const MutableTensorView> outputs) override {
    for (std::size_t port = 0; port < inputs.size(); ++port) {
      read_input(inputs[port], values_[index(network_.graph.inputs()[port].edge)]);
    }
    for (std::size_t i = 0; i < calls_.size(); ++i) {
      scratch_.rewind();
      if (Status status = kTable[static_cast<std::size_t>(calls_[i].node->op.kind()) - 1](calls_[i]); !status) {
        Error error = std::move(status).error();
        error.finding.message = model::layer_text(*calls_[i].node) + ": " + error.finding.message;
        return error;
      }
      if (options_.progress != nullptr && !options_.progress->on_progress("run", i + 1, calls_.size())) {
        return run_was_cancelled();
      }
    }
    for (std::size_t port = 0; port < outputs.size(); ++port) {
      const std::size_t edge = index(network_.graph.outputs()[port].edge);
      write_output(values_[edge], types_[edge].dtype, outputs[port].data);
    }
    return {};
  }

  [[nodiscard]] std::uint64_t workspace_bytes() const noexcept override { return workspace_bytes_; }

 private:
  static std::size_t index(Edge edge) { return static_cast<std::size_t>(edge.index); }

  // Room for every edge at once: what an operator reads is never overwritten.
  Status allocate() {
    std::optional<std::uint64_t> total = std::uint64_t{0};
    std::vector<std::uint64_t> counts;
    for (const EdgeType& type : types_) {
      std::optional<std::uint64_t> count = std::uint64_t{1};
      for (const std::int64_t size : type.shape) {
        if (count) count = checked_mul(*count, static_cast<std::uint64_t>(size));
      }
      if (count && total) total = checked_add(*total, *count);
      counts.push_back(count.value_or(0));
      if (!count) total = std::nullopt;
    }
    std::optional<std::uint64_t> needed = total ? checked_mul<std::uint64_t>(*total, sizeof(double)) : std::nullopt;
    std::uint64_t scratch = 0;
    for (const Node& node : network_.graph.nodes()) {
      const std::optional<std::uint64_t> own = scratch_bytes(node.op);
      if (!own) needed = std::nullopt;
      scratch = std::max(scratch, own.value_or(0));
    }
    if (needed) needed = checked_add(*needed, scratch);
    if (!needed || *needed > std::uint64_t{std::numeric_limits<std::int64_t>::max()} ||
        *needed > options_.limits.arena_bytes) {
      return arena_too_large(needed, options_.limits);
    }
    storage_.reset(new (std::nothrow) double[static_cast<std::size_t>(*total)]);
    if (!storage_) return no_memory_for(*total * sizeof(double), "activations");
    workspace_bytes_ = *needed;
    double* next = storage_.get();
    for (const std::uint64_t count : counts) {
      values_.emplace_back(next, static_cast<std::size_t>(count));
      next += count;
    }
    return {};
  }

  Network network_;
  std::vector<EdgeType> types_;  // of each edge
  RunOptions options_;
  std::vector<std::unique_ptr<std::string>> names_;  // of the calls' parameters
  std::vector<Call> calls_;
  Scratch scratch_;
  std::unique_ptr<double[]> storage_;
  std::vector<std::span<double>> values_;  // of each edge
  std::uint64_t workspace_bytes_ = 0;
};

class ReferenceBackend final : public Backend {
 public:
  [[nodiscard]] Device device() const noexcept override { return Device::cpu(); }
  [[nodiscard]] std::string_view name() const noexcept override { return "reference"; }
  // kTable has every operator, with all its attributes and outputs.
  [[nodiscard]] std::string lacks(const Node&) const override { return {}; }

  [[nodiscard]] Result<std::shared_ptr<PackedWeights>> make_weights(const Network&) const override {
    return std::shared_ptr<PackedWeights>(std::make_shared<NoWeights>());
  }

  [[nodiscard]] Result<std::unique_ptr<Program>> compile(const Network& network, std::span<const Shape> input_shapes,
                                                         const std::shared_ptr<PackedWeights>&,
                                                         const RunOptions& options) const override {
    RUSHLIGHT_TRY_ASSIGN(std::vector<EdgeType> types, network.graph.infer_types(input_shapes));
    auto program = std::make_unique<ReferenceProgram>(network, std::move(types), options);
    RUSHLIGHT_TRY(program->prepare());
    return std::unique_ptr<Program>(std::move(program));
  }
};

}  // namespace

Result<std::shared_ptr<const Backend>> make_backend() {
  return std::shared_ptr<const Backend>(std::make_shared<ReferenceBackend>());
}

}  // namespace rushlight::runtime::reference
