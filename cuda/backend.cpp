#include "cuda/backend.hpp"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "base/checked.hpp"
#include "base/fail.hpp"
#include "base/quote.hpp"
#include "cuda/calls.hpp"
#include "cuda/check.hpp"
#include "cuda/device_memory.hpp"
#include "cuda/device_weights.hpp"
#include "cuda/kernels/launch.hpp"
#include "cuda/self_check.hpp"
#include "cuda/stream.hpp"
#include "runtime/failure.hpp"
#include "runtime/lowering.hpp"
#include "runtime/plan.hpp"

namespace rushlight::cuda {
namespace {

using runtime::Network;
using runtime::PackedWeights;
using runtime::Plan;
using runtime::Program;
using runtime::RunOptions;

// A port's place in the workspace. Kernels never see the caller's buffers: addresses stay what they were when the calls
// were made, and host and device buffers are alike.
struct PortBuffer {
  std::uint64_t offset_bytes = 0;
  std::uint64_t size_bytes = 0;
};

class CudaProgram final : public Program {
 public:
  CudaProgram(int device, const RunOptions& options, std::shared_ptr<PackedWeights> weights, DeviceBuffer workspace,
              Stream stream)
      : device_(device),
        options_(options),
        weights_(std::move(weights)),
        workspace_(std::move(workspace)),
        stream_(std::move(stream)) {}
  ~CudaProgram() override {
    // The stream is empty: every run waits for it. Only the device has to be the right one.
    const auto current = CurrentDevice::use(device_);
    Stream last = std::move(stream_);
  }

  void set_calls(std::vector<Call> calls) { calls_ = std::move(calls); }
  void set_ports(std::vector<PortBuffer> inputs, std::vector<PortBuffer> outputs) {
    inputs_ = std::move(inputs);
    outputs_ = std::move(outputs);
  }

  Status run(std::span<const TensorView> inputs, std::span<const MutableTensorView> outputs) override {
    RUSHLIGHT_TRY_ASSIGN(const CurrentDevice current, CurrentDevice::use(device_));
    Status enqueued = enqueue(inputs, outputs);
    // Whatever was enqueued must end before the caller's buffers may go.
    Status finished = stream_.synchronise();
    if (!enqueued) return enqueued;
    if (!finished) return among_layers(std::move(finished).error());
    return {};
  }

  [[nodiscard]] std::uint64_t workspace_bytes() const noexcept override { return workspace_.size_bytes(); }

 private:
  Status enqueue(std::span<const TensorView> inputs, std::span<const MutableTensorView> outputs) {
    for (std::size_t port = 0; port < inputs.size(); ++port) {
      const PortBuffer& buffer = inputs_[port];
      if (buffer.size_bytes == 0) continue;
      const bool from_host = inputs[port].device.kind == Device::Kind::cpu;
      RUSHLIGHT_CUDA_TRY(cudaMemcpyAsync, workspace_.data() + buffer.offset_bytes, inputs[port].data,
                         static_cast<std::size_t>(buffer.size_bytes),
                         from_host ? cudaMemcpyHostToDevice : cudaMemcpyDeviceToDevice, stream_.get());
    }
    for (std::size_t i = 0; i < calls_.size(); ++i) {
      const Call& call = calls_[i];
      const cudaError_t status = std::visit([&](const auto& work) { return launch(work, stream_.get()); }, call.work);
      if (status != cudaSuccess) return kernel_failed(status, kernel_name(call.work), call.name);
      if (options_.progress != nullptr && !options_.progress->on_progress("run", i + 1, calls_.size())) {
        return runtime::run_was_cancelled();
      }
    }
    for (std::size_t port = 0; port < outputs.size(); ++port) {
      const PortBuffer& buffer = outputs_[port];
      if (buffer.size_bytes == 0) continue;
      const bool to_host = outputs[port].device.kind == Device::Kind::cpu;
      RUSHLIGHT_CUDA_TRY(cudaMemcpyAsync, outputs[port].data, workspace_.data() + buffer.offset_bytes,
                         static_cast<std::size_t>(buffer.size_bytes),
                         to_host ? cudaMemcpyDeviceToHost : cudaMemcpyDeviceToDevice, stream_.get());
    }
    return {};
  }

  // Failures inside kernels show when the queue is waited for: one of them is to blame.
  [[nodiscard]] Error among_layers(Error error) const {
    if (!calls_.empty()) {
      error.finding.message = "in layers " + quoted(calls_.front().name) + " to " + quoted(calls_.back().name) + ": " +
                              error.finding.message;
    }
    return error;
  }

  const int device_;
  const RunOptions options_;
  const std::shared_ptr<PackedWeights> weights_;
  DeviceBuffer workspace_;  // see WorkspaceLayout
  Stream stream_;
  std::vector<Call> calls_;
  std::vector<PortBuffer> inputs_;
  std::vector<PortBuffer> outputs_;
};

// The ports behind the arena, then what calls need of scratch, each at a multiple of what cudaMalloc aligns to.
class WorkspaceLayout {
 public:
  WorkspaceLayout(const Plan& plan, std::uint64_t scratch_bytes) : size_bytes_(plan.arena_bytes) {
    for (const runtime::TensorId id : plan.inputs) inputs.push_back(add(buffer_of(plan, id).size_bytes));
    for (const runtime::TensorId id : plan.outputs) outputs.push_back(add(buffer_of(plan, id).size_bytes));
    scratch = add(scratch_bytes);
  }
  // nullopt: more than 64 bits can count.
  [[nodiscard]] std::optional<std::uint64_t> size_bytes() const { return size_bytes_; }

  std::vector<PortBuffer> inputs;
  std::vector<PortBuffer> outputs;
  PortBuffer scratch;

 private:
  static const runtime::PlannedBuffer& buffer_of(const Plan& plan, runtime::TensorId id) {
    return plan.buffers[plan.tensors[id].buffer];
  }
  PortBuffer add(std::uint64_t size_bytes) {
    constexpr std::uint64_t kAlignment = 256;
    PortBuffer buffer;
    buffer.size_bytes = size_bytes;
    if (size_bytes_) size_bytes_ = checked_add(*size_bytes_, kAlignment - 1);
    if (size_bytes_) {
      buffer.offset_bytes = *size_bytes_ / kAlignment * kAlignment;
      size_bytes_ = checked_add(buffer.offset_bytes, buffer.size_bytes);
    }
    return buffer;
  }

  std::optional<std::uint64_t> size_bytes_;
};

class CudaBackend final : public runtime::Backend {
 public:
  // `lacks`: what the name says about it.
  CudaBackend(int index, int capability, int processors, const TensorCores& tensor_cores, const std::string& lacks)
      : index_(index),
        processors_(processors),
        tensor_cores_(tensor_cores),
        name_(to_string(Device::cuda(index)) + " sm_" + std::to_string(capability) + lacks) {}

  [[nodiscard]] Device device() const noexcept override { return Device::cuda(index_); }
  [[nodiscard]] std::string_view name() const noexcept override { return name_; }

  [[nodiscard]] std::string lacks(const Node& node) const override {
    return runtime::has_step(node) ? "" : "there is no CUDA kernel for this operator yet";
  }

  [[nodiscard]] Result<std::shared_ptr<PackedWeights>> make_weights(const Network&) const override {
    return std::shared_ptr<PackedWeights>(std::make_shared<DeviceWeights>(index_));
  }

  [[nodiscard]] Result<std::unique_ptr<Program>> compile(const Network& network, std::span<const Shape> input_shapes,
                                                         const std::shared_ptr<PackedWeights>& weights,
                                                         const RunOptions& options) const override {
    RUSHLIGHT_TRY_ASSIGN(const Plan plan,
                         runtime::make_plan(network, input_shapes, options.limits, {.fuses_activations = true}));
    const CallOptions call_options{processors_, options.precision, tensor_cores_};
    RUSHLIGHT_TRY_ASSIGN(const Needs needs, find_needs(plan, call_options));
    WorkspaceLayout layout(plan, needs.scratch_bytes);
    if (!layout.size_bytes()) return runtime::arena_too_large(std::nullopt, options.limits);
    // make_weights() made it: same name, same type.
    auto& device_weights = static_cast<DeviceWeights&>(*weights);
    Addresses addresses;
    RUSHLIGHT_TRY_ASSIGN(addresses.weights, device_weights.upload(needs.weights, plan, network));
    RUSHLIGHT_TRY_ASSIGN(DeviceBuffer workspace, DeviceBuffer::allocate(index_, *layout.size_bytes(), "activations"));
    addresses.arena = workspace.data();
    for (const PortBuffer& port : layout.inputs) addresses.inputs.push_back(workspace.data() + port.offset_bytes);
    for (const PortBuffer& port : layout.outputs) addresses.outputs.push_back(workspace.data() + port.offset_bytes);
    addresses.scratch = workspace.data() + layout.scratch.offset_bytes;
    RUSHLIGHT_TRY_ASSIGN(std::vector<Call> calls, make_calls(plan, addresses, call_options));
    RUSHLIGHT_TRY_ASSIGN(const CurrentDevice current, CurrentDevice::use(index_));
    RUSHLIGHT_TRY_ASSIGN(Stream stream, Stream::make());
    auto program = std::make_unique<CudaProgram>(index_, options, weights, std::move(workspace), std::move(stream));
    program->set_calls(std::move(calls));
    program->set_ports(std::move(layout.inputs), std::move(layout.outputs));
    return std::unique_ptr<Program>(std::move(program));
  }

 private:
  const int index_;
  const int processors_;
  const TensorCores tensor_cores_;
  const std::string name_;
};

// For the self-check.
Status run_on_gpu(int index, std::span<float> memory, const std::function<std::vector<Work>(float* base)>& calls) {
  RUSHLIGHT_TRY_ASSIGN(const DeviceBuffer buffer, DeviceBuffer::allocate(index, memory.size_bytes(), "a self-check"));
  RUSHLIGHT_TRY_ASSIGN(const Stream stream, Stream::make());
  RUSHLIGHT_CUDA_TRY(cudaMemcpyAsync, buffer.data(), memory.data(), memory.size_bytes(), cudaMemcpyHostToDevice,
                     stream.get());
  for (const Work& call : calls(reinterpret_cast<float*>(buffer.data()))) {
    const cudaError_t status = std::visit([&](const auto& work) { return launch(work, stream.get()); }, call);
    if (status != cudaSuccess) return kernel_failed(status, kernel_name(call), "self-check");
  }
  RUSHLIGHT_CUDA_TRY(cudaMemcpyAsync, memory.data(), buffer.data(), memory.size_bytes(), cudaMemcpyDeviceToHost,
                     stream.get());
  return stream.synchronise();
}

Error no_such_gpu(int index, std::string why, std::string hint) {
  const std::string device = to_string(Device::cuda(index));
  return Error::of({.category = Category::device,
                    .code = "DEVICE-NO-GPU",
                    .message = "device " + quoted(device) + " cannot be used: " + std::move(why),
                    .found = device,
                    .hint = std::move(hint)});
}

// "cuda:0, cuda:1", or the reason why there is none.
std::string usable_gpus(const std::vector<DeviceInfo>& devices) {
  std::string names;
  for (const DeviceInfo& info : devices) {
    if (info.usable) names += (names.empty() ? "" : ", ") + to_string(info.device);
  }
  return names;
}

}  // namespace

Result<std::shared_ptr<const runtime::Backend>> make_backend(int index) {
  const std::vector<DeviceInfo> devices = list_devices();
  const auto found = std::find_if(devices.begin(), devices.end(),
                                  [&](const DeviceInfo& info) { return info.device == Device::cuda(index); });
  const std::string usable = usable_gpus(devices);
  const std::string hint = usable.empty() ? "run on the CPU" : "usable here: cpu, " + usable;
  if (found == devices.end()) {
    return no_such_gpu(index, usable.empty() ? devices.front().why : "there is no GPU of this number", hint);
  }
  if (!found->usable) return no_such_gpu(index, found->why, hint);
  RUSHLIGHT_TRY_ASSIGN(const CurrentDevice current, CurrentDevice::use(index));
  int major = 0;
  int minor = 0;
  int processors = 0;
  RUSHLIGHT_CUDA_TRY(cudaDeviceGetAttribute, &major, cudaDevAttrComputeCapabilityMajor, index);
  RUSHLIGHT_CUDA_TRY(cudaDeviceGetAttribute, &minor, cudaDevAttrComputeCapabilityMinor, index);
  RUSHLIGHT_CUDA_TRY(cudaDeviceGetAttribute, &processors, cudaDevAttrMultiProcessorCount, index);
  if (const cudaError_t status = probe_kernels(); status != cudaSuccess) {
    (void)cudaGetLastError();
    return no_such_gpu(index, "this build holds no code for it: " + std::string(cudaGetErrorString(status)),
                       "build with CMAKE_CUDA_ARCHITECTURES for this GPU, or run on the CPU");
  }
  const int capability = major * 10 + minor;
  const TensorCores fast = fast_tensor_cores(capability);
  RUSHLIGHT_TRY_ASSIGN(const TensorCores right,
                       check_tensor_cores(fast, [&](std::span<float> memory, const auto& calls) {
                         return run_on_gpu(index, memory, calls);
                       }));
  return std::shared_ptr<const runtime::Backend>(
      std::make_shared<CudaBackend>(index, capability, processors, right, missing_tensor_cores(fast, right)));
}

}  // namespace rushlight::cuda
