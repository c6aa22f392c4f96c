#include "cuda/fake_cuda.hpp"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <variant>

#include "cuda/emulate_work.hpp"
#include "cuda/kernels/launch.hpp"
#include "cuda/kernels/launch_work.hpp"

namespace rushlight::cuda::fake {
namespace {

using Operation = std::function<cudaError_t()>;

}  // namespace
}  // namespace rushlight::cuda::fake

// CUDA's opaque handles point to these.
struct CUevent_st {
  int device = 0;
  bool is_timed = false;
  std::uint64_t recorded = 0;  // how often it was put into a stream
  std::uint64_t reached = 0;   // and how often that mark was passed
  CUstream_st* stream = nullptr;
  double nanoseconds = 0;
};
struct CUstream_st {
  int device = 0;
  std::deque<rushlight::cuda::fake::Operation> queue;
  std::optional<std::vector<rushlight::cuda::fake::Operation>> recording;
  bool recording_failed = false;
  bool recording_is_global = false;
  std::thread::id recorder;
  double nanoseconds = 0;
};
struct CUgraph_st {
  std::vector<rushlight::cuda::fake::Operation> operations;
};
struct CUgraphExec_st {
  std::vector<rushlight::cuda::fake::Operation> operations;
};

namespace rushlight::cuda::fake {
namespace {

constexpr std::size_t kAlignment = 256;
const std::string kEarlyLaunch = "early launch";

struct Block {
  std::size_t size_bytes = 0;
  int device = 0;
};

struct Failure {
  std::string call;  // empty: any but the kernels themselves
  cudaError_t status = cudaSuccess;
  int skipped = 0;
};

struct Machine {
  std::vector<Gpu> gpus = {Gpu{}};
  int driver = CUDART_VERSION;
  int compiled_for = 90;
  cudaError_t lost = cudaSuccess;
  std::optional<Failure> failure;
  std::string failed_call;
  std::map<std::string, int, std::less<>> calls;
  std::map<const std::byte*, Block> blocks;
  std::map<const std::byte*, Block> pinned;
  std::vector<std::unique_ptr<CUstream_st>> streams;
  std::vector<std::unique_ptr<CUevent_st>> events;
  std::vector<std::unique_ptr<CUgraph_st>> graphs;
  std::vector<std::unique_ptr<CUgraphExec_st>> executables;
  std::function<double(const Work&)> clock = [](const Work&) { return 1.0; };
  bool skips_kernels = false;
  std::function<void()> watcher;
  std::string emulation_failure;
};

Machine& machine() {
  static Machine machine;
  return machine;
}

// Of each thread, as CUDA has it.
thread_local int current_device = 0;
thread_local cudaError_t last_error = cudaSuccess;
thread_local cudaStreamCaptureMode capture_mode = cudaStreamCaptureModeGlobal;

std::recursive_mutex one_at_a_time;
thread_local int depth = 0;
// Lives as long as a call of CUDA's.
class Inside {
 public:
  Inside() : lock_(one_at_a_time) { ++depth; }
  ~Inside() { --depth; }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;

 private:
  const std::lock_guard<std::recursive_mutex> lock_;
};

bool ends_the_context(cudaError_t status) {
  return status == cudaErrorIllegalAddress || status == cudaErrorLaunchFailure || status == cudaErrorECCUncorrectable ||
         status == cudaErrorLaunchTimeout;
}

// Whether the test wants this one to fail.
cudaError_t injected(std::string_view call) {
  Machine& m = machine();
  if (!m.failure) return cudaSuccess;
  if (m.failure->call.empty() ? call == "kernel" : m.failure->call != call) return cudaSuccess;
  if (m.failure->skipped-- > 0) return cudaSuccess;
  const cudaError_t status = m.failure->status;
  m.failed_call = call;
  m.failure.reset();
  if (ends_the_context(status)) m.lost = status;
  return status;
}

cudaError_t told(cudaError_t status) {
  if (status != cudaSuccess && status != cudaErrorNotReady) last_error = status;
  return status;
}

// At the head of every call: counts it and says how it must fail, if so.
cudaError_t enter(std::string_view call) {
  Machine& m = machine();
  ++m.calls[std::string(call)];
  if (m.watcher) m.watcher();
  if (m.lost != cudaSuccess) return told(m.lost);
  if (m.driver == 0) return told(cudaErrorInsufficientDriver);
  if (m.driver < CUDART_VERSION / 1000 * 1000) return told(cudaErrorInsufficientDriver);
  if (m.gpus.empty()) return told(cudaErrorNoDevice);
  return told(injected(call));
}

template <class T>
bool is_live(const std::vector<std::unique_ptr<T>>& all, const T* one) {
  return std::any_of(all.begin(), all.end(), [&](const auto& other) { return other.get() == one; });
}
template <class T>
T* add(std::vector<std::unique_ptr<T>>& all) {
  all.push_back(std::make_unique<T>());
  return all.back().get();
}
template <class T>
cudaError_t remove(std::vector<std::unique_ptr<T>>& all, const T* one) {
  const auto found = std::find_if(all.begin(), all.end(), [&](const auto& other) { return other.get() == one; });
  if (found == all.end()) return told(cudaErrorInvalidResourceHandle);
  all.erase(found);
  return cudaSuccess;
}

// Whether a call that CUDA calls unsafe while a graph is recorded is refused: this thread's own recordings forbid it,
// as those of others do that began in the global mode, and are spoilt, unless this thread has said that it knows
// better. (CUDA would let such a thread do anything; nothing of ours allocates while it records.)
bool spoils_a_recording() {
  bool is_spoilt = false;
  for (const auto& stream : machine().streams) {
    if (!stream->recording) continue;
    const bool is_own = stream->recorder == std::this_thread::get_id();
    if (!is_own && (!stream->recording_is_global || capture_mode != cudaStreamCaptureModeGlobal)) continue;
    stream->recording_failed = true;
    is_spoilt = true;
  }
  return is_spoilt;
}

bool lies_in(const std::map<const std::byte*, Block>& blocks, const void* data, std::size_t size_bytes) {
  const auto* const begin = static_cast<const std::byte*>(data);
  auto after = blocks.upper_bound(begin);
  if (after == blocks.begin()) return false;
  --after;
  return begin + size_bytes <= after->first + after->second.size_bytes;
}
bool on_a_gpu(const void* data, std::size_t size_bytes) {
  return lies_in(machine().blocks, data, size_bytes);
}

cudaError_t carry_out_next(CUstream_st& stream) {
  const Operation next = std::move(stream.queue.front());
  stream.queue.pop_front();
  const cudaError_t status = next();
  if (status != cudaSuccess) {
    // What follows on a device that is lost never happens.
    machine().lost = status;
    stream.queue.clear();
  }
  return status;
}
cudaError_t carry_out_all(CUstream_st& stream) {
  while (!stream.queue.empty()) {
    if (const cudaError_t status = carry_out_next(stream); status != cudaSuccess) return status;
  }
  return cudaSuccess;
}
cudaError_t reach(CUevent_st& event, std::uint64_t mark) {
  while (event.reached < mark) {
    if (event.stream == nullptr || event.stream->queue.empty()) return machine().lost;
    if (const cudaError_t status = carry_out_next(*event.stream); status != cudaSuccess) return status;
  }
  return cudaSuccess;
}

cudaError_t put(cudaStream_t stream, Operation operation) {
  if (!is_live(machine().streams, stream)) return told(cudaErrorInvalidResourceHandle);
  if (stream->recording) {
    stream->recording->push_back(std::move(operation));
  } else {
    stream->queue.push_back(std::move(operation));
  }
  return cudaSuccess;
}

cudaError_t copy(void* to, const void* from, std::size_t size_bytes, cudaStream_t stream) {
  if (is_live(machine().streams, stream) && !stream->recording) {
    const auto is_pageable = [&](const void* data) {
      return !on_a_gpu(data, size_bytes) && !lies_in(machine().pinned, data, size_bytes);
    };
    // The driver has read pageable memory, and written it, when the call returns.
    if (is_pageable(to) || is_pageable(from)) {
      if (const cudaError_t status = carry_out_all(*stream); status != cudaSuccess) return told(status);
      std::memcpy(to, from, size_bytes);
      return cudaSuccess;
    }
  }
  return put(stream, [=] {
    std::memcpy(to, from, size_bytes);
    return cudaSuccess;
  });
}

cudaError_t allocate(std::map<const std::byte*, Block>& blocks, void** data, std::size_t size_bytes) {
  const std::size_t padded = (size_bytes + kAlignment - 1) / kAlignment * kAlignment;
  auto* const block = static_cast<std::byte*>(std::aligned_alloc(kAlignment, padded));
  if (block == nullptr) return told(cudaErrorMemoryAllocation);
  std::memset(block, 0xff, padded);
  blocks.emplace(block, Block{size_bytes, current_device});
  *data = block;
  return cudaSuccess;
}
cudaError_t release(std::map<const std::byte*, Block>& blocks, void* data) {
  const auto found = blocks.find(static_cast<std::byte*>(data));
  if (found == blocks.end()) return told(cudaErrorInvalidValue);
  blocks.erase(found);
  std::free(data);
  return cudaSuccess;
}

}  // namespace

void reset(std::vector<Gpu> gpus) {
  Machine fresh;
  fresh.gpus = std::move(gpus);
  machine() = std::move(fresh);
  current_device = 0;
  last_error = cudaSuccess;
}
void set_compiled_for(int architecture) {
  machine().compiled_for = architecture;
}
void set_driver(int version) {
  machine().driver = version;
}
void fail(std::string_view call, cudaError_t status, int skipped) {
  machine().failure = Failure{std::string(call), status, skipped};
}
void fail_any(cudaError_t status, int skipped) {
  fail("", status, skipped);
}
const std::string& failed_call() {
  return machine().failed_call;
}
void set_clock(std::function<double(const Work&)> nanoseconds) {
  machine().clock = std::move(nanoseconds);
}
void skip_kernels() {
  machine().skips_kernels = true;
}
Live live() {
  const Machine& m = machine();
  return {static_cast<int>(m.blocks.size()), static_cast<int>(m.pinned.size()), static_cast<int>(m.streams.size()),
          static_cast<int>(m.events.size()), static_cast<int>(m.graphs.size() + m.executables.size())};
}
std::uint64_t device_bytes() {
  std::uint64_t sum = 0;
  for (const auto& [begin, block] : machine().blocks) sum += block.size_bytes;
  return sum;
}
void watch(std::function<void()> look) {
  machine().watcher = std::move(look);
}
int calls_of(std::string_view call) {
  const auto found = machine().calls.find(call);
  return found == machine().calls.end() ? 0 : found->second;
}
int calls() {
  int sum = 0;
  for (const auto& [name, count] : machine().calls) sum += name == kEarlyLaunch ? 0 : count;
  return sum;
}
bool is_inside() noexcept {
  return depth != 0;
}
const std::string& emulation_failure() {
  return machine().emulation_failure;
}

}  // namespace rushlight::cuda::fake

namespace rushlight::cuda {

using fake::machine;

cudaError_t launch_work(const Work& work, Queue queue) {
  cudaStream_t const stream = queue.stream;
  const fake::Inside inside;
  if (const cudaError_t status = fake::enter("launch"); status != cudaSuccess) return status;
  if (!fake::is_live(machine().streams, stream) || stream->device != fake::current_device) {
    return fake::told(cudaErrorInvalidResourceHandle);
  }
  if (queue.starts_early && !std::holds_alternative<HostCall>(work)) ++machine().calls[fake::kEarlyLaunch];
  return fake::put(stream, [work, stream] {
    if (const cudaError_t status = fake::injected("kernel"); status != cudaSuccess) return status;
    stream->nanoseconds += machine().clock(work);
    if (machine().skips_kernels) return cudaSuccess;
    emulation::Emulator emulator(emulation::Order::shuffled);
    emulation::emulate(work, emulator);
    if (emulator.failure().empty()) return cudaSuccess;
    machine().emulation_failure = emulator.failure();
    return cudaErrorLaunchFailure;
  });
}

cudaError_t probe_kernels(int& compiled_for) {
  const fake::Inside inside;
  compiled_for = machine().compiled_for;
  return fake::enter("probe_kernels");
}

}  // namespace rushlight::cuda

namespace fake = rushlight::cuda::fake;
using fake::machine;

// The name of the function is that of the call.
#define ENTER()              \
  const fake::Inside inside; \
  if (const cudaError_t status = fake::enter(__func__); status != cudaSuccess) return status

extern "C" {

// --- devices ---

cudaError_t cudaDriverGetVersion(int* version) {
  *version = machine().driver;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceCount(int* count) {
  *count = 0;
  ENTER();
  *count = static_cast<int>(machine().gpus.size());
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
  ENTER();
  *device = fake::current_device;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  ENTER();
  if (device < 0 || device >= static_cast<int>(machine().gpus.size())) return fake::told(cudaErrorInvalidDevice);
  fake::current_device = device;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  ENTER();
  const fake::Gpu& gpu = machine().gpus.at(static_cast<std::size_t>(device));
  *properties = {};
  gpu.name.copy(properties->name, sizeof(properties->name) - 1);
  properties->major = gpu.capability / 10;
  properties->minor = gpu.capability % 10;
  properties->totalGlobalMem = gpu.memory_bytes;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  ENTER();
  const fake::Gpu& gpu = machine().gpus.at(static_cast<std::size_t>(device));
  if (attribute == cudaDevAttrComputeCapabilityMajor) *value = gpu.capability / 10;
  if (attribute == cudaDevAttrComputeCapabilityMinor) *value = gpu.capability % 10;
  if (attribute == cudaDevAttrMultiProcessorCount) *value = gpu.processors;
  return cudaSuccess;
}

// --- errors ---

cudaError_t cudaGetLastError() {
  const fake::Inside inside;
  const cudaError_t last = machine().lost != cudaSuccess ? machine().lost : fake::last_error;
  fake::last_error = cudaSuccess;
  return last;
}
const char* cudaGetErrorName(cudaError_t status) {
  switch (status) {
    case cudaErrorInvalidValue:
      return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorIllegalAddress:
      return "cudaErrorIllegalAddress";
    case cudaErrorLaunchFailure:
      return "cudaErrorLaunchFailure";
    case cudaErrorLaunchOutOfResources:
      return "cudaErrorLaunchOutOfResources";
    case cudaErrorStreamCaptureUnsupported:
      return "cudaErrorStreamCaptureUnsupported";
    case cudaErrorInvalidDevice:
      return "cudaErrorInvalidDevice";
    case cudaErrorInsufficientDriver:
      return "cudaErrorInsufficientDriver";
    case cudaErrorNoDevice:
      return "cudaErrorNoDevice";
    case cudaErrorNoKernelImageForDevice:
      return "cudaErrorNoKernelImageForDevice";
    case cudaErrorDevicesUnavailable:
      return "cudaErrorDevicesUnavailable";
    default:
      return "another error";
  }
}
const char* cudaGetErrorString(cudaError_t status) {
  switch (status) {
    case cudaErrorInvalidValue:
      return "invalid argument";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorIllegalAddress:
      return "an illegal memory access was encountered";
    case cudaErrorLaunchFailure:
      return "unspecified launch failure";
    case cudaErrorLaunchOutOfResources:
      return "too many resources requested for launch";
    case cudaErrorStreamCaptureUnsupported:
      return "operation not permitted when stream is capturing";
    case cudaErrorInvalidDevice:
      return "invalid device ordinal";
    case cudaErrorNoKernelImageForDevice:
      return "no kernel image is available for execution on the device";
    case cudaErrorDevicesUnavailable:
      return "CUDA-capable device(s) is/are busy or unavailable";
    default:
      return "in other words";
  }
}

// --- memory ---

cudaError_t cudaMalloc(void** data, size_t size_bytes) {
  ENTER();
  if (fake::spoils_a_recording()) return fake::told(cudaErrorStreamCaptureUnsupported);
  std::uint64_t used = 0;
  for (const auto& [begin, block] : machine().blocks)
    used += block.device == fake::current_device ? block.size_bytes : 0;
  const std::uint64_t all = machine().gpus.at(static_cast<std::size_t>(fake::current_device)).memory_bytes;
  if (size_bytes > all || used > all - size_bytes) return fake::told(cudaErrorMemoryAllocation);
  return fake::allocate(machine().blocks, data, size_bytes);
}
// What a lost device held is gone as well: freeing it fails, and nobody is to blame that it stays.
cudaError_t cudaFree(void* data) {
  const fake::Inside inside;
  const cudaError_t status =
      fake::spoils_a_recording() ? fake::told(cudaErrorStreamCaptureUnsupported) : fake::enter("cudaFree");
  const cudaError_t released = fake::release(machine().blocks, data);
  return status != cudaSuccess ? status : released;
}
cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total_bytes) {
  ENTER();
  *total_bytes = machine().gpus.at(static_cast<std::size_t>(fake::current_device)).memory_bytes;
  *free_bytes = *total_bytes;
  for (const auto& [begin, block] : machine().blocks) {
    if (block.device == fake::current_device) *free_bytes -= block.size_bytes;
  }
  return cudaSuccess;
}
cudaError_t cudaHostAlloc(void** data, size_t size_bytes, unsigned) {
  ENTER();
  if (fake::spoils_a_recording()) return fake::told(cudaErrorStreamCaptureUnsupported);
  return fake::allocate(machine().pinned, data, size_bytes);
}
cudaError_t cudaFreeHost(void* data) {
  const fake::Inside inside;
  const cudaError_t status =
      fake::spoils_a_recording() ? fake::told(cudaErrorStreamCaptureUnsupported) : fake::enter("cudaFreeHost");
  const cudaError_t released = fake::release(machine().pinned, data);
  return status != cudaSuccess ? status : released;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t size_bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  ENTER();
  const bool to_gpu = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_gpu = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  if (fake::on_a_gpu(to, size_bytes) != to_gpu || fake::on_a_gpu(from, size_bytes) != from_gpu) {
    return fake::told(cudaErrorInvalidValue);
  }
  return fake::copy(to, from, size_bytes, stream);
}
cudaError_t cudaMemsetAsync(void* to, int value, size_t size_bytes, cudaStream_t stream) {
  ENTER();
  if (!fake::on_a_gpu(to, size_bytes)) return fake::told(cudaErrorInvalidValue);
  return fake::put(stream, [=] {
    std::memset(to, value, size_bytes);
    return cudaSuccess;
  });
}
cudaError_t cudaMemcpyPeerAsync(void* to, int, const void* from, int, size_t size_bytes, cudaStream_t stream) {
  ENTER();
  if (!fake::on_a_gpu(to, size_bytes) || !fake::on_a_gpu(from, size_bytes)) return fake::told(cudaErrorInvalidValue);
  return fake::copy(to, from, size_bytes, stream);
}

// --- streams ---

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  ENTER();
  *stream = fake::add(machine().streams);
  (*stream)->device = fake::current_device;
  return cudaSuccess;
}
// As a GPU does, finishes the work first; on a device that is lost there is none.
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  const fake::Inside inside;
  const cudaError_t status = fake::enter("cudaStreamDestroy");
  if (machine().lost == cudaSuccess && fake::is_live(machine().streams, stream)) (void)fake::carry_out_all(*stream);
  const cudaError_t removed = fake::remove(machine().streams, stream);
  return status != cudaSuccess ? status : removed;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  ENTER();
  if (!fake::is_live(machine().streams, stream)) return fake::told(cudaErrorInvalidResourceHandle);
  if (stream->recording) {
    stream->recording_failed = true;
    return fake::told(cudaErrorStreamCaptureUnsupported);
  }
  return fake::told(fake::carry_out_all(*stream));
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  ENTER();
  if (!fake::is_live(machine().events, event)) return fake::told(cudaErrorInvalidResourceHandle);
  return fake::put(stream, [event, mark = event->recorded] { return fake::reach(*event, mark); });
}
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  ENTER();
  if (!fake::is_live(machine().streams, stream) || stream->recording) return fake::told(cudaErrorInvalidValue);
  stream->recording.emplace();
  stream->recording_failed = false;
  stream->recording_is_global = mode == cudaStreamCaptureModeGlobal;
  stream->recorder = std::this_thread::get_id();
  return cudaSuccess;
}
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* captures) {
  ENTER();
  if (!fake::is_live(machine().streams, stream)) return fake::told(cudaErrorInvalidResourceHandle);
  *captures = stream->recording ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
  return cudaSuccess;
}
// Of each thread, and no matter of the device.
cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  std::swap(*mode, fake::capture_mode);
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = nullptr;
  const fake::Inside inside;
  const cudaError_t status = fake::enter("cudaStreamEndCapture");
  if (!fake::is_live(machine().streams, stream) || !stream->recording) return fake::told(cudaErrorInvalidValue);
  std::vector<fake::Operation> operations = *std::exchange(stream->recording, std::nullopt);
  if (status != cudaSuccess) return status;
  if (stream->recording_failed) return fake::told(cudaErrorStreamCaptureUnsupported);
  *graph = fake::add(machine().graphs);
  (*graph)->operations = std::move(operations);
  return cudaSuccess;
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* argument) {
  ENTER();
  return fake::put(stream, [function, argument] {
    function(argument);
    return cudaSuccess;
  });
}

// --- events ---

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  ENTER();
  *event = fake::add(machine().events);
  (*event)->device = fake::current_device;
  (*event)->is_timed = (flags & cudaEventDisableTiming) == 0;
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  const fake::Inside inside;
  const cudaError_t status = fake::enter("cudaEventDestroy");
  const cudaError_t removed = fake::remove(machine().events, event);
  return status != cudaSuccess ? status : removed;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  ENTER();
  if (!fake::is_live(machine().events, event)) return fake::told(cudaErrorInvalidResourceHandle);
  if (!fake::is_live(machine().streams, stream) || stream->device != event->device) {
    return fake::told(cudaErrorInvalidResourceHandle);
  }
  event->stream = stream;
  return fake::put(stream, [event, stream, mark = ++event->recorded] {
    event->reached = mark;
    event->nanoseconds = stream->nanoseconds;
    return cudaSuccess;
  });
}
// Time passes while one asks: one operation is carried out.
cudaError_t cudaEventQuery(cudaEvent_t event) {
  ENTER();
  if (fake::spoils_a_recording()) return fake::told(cudaErrorStreamCaptureUnsupported);
  if (!fake::is_live(machine().events, event)) return fake::told(cudaErrorInvalidResourceHandle);
  if (event->reached == event->recorded) return cudaSuccess;
  if (!event->stream->queue.empty()) {
    if (const cudaError_t status = fake::carry_out_next(*event->stream); status != cudaSuccess) {
      return fake::told(status);
    }
  }
  return event->reached == event->recorded ? cudaSuccess : cudaErrorNotReady;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  ENTER();
  if (!fake::is_live(machine().events, event)) return fake::told(cudaErrorInvalidResourceHandle);
  return fake::told(fake::reach(*event, event->recorded));
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
  ENTER();
  if (!begin->is_timed || !end->is_timed) return fake::told(cudaErrorInvalidResourceHandle);
  if (begin->reached != begin->recorded || end->reached != end->recorded) return cudaErrorNotReady;
  *milliseconds = static_cast<float>((end->nanoseconds - begin->nanoseconds) / 1e6);
  return cudaSuccess;
}

// --- graphs ---

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  ENTER();
  *executable = fake::add(machine().executables);
  (*executable)->operations = graph->operations;
  return cudaSuccess;
}
cudaError_t cudaGraphUpload(cudaGraphExec_t, cudaStream_t) {
  ENTER();
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  ENTER();
  if (!fake::is_live(machine().executables, executable)) return fake::told(cudaErrorInvalidResourceHandle);
  for (const fake::Operation& operation : executable->operations) {
    if (const cudaError_t status = fake::put(stream, operation); status != cudaSuccess) return status;
  }
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  const fake::Inside inside;
  const cudaError_t status = fake::enter("cudaGraphDestroy");
  const cudaError_t removed = fake::remove(machine().graphs, graph);
  return status != cudaSuccess ? status : removed;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  const fake::Inside inside;
  const cudaError_t status = fake::enter("cudaGraphExecDestroy");
  const cudaError_t removed = fake::remove(machine().executables, executable);
  return status != cudaSuccess ? status : removed;
}

}  // extern "C"
