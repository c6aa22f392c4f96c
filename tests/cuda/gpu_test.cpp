// The same cases on a real GPU. Skipped, with the reason, where there is none.
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <iterator>
#include <limits>
#include <string>
#include <vector>

#include "cuda/backend.hpp"
#include "cuda/calls.hpp"
#include "cuda/device_memory.hpp"
#include "cuda/emulate_work.hpp"
#include "cuda/fashion_case.hpp"
#include "cuda/kernels/launch.hpp"
#include "cuda/network_cases.hpp"
#include "cuda/program.hpp"
#include "cuda/step_case.hpp"
#include "cuda/stream.hpp"
#include "cuda/upload.hpp"
#include "cuda/usable_gpu.hpp"
#include "runtime/networks.hpp"
#include "rushlight/tuning.hpp"

namespace rushlight::cuda {
namespace {

// exp(), tanh() and erfc() are the GPU's own, and not the host's to the last bit.
bool has_functions_of_the_gpu(const runtime::Step& step) {
  using Kind = runtime::Activation::Kind;
  runtime::Activation activation;
  if (const auto* conv = std::get_if<runtime::ConvStep>(&step.work)) activation = conv->epilogue.activation;
  if (const auto* linear = std::get_if<runtime::LinearStep>(&step.work)) activation = linear->epilogue.activation;
  return std::holds_alternative<runtime::SoftmaxStep>(step.work) || activation.kind == Kind::sigmoid ||
         activation.kind == Kind::silu || activation.kind == Kind::tanh || activation.kind == Kind::gelu;
}

class GpuMemory : public OnGpu {};
class GpuKernels : public OnGpu {};
class GpuNetworks : public OnGpu {};

// --- memory
// -----------------------------------------------------------------------------------------------------------

TEST_F(GpuMemory, BytesGoThereAndComeBack) {
  for (const std::int64_t size : {0, 1, 1000, 3'000'000}) {
    const Tensor tensor = test::made_up("x", {size});
    const Tensor there = tensor.to(Device::cuda(gpu_)).value();
    EXPECT_EQ(there.device(), Device::cuda(gpu_));
    EXPECT_EQ(there.shape()[0], size);
    const Tensor back = there.to(Device::cpu()).value();
    EXPECT_EQ(test::floats_of(back), test::floats_of(tensor));
    const Tensor other =
        Tensor::view(Storage(cuda::copy_to_device(*there.storage().memory(), Device::cuda(gpu_)).value()), DType::f32,
                     {size}, {1}, 0)
            .value();
    EXPECT_EQ(test::floats_of(other.to(Device::cpu()).value()), test::floats_of(tensor));
  }
}

TEST_F(GpuMemory, LargeUploadsPassThroughPageLockedBuffers) {
  const auto floats = static_cast<std::int64_t>(Upload::kStagedBytes / sizeof(float) + Upload::kBufferBytes + 5);
  const Tensor tensor = test::made_up("x", {floats});
  const Tensor there = tensor.to(Device::cuda(gpu_)).value();
  EXPECT_EQ(test::floats_of(there.to(Device::cpu()).value()), test::floats_of(tensor));
}

TEST_F(GpuMemory, BytesOfADeviceAreNotTheHosts) {
  const Tensor there = test::made_up("x", {10}).to(Device::cuda(gpu_)).value();
  const auto bytes = there.storage().bytes();
  ASSERT_FALSE(bytes);
  EXPECT_EQ(bytes.error().code, ErrorCode::device);
}

TEST_F(GpuMemory, MoreThanThereIsIsRefusedAndLessIsGivenAfterwards) {
  const auto huge = DeviceBuffer::allocate(gpu_, std::uint64_t{1} << 46, "tensors");
  ASSERT_FALSE(huge);
  EXPECT_EQ(huge.error().code, ErrorCode::out_of_memory);
  EXPECT_NE(huge.error().finding.message.find("for 70368744177664 bytes of tensors"), std::string::npos)
      << huge.error().finding.message;
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
  EXPECT_TRUE(DeviceBuffer::allocate(gpu_, 1 << 20, "tensors"));
}

TEST_F(GpuMemory, TheCallersDeviceStaysCurrent) {
  int count = 0;
  ASSERT_EQ(cudaGetDeviceCount(&count), cudaSuccess);
  if (count < 2) GTEST_SKIP() << "there is one GPU only";
  ASSERT_EQ(cudaSetDevice(1), cudaSuccess);
  ASSERT_TRUE(test::made_up("x", {10}).to(Device::cuda(0)));
  int current = -1;
  ASSERT_EQ(cudaGetDevice(&current), cudaSuccess);
  EXPECT_EQ(current, 1);
}

// --- kernels
// ----------------------------------------------------------------------------------------------------------

// The memory after the step, and whether its last bits are the GPU's own.
struct GpuRun {
  std::vector<float> memory;
  bool on_tensor_cores = false;
};
GpuRun run_on_gpu(int gpu, const StepCase& step_case, const CallOptions& options) {
  const Stream stream = Stream::make().value();
  const Needs needs = find_needs(step_case.plan, options).value();
  GpuRun run{.memory = memory_for(step_case, needs)};
  const std::size_t size_bytes = run.memory.size() * sizeof(float);
  const DeviceBuffer buffer = DeviceBuffer::allocate(gpu, size_bytes, "a test").value();
  EXPECT_EQ(cudaMemcpyAsync(buffer.data(), run.memory.data(), size_bytes, cudaMemcpyHostToDevice, stream.get()),
            cudaSuccess);
  auto* const base = reinterpret_cast<float*>(buffer.data());
  for (const Call& call : make_calls(step_case.plan, addresses_of(step_case, needs, base), options).value()) {
    EXPECT_EQ(std::visit([&](const auto& work) { return launch(work, {.stream = stream.get()}); }, call.work),
              cudaSuccess);
    if (std::holds_alternative<MmaCall>(call.work)) run.on_tensor_cores = true;
  }
  EXPECT_TRUE(stream.synchronise());
  EXPECT_EQ(cudaMemcpy(run.memory.data(), buffer.data(), size_bytes, cudaMemcpyDeviceToHost), cudaSuccess);
  return run;
}

TEST_F(GpuKernels, StepsAreTheirDefinitionAndHaveTheEmulationsBits) {
  const CurrentDevice current = CurrentDevice::use(gpu_).value();
  std::vector<std::pair<StepCase, CallOptions>> cases;
  for (const StepCase& step_case : all_step_cases()) cases.emplace_back(step_case, CallOptions{.processors = 132});
  for (const StepCase& step_case : conv_cases()) {
    if (!winograd_fits(std::get<runtime::ConvStep>(step_case.plan.steps[0].work))) continue;
    cases.emplace_back(step_case, CallOptions{.processors = 132, .winograd = WinogradChoice{}});
  }
  for (const auto& [step_case, options] : cases) {
    SCOPED_TRACE(step_case.name);
    const std::vector<float> memory = run_on_gpu(gpu_, step_case, options).memory;
    EXPECT_EQ(judge(step_case, compute_naively(step_case), memory), "");

    if (std::ranges::any_of(step_case.plan.steps, has_functions_of_the_gpu)) continue;
    const Needs needs = find_needs(step_case.plan, options).value();
    std::vector<float> emulated = memory_for(step_case, needs);
    emulation::Emulator emulator;
    const std::vector<Call> same =
        make_calls(step_case.plan, addresses_of(step_case, needs, emulated.data()), options).value();
    for (const Call& call : same) emulation::emulate(call.work, emulator);
    for (std::size_t i = 0; i < memory.size(); ++i) {
      const bool both_nan = memory[i] != memory[i] && emulated[i] != emulated[i];  // payloads are not specified
      ASSERT_TRUE(both_nan || std::memcmp(&memory[i], &emulated[i], sizeof(float)) == 0)
          << "float " << i << ": " << memory[i] << " on the GPU, " << emulated[i] << " emulated";
    }
  }
}

// Tensor cores round sums in a way of their own: the definition judges, with the bar of the precision. Warpgroups are
// asked only where the GPU has them.
TEST_F(GpuKernels, ProductsOnTensorCoresAreTheirDefinition) {
  const CurrentDevice current = CurrentDevice::use(gpu_).value();
  int major = 0;
  int minor = 0;
  ASSERT_EQ(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, gpu_), cudaSuccess);
  ASSERT_EQ(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, gpu_), cudaSuccess);
  std::vector<TensorCores> machines = {kWarpTensorCores};
  if (fast_tensor_cores(major * 10 + minor) == kAllTensorCores) machines.push_back(kAllTensorCores);
  std::vector<StepCase> cases = conv_cases();
  for (StepCase& step_case : linear_cases()) cases.push_back(std::move(step_case));
  for (const TensorCores& cores : machines) {
    SCOPED_TRACE(cores == kAllTensorCores ? "warpgroups" : "warps");
    for (const Precision precision : {Precision::strict, Precision::tf32, Precision::bf16, Precision::fp16}) {
      SCOPED_TRACE(to_string(precision));
      int runs = 0;
      for (StepCase& step_case : cases) {
        SCOPED_TRACE(step_case.name);
        step_case.tolerance = precision == Precision::strict ? 5e-6 : 1e-2;
        const CallOptions options{.processors = 132, .precision = precision, .tensor_cores = cores};
        const GpuRun first = run_on_gpu(gpu_, step_case, options);
        if (!first.on_tensor_cores) continue;
        ++runs;
        EXPECT_EQ(judge(step_case, compute_naively(step_case), first.memory), "");
        const GpuRun second = run_on_gpu(gpu_, step_case, options);
        EXPECT_EQ(std::memcmp(first.memory.data(), second.memory.data(), step_case.memory.size() * sizeof(float)), 0)
            << "runs differ";
      }
      EXPECT_GT(runs, 20);
    }
  }
}

TEST_F(GpuKernels, TheBackendUsesTheTensorCoresItWants) {
  // What fails the self-check is named here.
  EXPECT_EQ(make_backend(gpu_, runtime::cpu::make_backend().value()).value()->name().find("without"),
            std::string_view::npos)
      << make_backend(gpu_, runtime::cpu::make_backend().value()).value()->name();
}

// --- networks
// ---------------------------------------------------------------------------------------------------------

TEST_F(GpuNetworks, GiveWhatTheReferenceGives) {
  const auto backend = make_backend(gpu_, runtime::cpu::make_backend().value()).value();
  for (const NetworkCase& network : network_cases()) {
    SCOPED_TRACE(network.name);
    const auto expected = test::run_on(*runtime::reference::make_backend().value(), network.model, network.inputs);
    const auto found = test::run_on(*backend, network.model, network.inputs);
    ASSERT_EQ(expected.size(), found.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
      test::expect_close(expected[i], found[i], kNetworkTolerance);
    }
  }
}

// The ends of float32's range, of which TF32 has no numbers.
TEST_F(GpuNetworks, OddNumbersReachTheOutputsThatTheyReachOnTheCpu) {
  constexpr float kMost = std::numeric_limits<float>::max();
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  constexpr float kOdd[] = {kMost, -kMost, kInfinity, -kInfinity, std::numeric_limits<float>::quiet_NaN(), 1e-40F};
  constexpr std::size_t kRows = 4096;
  constexpr std::size_t kDepth = 72;
  const Model model = test::made_up_model(Sequential{Linear{static_cast<std::int64_t>(kDepth), 64}}.graph().value());
  std::vector<float> values = test::floats_of(test::made_up("x", {kRows, kDepth}));
  for (std::size_t i = 0; i < std::size(kOdd); ++i) values[i * 100 * kDepth + i * 11] = kOdd[i];
  const Tensor input = Tensor::from_values<float>(values, {kRows, kDepth}).value();
  const std::vector<float> expected = test::floats_of(model.session().value().run(input).value());
  const std::vector<float> found = test::floats_of(model.session(Device::cuda(gpu_)).value().run(input).value());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    if (std::isfinite(expected[i])) {
      ASSERT_LE(std::abs(expected[i] - found[i]), 1e-5F * std::max(1.0F, std::abs(expected[i]))) << i;
    } else {
      ASSERT_TRUE(std::isnan(expected[i]) ? std::isnan(found[i]) : expected[i] == found[i]) << i << ": " << found[i];
    }
  }
}

TEST_F(GpuNetworks, TheFashionNetGivesPyTorchsLogitsForAThousandImages) {
  const FashionCase fashion = fashion_case(1000);
  Session session = fashion.model.session(Device::cuda(gpu_)).value();
  test::expect_close(fashion.logits, test::floats_of(session.run(fashion.images).value()), kFashionTolerance);
}

// With caller-owned buffers on either side, and several sessions of one model.
TEST_F(GpuNetworks, SessionsTakeBuffersOfTheHostAndOfTheDevice) {
  const Model model = test::made_up_model(Sequential{Linear{64, 33}, ReLU{}, Linear{33, 5}}.graph({64}).value());
  const Tensor input = test::made_up("x", {7, 64});
  const std::vector<float> expected = test::floats_of(model.session().value().run(input).value());
  const Shape in_shape = {7, 64};
  const Shape out_shape = {7, 5};
  const DeviceBuffer in_there = DeviceBuffer::allocate(gpu_, 7 * 64 * sizeof(float), "a test").value();
  const DeviceBuffer out_there = DeviceBuffer::allocate(gpu_, 7 * 5 * sizeof(float), "a test").value();
  const std::span<const std::byte> bytes = input.bytes().value();
  ASSERT_EQ(cudaMemcpy(in_there.data(), bytes.data(), bytes.size(), cudaMemcpyHostToDevice), cudaSuccess);
  // Of memory that is not page-locked it may still be on its way, and sessions wait for no stream of others.
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  for (int round = 0; round < 2; ++round) {
    Session session = model.session(Device::cuda(gpu_)).value();
    const TensorView from_host{.data = bytes.data(), .shape = in_shape};
    const TensorView from_device{.data = in_there.data(), .shape = in_shape, .device = Device::cuda(gpu_)};
    for (const TensorView& in : {from_host, from_device}) {
      std::vector<float> found(expected.size());
      const MutableTensorView to_host{.data = found.data(), .shape = out_shape};
      ASSERT_TRUE(session.run({&in, 1}, {&to_host, 1}));
      test::expect_close(expected, found, kNetworkTolerance);
      const MutableTensorView to_device{.data = out_there.data(), .shape = out_shape, .device = Device::cuda(gpu_)};
      ASSERT_TRUE(session.run({&in, 1}, {&to_device, 1}));
      std::vector<float> fetched(expected.size());
      ASSERT_EQ(cudaMemcpy(fetched.data(), out_there.data(), out_there.size_bytes(), cudaMemcpyDeviceToHost),
                cudaSuccess);
      EXPECT_EQ(found, fetched);
    }
  }
}

TEST_F(GpuNetworks, RunsAllocateNothingAndSessionsShareTheirWeights) {
  const Model model = test::made_up_model(Sequential{Linear{4096, 4096}}.graph({4096}).value());  // 64 MiB
  const Tensor input = test::made_up("x", {1, 4096});
  const auto free_bytes = [] {
    std::size_t free = 0;
    std::size_t total = 0;
    EXPECT_EQ(cudaMemGetInfo(&free, &total), cudaSuccess);
    return free;
  };
  Session first = model.session(Device::cuda(gpu_)).value();
  ASSERT_TRUE(first.run(input));
  const std::size_t after_first = free_bytes();
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(first.run(input));
  EXPECT_GE(free_bytes(), after_first) << "or another program took some";
  Session second = model.session(Device::cuda(gpu_)).value();
  ASSERT_TRUE(second.run(input));
  EXPECT_LT(after_first, free_bytes() + (std::size_t{16} << 20)) << "the weights were uploaded twice";
}

TEST_F(GpuNetworks, AreRecordedAsOneGraph) {
  const Model model = test::made_up_model(Sequential{Linear{64, 33}, ReLU{}, Linear{33, 5}}.graph({64}).value());
  const runtime::Network network{model.graph(), model.state_dict()};
  const auto backend = make_backend(gpu_, runtime::cpu::make_backend().value()).value();
  const Shape shape = {9, 64};  // more rows than one `mlp` kernel takes
  const auto program = backend->compile(network, {&shape, 1}, backend->make_weights(network).value(), {}).value();
  const std::string_view launching = static_cast<CudaProgram&>(*program).launching();
  EXPECT_TRUE(launching.starts_with("one CUDA graph of 2 kernels")) << launching;
}

// Fifty layers that read what the one before wrote, some of them a few blocks, some more than the GPU holds at a time.
TEST_F(GpuNetworks, GiveTheSameBitsWhetherKernelsStartEarlyOrNot) {
  GraphBuilder g;
  Edge x = g.input("x", {-1, 8, 64, 64});
  for (int i = 0; i < 25; ++i) {
    const Edge in = x;
    x = g.apply("conv" + std::to_string(i),
                Conv2d{.in_channels = 8, .out_channels = 8, .kernel_size = 3, .padding = i % 5 == 0 ? 0 : 1}, x);
    x = g.apply("act" + std::to_string(i), SiLU{}, x);
    if (i % 5 != 0) x = g.apply("add" + std::to_string(i), Add{}, x, in);
  }
  g.output("y", x);
  const Model model = test::made_up_model(g.build().value());
  const Shape shape = {16, 8, 64, 64};
  const Tensor input = test::tensor_of(test::values_for("x", shape), shape);
  for (const Precision precision : {Precision::strict, Precision::bf16}) {
    ASSERT_EQ(setenv("RUSHLIGHT_PDL", "off", 1), 0);
    Session waiting = model.session(Device::cuda(gpu_), {.precision = precision, .limits = {}}).value();
    const std::vector<float> expected = test::floats_of(waiting.run(input).value());
    ASSERT_EQ(unsetenv("RUSHLIGHT_PDL"), 0);
    Session early = model.session(Device::cuda(gpu_), {.precision = precision, .limits = {}}).value();
    for (int run = 0; run < 50; ++run) ASSERT_EQ(test::floats_of(early.run(input).value()), expected) << run;
  }
}

TEST_F(GpuNetworks, RunsInAStreamOfTheCallersTakeTheirPlaceThere) {
  const Model model = test::made_up_model(Sequential{Linear{512, 700}, ReLU{}, Linear{700, 5}}.graph({512}).value());
  const Shape in_shape = {64, 512};
  const Shape out_shape = {64, 5};
  const std::vector<float> input = test::values_for("x", in_shape);
  const std::vector<float> expected =
      test::floats_of(model.session().value().run(test::tensor_of(input, in_shape)).value());
  Session session = model.session(Device::cuda(gpu_)).value();
  const CurrentDevice current = CurrentDevice::use(gpu_).value();
  const Stream stream = Stream::make().value();
  const DeviceBuffer from = DeviceBuffer::allocate(gpu_, input.size() * sizeof(float), "a test").value();
  const DeviceBuffer to = DeviceBuffer::allocate(gpu_, expected.size() * sizeof(float), "a test").value();
  const TensorView in{.data = from.data(), .shape = in_shape, .device = Device::cuda(gpu_)};
  const MutableTensorView out{.data = to.data(), .shape = out_shape, .device = Device::cuda(gpu_)};
  ASSERT_TRUE(session.prepare({&in_shape, 1}));
  for (int round = 0; round < 20; ++round) {
    std::vector<float> found(expected.size());
    ASSERT_EQ(cudaMemsetAsync(from.data(), 0, from.size_bytes(), stream.get()), cudaSuccess);
    ASSERT_EQ(cudaMemcpyAsync(from.data(), input.data(), from.size_bytes(), cudaMemcpyHostToDevice, stream.get()),
              cudaSuccess);
    const Completion completion = session.run_async({&in, 1}, {&out, 1}, {.stream = stream.get()}).value();
    ASSERT_EQ(cudaMemcpyAsync(found.data(), to.data(), to.size_bytes(), cudaMemcpyDeviceToHost, stream.get()),
              cudaSuccess);
    ASSERT_TRUE(stream.synchronise());
    EXPECT_TRUE(completion.ready());
    ASSERT_TRUE(completion.wait());
    test::expect_close(expected, found, kNetworkTolerance);
  }
}

// Many at a time, each with its own answer to an index that points nowhere.
TEST_F(GpuNetworks, RunsThatFollowEachOtherTellHowTheyWentThemselves) {
  GraphBuilder g;
  const Edge words = g.input("words", {-1, 1}, DType::i64);
  g.output("vectors", g.apply("table", Embedding{.num_embeddings = 4, .embedding_dim = 2}, words));
  const Model model = test::made_up_model(g.build().value());
  Session session = model.session(Device::cuda(gpu_)).value();
  constexpr std::size_t kRuns = 100;
  const PinnedBuffer memory = PinnedBuffer::allocate(kRuns * sizeof(std::int64_t) + 64).value();
  auto* const indices = reinterpret_cast<std::int64_t*>(memory.data());
  const Shape in_shape = {1, 1};
  const Shape out_shape = {1, 1, 2};
  const MutableTensorView out{.data = indices + kRuns, .shape = out_shape};
  std::vector<Completion> completions;
  for (std::size_t run = 0; run < kRuns; ++run) {
    indices[run] = static_cast<std::int64_t>(run % 3 == 0 ? run + 4 : 1);
    const TensorView in{.data = indices + run, .dtype = DType::i64, .shape = in_shape};
    completions.push_back(session.run_async({&in, 1}, {&out, 1}).value());
  }
  for (std::size_t run = kRuns; run-- > 0;) {
    const Status outcome = completions[run].wait();
    if (run % 3 != 0) {
      EXPECT_TRUE(outcome) << run;
    } else {
      ASSERT_FALSE(outcome) << run;
      EXPECT_EQ(outcome.error().finding.message,
                "layer 'table': index " + std::to_string(run + 4) + " lies outside, expected 0 to 3");
    }
  }
}

TEST_F(GpuNetworks, MeasuredTilesChangeNoBit) {
  const Model model = test::made_up_model(
      Sequential{Conv2d{.in_channels = 8, .out_channels = 96, .kernel_size = 3}, ReLU{}}.graph({8, 30, 30}).value());
  const Tensor input = test::made_up("x", {4, 8, 30, 30});
  const std::vector<float> expected = test::floats_of(model.session(Device::cuda(gpu_)).value().run(input).value());
  Tuning tuning;
  Session tuned = model.session(Device::cuda(gpu_), {.limits = {}, .tuning = &tuning}).value();
  EXPECT_EQ(test::floats_of(tuned.run(input).value()), expected);
}

class StopAtOnce final : public Progress {
 public:
  [[nodiscard]] bool on_progress(std::string_view, std::uint64_t, std::uint64_t) override { return !stops; }
  bool stops = true;
};

TEST_F(GpuNetworks, ACancelledRunCanBeRunAgain) {
  const Model model = test::made_up_model(Sequential{Linear{8, 8}, ReLU{}, Linear{8, 3}}.graph({8}).value());
  const Tensor input = test::made_up("x", {2, 8});
  StopAtOnce progress;
  Session session = model.session(Device::cuda(gpu_), {.progress = &progress, .limits = {}}).value();
  const auto stopped = session.run(input);
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, ErrorCode::cancelled);
  progress.stops = false;
  const std::vector<float> expected = test::floats_of(model.session().value().run(input).value());
  test::expect_close(expected, test::floats_of(session.run(input).value()), kNetworkTolerance);
}

}  // namespace
}  // namespace rushlight::cuda
