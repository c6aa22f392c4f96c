// Backend: what computes on one kind of device. The reference, the CPU and CUDA each implement it; none knows another.
//
// The road of a model: Session makes a Network (what to compute) and asks the backend to compile it for concrete shapes
// of the inputs. A backend that optimises calls make_plan() (plan.hpp) first; the reference walks the graph as it is.
// The outcome is a Program, which belongs to one session. Weights in the backend's own form are kept in a
// PackedWeights, which all sessions of one model share.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "rushlight/device.hpp"
#include "rushlight/executor.hpp"
#include "rushlight/graph.hpp"
#include "rushlight/limits.hpp"
#include "rushlight/precision.hpp"
#include "rushlight/result.hpp"
#include "rushlight/state_dict.hpp"
#include "rushlight/tensor.hpp"

namespace rushlight {
struct Calibration;
class Tuning;
}  // namespace rushlight

namespace rushlight::runtime {

// What is to be computed: a graph whose attributes are all known (nothing is left to be read off the weights), and
// every parameter it needs: float32, in C order, in host memory, of the right shape. Model sees to that. Both outlive
// every PackedWeights and Program made from them.
struct Network {
  const Graph& graph;
  const StateDict& parameters;
};

// Parameters of one model in the form one backend's kernels read. It starts empty; compile() adds what is not there
// yet, so that plans for other shapes, and other sessions, find it. Implementations lock: compile() may run on several
// threads.
class PackedWeights {
 public:
  virtual ~PackedWeights() = default;
  PackedWeights(const PackedWeights&) = delete;
  PackedWeights& operator=(const PackedWeights&) = delete;

 protected:
  PackedWeights() = default;
};

struct Plan;
struct StepTimes;
class ActivationRecorder;

// What a session lends to its programs. The pointers may be null and outlive the programs.
struct RunOptions {
  Executor* executor = nullptr;  // null: everything on the calling thread
  Progress* progress = nullptr;  // asked after each step: phase "run", in steps
  Precision precision = Precision::strict;
  const Calibration* calibration = nullptr;  // with Precision::int8 it is there
  Limits limits = {};                        // arena_bytes bounds the workspace of one program
  bool low_memory = false;                   // nothing that takes more memory to be faster
  Tuning* tuning = nullptr;                  // what was measured, and where to note what is (tuning_table.hpp)
  StepTimes* step_times = nullptr;  // where to write how long each step took (step_times.hpp); by default nobody asks
  std::uint64_t cache_bytes = 0;    // the cache that plans are made for; 0: this processor's second-level cache
  ActivationRecorder* recorder = nullptr;  // who is shown what products read (activation_recorder.hpp), likewise
};

// The most that a device can do; 0 where nobody has measured it.
struct DeviceSpeed {
  double operations_per_second = 0;  // of float32, two for a multiply-add
  double bytes_per_second = 0;       // read from memory
};

// One network, compiled for fixed shapes of the inputs, with its workspace. Belongs to one thread at a time.
class Program {
 public:
  virtual ~Program() = default;
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  // Views in port order. The session has checked count, dtype, shape, and that outputs overlap neither inputs nor each
  // other; data lie in host memory or on the backend's device, dense in C order. Allocates nothing, in host or device
  // memory, from the second call on. When it fails or is cancelled the outputs hold anything, and the next run works.
  // Returns when the outputs may be read by the host.
  virtual Status run(std::span<const TensorView> inputs, std::span<const MutableTensorView> outputs) = 0;

  // As run(), but may return before the outputs can be read: wait() with the ticket that comes back tells when. 0: they
  // can. `stream` may be null; otherwise it is a queue of the caller's on the backend's device (a cudaStream_t) in
  // which the run takes its place. Waits for nothing but where it fails. By default, everything at once and no stream.
  virtual Result<std::uint64_t> run_async(std::span<const TensorView> inputs,
                                          std::span<const MutableTensorView> outputs, void* /*stream*/) {
    Status outcome = run(inputs, outputs);
    if (!outcome) return std::move(outcome).error();
    return std::uint64_t{0};
  }
  // Of a run that run_async() gave a ticket. May be called on other threads than that of the runs.
  [[nodiscard]] virtual Status wait(std::uint64_t /*ticket*/) { return {}; }
  [[nodiscard]] virtual bool is_over(std::uint64_t /*ticket*/) { return true; }
  // What other queues of the device can wait for (a cudaEvent_t).
  [[nodiscard]] virtual void* event_of(std::uint64_t /*ticket*/) { return nullptr; }

  // Bytes of activations, scratch and what operators precompute, without weights.
  [[nodiscard]] virtual std::uint64_t workspace_bytes() const noexcept = 0;

  // Layers that the host computes because the device has no kernel for them, in the order in which they run.
  [[nodiscard]] virtual std::span<const std::string> host_layers() const noexcept { return {}; }

  // How a run's kernels come to the device, for people: "one CUDA graph of 53 kernels", "53 launches: Progress is asked
  // after each". Empty where nothing is launched.
  [[nodiscard]] virtual std::string_view launching() const noexcept { return {}; }

 protected:
  Program() = default;
};

// Stateless but for what it found out about its device; all members may be called from several threads at once.
class Backend {
 public:
  virtual ~Backend() = default;
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;

  [[nodiscard]] virtual Device device() const noexcept = 0;

  // What computes, for people and as the key under which a model keeps this backend's PackedWeights: equal names mean
  // weights packed alike. "reference", "cpu x86-64-v4", "cuda:0 sm_90".
  [[nodiscard]] virtual std::string_view name() const noexcept = 0;

  // Empty when the backend computes this node's operator with its attributes and outputs; otherwise what is missing,
  // fit to stand behind "layer 'conv1' (conv2d): ".
  [[nodiscard]] virtual std::string lacks(const Node& node) const = 0;

  // An empty store, made once for each model.
  [[nodiscard]] virtual Result<std::shared_ptr<PackedWeights>> make_weights(const Network& network) const = 0;

  // For these shapes of the inputs (every size >= 0, as the graph's ports allow), packing weights that `weights` lacks.
  // `weights` is what make_weights() of a backend with the same name gave for this network; the Program keeps a share.
  [[nodiscard]] virtual Result<std::unique_ptr<Program>> compile(const Network& network,
                                                                 std::span<const Shape> input_shapes,
                                                                 const std::shared_ptr<PackedWeights>& weights,
                                                                 const RunOptions& options) const = 0;

  // A plan that another backend made, over host memory: the road back for steps that its device has no kernel for (see
  // plan_of_step()). `weights` as above. Only a backend of the CPU that plans itself has it.
  [[nodiscard]] virtual Result<std::unique_ptr<Program>> compile_plan(const Network& network, Plan plan,
                                                                      const std::shared_ptr<PackedWeights>& weights,
                                                                      const RunOptions& options) const;

  // Measured now, with this executor's threads (null: with the calling one): takes some tenths of a second.
  [[nodiscard]] virtual DeviceSpeed measure_speed(Executor*) const { return {}; }

 protected:
  Backend() = default;
};

}  // namespace rushlight::runtime
