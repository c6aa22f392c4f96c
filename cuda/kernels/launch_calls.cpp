// launch() of calls that are more than one kernel's arguments.
#include "cuda/general_calls.hpp"
#include "cuda/host_step.hpp"
#include "cuda/kernels/launch.hpp"

namespace rushlight::cuda {
namespace {

// On a thread of the driver, which must not call CUDA: a step on the host does not.
void CUDART_CB compute(void* step) {
  static_cast<HostStep*>(step)->compute();
}

}  // namespace

cudaError_t launch(const GeneralCall& call, Queue queue) {
  return std::visit([&](const auto& arguments) { return launch(arguments, queue); }, call.work);
}

cudaError_t launch(const HostCall& call, Queue queue) {
  for (const HostStep::Copy& copy : call.step->down()) {
    const cudaError_t status = cudaMemcpyAsync(copy.host, copy.device, static_cast<std::size_t>(copy.size_bytes),
                                               cudaMemcpyDeviceToHost, queue.stream);
    if (status != cudaSuccess) return status;
  }
  if (const cudaError_t status = cudaLaunchHostFunc(queue.stream, compute, call.step.get()); status != cudaSuccess) {
    return status;
  }
  for (const HostStep::Copy& copy : call.step->up()) {
    const cudaError_t status = cudaMemcpyAsync(copy.device, copy.host, static_cast<std::size_t>(copy.size_bytes),
                                               cudaMemcpyHostToDevice, queue.stream);
    if (status != cudaSuccess) return status;
  }
  return cudaSuccess;
}

}  // namespace rushlight::cuda
