#include "cuda/backend.hpp"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/checked.hpp"
#include "base/fail.hpp"
#include "base/quote.hpp"
#include "cuda/calls.hpp"
#include "cuda/check.hpp"
#include "cuda/device_memory.hpp"
#include "cuda/device_weights.hpp"
#include "cuda/early_start.hpp"
#include "cuda/kernels/launch.hpp"
#include "cuda/kernels/launch_work.hpp"
#include "cuda/program.hpp"
#include "cuda/self_check.hpp"
#include "cuda/stream.hpp"
#include "cuda/tuner.hpp"
#include "cuda/upload.hpp"
#include "runtime/failure.hpp"
#include "runtime/plan.hpp"
#include "runtime/step_times.hpp"
#include "rushlight/version.hpp"

namespace rushlight::cuda {
namespace {

using runtime::Network;
using runtime::PackedWeights;
using runtime::Plan;
using runtime::Program;
using runtime::RunOptions;

// The ports behind the arena, then what calls need of scratch, each at a multiple of what cudaMalloc aligns to.
class WorkspaceLayout {
 public:
  WorkspaceLayout(const Plan& plan, const Needs& needs) : size_bytes_(plan.arena_bytes) {
    for (const runtime::TensorId id : plan.inputs) inputs.push_back(add(buffer_of(plan, id).size_bytes));
    for (const runtime::TensorId id : plan.outputs) outputs.push_back(add(buffer_of(plan, id).size_bytes));
    scratch = add(needs.scratch_bytes);
    tickets = add(needs.tickets * sizeof(std::uint32_t));
  }
  // nullopt: more than 64 bits can count.
  [[nodiscard]] std::optional<std::uint64_t> size_bytes() const { return size_bytes_; }

  std::vector<PortBuffer> inputs;
  std::vector<PortBuffer> outputs;
  PortBuffer scratch;
  PortBuffer tickets;

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

// Null for no bytes.
Result<PinnedBuffer> pinned(std::uint64_t size_bytes) {
  if (size_bytes == 0) return PinnedBuffer();
  return PinnedBuffer::allocate(static_cast<std::size_t>(size_bytes));
}

// The plan's steps, each with the kernel that computes it.
std::vector<runtime::TimedStep> described(const Network& network, const Plan& plan, const std::vector<Call>& calls) {
  std::vector<runtime::TimedStep> steps = runtime::describe_steps(network, plan);
  for (const Call& call : calls) steps[call.step].algorithm = kernel_name(call.work);
  return steps;
}

// On the current device.
Status clear(std::byte* memory, std::uint64_t size_bytes) {
  if (size_bytes == 0) return {};
  RUSHLIGHT_TRY_ASSIGN(const Stream stream, Stream::make());
  RUSHLIGHT_CUDA_TRY(cudaMemsetAsync, memory, 0, static_cast<std::size_t>(size_bytes), stream.get());
  return stream.synchronise();
}

class CudaBackend final : public runtime::Backend {
 public:
  // `lacks`: what the name says about it.
  CudaBackend(int index, int capability, int processors, bool starts_early, std::string machine,
              const TensorCores& tensor_cores, const std::string& lacks, std::shared_ptr<const runtime::Backend> host)
      : index_(index),
        processors_(processors),
        starts_early_(starts_early),
        machine_(std::move(machine)),
        tensor_cores_(tensor_cores),
        host_(std::move(host)),
        name_(to_string(Device::cuda(index)) + " sm_" + std::to_string(capability) + lacks) {}

  [[nodiscard]] Device device() const noexcept override { return Device::cuda(index_); }
  [[nodiscard]] std::string_view name() const noexcept override { return name_; }

  // What has no kernel the host computes.
  [[nodiscard]] std::string lacks(const Node& node) const override { return host_->lacks(node); }

  [[nodiscard]] Result<std::shared_ptr<PackedWeights>> make_weights(const Network& network) const override {
    RUSHLIGHT_TRY_ASSIGN(std::shared_ptr<PackedWeights> host, host_->make_weights(network));
    return std::shared_ptr<PackedWeights>(std::make_shared<DeviceWeights>(index_, std::move(host)));
  }

  [[nodiscard]] Result<std::unique_ptr<Program>> compile(const Network& network, std::span<const Shape> input_shapes,
                                                         const std::shared_ptr<PackedWeights>& weights,
                                                         const RunOptions& options) const override {
    RUSHLIGHT_TRY_ASSIGN(Plan plan,
                         runtime::make_plan(network, input_shapes, options.limits, {.fuses_activations = true}));
    add_general_constants(plan);
    const CallOptions call_options{processors_, options.precision, tensor_cores_};
    RUSHLIGHT_TRY_ASSIGN(const Needs needs, find_needs(plan, call_options));
    WorkspaceLayout layout(plan, needs);
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
    addresses.tickets = reinterpret_cast<std::uint32_t*>(workspace.data() + layout.tickets.offset_bytes);
    RUSHLIGHT_TRY_ASSIGN(const CurrentDevice current, CurrentDevice::use(index_));
    ProgramParts parts;
    RUSHLIGHT_TRY_ASSIGN(parts.notes, pinned(needs.notes * sizeof(IndexNote)));
    addresses.notes = reinterpret_cast<IndexNote*>(parts.notes.data());
    RUSHLIGHT_TRY_ASSIGN(addresses.host_steps, make_host_steps(plan, network, *host_, device_weights.host(), options));
    RUSHLIGHT_TRY_ASSIGN(parts.staging, pinned(staging_bytes(addresses.host_steps)));
    addresses.staging = parts.staging.data();
    parts.host_bytes = staging_bytes(addresses.host_steps) + needs.notes * sizeof(IndexNote);
    for (const auto& step : addresses.host_steps) parts.host_bytes += step == nullptr ? 0 : step->workspace_bytes();
    parts.host_layers = host_layers(plan, addresses.host_steps);
    RUSHLIGHT_TRY_ASSIGN(parts.calls, make_calls(plan, addresses, call_options));
    RUSHLIGHT_TRY(clear(workspace.data() + layout.tickets.offset_bytes, layout.tickets.size_bytes));
    // What is measured shall work on numbers: products that meet NaN or infinities are computed twice.
    if (options.tuning != nullptr) RUSHLIGHT_TRY(clear(workspace.data(), workspace.size_bytes()));
    RUSHLIGHT_TRY(tune(parts.calls, machine_, options));
    parts.device = index_;
    parts.starts_early = starts_early_;
    parts.options = options;
    parts.weights = weights;
    parts.workspace = std::move(workspace);
    parts.inputs = std::move(layout.inputs);
    parts.outputs = std::move(layout.outputs);
    if (options.step_times != nullptr) options.step_times->steps = described(network, plan, parts.calls);
    RUSHLIGHT_TRY_ASSIGN(std::unique_ptr<CudaProgram> program, CudaProgram::make(std::move(parts)));
    return std::unique_ptr<Program>(std::move(program));
  }

 private:
  const int index_;
  const int processors_;
  const bool starts_early_;
  const std::string machine_;  // under which measurements are kept: whatever makes others of them likely
  const TensorCores tensor_cores_;
  const std::shared_ptr<const runtime::Backend> host_;
  const std::string name_;
};

// For the self-check.
Status run_on_gpu(int index, std::span<float> memory, const std::function<std::vector<Work>(float* base)>& calls) {
  RUSHLIGHT_TRY_ASSIGN(const DeviceBuffer buffer, DeviceBuffer::allocate(index, memory.size_bytes(), "a self-check"));
  RUSHLIGHT_TRY_ASSIGN(const Stream stream, Stream::make());
  RUSHLIGHT_CUDA_TRY(cudaMemcpyAsync, buffer.data(), memory.data(), memory.size_bytes(), cudaMemcpyHostToDevice,
                     stream.get());
  for (const Work& call : calls(reinterpret_cast<float*>(buffer.data()))) {
    const cudaError_t status = launch_work(call, {.stream = stream.get()});
    if (status != cudaSuccess) return kernel_failed(status, kernel_name(call), "self-check");
  }
  RUSHLIGHT_CUDA_TRY(cudaMemcpyAsync, memory.data(), buffer.data(), memory.size_bytes(), cudaMemcpyDeviceToHost,
                     stream.get());
  return stream.synchronise();
}

// Those of `fast` that pass the self-check. A GPU that passes it whole is asked once a process and not for every
// session; what fails, the memory may have been short or the GPU busy, is asked again.
Result<TensorCores> right_tensor_cores(int index, const TensorCores& fast) {
  static std::mutex mutex;
  static std::set<int> passed;
  const std::lock_guard lock(mutex);
  if (passed.contains(index)) return fast;
  const CallRunner run = [&](std::span<float> memory, const auto& calls) { return run_on_gpu(index, memory, calls); };
  // A context that a kernel has ended makes nothing any more.
  const auto is_usable = [] { return Stream::make().has_value(); };
  RUSHLIGHT_TRY_ASSIGN(const TensorCores right, check_tensor_cores(fast, run, is_usable));
  if (right == fast) passed.insert(index);
  return right;
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

Result<std::shared_ptr<const runtime::Backend>> make_backend(int index, std::shared_ptr<const runtime::Backend> host) {
  const std::vector<DeviceInfo> devices = list_devices();
  const auto found = std::find_if(devices.begin(), devices.end(),
                                  [&](const DeviceInfo& info) { return info.device == Device::cuda(index); });
  const std::string usable = usable_gpus(devices);
  int count = 0;
  const std::string hint =
      usable.empty() ? remedy_for_no_gpu(cudaGetDeviceCount(&count)) : "usable here: cpu, " + usable;
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
  int compiled_for = 0;
  if (const cudaError_t status = probe_kernels(compiled_for); status != cudaSuccess) {
    (void)cudaGetLastError();
    return no_such_gpu(index, "this build holds no code for it: " + std::string(cudaGetErrorString(status)),
                       "build with CMAKE_CUDA_ARCHITECTURES for this GPU, or run on the CPU");
  }
  int driver = 0;
  RUSHLIGHT_CUDA_TRY(cudaDriverGetVersion, &driver);
  const std::string machine = found->description + ", " + std::to_string(processors) + " processors, driver " +
                              version_text(driver) + ", rushlight " + std::string(version_string());
  const int capability = major * 10 + minor;
  const TensorCores fast = allowed_tensor_cores(fast_tensor_cores(capability), std::getenv("RUSHLIGHT_TENSOR_CORES"),
                                                std::getenv("RUSHLIGHT_WGMMA"));
  RUSHLIGHT_TRY_ASSIGN(const TensorCores right, right_tensor_cores(index, fast));
  const bool starts_early = may_start_early(capability, compiled_for, driver, std::getenv("RUSHLIGHT_PDL"));
  return std::shared_ptr<const runtime::Backend>(std::make_shared<CudaBackend>(
      index, capability, processors, starts_early, machine, right, missing_tensor_cores(fast, right), std::move(host)));
}

}  // namespace rushlight::cuda
