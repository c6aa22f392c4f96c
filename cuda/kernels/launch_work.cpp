#include "cuda/kernels/launch_work.hpp"

#include <variant>

#include "cuda/kernels/launch.hpp"

namespace rushlight::cuda {

cudaError_t launch_work(const Work& work, Queue queue) {
  return std::visit([&](const auto& call) { return launch(call, queue); }, work);
}

}  // namespace rushlight::cuda
