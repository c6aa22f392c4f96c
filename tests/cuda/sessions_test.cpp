// Sessions on GPUs in every order and on every thread, over a CUDA runtime on the host.
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <limits>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/fail.hpp"
#include "cuda/device_memory.hpp"
#include "cuda/fake_cuda.hpp"
#include "cuda/small_network.hpp"

namespace rushlight::cuda {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

int current_device() {
  int device = -1;
  EXPECT_EQ(cudaGetDevice(&device), cudaSuccess);
  return device;
}

class CudaSessions : public testing::Test {
 protected:
  void SetUp() override { meet_the_gpu(); }
  void TearDown() override {
    blocks_.clear();
    EXPECT_EQ(fake::live(), fake::Live{}) << "something was not given back";
    EXPECT_EQ(fake::emulation_failure(), "");
  }

  float* on_device(int device, std::span<const float> values) {
    blocks_.push_back(DeviceBuffer::allocate(device, values.size_bytes(), "a test").value());
    auto* const place = reinterpret_cast<float*>(blocks_.back().data());
    std::copy(values.begin(), values.end(), place);
    return place;
  }
  // A run that is under way: on the fake nothing of it is done before somebody waits.
  Result<Completion> begin(Session& session, int device, float* to) {
    return begin(session, device, input_on(device), to);
  }
  static Result<Completion> begin(Session& session, int device, const float* from, float* to) {
    const TensorView in{.data = from, .shape = kSmallInputShape, .device = Device::cuda(device)};
    const MutableTensorView out{.data = to, .shape = kSmallOutputShape, .device = Device::cuda(device)};
    return session.run_async({&in, 1}, {&out, 1});
  }
  float* input_on(int device) { return on_device(device, test::floats_of(small_input())); }
  float* result_on(int device) { return on_device(device, std::vector<float>(kSmallOutput, kNan)); }
  static void expect_result(const float* found) {
    test::expect_close(test::floats_of(small_model().session().value().run(small_input()).value()),
                       {found, found + kSmallOutput}, 5e-6);
  }

  std::vector<DeviceBuffer> blocks_;
};

// --- which device is current ---

TEST_F(CudaSessions, OnASecondGpuLeaveTheFirstOneCurrent) {
  fake::reset({{}, {}});
  float* const to = result_on(1);
  const Model model = small_model();
  const auto expect_first = [](const char* after) { EXPECT_EQ(current_device(), 0) << after; };
  std::optional<Session> session(model.session(Device::cuda(1)).value());
  expect_first("session()");
  ASSERT_TRUE(session->prepare({&kSmallInputShape, 1}));
  expect_first("prepare()");
  ASSERT_TRUE(session->run(small_input()));
  expect_first("run()");
  {
    const Completion completion = begin(*session, 1, to).value();
    expect_first("run_async()");
    (void)completion.ready();
    expect_first("ready()");
    ASSERT_TRUE(completion.wait());
    expect_first("wait()");
    expect_result(to);
    (void)begin(*session, 1, to).value();
    session.reset();
    expect_first("~Session()");
  }
  expect_first("~Completion()");
}

TEST_F(CudaSessions, OnASecondGpuLeaveTheFirstOneCurrentWhereverTheyFail) {
  const float* from = nullptr;
  float* to = nullptr;
  const auto begin_again = [&] {
    blocks_.clear();
    fake::reset({{}, {}});
    from = input_on(1);
    to = result_on(1);
  };
  const auto use_second = [&]() -> Status {
    const Model model = small_model();
    RUSHLIGHT_TRY_ASSIGN(Session session, model.session(Device::cuda(1)));
    RUSHLIGHT_TRY(session.run(small_input()));
    RUSHLIGHT_TRY_ASSIGN(const Completion completion, begin(session, 1, from, to));
    return completion.wait();
  };
  // The second GPU too passes its self-check once a process.
  begin_again();
  ASSERT_TRUE(use_second());
  begin_again();
  const int before = fake::calls();
  ASSERT_TRUE(use_second());
  const int calls = fake::calls() - before;
  int errors = 0;
  for (int i = 0; i < calls; ++i) {
    begin_again();
    fake::fail_any(cudaErrorInvalidValue, i);
    errors += use_second() ? 0 : 1;
    // Where that itself fails nobody can help it.
    if (fake::failed_call() != "cudaSetDevice") {
      EXPECT_EQ(current_device(), 0) << i << ": " << fake::failed_call();
    }
  }
  EXPECT_GT(errors, 20);
}

// --- who goes first ---

TEST_F(CudaSessions, ThatAreAssignedToFinishTheirRunsFirst) {
  const Model model = small_model();
  Session session = model.session(Device::cuda(0)).value();
  ASSERT_TRUE(session.prepare({&kSmallInputShape, 1}));
  float* const to = result_on(0);
  const Completion completion = begin(session, 0, to).value();
  Session moved = std::move(session);
  float* const second = result_on(0);
  const Completion another = begin(moved, 0, second).value();
  EXPECT_TRUE(std::isnan(second[0]));
  moved = model.session(Device::cuda(0)).value();
  EXPECT_FALSE(std::isnan(second[0])) << "the run had not ended when its session went";
  expect_result(to);
  expect_result(second);
  ASSERT_TRUE(another.wait());
  ASSERT_TRUE(completion.wait());
}

TEST_F(CudaSessions, MayGoWithTheirModelBeforeTheirCompletions) {
  std::vector<Completion> completions;
  float* const to = result_on(0);
  {
    const Model model = small_model();
    Session session = model.session(Device::cuda(0)).value();
    for (int i = 0; i < 3; ++i) completions.push_back(begin(session, 0, to).value());
  }
  expect_result(to);
  // The last of them gives everything back.
  completions.erase(completions.begin());
  ASSERT_TRUE(completions.back().wait());
  Completion last = std::move(completions.back());
  completions.clear();
  EXPECT_TRUE(last.ready());
  last = Completion();
}

// Plans for four shapes are kept: one that has to go has runs under way.
TEST_F(CudaSessions, FinishTheRunsOfAPlanThatGoes) {
  const Model model = small_model();
  Session session = model.session(Device::cuda(0)).value();
  float* const to = result_on(0);
  const Completion completion = begin(session, 0, to).value();
  for (std::int64_t batch = 3; batch < 8; ++batch) ASSERT_TRUE(session.prepare({{Shape{batch, 1, 8, 8}}}));
  expect_result(to);
  ASSERT_TRUE(completion.wait());
}

// --- nothing to compute ---

TEST_F(CudaSessions, OfNoItemsRunWithoutAKernel) {
  const Model model = small_model();
  Session session = model.session(Device::cuda(0)).value();
  const Shape in_shape = {0, 1, 8, 8};
  const Shape out_shape = {0, 3};
  const TensorView in{.data = nullptr, .shape = in_shape};
  const MutableTensorView out{.data = nullptr, .shape = out_shape};
  const int launches = fake::calls_of("cudaGraphLaunch");
  ASSERT_TRUE(session.run({&in, 1}, {&out, 1}));
  const Completion completion = session.run_async({&in, 1}, {&out, 1}).value();
  EXPECT_TRUE(completion.ready());
  ASSERT_TRUE(completion.wait());
  EXPECT_EQ(fake::calls_of("cudaGraphLaunch"), launches);
}

// A sum of nothing is 0, and no kernel may read a port of no bytes.
TEST_F(CudaSessions, OfNoItemsSumThemUp) {
  GraphBuilder g;
  const Edge x = g.input("x", {-1, 3});
  g.output("sum", g.apply("sum", Sum{.dim = Shape{0}}, x));
  g.output("all", g.apply("relu", ReLU{}, x));
  const Model model = test::made_up_model(g.build().value());
  Session session = model.session(Device::cuda(0)).value();
  const Tensor nothing = Tensor::zeros(DType::f32, {0, 3}).value();
  const std::vector<Tensor> found = session.run(std::span(&nothing, 1)).value();
  EXPECT_EQ(test::floats_of(found[0]), (std::vector<float>{0, 0, 0}));
  EXPECT_EQ(found[1].numel(), 0);
}

// --- several threads ---

TEST_F(CudaSessions, OnSeveralThreadsAndGpusDoNotMeetEachOther) {
  fake::reset({{}, {}});
  const Model model = small_model();
  const std::vector<float> expected = test::floats_of(model.session().value().run(small_input()).value());
  std::atomic<int> good = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      const int own = i % 2;
      if (cudaSetDevice(1 - own) != cudaSuccess) return;
      Result<Session> session = model.session(Device::cuda(own));
      for (int run = 0; session && run < 10; ++run) {
        const Result<Tensor> found = session->run(small_input());
        if (!found) return;
        const std::vector<float> values = test::floats_of(*found);
        const bool is_close = std::equal(values.begin(), values.end(), expected.begin(), [](float a, float b) {
          return std::abs(a - b) <= 5e-6F * std::max(1.0F, std::abs(b));
        });
        int current = -1;
        if (is_close && cudaGetDevice(&current) == cudaSuccess && current == 1 - own) ++good;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, 40);
}

// While one thread begins runs others wait for them, and each hears of its own.
TEST_F(CudaSessions, RunsMayBeWaitedForOnOtherThreads) {
  GraphBuilder g;
  const Edge words = g.input("words", {-1, 1}, DType::i64);
  g.output("vectors", g.apply("table", Embedding{.num_embeddings = 4, .embedding_dim = 2}, words));
  const Model model = test::made_up_model(g.build().value());
  std::optional<Session> session(model.session(Device::cuda(0)).value());
  constexpr int kRuns = 120;
  const Shape in_shape = {1, 1};
  const Shape out_shape = {1, 1, 2};
  blocks_.push_back(DeviceBuffer::allocate(0, kRuns * sizeof(std::int64_t) + 8, "a test").value());
  auto* const indices = reinterpret_cast<std::int64_t*>(blocks_.back().data());
  const MutableTensorView out{.data = indices + kRuns, .shape = out_shape, .device = Device::cuda(0)};
  std::array<Completion, kRuns> completions;
  std::atomic<int> begun = 0;
  std::atomic<int> right = 0;
  std::vector<std::thread> threads;
  for (int offset = 0; offset < 2; ++offset) {
    threads.emplace_back([&, offset] {
      for (int run = offset; run < kRuns; run += 2) {
        while (begun <= run) std::this_thread::yield();
        const Status outcome = completions[static_cast<std::size_t>(run)].wait();
        const std::string expected = "index " + std::to_string(run + 4);
        const bool is_bad = run % 3 == 0;
        if (is_bad ? !outcome && outcome.error().finding.message.find(expected) != std::string::npos
                   : static_cast<bool>(outcome)) {
          ++right;
        }
      }
    });
  }
  for (int run = 0; run < kRuns; ++run) {
    indices[run] = run % 3 == 0 ? run + 4 : 1;
    const TensorView in{.data = indices + run, .dtype = DType::i64, .shape = in_shape, .device = Device::cuda(0)};
    Result<Completion> completion = session->run_async({&in, 1}, {&out, 1});
    ASSERT_TRUE(completion);
    completions[static_cast<std::size_t>(run)] = *std::move(completion);
    ++begun;
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, kRuns);
  session.reset();
  completions = {};
}

}  // namespace
}  // namespace rushlight::cuda
