#include "runtime/reference/backend.hpp"

#include <cstddef>
#include <limits>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "base/checked.hpp"
#include "base/fail.hpp"
#include "runtime/failure.hpp"
#include "runtime/reference/operators.hpp"

namespace rushlight::runtime::reference {
namespace {

// It reads the parameters as they are.
class NoWeights final : public PackedWeights {};

// A node with the spans of its parameters looked up.
struct Call {
  const Node* node = nullptr;
  std::span<const float> weight;
  std::span<const float> bias;
  std::span<const float> running_mean;
  std::span<const float> running_var;
};

Result<Call> make_call(const Node& node, const StateDict& parameters) {
  Call call;
  call.node = &node;
  const auto find = [&](std::string_view name, std::span<const float>& values) -> Status {
    // The node of a lone layer has no name, and its parameters no prefix.
    const Tensor* tensor = parameters.find(node.name.empty() ? std::string(name) : node.name + "." + std::string(name));
    if (tensor == nullptr) return {};  // bias=False, affine=False
    RUSHLIGHT_TRY_ASSIGN(values, tensor->values<float>());
    return {};
  };
  RUSHLIGHT_TRY(find("weight", call.weight));
  RUSHLIGHT_TRY(find("bias", call.bias));
  RUSHLIGHT_TRY(find("running_mean", call.running_mean));
  RUSHLIGHT_TRY(find("running_var", call.running_var));
  return call;
}

class ReferenceProgram final : public Program {
 public:
  ReferenceProgram(const Network& network, std::vector<Shape> shapes, const RunOptions& options)
      : network_(network), shapes_(std::move(shapes)), options_(options) {}

  Status prepare() {
    for (const Node& node : network_.graph.nodes()) {
      RUSHLIGHT_TRY_ASSIGN(Call call, make_call(node, network_.parameters));
      calls_.push_back(call);
    }
    std::optional<std::uint64_t> total = std::uint64_t{0};
    std::vector<std::uint64_t> counts;
    for (const Shape& shape : shapes_) {
      std::optional<std::uint64_t> count = std::uint64_t{1};
      for (const std::int64_t size : shape) {
        if (count) count = checked_mul(*count, static_cast<std::uint64_t>(size));
      }
      if (count && total) total = checked_add(*total, *count);
      counts.push_back(count.value_or(0));
      if (!count) total = std::nullopt;
    }
    constexpr std::uint64_t kMost = std::uint64_t{std::numeric_limits<std::int64_t>::max()} / sizeof(double);
    if (!total || *total > kMost || *total * sizeof(double) > options_.limits.arena_bytes) {
      return arena_too_large(total ? checked_mul<std::uint64_t>(*total, sizeof(double)) : std::nullopt,
                             options_.limits);
    }
    storage_.reset(new (std::nothrow) double[static_cast<std::size_t>(*total)]);
    if (!storage_) {
      return no_memory_for(*total * sizeof(double), "activations");
    }
    workspace_bytes_ = *total * sizeof(double);
    double* next = storage_.get();
    for (const std::uint64_t count : counts) {
      values_.emplace_back(next, static_cast<std::size_t>(count));
      next += count;
    }
    return {};
  }

  Status run(std::span<const TensorView> inputs, std::span<const MutableTensorView> outputs) override {
    for (std::size_t port = 0; port < inputs.size(); ++port) {
      const std::span<double> value = values_[index(network_.graph.inputs()[port].edge)];
      const auto* from = static_cast<const float*>(inputs[port].data);
      for (std::size_t i = 0; i < value.size(); ++i) value[i] = static_cast<double>(from[i]);
    }
    for (std::size_t i = 0; i < calls_.size(); ++i) {
      compute(calls_[i]);
      if (options_.progress != nullptr && !options_.progress->on_progress("run", i + 1, calls_.size())) {
        return run_was_cancelled();
      }
    }
    for (std::size_t port = 0; port < outputs.size(); ++port) {
      const std::span<const double> value = values_[index(network_.graph.outputs()[port].edge)];
      auto* to = static_cast<float*>(outputs[port].data);
      for (std::size_t i = 0; i < value.size(); ++i) to[i] = static_cast<float>(value[i]);
    }
    return {};
  }

  [[nodiscard]] std::uint64_t workspace_bytes() const noexcept override { return workspace_bytes_; }

 private:
  static std::size_t index(Edge edge) { return static_cast<std::size_t>(edge.index); }

  void compute(const Call& call) {
    const auto input = [&](std::size_t i) {
      const std::size_t edge = index(call.node->inputs[i]);
      return ConstArray{values_[edge], shapes_[edge]};
    };
    const std::size_t edge = index(call.node->output());
    const Array output{values_[edge], shapes_[edge]};
    const BatchNormParameters norm{call.weight, call.bias, call.running_mean, call.running_var};
    const Operator& op = call.node->op;
    switch (op.kind()) {
      case OperatorKind::Conv2d:
        return conv2d(op.get<Conv2d>(), input(0), call.weight, call.bias, output);
      case OperatorKind::Linear:
        return linear(input(0), call.weight, call.bias, output);
      case OperatorKind::BatchNorm1d:
        return batch_norm(op.get<BatchNorm1d>().eps, input(0), norm, output);
      case OperatorKind::BatchNorm2d:
        return batch_norm(op.get<BatchNorm2d>().eps, input(0), norm, output);
      case OperatorKind::ReLU:
        return relu(input(0), output);
      case OperatorKind::MaxPool2d:
        return max_pool(op.get<MaxPool2d>(), input(0), output);
      case OperatorKind::AvgPool2d:
        return avg_pool(op.get<AvgPool2d>(), input(0), output);
      case OperatorKind::AdaptiveAvgPool2d:
        return adaptive_avg_pool(input(0), output);
      case OperatorKind::Softmax:
        return softmax(op.get<Softmax>().dim, input(0), output);
      case OperatorKind::Add:
        return add(input(0), input(1), output);
      default:
        return copy(input(0), output);
    }
  }

  Network network_;
  std::vector<Shape> shapes_;
  RunOptions options_;
  std::vector<Call> calls_;
  std::unique_ptr<double[]> storage_;
  std::vector<std::span<double>> values_;  // of each edge
  std::uint64_t workspace_bytes_ = 0;
};

bool is_built(const Node& node) {
  if (node.outputs.size() != 1) return false;
  switch (node.op.kind()) {
    case OperatorKind::Conv2d:
      return node.op.get<Conv2d>().padding_mode == PaddingMode::zeros;
    case OperatorKind::BatchNorm1d:
      return node.op.get<BatchNorm1d>().track_running_stats;
    case OperatorKind::BatchNorm2d:
      return node.op.get<BatchNorm2d>().track_running_stats;
    case OperatorKind::Add:
      return node.op.get<Add>().alpha == 1 && !node.op.get<Add>().other;
    case OperatorKind::Linear:
    case OperatorKind::ReLU:
    case OperatorKind::MaxPool2d:
    case OperatorKind::AvgPool2d:
    case OperatorKind::AdaptiveAvgPool2d:
    case OperatorKind::Softmax:
    case OperatorKind::Flatten:
    case OperatorKind::Dropout:
    case OperatorKind::Identity:
      return true;
    default:
      return false;
  }
}

class ReferenceBackend final : public Backend {
 public:
  [[nodiscard]] Device device() const noexcept override { return Device::cpu(); }
  [[nodiscard]] std::string_view name() const noexcept override { return "reference"; }
  [[nodiscard]] std::string lacks(const Node& node) const override {
    return is_built(node) ? "" : "the reference does not compute this operator yet";
  }

  [[nodiscard]] Result<std::shared_ptr<PackedWeights>> make_weights(const Network&) const override {
    return std::shared_ptr<PackedWeights>(std::make_shared<NoWeights>());
  }

  [[nodiscard]] Result<std::unique_ptr<Program>> compile(const Network& network, std::span<const Shape> input_shapes,
                                                         const std::shared_ptr<PackedWeights>&,
                                                         const RunOptions& options) const override {
    RUSHLIGHT_TRY_ASSIGN(std::vector<Shape> shapes, network.graph.infer_shapes(input_shapes));
    auto program = std::make_unique<ReferenceProgram>(network, std::move(shapes), options);
    RUSHLIGHT_TRY(program->prepare());
    return std::unique_ptr<Program>(std::move(program));
  }
};

}  // namespace

Result<std::shared_ptr<const Backend>> make_backend() {
  return std::shared_ptr<const Backend>(std::make_shared<ReferenceBackend>());
}

}  // namespace rushlight::runtime::reference
