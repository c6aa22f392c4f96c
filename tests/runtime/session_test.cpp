#include "rushlight/session.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <numeric>
#include <thread>

#include "runtime/backward_executor.hpp"
#include "runtime/nets.hpp"
#include "runtime/networks.hpp"
#include "runtime/plan.hpp"

namespace rushlight::test {
namespace {

Model two_heads() {
  GraphBuilder g;
  const Edge a = g.input("left", {-1, 4});
  const Edge b = g.input("right", {-1, 4});
  const Edge sum = g.apply("sum", Add{}, a, b);
  g.output("scores", g.apply("fc", Linear{4, 3}, sum));
  g.output("sum", sum);
  return made_up_model(g.build().value());
}

std::vector<float> run_once(Session& session, const Tensor& x) {
  return floats_of(session.run(x).value());
}

void expect_error(const Status& status, ErrorCode code, std::string_view message) {
  ASSERT_FALSE(status);
  EXPECT_EQ(code, status.error().code);
  EXPECT_EQ(message, status.error().finding.message);
}

TEST(Session, RunsATensorAndAgreesWithTheReference) {
  const Model model = made_up_model(fashion_net());
  Session fast = model.session().value();
  Session slow = model.session(Device::cpu(), {.implementation = Implementation::reference}).value();
  const Tensor x = made_up("input", {3, 1, 28, 28});
  expect_close(run_once(slow, x), run_once(fast, x), 2e-6);
  const Tensor y = fast.run(x).value();
  EXPECT_EQ((Shape{3, 10}), Shape(y.shape().begin(), y.shape().end()));
}

TEST(Session, TellsItsPortsAndShapes) {
  const Model model = two_heads();
  const Session session = model.session().value();
  ASSERT_EQ(2U, session.inputs().size());
  EXPECT_EQ("left", session.inputs()[0].name);
  EXPECT_EQ("sum", session.outputs()[1].name);
  EXPECT_EQ(Device::cpu(), session.device());
  const std::vector<Shape> shapes{{5, 4}, {5, 4}};
  EXPECT_EQ((std::vector<Shape>{{5, 3}, {5, 4}}), session.output_shapes(shapes).value());
}

TEST(Session, SeveralNamedInputsAndOutputsInCallersBuffers) {
  const Model model = two_heads();
  Session session = model.session().value();
  const std::vector<float> left{1, 2, 3, 4, 5, 6, 7, 8};
  const std::vector<float> right{10, 20, 30, 40, 50, 60, 70, 80};
  std::vector<float> scores(6, -1);
  std::vector<float> sum(8, -1);
  const Shape in_shape{2, 4};
  const Shape scores_shape{2, 3};
  const TensorView in[] = {{.data = left.data(), .shape = in_shape}, {.data = right.data(), .shape = in_shape}};
  const MutableTensorView out[] = {{.data = scores.data(), .shape = scores_shape},
                                   {.data = sum.data(), .shape = in_shape}};
  ASSERT_TRUE(session.run(in, out));
  EXPECT_EQ((std::vector<float>{11, 22, 33, 44, 55, 66, 77, 88}), sum);
  const Tensor tensors[] = {tensor_of(left, in_shape), tensor_of(right, in_shape)};
  const std::vector<Tensor> made = session.run(tensors).value();
  EXPECT_EQ(scores, floats_of(made[0]));
  EXPECT_EQ(sum, floats_of(made[1]));
}

TEST(Session, TheConvenienceCallTakesAnyStrides) {
  const Model model = made_up_model(simple_net());
  Session session = model.session().value();
  const Tensor x = made_up("input", {10, 4});
  const Tensor transposed = Tensor::view(x.storage(), DType::f32, {4, 10}, {1, 4}, 0).value();
  EXPECT_EQ(run_once(session, transposed.contiguous().value()), run_once(session, transposed));
}

TEST(Session, ReplansWhenShapesChangeAndForgetsTheOldest) {
  const Model model = made_up_model(vgg_net());
  Session session = model.session().value();
  std::vector<std::vector<float>> first;
  const Shape shapes[] = {{1, 3, 12, 12}, {2, 3, 12, 12}, {1, 3, 20, 16},
                          {3, 3, 13, 31}, {1, 3, 40, 40}, {7, 3, 12, 14}};
  for (const Shape& shape : shapes) first.push_back(run_once(session, made_up("input", shape)));
  for (std::size_t i = std::size(shapes); i-- > 0;) {
    EXPECT_EQ(first[i], run_once(session, made_up("input", shapes[i])));
  }
}

TEST(Session, WorkspaceIsThatOfTheCurrentPlan) {
  const Model model = made_up_model(fashion_net());
  Session session = model.session().value();
  const Shape one{1, 1, 28, 28};
  const Shape many{16, 1, 28, 28};
  ASSERT_TRUE(session.prepare(std::span(&one, 1)));
  const std::uint64_t small = session.workspace_bytes();
  EXPECT_GT(small, 0U);
  ASSERT_TRUE(session.prepare(std::span(&many, 1)));
  EXPECT_GT(session.workspace_bytes(), 4 * small);
  ASSERT_TRUE(session.prepare(std::span(&one, 1)));
  EXPECT_EQ(small, session.workspace_bytes());
}

TEST(Session, AnEmptyBatchGivesAnEmptyOutput) {
  for (const auto implementation : {Implementation::automatic, Implementation::reference}) {
    const Model model = made_up_model(fashion_net());
    Session session = model.session(Device::cpu(), {.implementation = implementation}).value();
    const Tensor y = session.run(Tensor::zeros(DType::f32, {0, 1, 28, 28}).value()).value();
    EXPECT_EQ((Shape{0, 10}), Shape(y.shape().begin(), y.shape().end()));
    const Shape in{0, 1, 28, 28};
    const Shape out{0, 10};
    const TensorView input{.shape = in};  // no data at all
    const MutableTensorView output{.shape = out};
    EXPECT_TRUE(session.run(std::span(&input, 1), std::span(&output, 1)));
  }
}

TEST(Session, AnEmptyInputBesideAFullOneIsNoObstacle) {
  GraphBuilder g;
  g.output("left", g.apply("fc1", Linear{4, 3}, g.input("a")));
  g.output("right", g.apply("fc2", conv3x3(2, 2), g.apply("", ReLU{}, g.input("b"))));
  const Model model = made_up_model(g.build().value());
  const Tensor inputs[] = {made_up("a", {2, 4}), Tensor::zeros(DType::f32, {0, 2, 5, 5}).value()};
  expect_cpu_fits_reference(model, inputs);
}

TEST(Session, InputsThatDoNotFitAreNamed) {
  const Model model = made_up_model(fashion_net());
  Session session = model.session().value();
  const auto run = [&](const Tensor& x) {
    const Result<Tensor> result = session.run(x);
    return result ? Status() : Status(result.error());
  };
  expect_error(run(made_up("x", {1, 3, 28, 28})), ErrorCode::invalid_argument,
               "input 'input': expected shape [?, 1, 28, 28], found [1, 3, 28, 28]");
  expect_error(run(made_up("x", {28, 28})), ErrorCode::invalid_argument,
               "input 'input': expected shape [?, 1, 28, 28], found [28, 28]");
  expect_error(run(Tensor::zeros(DType::u8, {1, 1, 28, 28}).value()), ErrorCode::invalid_argument,
               "input 'input': expected float32, found uint8");
  // A good run afterwards works as before.
  EXPECT_TRUE(session.run(made_up("x", {1, 1, 28, 28})));
}

TEST(Session, UndeclaredInputsAreCheckedByTheLayers) {
  const Model model = made_up_model(graph_of(Linear{4, 3}, "fc"));
  Session session = model.session().value();
  const Result<Tensor> result = session.run(made_up("x", {2, 5}));
  ASSERT_FALSE(result);
  EXPECT_EQ(ErrorCode::mismatch, result.error().code);
  EXPECT_NE(std::string::npos, result.error().finding.message.find("fc")) << result.error().finding.message;
}

TEST(Session, CountsOfBuffersAreChecked) {
  const Model model = two_heads();
  Session session = model.session().value();
  const std::vector<float> data(8);
  std::vector<float> scores(6);
  const Shape shape{2, 4};
  const Shape scores_shape{2, 3};
  const TensorView in[] = {{.data = data.data(), .shape = shape}, {.data = data.data(), .shape = shape}};
  const MutableTensorView out{.data = scores.data(), .shape = scores_shape};
  expect_error(session.run(std::span(in, 1), {}), ErrorCode::invalid_argument, "expected 2 inputs, found 1");
  expect_error(session.run(in, std::span(&out, 1)), ErrorCode::invalid_argument, "expected 2 outputs, found 1");
  const Result<Tensor> one = session.run(made_up("x", shape));
  ASSERT_FALSE(one);
  EXPECT_EQ("the model has 2 outputs: run it with a list of tensors", one.error().finding.message);
}

TEST(Session, OutputBuffersAreChecked) {
  const Model model = made_up_model(simple_net());
  Session session = model.session().value();
  std::vector<float> memory(64);
  const Shape in_shape{2, 10};
  const Shape out_shape{2, 10};
  const Shape wrong{10, 2};
  const TensorView in{.data = memory.data(), .shape = in_shape};
  const auto run = [&](MutableTensorView out) { return session.run(std::span(&in, 1), std::span(&out, 1)); };
  expect_error(run({.data = memory.data() + 20, .shape = wrong}), ErrorCode::invalid_argument,
               "output 'output': expected shape [2, 10], found [10, 2]");
  expect_error(run({.data = nullptr, .shape = out_shape}), ErrorCode::invalid_argument,
               "output 'output': a null pointer for 80 bytes");
  expect_error(run({.data = reinterpret_cast<char*>(memory.data()) + 101, .shape = out_shape}),
               ErrorCode::invalid_argument, "output 'output': the data are not aligned to 4 bytes");
  expect_error(run({.data = memory.data() + 20, .dtype = DType::f64, .shape = out_shape}), ErrorCode::invalid_argument,
               "output 'output': expected float32, found float64");
  expect_error(run({.data = memory.data() + 20, .shape = out_shape, .device = Device::cuda(0)}),
               ErrorCode::invalid_argument, "output 'output': expected memory of cpu, found cuda:0");
  expect_error(run({.data = memory.data() + 19, .shape = out_shape}), ErrorCode::invalid_argument,
               "output 'output' overlaps input 'input'");
  EXPECT_TRUE(run({.data = memory.data() + 20, .shape = out_shape}));
}

TEST(Session, ADeviceThatIsNotThereIsAnErrorThatSaysWhatIs) {
  const Model model = made_up_model(simple_net());
  const Result<Session> meta = model.session(Device::meta());
  ASSERT_FALSE(meta);
  EXPECT_EQ(ErrorCode::device, meta.error().code);
  EXPECT_EQ("DEVICE-META", meta.error().finding.code);
  EXPECT_TRUE(meta.error().finding.hint.starts_with("available: cpu")) << meta.error().finding.hint;
  const Result<Session> absent = model.session(Device::cuda(99));
  ASSERT_FALSE(absent);
  EXPECT_EQ(ErrorCode::device, absent.error().code);
  const Result<Session> reference = model.session(Device::cuda(0), {.implementation = Implementation::reference});
  ASSERT_FALSE(reference);
  EXPECT_EQ("the reference computes on the cpu only, found cuda:0", reference.error().finding.message);
}

TEST(Session, AModelWithoutAllItsParametersHasNone) {
  StateDict state = made_up_state(simple_net());
  state.erase("0.bias");
  state.erase("2.weight");
  const Model model = Model::create(simple_net(), state, nullptr, Strict::no).value();
  const Result<Session> session = model.session();
  ASSERT_FALSE(session);
  EXPECT_EQ(ErrorCode::mismatch, session.error().code);
  EXPECT_EQ("the model lacks parameter '0.bias' and 1 more", session.error().finding.message);
}

TEST(Session, MemoryBeyondTheLimitIsRefusedAndFreedPlansMakeRoom) {
  const Model model = made_up_model(fashion_net());
  SessionOptions options;
  options.limits.arena_bytes = 4'000'000;
  Session session = model.session(Device::cpu(), options).value();
  const Result<Tensor> large = session.run(made_up("x", {256, 1, 28, 28}));
  ASSERT_FALSE(large);
  EXPECT_EQ(ErrorCode::limit_exceeded, large.error().code);
  // Each of these fits by itself, all four together would not.
  for (const std::int64_t batch : {8, 9, 10, 11, 8}) {
    EXPECT_TRUE(session.run(made_up("x", {batch, 1, 28, 28}))) << batch;
    EXPECT_LE(session.workspace_bytes(), options.limits.arena_bytes);
  }
}

// One module object at two places of a Sequential, tied weights, and a module that forward() calls twice.
TEST(Session, SharedParametersArePackedOnceAndComputeTheSame) {
  const Tensor weight = made_up("weight", {6, 6});
  const Tensor bias = made_up("bias", {6});
  const std::vector<Layer> layers = {Linear{6, 6}, Tanh{}, Linear{6, 6}};
  StateDict tied;
  for (const char* name : {"0", "2"}) {
    tied.insert(std::string(name) + ".weight", weight);
    tied.insert(std::string(name) + ".bias", bias);
  }
  const Model places = Model::create(Sequential(layers).graph({6}).value(), tied).value();
  GraphBuilder g;
  Edge x = g.apply("fc", Linear{6, 6}, g.input("x"));
  g.output("y", g.apply("fc", Linear{6, 6}, g.apply("", Tanh{}, x)));
  StateDict state;
  state.insert("fc.weight", weight);
  state.insert("fc.bias", bias);
  const Model calls = Model::create(g.build().value(), state).value();
  StateDict copied;
  for (const char* name : {"0", "2"}) {
    copied.insert(std::string(name) + ".weight", made_up("weight", {6, 6}));
    copied.insert(std::string(name) + ".bias", made_up("bias", {6}));
  }
  const Model apart = Model::create(Sequential(layers).graph({6}).value(), copied).value();

  const Shape shape = {3, 6};
  const auto constants = [&](const Model& model) {
    return runtime::make_plan({model.graph(), model.state_dict()}, std::span(&shape, 1), {}).value().constants.size();
  };
  EXPECT_EQ(4U, constants(apart));
  EXPECT_EQ(2U, constants(places));
  EXPECT_EQ(2U, constants(calls));
  const Tensor input = made_up("input", shape);
  for (const Implementation implementation : {Implementation::automatic, Implementation::reference}) {
    const auto output = [&](const Model& model) {
      Session session = model.session(Device::cpu(), {.implementation = implementation}).value();
      return floats_of(session.run(input).value());
    };
    EXPECT_EQ(output(apart), output(places));
    EXPECT_EQ(output(apart), output(calls));
  }
}

// The attributes decide what is packed: equal weights under other groups, or another norm behind them, are not the
// same.
TEST(Session, SharedWeightsOfLayersThatDifferArePackedForEach) {
  GraphBuilder g;
  const Edge x = g.input("x");
  const auto conv = [&](std::int64_t dilation, Edge from) {
    return g
        .apply_shared(
            "", "conv",
            Conv2d{.in_channels = 4, .out_channels = 4, .kernel_size = 3, .padding = dilation, .dilation = dilation},
            {&from, 1})
        .front();
  };
  const Edge near = g.apply("bn1", BatchNorm2d{4}, conv(1, x));
  const Edge far = g.apply("bn2", BatchNorm2d{4}, conv(2, x));
  g.output("y", g.apply("", Add{}, g.apply("", Add{}, near, far), conv(1, near)));
  const Model model = made_up_model(g.build().value());
  EXPECT_EQ(2U + 2U * 4U, model.state_dict().size());
  expect_cpu_fits_reference(model, made_up("input", {2, 4, 7, 5}));
  // General operators keep theirs by the same rule.
  GraphBuilder h;
  Edge y = h.apply("up", ConvTranspose2d{4, 4, 3}, h.input("x"));
  y = h.apply("up", ConvTranspose2d{4, 4, 3}, y);
  h.output("y", h.apply("norm", GroupNorm{2, 4}, h.apply("norm", GroupNorm{2, 4}, y)));
  expect_cpu_fits_reference(made_up_model(h.build().value()), made_up("input", {2, 4, 7, 5}));
}

class CountingProgress final : public Progress {
 public:
  explicit CountingProgress(std::uint64_t allowed) : allowed_(allowed) {}
  bool on_progress(std::string_view phase, std::uint64_t done, std::uint64_t total) override {
    EXPECT_EQ("run", phase);
    EXPECT_EQ(++calls_, done);
    EXPECT_LE(done, total);
    return calls_ < allowed_;
  }
  void restart(std::uint64_t allowed) {
    calls_ = 0;
    allowed_ = allowed;
  }
  [[nodiscard]] std::uint64_t calls() const { return calls_; }

 private:
  std::uint64_t calls_ = 0;
  std::uint64_t allowed_;
};

TEST(Session, ProgressIsToldAndMayCancelAndTheNextRunWorks) {
  for (const auto implementation : {Implementation::automatic, Implementation::reference}) {
    const Model model = made_up_model(fashion_net());
    CountingProgress progress(1000);
    Session session = model.session(Device::cpu(), {.implementation = implementation, .progress = &progress}).value();
    const Tensor x = made_up("x", {1, 1, 28, 28});
    const std::vector<float> whole = run_once(session, x);
    const std::uint64_t steps = progress.calls();
    EXPECT_GE(steps, 5U);
    progress.restart(3);
    const Result<Tensor> cancelled = session.run(x);
    ASSERT_FALSE(cancelled);
    EXPECT_EQ(ErrorCode::cancelled, cancelled.error().code);
    EXPECT_EQ(3U, progress.calls());
    progress.restart(1000);
    EXPECT_EQ(whole, run_once(session, x));
    EXPECT_EQ(steps, progress.calls());
  }
}

TEST(Session, UsesTheCallersExecutor) {
  const Model models[] = {made_up_model(fashion_net()), made_up_model(vgg_net()), made_up_model(resnet_net())};
  const Shape shapes[] = {{8, 1, 28, 28}, {3, 3, 64, 48}, {1, 3, 165, 171}};
  for (std::size_t i = 0; i < std::size(models); ++i) {
    for (const Precision precision : {Precision::strict, Precision::fast, Precision::bf16}) {
      BackwardExecutor executor;
      Session session = models[i].session(Device::cpu(), {.executor = &executor, .precision = precision}).value();
      Session plain = models[i].session(Device::cpu(), {.precision = precision}).value();
      const Tensor x = made_up("x", shapes[i]);
      EXPECT_EQ(run_once(plain, x), run_once(session, x)) << "network " << i << ", " << to_string(precision);
      EXPECT_GT(executor.tasks, 0U);
    }
  }
}

TEST(Session, CanBeMoved) {
  const Model model = made_up_model(simple_net());
  Session first = model.session().value();
  const Tensor x = made_up("x", {1, 10});
  const std::vector<float> y = run_once(first, x);
  Session second = std::move(first);
  EXPECT_EQ(y, run_once(second, x));
  Session third = model.session().value();
  third = std::move(second);
  EXPECT_EQ(y, run_once(third, x));
}

TEST(Session, OutlivesTheModelItCameFrom) {
  const auto make = [] { return made_up_model(simple_net()).session().value(); };
  Session session = make();
  EXPECT_TRUE(session.run(made_up("x", {1, 10})));
}

TEST(Session, BitsDoNotDependOnThreads) {
  const Model models[] = {made_up_model(fashion_net()), made_up_model(vgg_net()), made_up_model(resnet_net())};
  const Shape shapes[] = {{5, 1, 28, 28}, {3, 3, 64, 48}, {3, 3, 65, 71}};
  for (std::size_t i = 0; i < std::size(models); ++i) {
    const Tensor x = made_up("x", shapes[i]);
    Session one = models[i].session().value();
    const std::vector<float> expected = run_once(one, x);
    for (const unsigned threads : {2U, 3U, 7U, 0U}) {
      Session several = models[i].session(Device::cpu(), {.threads = threads}).value();
      for (int repeat = 0; repeat < 3; ++repeat) ASSERT_EQ(expected, run_once(several, x)) << threads << " threads";
    }
  }
}

TEST(Session, BitsDoNotDependOnTheBatchPosition) {
  const Model models[] = {made_up_model(fashion_net()), made_up_model(vgg_net()), made_up_model(resnet_net()),
                          made_up_model(mlp_net()), made_up_model(normed_mlp_net())};
  const Shape items[] = {{1, 28, 28}, {3, 24, 28}, {3, 33, 41}, {784}, {12}};
  for (const char* isa : {"baseline", "avx2", "avx512"}) {
    ::setenv("RUSHLIGHT_ISA", isa, 1);
    for (std::size_t i = 0; i < std::size(models); ++i) {
      constexpr std::int64_t kBatch = 11;
      Shape shape = items[i];
      const std::vector<float> item = values_for("item", shape);
      shape.insert(shape.begin(), kBatch);
      std::vector<float> batch = values_for("others", shape);
      Session session = models[i].session().value();
      std::vector<float> expected;
      for (std::size_t position = 0; position < static_cast<std::size_t>(kBatch); ++position) {
        std::vector<float> here = batch;
        std::copy(item.begin(), item.end(), here.begin() + static_cast<std::ptrdiff_t>(position * item.size()));
        const std::vector<float> all = run_once(session, tensor_of(here, shape));
        const std::size_t width = all.size() / static_cast<std::size_t>(kBatch);
        const auto first = all.begin() + static_cast<std::ptrdiff_t>(position * width);
        const std::vector<float> found(first, first + static_cast<std::ptrdiff_t>(width));
        if (position == 0) expected = found;
        ASSERT_EQ(expected, found) << "model " << i << " at " << position << " with " << isa;
      }
    }
  }
  ::unsetenv("RUSHLIGHT_ISA");
}

TEST(Session, SeveralThreadsShareAModelAndItsPackedWeights) {
  const Model model = made_up_model(resnet_net());
  const Tensor x = made_up("x", {2, 3, 40, 40});
  Session alone = model.session().value();
  const std::vector<float> expected = run_once(alone, x);
  const Model fresh = made_up_model(resnet_net());  // nothing packed yet: threads race for it
  std::atomic<int> right{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      Session session = fresh.session(Device::cpu(), {.threads = 2}).value();
      for (int i = 0; i < 5; ++i) {
        if (run_once(session, x) == expected) ++right;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(20, right);
}

TEST(Session, SessionsOnOneExecutorMayRunAtOnce) {
  const Model model = made_up_model(fashion_net());
  const auto pool = make_thread_pool(3);
  const Tensor x = made_up("x", {6, 1, 28, 28});
  Session alone = model.session().value();
  const std::vector<float> expected = run_once(alone, x);
  std::atomic<int> right{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      Session session = model.session(Device::cpu(), {.executor = pool.get()}).value();
      for (int i = 0; i < 5; ++i) {
        if (run_once(session, x) == expected) ++right;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(15, right);
}

TEST(Session, AnInstructionSetCanBeForcedDown) {
  const Model model = made_up_model(fashion_net());
  const Tensor x = made_up("x", {2, 1, 28, 28});
  Session slow = model.session(Device::cpu(), {.implementation = Implementation::reference}).value();
  const std::vector<float> expected = run_once(slow, x);
  for (const char* isa : {"baseline", "avx2", "avx512"}) {
    ::setenv("RUSHLIGHT_ISA", isa, 1);
    Session session = model.session().value();
    ::unsetenv("RUSHLIGHT_ISA");
    expect_close(expected, run_once(session, x), 2e-6);
  }
}

TEST(Session, AsynchronousRunsOnTheCpuAreOverAtOnce) {
  const Model model = made_up_model(mlp_net());
  Session session = model.session().value();
  const Tensor x = made_up("x", {3, 784});
  const std::vector<float> expected = run_once(session, x);
  const Shape out_shape = session.output_shapes(std::vector<Shape>{{3, 784}}).value()[0];
  std::vector<float> found(expected.size());
  const TensorView in{.data = x.bytes().value().data(), .shape = x.shape()};
  const MutableTensorView out{.data = found.data(), .shape = out_shape};
  const Completion completion = session.run_async({&in, 1}, {&out, 1}).value();
  EXPECT_EQ(expected, found);
  EXPECT_TRUE(completion.ready());
  EXPECT_TRUE(completion.wait());
  EXPECT_EQ(nullptr, completion.event());
  EXPECT_TRUE(Completion().wait());

  int no_stream = 0;
  expect_error(session.run_async({&in, 1}, {&out, 1}, {.stream = &no_stream}).error(), ErrorCode::invalid_argument,
               "a stream was given to a session on cpu, expected one on a GPU");
  const MutableTensorView wrong{.data = found.data(), .shape = x.shape()};
  EXPECT_EQ(ErrorCode::invalid_argument, session.run_async({&in, 1}, {&wrong, 1}).error().code);
}

TEST(Session, AnEnsembleGivesTheMeanOfItsModels) {
  const Model first = made_up_model(fashion_net());
  StateDict other;
  for (const auto& [name, tensor] : first.state_dict()) {
    std::vector<float> values = floats_of(tensor);
    if (name.ends_with("bias")) {
      for (float& value : values) value += 0.5F;
    }
    const std::span<const std::int64_t> shape = tensor.shape();
    other.insert(name, Tensor::from_values<float>(values, Shape(shape.begin(), shape.end())).value());
  }
  const std::vector<Model> models = {first, first.with_state_dict(other).value()};
  const Tensor x = made_up("x", {2, 1, 28, 28});
  std::vector<float> mean(20, 0.0F);
  std::vector<std::vector<float>> each;
  for (const Model& model : models) {
    Session session = model.session().value();
    each.push_back(run_once(session, x));
    for (std::size_t i = 0; i < mean.size(); ++i) mean[i] += each.back()[i] / 2;
  }
  EXPECT_NE(each[0], each[1]);
  Session session = make_ensemble(models).value().session().value();
  expect_close(mean, run_once(session, x), 1e-6);
}

// Of several pieces those that are wanted.
TEST(Session, OfPiecesThatAreNotAllNamed) {
  GraphBuilder g;
  const Edge x = g.input("x", {-1, 5});
  const Edge first = g.apply("first", Chunk{.chunks = 3, .dim = 1}, x);
  const std::vector<Edge> two =
      g.apply("two", Split{.split_size_or_sections = {2, 1, 2}, .dim = 1}, std::span(&x, 1), 2);
  const Edge row = g.apply("row", Unbind{.dim = 1}, x);
  g.output("first", g.apply("", Neg{}, first));
  g.output("second", g.apply("", Mul{}, g.apply("", Squeeze{.dim = {1}}, two[1]), row));
  const Model model = made_up_model(g.build().value());
  const Tensor x_values = tensor_of({1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, {2, 5});
  for (const Implementation implementation : {Implementation::automatic, Implementation::reference}) {
    Session session = model.session(Device::cpu(), {.implementation = implementation}).value();
    const std::vector<Tensor> outputs = session.run(std::span(&x_values, 1)).value();
    EXPECT_EQ(floats_of(outputs[0]), (std::vector<float>{-1, -2, -6, -7}));
    EXPECT_EQ(floats_of(outputs[1]), (std::vector<float>{3, 48}));
  }
}

// Pairs, clips: the session is there, and one item is what is refused.
TEST(Session, OfANetworkThatTakesNoSingleItem) {
  GraphBuilder g;
  const Edge x = g.input("x", {-1, 3});
  const std::vector<Edge> pair = g.apply("pair", Chunk{.chunks = 2, .dim = 0}, std::span(&x, 1), 2);
  g.output("difference", g.apply("sub", Sub{}, pair[0], pair[1]));
  const Model model = made_up_model(g.build().value());
  Session session = model.session().value();
  EXPECT_FALSE(session.run(made_up("one", {1, 3})));
  const Tensor two = Tensor::from_values<float>(std::vector<float>{5, 7, 9, 1, 2, 3}, {2, 3}).value();
  EXPECT_EQ(floats_of(session.run(two).value()), (std::vector<float>{4, 5, 6}));
}

}  // namespace
}  // namespace rushlight::test
