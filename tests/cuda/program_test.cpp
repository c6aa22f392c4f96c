// The backend over a CUDA runtime on the host (fake_cuda.hpp): graphs, and every call of CUDA failing in turn.
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/fail.hpp"
#include "cuda/backend.hpp"
#include "cuda/early_start.hpp"
#include "cuda/fake_cuda.hpp"
#include "cuda/network_cases.hpp"
#include "cuda/program.hpp"
#include "cuda/small_network.hpp"
#include "rushlight/benchmark.hpp"

namespace rushlight::cuda {
namespace {

class GoOn final : public Progress {
 public:
  [[nodiscard]] bool on_progress(std::string_view, std::uint64_t, std::uint64_t) override { return true; }
};

// All that a program does with a GPU, from finding it to giving everything back.
Result<std::vector<float>> use_gpu(Progress* progress = nullptr) {
  const Model model = small_model();
  RUSHLIGHT_TRY_ASSIGN(Session session, model.session(Device::cuda(0), {.progress = progress, .limits = {}}));
  RUSHLIGHT_TRY(session.run(small_input()));
  RUSHLIGHT_TRY_ASSIGN(const Tensor output, session.run(small_input()));
  return test::floats_of(output);
}
std::vector<float> use_cpu() {
  return test::floats_of(small_model().session().value().run(small_input()).value());
}

class FakeGpu : public testing::Test {
 protected:
  void SetUp() override { meet_the_gpu(); }
  void TearDown() override {
    EXPECT_EQ(fake::live(), fake::Live{}) << "something was not given back";
    EXPECT_EQ(fake::emulation_failure(), "");
  }
};

// --- graphs ---

TEST_F(FakeGpu, NetworksGiveWhatTheReferenceGives) {
  const auto backend = make_backend(0, runtime::cpu::make_backend().value()).value();
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

struct Compiled {
  Model model = small_model();
  runtime::Network network{model.graph(), model.state_dict()};
  std::unique_ptr<runtime::Program> program;

  explicit Compiled(Progress* progress = nullptr) {
    const auto backend = make_backend(0, runtime::cpu::make_backend().value()).value();
    program = backend
                  ->compile(network, {&kSmallInputShape, 1}, backend->make_weights(network).value(),
                            {.progress = progress, .limits = {}})
                  .value();
  }
  [[nodiscard]] std::string_view launching() const { return static_cast<CudaProgram&>(*program).launching(); }
  Result<std::vector<float>> run() const {
    const Tensor input = small_input();
    std::vector<float> output(kSmallOutput);
    const TensorView in{.data = input.bytes().value().data(), .shape = input.shape()};
    const MutableTensorView out{.data = output.data(), .shape = kSmallOutputShape};
    RUSHLIGHT_TRY(program->run({&in, 1}, {&out, 1}));
    return output;
  }
};

TEST_F(FakeGpu, ARunIsTheInputsOneGraphAndTheOutputs) {
  const Compiled compiled;
  EXPECT_EQ(compiled.launching(), "one CUDA graph of 3 kernels that start early");
  const int launches = fake::calls_of("launch");
  const int copies = fake::calls_of("cudaMemcpyAsync");
  const int all = fake::calls();
  ASSERT_TRUE(compiled.run());
  EXPECT_EQ(fake::calls_of("launch"), launches);
  EXPECT_EQ(fake::calls_of("cudaGraphLaunch"), 1);
  EXPECT_EQ(fake::calls_of("cudaMemcpyAsync"), copies + 2);
  // Beside them: which device is current, and one wait.
  EXPECT_EQ(fake::calls() - all, 6);
}

TEST_F(FakeGpu, ProgressIsAskedAfterEachKernelAndKeepsTheSameBits) {
  GoOn progress;
  const Compiled one_by_one(&progress);
  EXPECT_EQ(one_by_one.launching(), "3 launches: Progress is asked after each");
  EXPECT_EQ(one_by_one.run().value(), Compiled().run().value());
  EXPECT_EQ(fake::calls_of("cudaGraphLaunch"), 1);
}

TEST_F(FakeGpu, KernelsStartEarlyBehindOtherKernels) {
  const std::vector<float> expected = Compiled().run().value();
  EXPECT_EQ(fake::calls_of("early launch"), 2) << "of three, since nothing is in front of the first";
  const auto launching = [&] {
    const int before = fake::calls_of("early launch");
    const Compiled compiled;
    EXPECT_EQ(compiled.run().value(), expected);
    EXPECT_EQ(fake::calls_of("early launch") - before, compiled.launching().ends_with("early") ? 2 : 0);
    return std::string(compiled.launching());
  };
  // A driver that does not record such launches records others.
  fake::fail("cudaStreamEndCapture", cudaErrorStreamCaptureUnsupported);
  const Compiled refused;
  EXPECT_EQ(refused.launching(), "one CUDA graph of 3 kernels");
  EXPECT_EQ(refused.run().value(), expected);

  ASSERT_EQ(setenv("RUSHLIGHT_PDL", "off", 1), 0);
  EXPECT_EQ(launching(), "one CUDA graph of 3 kernels");
  ASSERT_EQ(unsetenv("RUSHLIGHT_PDL"), 0);
  EXPECT_EQ(launching(), "one CUDA graph of 3 kernels that start early");
  fake::set_compiled_for(80);
  EXPECT_EQ(launching(), "one CUDA graph of 3 kernels");
}

TEST_F(FakeGpu, NoKernelStartsEarlyBehindAStepOfTheHost) {
  GraphBuilder g;
  const Edge x = g.input("x", {-1, 2, 1, 1, 1, 1, 1, 1, 3});
  const Edge rolled = g.apply("roll", Roll{.shifts = {1}, .dims = {8}}, g.apply("relu", ReLU{}, x));
  g.output("y", g.apply("second", ReLU{}, g.apply("first", Sigmoid{}, rolled)));
  const Model model = test::made_up_model(g.build().value());
  Session session = model.session(Device::cuda(0)).value();
  const Shape shape = {1, 2, 1, 1, 1, 1, 1, 1, 3};
  const Tensor input = test::tensor_of(test::values_for("x", shape), shape);
  const Tensor found = session.run(input).value();
  ASSERT_EQ(session.host_layers().size(), 1U);
  test::expect_close(test::floats_of(model.session().value().run(input).value()), test::floats_of(found),
                     kNetworkTolerance);
  EXPECT_EQ(session.launching(), "one CUDA graph of 4 kernels that start early");
  EXPECT_EQ(fake::calls_of("early launch"), 1) << "the last: the first has nothing before it, the third the host";
}

TEST(EarlyStart, WantsAGpuCodeAndADriverThatKnowIt) {
  EXPECT_TRUE(may_start_early(90, 90, 12030, nullptr));
  EXPECT_TRUE(may_start_early(120, 90, 13000, "on"));
  EXPECT_FALSE(may_start_early(90, 90, 13000, "off"));
  EXPECT_FALSE(may_start_early(89, 90, 13000, nullptr));
  EXPECT_FALSE(may_start_early(90, 80, 13000, nullptr)) << "code that does not wait";
  EXPECT_FALSE(may_start_early(90, 90, 12020, nullptr)) << "a driver that does not record it";
}

TEST_F(FakeGpu, WhereRecordingIsRefusedKernelsAreLaunchedOneByOne) {
  fake::reset({{.capability = 80}});
  const std::vector<float> expected = Compiled().run().value();
  const auto launching_without = [&](const char* call, cudaError_t status) {
    fake::fail(call, status);
    const Compiled compiled;
    EXPECT_EQ(fake::failed_call(), call);
    EXPECT_EQ(compiled.run().value(), expected);
    return std::string(compiled.launching());
  };
  EXPECT_EQ(launching_without("cudaStreamBeginCapture", cudaErrorInvalidValue),
            "3 launches: cudaStreamBeginCapture: invalid argument (cudaErrorInvalidValue)");
  EXPECT_EQ(launching_without("cudaStreamEndCapture", cudaErrorStreamCaptureUnsupported),
            "3 launches: cudaStreamEndCapture: operation not permitted when stream is capturing "
            "(cudaErrorStreamCaptureUnsupported)");
  EXPECT_EQ(launching_without("cudaGraphInstantiate", cudaErrorMemoryAllocation),
            "3 launches: cudaGraphInstantiate: out of memory (cudaErrorMemoryAllocation)");
  EXPECT_EQ(launching_without("cudaGraphUpload", cudaErrorInvalidValue),
            "3 launches: cudaGraphUpload: invalid argument (cudaErrorInvalidValue)");
}

TEST_F(FakeGpu, ABenchmarkOfLayersTimesEachKernel) {
  fake::set_clock([](const Work& work) { return std::holds_alternative<MmaCall>(work) ? 7e6 : 2e6; });
  const Model model = small_model();
  BenchmarkOptions options;
  options.device = Device::cuda(0);
  options.batch = 2;
  options.seconds = 0;
  options.layers = true;
  options.machine = false;
  const Benchmark report = benchmark(model, options).value();
  std::string text;
  for (const BenchmarkStep& step : report.steps) {
    text += step.name + " " + step.kind + " " + step.algorithm + " " + std::to_string(step.milliseconds) + "\n";
  }
  EXPECT_EQ(text,
            "conv conv mma_3xtf32 7.000000\n"
            "pool maxpool max_pool 2.000000\n"
            "fc linear row_product 2.000000\n");
}

// --- failures ---

// What is told and what is given back is the same whether a call fails or not.
bool may_pass_unnoticed(const std::string& call) {
  static const std::set<std::string> kCalls = {
      // Nothing more can be done about what does not go, nor about a device that does not become current again.
      "cudaFree", "cudaFreeHost", "cudaStreamDestroy", "cudaEventDestroy", "cudaGraphDestroy", "cudaGraphExecDestroy",
      "cudaSetDevice", "cudaGetDevice", "cudaStreamSynchronize",
      // Then kernels are launched one by one.
      "cudaStreamBeginCapture", "cudaStreamEndCapture", "cudaGraphInstantiate", "cudaGraphUpload", "launch"};
  return kCalls.contains(call);
}

TEST_F(FakeGpu, EachCallThatFailsIsNamedAndTheNextTryWorks) {
  GoOn progress;
  for (Progress* const asked : {static_cast<Progress*>(nullptr), static_cast<Progress*>(&progress)}) {
    fake::reset();
    const std::vector<float> expected = use_gpu(asked).value();
    const int calls = fake::calls();
    ASSERT_GT(calls, 50);
    int errors = 0;
    for (int i = 0; i < calls; ++i) {
      fake::reset();
      fake::fail_any(cudaErrorInvalidValue, i);
      const auto outcome = use_gpu(asked);
      const std::string& failed = fake::failed_call();
      SCOPED_TRACE(std::to_string(i) + ": " + failed);
      ASSERT_NE(failed, "");
      ASSERT_EQ(fake::live(), fake::Live{});
      if (outcome) {
        EXPECT_TRUE(may_pass_unnoticed(failed));
        EXPECT_EQ(outcome.value(), expected);
      } else {
        ++errors;
        const Finding& finding = outcome.error().finding;
        EXPECT_EQ(outcome.error().code, ErrorCode::device);
        EXPECT_NE(finding.message.find("invalid argument"), std::string::npos) << finding.message;
        // Of kernels, layer and kernel stand there.
        if (failed != "launch" && failed != "probe_kernels") {
          EXPECT_NE(finding.message.find(failed), std::string::npos) << finding.message;
        }
      }
      const auto again = use_gpu(asked);
      ASSERT_TRUE(again) << again.error().finding.message;
      EXPECT_EQ(again.value(), expected);
    }
    EXPECT_GT(errors, 20);
  }
}

TEST_F(FakeGpu, ADeviceThatIsLostAtAnyCallIsAnErrorAndTheCpuGoesOn) {
  const std::vector<float> expected = use_cpu();
  ASSERT_TRUE(use_gpu());
  const int calls = fake::calls();
  for (int i = 0; i < calls; ++i) {
    fake::reset();
    fake::fail_any(cudaErrorIllegalAddress, i);
    const auto outcome = use_gpu();
    SCOPED_TRACE(std::to_string(i) + ": " + fake::failed_call());
    ASSERT_EQ(fake::live(), fake::Live{});
    // What was lost while everything is given back nobody misses.
    EXPECT_TRUE(!outcome || may_pass_unnoticed(fake::failed_call()));
    const auto again = use_gpu();
    ASSERT_FALSE(again);
    EXPECT_EQ(again.error().code, ErrorCode::device);
    EXPECT_NE(again.error().finding.message.find("an illegal memory access was encountered"), std::string::npos)
        << again.error().finding.message;
    EXPECT_EQ(use_cpu(), expected);
  }
  fake::reset();
}

TEST_F(FakeGpu, AKernelThatFailsIsSomewhereInTheGraph) {
  Compiled compiled;
  fake::fail("kernel", cudaErrorIllegalAddress, 1);
  const auto outcome = compiled.run();
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, ErrorCode::device);
  // The copy of the output waits, since its memory is the pageable kind.
  EXPECT_EQ(outcome.error().finding.message,
            "in layers 'conv' to 'fc': cudaMemcpyAsync: an illegal memory access was encountered "
            "(cudaErrorIllegalAddress)");
  EXPECT_EQ(outcome.error().finding.hint, "the GPU cannot be used again before the program is restarted");
  compiled.program.reset();
}

TEST_F(FakeGpu, ALaunchThatFailsNamesLayerAndKernelAndTheNextRunWorks) {
  GoOn progress;
  const Compiled compiled(&progress);
  const std::vector<float> expected = compiled.run().value();
  fake::fail("launch", cudaErrorLaunchOutOfResources, 2);
  const auto outcome = compiled.run();
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().finding.message,
            "layer 'fc': kernel row_product: too many resources requested for launch (cudaErrorLaunchOutOfResources)");
  EXPECT_EQ(outcome.error().finding.hint, "");
  EXPECT_EQ(compiled.run().value(), expected);
}

TEST_F(FakeGpu, AGraphThatCannotBeLaunchedIsAnErrorAndTheNextRunWorks) {
  const Compiled compiled;
  const std::vector<float> expected = compiled.run().value();
  fake::fail("cudaGraphLaunch", cudaErrorMemoryAllocation);
  const auto outcome = compiled.run();
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, ErrorCode::out_of_memory);
  EXPECT_EQ(outcome.error().finding.message,
            "in layers 'conv' to 'fc': cudaGraphLaunch: out of memory (cudaErrorMemoryAllocation)");
  EXPECT_EQ(outcome.error().finding.hint, "run smaller batches, or on the CPU");
  EXPECT_EQ(compiled.run().value(), expected);
}

// --- what cannot be used, and what to do about it ---

// The CPU goes on.
Error refusal() {
  static const std::vector<float> expected = use_cpu();
  EXPECT_EQ(use_cpu(), expected);
  return use_gpu().error();
}

TEST_F(FakeGpu, WhyAGpuCannotBeUsedAndWhatToDoAreSaid) {
  fake::set_driver(0);
  EXPECT_EQ(refusal().finding.message, "device 'cuda:0' cannot be used: no NVIDIA driver is installed");
  EXPECT_EQ(refusal().finding.hint, "install the NVIDIA driver, or run on the CPU");

  fake::set_driver(12040);
  EXPECT_EQ(refusal().finding.message,
            "device 'cuda:0' cannot be used: the NVIDIA driver is too old, expected one for CUDA " +
                std::to_string(CUDART_VERSION / 1000) + "." + std::to_string(CUDART_VERSION % 1000 / 10) +
                ", found one for CUDA 12.4");
  EXPECT_EQ(refusal().finding.hint, "install a later NVIDIA driver, or run on the CPU");

  fake::reset({});
  EXPECT_EQ(refusal().finding.message, "device 'cuda:0' cannot be used: the NVIDIA driver sees no GPU");
  EXPECT_EQ(refusal().finding.hint, "run on the CPU");

  fake::reset({{.name = "Old GPU", .capability = 75}});
  EXPECT_EQ(refusal().finding.message,
            "device 'cuda:0' cannot be used: the GPU is too old, expected compute capability 8.0 or later, found 7.5");
  EXPECT_EQ(refusal().finding.hint, "run on the CPU");

  fake::reset({{.name = "Old GPU", .capability = 75}, {}});
  EXPECT_EQ(refusal().finding.hint, "usable here: cpu, cuda:1");
  const Error other = small_model().session(Device::cuda(2)).error();
  EXPECT_EQ(other.finding.message, "device 'cuda:2' cannot be used: there is no GPU of this number");
  EXPECT_EQ(other.finding.hint, "usable here: cpu, cuda:1");
  EXPECT_EQ(other.code, ErrorCode::device);

  fake::reset({{.capability = 120}});
  fake::fail("probe_kernels", cudaErrorNoKernelImageForDevice);
  const Error no_code = refusal();
  EXPECT_EQ(no_code.finding.message,
            "device 'cuda:0' cannot be used: this build holds no code for it: no kernel image is available for "
            "execution on the device");
  EXPECT_EQ(no_code.finding.hint, "build with CMAKE_CUDA_ARCHITECTURES for this GPU, or run on the CPU");

  fake::reset();
  fake::fail("cudaSetDevice", cudaErrorDevicesUnavailable);
  const Error taken = refusal();
  EXPECT_EQ(taken.code, ErrorCode::device);
  EXPECT_EQ(taken.finding.message,
            "cudaSetDevice: CUDA-capable device(s) is/are busy or unavailable (cudaErrorDevicesUnavailable)");
  EXPECT_EQ(taken.finding.hint, "another program has this GPU to itself: end it, or run on the CPU");
  fake::reset();
}

TEST_F(FakeGpu, TooLittleMemoryIsSaidWithWhatItWasFor) {
  fake::reset({{.memory_bytes = 512}});
  const Error weights = refusal();
  EXPECT_EQ(weights.code, ErrorCode::out_of_memory);
  EXPECT_EQ(weights.finding.message, "no memory on cuda:0 for 1280 bytes of weights, 512 of 512 are free");
  EXPECT_EQ(weights.finding.hint, "run smaller batches, or on the CPU");

  fake::reset({{.memory_bytes = 2000}});
  const Error activations = refusal();
  EXPECT_EQ(activations.code, ErrorCode::out_of_memory);
  EXPECT_TRUE(activations.finding.message.starts_with("no memory on cuda:0 for ")) << activations.finding.message;
  EXPECT_TRUE(activations.finding.message.ends_with(" bytes of activations, 720 of 2000 are free"))
      << activations.finding.message;
  EXPECT_EQ(activations.finding.hint, "run smaller batches, or on the CPU");
  fake::reset();
  EXPECT_TRUE(use_gpu());

  // Of the host's, for what goes between it and the GPU.
  const Model model = test::model_of(Roll{.shifts = {1}, .dims = {0}});  // of nine dimensions
  fake::fail("cudaHostAlloc", cudaErrorMemoryAllocation);
  const Error pinned = model.session(Device::cuda(0)).value().prepare({{Shape{1, 1, 1, 1, 1, 1, 4, 6, 6}}}).error();
  EXPECT_EQ(pinned.code, ErrorCode::out_of_memory);
  EXPECT_EQ(pinned.finding.message, "no memory of the host for 1152 page-locked bytes");
  EXPECT_EQ(pinned.finding.hint, "free some of it, or run on the CPU");
}

}  // namespace
}  // namespace rushlight::cuda
