#include "cuda/emulated_backend.hpp"

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "base/fail.hpp"
#include "cuda/calls.hpp"
#include "cuda/emulate_work.hpp"
#include "runtime/constant.hpp"
#include "runtime/cpu/backend.hpp"
#include "runtime/plan.hpp"

namespace rushlight::cuda::emulation {
namespace {

// What the host packs for the layers that it computes.
class EmulatedWeights final : public runtime::PackedWeights {
 public:
  explicit EmulatedWeights(std::shared_ptr<runtime::PackedWeights> host) : host_(std::move(host)) {}
  [[nodiscard]] const std::shared_ptr<runtime::PackedWeights>& host() const noexcept { return host_; }

 private:
  const std::shared_ptr<runtime::PackedWeights> host_;
};

// Of the alignment cudaMalloc gives, and full of NaNs.
class Block {
 public:
  explicit Block(std::uint64_t size_bytes)
      : floats_((size_bytes + kAlignment) / sizeof(float), std::numeric_limits<float>::quiet_NaN()) {
    const auto address = reinterpret_cast<std::uintptr_t>(floats_.data());
    begin_ = reinterpret_cast<std::byte*>(floats_.data()) + (kAlignment - address % kAlignment) % kAlignment;
  }
  [[nodiscard]] std::byte* data() const noexcept { return begin_; }

 private:
  static constexpr std::uint64_t kAlignment = 256;
  std::vector<float> floats_;
  std::byte* begin_ = nullptr;
};

class EmulatedProgram final : public runtime::Program {
 public:
  EmulatedProgram(const runtime::Plan& plan, const CallOptions& options)
      : options_(options), arena_bytes_(plan.arena_bytes) {}

  Status prepare(const runtime::Plan& plan, const runtime::Network& network, const runtime::Backend& host,
                 const std::shared_ptr<runtime::PackedWeights>& host_weights, const runtime::RunOptions& run_options) {
    RUSHLIGHT_TRY_ASSIGN(const Needs needs, find_needs(plan, options_));
    Addresses addresses;
    for (const WeightCopy& copy : needs.weights) {
      RUSHLIGHT_TRY_ASSIGN(const Tensor values, runtime::materialise(plan.constants[copy.constant], network));
      RUSHLIGHT_TRY_ASSIGN(const Tensor tensor, in_form(values, copy.form));
      RUSHLIGHT_TRY_ASSIGN(const std::span<const std::byte> bytes, tensor.bytes());
      // What an upload makes room for before there are any values.
      RUSHLIGHT_TRY_ASSIGN(const EdgeType type, runtime::type_of(plan.constants[copy.constant], network));
      if (form_bytes(type, copy.form) != bytes.size()) {
        return Error::of({.category = Category::device,
                          .code = "EMULATION",
                          .message = "a form of " + std::to_string(bytes.size()) + " bytes, expected " +
                                     std::to_string(form_bytes(type, copy.form))});
      }
      std::byte* const place = add(bytes.size());
      if (!bytes.empty()) std::memcpy(place, bytes.data(), bytes.size());
      addresses.weights.emplace(copy, place);
    }
    addresses.scratch = add(needs.scratch_bytes);
    const std::size_t tickets_bytes = needs.tickets * sizeof(std::uint32_t);
    addresses.tickets = reinterpret_cast<std::uint32_t*>(add(tickets_bytes));
    if (tickets_bytes != 0) std::memset(addresses.tickets, 0, tickets_bytes);
    addresses.notes = reinterpret_cast<IndexNote*>(add(needs.notes * sizeof(IndexNote)));
    RUSHLIGHT_TRY_ASSIGN(addresses.host_steps, make_host_steps(plan, network, host, host_weights, run_options));
    addresses.staging = add(staging_bytes(addresses.host_steps));
    host_layers_ = cuda::host_layers(plan, addresses.host_steps);
    addresses.arena = add(plan.arena_bytes);
    for (const runtime::TensorId id : plan.inputs) addresses.inputs.push_back(add_port(plan, id, inputs_));
    for (const runtime::TensorId id : plan.outputs) addresses.outputs.push_back(add_port(plan, id, outputs_));
    RUSHLIGHT_TRY_ASSIGN(calls_, make_calls(plan, addresses, options_));
    return {};
  }

  Status run(std::span<const TensorView> inputs, std::span<const MutableTensorView> outputs) override {
    for (std::size_t port = 0; port < inputs.size(); ++port) {
      if (inputs_[port].size_bytes != 0) {
        std::memcpy(inputs_[port].data, inputs[port].data, inputs_[port].size_bytes);
      }
    }
    Emulator emulator(Order::shuffled);
    for (const Call& call : calls_) {
      emulate(call.work, emulator);
      RUSHLIGHT_TRY(status_of(call));
      if (!emulator.failure().empty()) {
        return Error::of(
            {.category = Category::device,
             .code = "EMULATION",
             .message = call.name + ": " + std::string(kernel_name(call.work)) + ": " + emulator.failure()});
      }
    }
    for (std::size_t port = 0; port < outputs.size(); ++port) {
      if (outputs_[port].size_bytes != 0) {
        std::memcpy(outputs[port].data, outputs_[port].data, outputs_[port].size_bytes);
      }
    }
    return {};
  }

  [[nodiscard]] std::uint64_t workspace_bytes() const noexcept override { return arena_bytes_; }
  [[nodiscard]] std::span<const std::string> host_layers() const noexcept override { return host_layers_; }

 private:
  struct Port {
    std::byte* data = nullptr;
    std::size_t size_bytes = 0;
  };
  // Blocks of their own, so that a sanitizer sees who leaves one.
  std::byte* add(std::uint64_t size_bytes) {
    blocks_.push_back(std::make_unique<Block>(size_bytes));
    return blocks_.back()->data();
  }
  std::byte* add_port(const runtime::Plan& plan, runtime::TensorId id, std::vector<Port>& ports) {
    const std::size_t size_bytes = plan.buffers[plan.tensors[id].buffer].size_bytes;
    ports.push_back({add(size_bytes), size_bytes});
    return ports.back().data;
  }

  const CallOptions options_;
  const std::uint64_t arena_bytes_;
  std::vector<std::unique_ptr<Block>> blocks_;
  std::vector<Port> inputs_;
  std::vector<Port> outputs_;
  std::vector<Call> calls_;
  std::vector<std::string> host_layers_;
};

class EmulatedBackend final : public runtime::Backend {
 public:
  EmulatedBackend(int processors, const TensorCores& tensor_cores, std::shared_ptr<const runtime::Backend> host)
      : processors_(processors), tensor_cores_(tensor_cores), host_(std::move(host)) {}
  [[nodiscard]] Device device() const noexcept override { return Device::cpu(); }
  [[nodiscard]] std::string_view name() const noexcept override { return "emulated"; }
  [[nodiscard]] std::string lacks(const Node& node) const override { return host_->lacks(node); }
  [[nodiscard]] Result<std::shared_ptr<runtime::PackedWeights>> make_weights(
      const runtime::Network& network) const override {
    RUSHLIGHT_TRY_ASSIGN(std::shared_ptr<runtime::PackedWeights> host, host_->make_weights(network));
    return std::shared_ptr<runtime::PackedWeights>(std::make_shared<EmulatedWeights>(std::move(host)));
  }
  [[nodiscard]] Result<std::unique_ptr<runtime::Program>> compile(
      const runtime::Network& network, std::span<const Shape> input_shapes,
      const std::shared_ptr<runtime::PackedWeights>& weights, const runtime::RunOptions& options) const override {
    RUSHLIGHT_TRY_ASSIGN(runtime::Plan plan,
                         runtime::make_plan(network, input_shapes, options.limits, {.fuses_activations = true}));
    add_general_constants(plan);
    auto program = std::make_unique<EmulatedProgram>(plan, CallOptions{processors_, options.precision, tensor_cores_});
    RUSHLIGHT_TRY(
        program->prepare(plan, network, *host_, static_cast<const EmulatedWeights&>(*weights).host(), options));
    return std::unique_ptr<runtime::Program>(std::move(program));
  }

 private:
  const int processors_;
  const TensorCores tensor_cores_;
  const std::shared_ptr<const runtime::Backend> host_;
};

}  // namespace

std::shared_ptr<const runtime::Backend> make_backend(int processors, const TensorCores& tensor_cores) {
  return std::make_shared<EmulatedBackend>(processors, tensor_cores, runtime::cpu::make_backend().value());
}

}  // namespace rushlight::cuda::emulation
