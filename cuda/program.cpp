#include "cuda/program.hpp"

#include <cuda_runtime_api.h>

#include <utility>
#include <variant>

#include "base/quote.hpp"
#include "cuda/check.hpp"
#include "cuda/kernels/launch_work.hpp"
#include "runtime/failure.hpp"
#include "runtime/step_times.hpp"

namespace rushlight::cuda {

Result<std::unique_ptr<CudaProgram>> CudaProgram::make(ProgramParts parts) {
  RUSHLIGHT_TRY_ASSIGN(const CurrentDevice current, CurrentDevice::use(parts.device));
  RUSHLIGHT_TRY_ASSIGN(Stream stream, Stream::make());
  std::vector<Event> marks;
  for (std::size_t i = 0; i < kMarks + 1; ++i) {
    RUSHLIGHT_TRY_ASSIGN(Event mark, Event::make(Event::Kind::mark));
    marks.push_back(std::move(mark));
  }
  std::unique_ptr<CudaProgram> program(new CudaProgram(std::move(parts), std::move(stream), std::move(marks)));
  RUSHLIGHT_TRY(program->record());
  return program;
}

CudaProgram::CudaProgram(ProgramParts parts, Stream stream, std::vector<Event> marks)
    : parts_(std::move(parts)), stream_(std::move(stream)), marks_(std::move(marks)) {
  for (const Call& call : parts_.calls) {
    if (has_status(call)) calls_with_status_.push_back(&call);
  }
}

CudaProgram::~CudaProgram() {
  const auto current = CurrentDevice::use(parts_.device);
  // A run that nobody waited for may still be at work on the workspace.
  (void)stream_.synchronise();
  graph_.reset();
  marks_.clear();
  times_.clear();
  const Stream last = std::move(stream_);
}

Status CudaProgram::record() {
  const std::string launches = std::to_string(parts_.calls.size()) + " launches";
  if (parts_.options.progress != nullptr) {
    launching_ = launches + ": Progress is asked after each";
    return {};
  }
  if (parts_.calls.empty()) {
    launching_ = "nothing to launch";
    return {};
  }
  if (parts_.options.step_times != nullptr) {
    for (std::size_t i = 0; i <= parts_.calls.size(); ++i) {
      RUSHLIGHT_TRY_ASSIGN(Event time, Event::make(Event::Kind::time));
      times_.push_back(std::move(time));
    }
    launching_ = launches + ": each is timed";
    return {};
  }
  Result<Graph> graph = capture();
  if (!graph && parts_.starts_early) {
    parts_.starts_early = false;
    graph = capture();
  }
  // A driver that does not record is no reason not to compute; a device that is lost is one, and says so here.
  RUSHLIGHT_TRY(stream_.synchronise());
  if (graph) {
    graph_.emplace(std::move(graph).value());
    launching_ = "one CUDA graph of " + std::to_string(parts_.calls.size()) + " kernels";
    if (parts_.starts_early) launching_ += " that start early";
  } else {
    launching_ = launches + ": " + graph.error().finding.message;
  }
  return {};
}

Result<Graph> CudaProgram::capture() {
  return Graph::capture(stream_, [&] { return launch_all(nullptr); });
}

Status CudaProgram::run(std::span<const TensorView> inputs, std::span<const MutableTensorView> outputs) {
  RUSHLIGHT_TRY_ASSIGN(const CurrentDevice current, CurrentDevice::use(parts_.device));
  Status enqueued = enqueue(inputs, outputs);
  // Whatever was enqueued must end before the caller's buffers may go.
  Status finished = stream_.synchronise();
  if (!enqueued) return enqueued;
  if (!finished) return among_layers(std::move(finished).error());
  RUSHLIGHT_TRY(calls_status());
  return read_times();
}

Result<std::uint64_t> CudaProgram::run_async(std::span<const TensorView> inputs,
                                             std::span<const MutableTensorView> outputs, void* stream) {
  RUSHLIGHT_TRY_ASSIGN(const CurrentDevice current, CurrentDevice::use(parts_.device));
  const std::uint64_t ticket = last_ticket_ + 1;
  Status enqueued = enqueue_within(static_cast<cudaStream_t>(stream), inputs, outputs, mark_of(ticket));
  if (!enqueued) {
    // The caller has no ticket to wait for what was enqueued before.
    (void)stream_.synchronise();
    outcomes_.take_back(last_ticket_);
    return std::move(enqueued).error();
  }
  last_ticket_ = ticket;
  return ticket;
}

Status CudaProgram::enqueue_within(cudaStream_t queue, std::span<const TensorView> inputs,
                                   std::span<const MutableTensorView> outputs, const Event& end) {
  if (queue != nullptr) {
    // Inputs and outcomes are of one run: a graph of the caller's could not run it again.
    cudaStreamCaptureStatus recorded = cudaStreamCaptureStatusNone;
    RUSHLIGHT_CUDA_TRY(cudaStreamIsCapturing, queue, &recorded);
    if (recorded != cudaStreamCaptureStatusNone) {
      return Error::of({.category = Category::argument,
                        .code = "RUN-STREAM",
                        .message = "the stream is recording a CUDA graph, of which a run cannot be a part"});
    }
    RUSHLIGHT_TRY(entry_mark().record(queue));
    RUSHLIGHT_CUDA_TRY(cudaStreamWaitEvent, stream_.get(), entry_mark().get(), 0);
  }
  RUSHLIGHT_TRY(enqueue(inputs, outputs));
  RUSHLIGHT_TRY(enqueue_outcome());
  RUSHLIGHT_TRY(end.record(stream_.get()));
  if (queue != nullptr) RUSHLIGHT_CUDA_TRY(cudaStreamWaitEvent, queue, end.get(), 0);
  return {};
}

Status CudaProgram::wait(std::uint64_t ticket) {
  RUSHLIGHT_TRY_ASSIGN(const CurrentDevice current, CurrentDevice::use(parts_.device));
  Status finished = mark_of(ticket).synchronise();
  if (!finished) return among_layers(std::move(finished).error());
  return outcomes_.of(ticket);
}

// A failure of the GPU ends a run as well, and wait() tells it. Whatever else stands against the question is no answer.
bool CudaProgram::is_over(std::uint64_t ticket) {
  const CaptureByOthers allowed;
  const cudaError_t status = cudaEventQuery(mark_of(ticket).get());
  if (status != cudaSuccess) (void)cudaGetLastError();
  return status == cudaSuccess || ends_the_context(status);
}

Status CudaProgram::enqueue(std::span<const TensorView> inputs, std::span<const MutableTensorView> outputs) {
  for (std::size_t port = 0; port < inputs.size(); ++port) {
    const PortBuffer& buffer = parts_.inputs[port];
    if (buffer.size_bytes == 0) continue;
    const bool from_host = inputs[port].device.kind == Device::Kind::cpu;
    RUSHLIGHT_CUDA_TRY(cudaMemcpyAsync, parts_.workspace.data() + buffer.offset_bytes, inputs[port].data,
                       static_cast<std::size_t>(buffer.size_bytes),
                       from_host ? cudaMemcpyHostToDevice : cudaMemcpyDeviceToDevice, stream_.get());
  }
  if (graph_) {
    if (Status launched = graph_->launch(stream_); !launched) return among_layers(std::move(launched).error());
  } else {
    RUSHLIGHT_TRY(launch_all(parts_.options.progress));
  }
  // Copying to pageable memory waits for the kernels and may be the first to hear of their failures.
  if (Status copied = copy_outputs(outputs); !copied) return among_layers(std::move(copied).error());
  return {};
}

Status CudaProgram::copy_outputs(std::span<const MutableTensorView> outputs) {
  for (std::size_t port = 0; port < outputs.size(); ++port) {
    const PortBuffer& buffer = parts_.outputs[port];
    if (buffer.size_bytes == 0) continue;
    const bool to_host = outputs[port].device.kind == Device::Kind::cpu;
    RUSHLIGHT_CUDA_TRY(cudaMemcpyAsync, outputs[port].data, parts_.workspace.data() + buffer.offset_bytes,
                       static_cast<std::size_t>(buffer.size_bytes),
                       to_host ? cudaMemcpyDeviceToHost : cudaMemcpyDeviceToDevice, stream_.get());
  }
  return {};
}

Status CudaProgram::launch_all(Progress* progress) {
  Queue queue{.stream = stream_.get()};
  for (std::size_t i = 0; i < parts_.calls.size(); ++i) {
    const Call& call = parts_.calls[i];
    if (!times_.empty()) RUSHLIGHT_TRY(times_[i].record(stream_.get()));
    const cudaError_t status = launch_work(call.work, queue);
    if (status != cudaSuccess) return kernel_failed(status, kernel_name(call.work), call.name);
    // What is copied, or computed by the host, is waited for by the stream; and a time that is taken is of one kernel.
    queue.starts_early = parts_.starts_early && times_.empty() && !std::holds_alternative<HostCall>(call.work);
    if (progress != nullptr && !progress->on_progress("run", i + 1, parts_.calls.size())) {
      return runtime::run_was_cancelled();
    }
  }
  if (!times_.empty()) RUSHLIGHT_TRY(times_.back().record(stream_.get()));
  return {};
}

// The next run writes where this one's calls say how they went: they are asked between the two, on a thread of the
// driver, which must not call CUDA.
Status CudaProgram::enqueue_outcome() {
  if (calls_with_status_.empty()) return {};
  const auto note = [](void* program) {
    auto& self = *static_cast<CudaProgram*>(program);
    self.outcomes_.note(self.calls_status());
  };
  RUSHLIGHT_CUDA_TRY(cudaLaunchHostFunc, stream_.get(), note, this);
  return {};
}

// What ran behind a call that went wrong computed with anything.
Status CudaProgram::calls_status() const {
  for (const Call* const call : calls_with_status_) RUSHLIGHT_TRY(status_of(*call));
  return {};
}

// From mark to mark, so that what the GPU does between two kernels is counted too.
Status CudaProgram::read_times() {
  if (times_.empty()) return {};
  std::vector<runtime::TimedStep>& steps = parts_.options.step_times->steps;
  for (const Call& call : parts_.calls) steps[call.step].nanoseconds = 0;
  for (std::size_t i = 0; i < parts_.calls.size(); ++i) {
    float milliseconds = 0;
    RUSHLIGHT_CUDA_TRY(cudaEventElapsedTime, &milliseconds, times_[i].get(), times_[i + 1].get());
    steps[parts_.calls[i].step].nanoseconds += static_cast<std::uint64_t>(static_cast<double>(milliseconds) * 1e6);
  }
  return {};
}

// Failures inside kernels show when the queue is waited for, and those of a graph when it is launched: one of the
// layers is to blame.
Error CudaProgram::among_layers(Error error) const {
  if (!parts_.calls.empty()) {
    error.finding.message = "in layers " + quoted(parts_.calls.front().name) + " to " +
                            quoted(parts_.calls.back().name) + ": " + error.finding.message;
  }
  return error;
}

}  // namespace rushlight::cuda
