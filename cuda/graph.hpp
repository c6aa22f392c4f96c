// A CUDA graph: what was put into a stream, recorded once, to be put into a queue again as one piece. A network of
// fifty kernels then costs one call of the driver a run, and the GPU need not wait for the host between them.
#pragma once

#include <cuda_runtime_api.h>

#include <utility>

#include "cuda/check.hpp"
#include "cuda/stream.hpp"
#include "rushlight/result.hpp"

namespace rushlight::cuda {

class Graph {
 public:
  // What enqueue() puts into `stream`, of which nothing is carried out now. Addresses and arguments are those of now.
  template <class Enqueue>
  static Result<Graph> capture(const Stream& stream, const Enqueue& enqueue) {
    // Of this thread alone: what others do meanwhile neither fails nor is recorded.
    RUSHLIGHT_CUDA_TRY(cudaStreamBeginCapture, stream.get(), cudaStreamCaptureModeThreadLocal);
    Status enqueued = enqueue();
    // After a failure too, or the stream would go on recording.
    Recording recording;
    const cudaError_t ended = cudaStreamEndCapture(stream.get(), &recording.graph);
    if (!enqueued) {
      if (ended != cudaSuccess) (void)cudaGetLastError();
      return std::move(enqueued).error();
    }
    if (ended != cudaSuccess) return call_failed(ended, "cudaStreamEndCapture");
    cudaGraphExec_t executable = nullptr;
    RUSHLIGHT_CUDA_TRY(cudaGraphInstantiate, &executable, recording.graph, 0);
    Graph graph(executable);
    // Otherwise the first launch would bring it to the GPU.
    RUSHLIGHT_CUDA_TRY(cudaGraphUpload, graph.executable_, stream.get());
    return graph;
  }
  Graph(Graph&& other) noexcept : executable_(std::exchange(other.executable_, nullptr)) {}
  Graph& operator=(Graph&&) = delete;
  ~Graph() {
    if (executable_ != nullptr) (void)cudaGraphExecDestroy(executable_);
  }

  // Not to be destroyed before `stream` is done with it.
  Status launch(const Stream& stream) const {
    RUSHLIGHT_CUDA_TRY(cudaGraphLaunch, executable_, stream.get());
    return {};
  }

 private:
  // The form that is recorded, of which the executable one is made.
  struct Recording {
    cudaGraph_t graph = nullptr;
    Recording() = default;
    Recording(const Recording&) = delete;
    Recording& operator=(const Recording&) = delete;
    ~Recording() {
      if (graph != nullptr) (void)cudaGraphDestroy(graph);
    }
  };

  explicit Graph(cudaGraphExec_t executable) noexcept : executable_(executable) {}
  cudaGraphExec_t executable_;
};

}  // namespace rushlight::cuda
