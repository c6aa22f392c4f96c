// Session::run_async() over a CUDA runtime on the host, where work is done when somebody waits for it.
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/fail.hpp"
#include "cuda/device_memory.hpp"
#include "cuda/fake_cuda.hpp"
#include "cuda/run_outcomes.hpp"
#include "cuda/small_network.hpp"
#include "cuda/stream.hpp"

namespace {
bool counting = false;
int allocations = 0;
}  // namespace

// Visible to libstdc++ as well. What the stand-in for CUDA allocates is not counted.
// GCC would take inlined ones for a mistake: memory from `new` that goes to free().
#define RUSHLIGHT_EXPORTED __attribute__((visibility("default"), noinline))
RUSHLIGHT_EXPORTED void* operator new(std::size_t size) {
  if (counting && !rushlight::cuda::fake::is_inside()) ++allocations;
  void* const memory = std::malloc(size == 0 ? 1 : size);
  if (memory == nullptr) std::abort();
  return memory;
}
RUSHLIGHT_EXPORTED void operator delete(void* memory) noexcept {
  std::free(memory);
}
RUSHLIGHT_EXPORTED void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}

namespace rushlight::cuda {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

class AsyncRuns : public testing::Test {
 protected:
  void SetUp() override {
    meet_the_gpu();
    session_.emplace(model_->session(Device::cuda(0)).value());
    ASSERT_TRUE(session_->prepare({&kSmallInputShape, 1}));
    for (const char* name : {"a", "b"}) {
      expected_.push_back(test::floats_of(model_->session().value().run(small_input(name)).value()));
    }
  }
  void TearDown() override {
    session_.reset();
    model_.reset();
    buffers_.clear();
    EXPECT_EQ(fake::live(), fake::Live{}) << "something was not given back";
  }

  static TensorView host_input(const float* data) { return {.data = data, .shape = kSmallInputShape}; }
  static MutableTensorView host_output(float* data) { return {.data = data, .shape = kSmallOutputShape}; }
  static TensorView device_input(const float* data) {
    return {.data = data, .shape = kSmallInputShape, .device = Device::cuda(0)};
  }
  static MutableTensorView device_output(float* data) {
    return {.data = data, .shape = kSmallOutputShape, .device = Device::cuda(0)};
  }
  Result<Completion> run_async(const TensorView& in, const MutableTensorView& out, void* stream = nullptr) {
    return session_->run_async({&in, 1}, {&out, 1}, {.stream = stream});
  }

  // The fake's device memory is the host's: tests look into it as no program could.
  float* on_device(std::span<const float> values) {
    buffers_.push_back(DeviceBuffer::allocate(0, values.size_bytes(), "a test").value());
    auto* const place = reinterpret_cast<float*>(buffers_.back().data());
    std::copy(values.begin(), values.end(), place);
    return place;
  }
  float* device_result() { return on_device(std::vector<float>(kSmallOutput, kNan)); }
  static std::vector<float> at(const float* place) { return {place, place + kSmallOutput}; }
  static std::vector<float> input(const char* name) { return test::floats_of(small_input(name)); }
  static void expect_same(const std::vector<float>& expected, const std::vector<float>& found) {
    test::expect_close(expected, found, 5e-6);
  }

  std::optional<Model> model_ = small_model();
  std::optional<Session> session_;
  std::vector<DeviceBuffer> buffers_;
  std::vector<std::vector<float>> expected_;
};

TEST_F(AsyncRuns, AreDoneWhenOneWaitsAndNotBefore) {
  const float* const from = on_device(input("a"));
  float* const to = device_result();
  const Completion completion = run_async(device_input(from), device_output(to)).value();
  EXPECT_TRUE(std::isnan(to[0]));
  EXPECT_FALSE(completion.ready());
  EXPECT_NE(completion.event(), nullptr);
  ASSERT_TRUE(completion.wait());
  EXPECT_TRUE(completion.ready());
  expect_same(expected_[0], at(to));
  EXPECT_TRUE(completion.wait());
}

TEST_F(AsyncRuns, AreReadyAfterAWhileWithoutAnybodyWaiting) {
  const float* const from = on_device(input("a"));
  float* const to = device_result();
  const Completion completion = run_async(device_input(from), device_output(to)).value();
  int questions = 0;
  while (!completion.ready()) ASSERT_LT(++questions, 100);
  EXPECT_GT(questions, 1);
  expect_same(expected_[0], at(to));
}

TEST_F(AsyncRuns, ManyMayBeUnderWayEachWithItsOwnBuffers) {
  std::vector<Completion> completions;
  std::vector<const float*> results;
  for (int i = 0; i < 20; ++i) {
    const float* const from = on_device(input(i % 2 == 0 ? "a" : "b"));
    float* const to = device_result();
    results.push_back(to);
    completions.push_back(run_async(device_input(from), device_output(to)).value());
  }
  for (const std::size_t i : {std::size_t{3}, std::size_t{0}, std::size_t{19}}) {
    ASSERT_TRUE(completions[i].wait());
    expect_same(expected_[i % 2], at(results[i]));
  }
  for (std::size_t i = 0; i < results.size(); ++i) expect_same(expected_[i % 2], at(results[i]));
}

TEST_F(AsyncRuns, TakeTheirPlaceInAStreamOfTheCallers) {
  const std::vector<float> late = input("b");
  void* pinned = nullptr;
  ASSERT_EQ(cudaHostAlloc(&pinned, late.size() * sizeof(float), 0), cudaSuccess);
  std::copy(late.begin(), late.end(), static_cast<float*>(pinned));
  for (const bool in_order : {true, false}) {
    const Stream stream = Stream::make().value();
    float* const from = on_device(input("a"));
    float* const to = device_result();
    float* const copied = device_result();
    // Before the run its input is written, and after it its output is copied, both in the caller's stream.
    ASSERT_EQ(cudaMemcpyAsync(from, pinned, late.size() * sizeof(float), cudaMemcpyHostToDevice, stream.get()),
              cudaSuccess);
    const Completion completion =
        run_async(device_input(from), device_output(to), in_order ? stream.get() : nullptr).value();
    if (!in_order) {
      ASSERT_TRUE(completion.wait());
    }
    ASSERT_EQ(cudaMemcpyAsync(copied, to, kSmallOutput * sizeof(float), cudaMemcpyDeviceToDevice, stream.get()),
              cudaSuccess);
    ASSERT_TRUE(stream.synchronise());
    // Without the stream the run has read what was there before.
    expect_same(expected_[in_order ? 1 : 0], at(copied));
    ASSERT_TRUE(completion.wait());
  }
  ASSERT_EQ(cudaFreeHost(pinned), cudaSuccess);
}

// A graph of the caller's would run it again and again, for tickets that nobody has.
TEST_F(AsyncRuns, AreNoPartOfAGraphOfTheCallers) {
  const float* const from = on_device(input("a"));
  float* const to = device_result();
  const Stream stream = Stream::make().value();
  ASSERT_EQ(cudaStreamBeginCapture(stream.get(), cudaStreamCaptureModeGlobal), cudaSuccess);
  const auto refused = run_async(device_input(from), device_output(to), stream.get());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(refused.error().finding.code, "RUN-STREAM");
  EXPECT_EQ(refused.error().finding.message, "the stream is recording a CUDA graph, of which a run cannot be a part");
  cudaGraph_t graph = nullptr;
  EXPECT_EQ(cudaStreamEndCapture(stream.get(), &graph), cudaSuccess) << "the caller's graph was spoilt";
  EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  ASSERT_TRUE(run_async(device_input(from), device_output(to), stream.get()).value().wait());
  expect_same(expected_[0], at(to));
}

// As where another thread records a graph in the global mode: CUDA says so, and nothing about the run.
TEST_F(AsyncRuns, AreNotOverBecauseNobodyMayAsk) {
  const float* const from = on_device(input("a"));
  float* const to = device_result();
  const Completion completion = run_async(device_input(from), device_output(to)).value();
  ASSERT_TRUE(completion.wait());
  fake::fail("cudaEventQuery", cudaErrorStreamCaptureUnsupported);
  EXPECT_FALSE(completion.ready());
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
  EXPECT_TRUE(completion.ready());
}

// PyTorch's mode: whatever any thread of the process allocates or asks spoils the graph, unless it says otherwise.
TEST_F(AsyncRuns, AndSessionsLeaveTheGraphsOfOtherThreadsAlone) {
  const Stream stream = Stream::make().value();
  const auto elsewhere = [](const auto& call) { std::thread(call).join(); };
  elsewhere([&] { ASSERT_EQ(cudaStreamBeginCapture(stream.get(), cudaStreamCaptureModeGlobal), cudaSuccess); });
  Session other = model_->session(Device::cuda(0)).value();
  expect_same(expected_[1], test::floats_of(other.run(small_input("b")).value()));
  std::vector<float> found(kSmallOutput);
  const std::vector<float> from = input("a");
  const Completion completion = run_async(host_input(from.data()), host_output(found.data())).value();
  while (!completion.ready()) {
  }
  ASSERT_TRUE(completion.wait());
  expect_same(expected_[0], found);
  elsewhere([&] {
    cudaGraph_t graph = nullptr;
    EXPECT_EQ(cudaStreamEndCapture(stream.get(), &graph), cudaSuccess) << "it was spoilt";
    EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  });
}

TEST_F(AsyncRuns, LeaveTheThreadsModeOfRecordingAsItWas) {
  const auto mode = [] {
    cudaStreamCaptureMode current = cudaStreamCaptureModeRelaxed;
    EXPECT_EQ(cudaThreadExchangeStreamCaptureMode(&current), cudaSuccess);
    cudaStreamCaptureMode set = current;
    EXPECT_EQ(cudaThreadExchangeStreamCaptureMode(&set), cudaSuccess);
    return current;
  };
  const float* const from = on_device(input("a"));
  float* const to = device_result();
  EXPECT_EQ(mode(), cudaStreamCaptureModeGlobal);
  std::vector<cudaStreamCaptureMode> seen;
  fake::watch([&] { seen.push_back(mode()); });
  ASSERT_TRUE(run_async(device_input(from), device_output(to)).value().wait());
  fake::watch({});
  EXPECT_EQ(seen.front(), cudaStreamCaptureModeGlobal) << "before the device is known";
  EXPECT_EQ(seen.back(), cudaStreamCaptureModeRelaxed);
  EXPECT_EQ(mode(), cudaStreamCaptureModeGlobal);
}

TEST_F(AsyncRuns, HaveAnEventThatOtherStreamsCanWaitFor) {
  const Stream stream = Stream::make().value();
  const float* const from = on_device(input("a"));
  float* const to = device_result();
  float* const copied = device_result();
  const Completion completion = run_async(device_input(from), device_output(to)).value();
  ASSERT_EQ(cudaStreamWaitEvent(stream.get(), static_cast<cudaEvent_t>(completion.event()), 0), cudaSuccess);
  ASSERT_EQ(cudaMemcpyAsync(copied, to, kSmallOutput * sizeof(float), cudaMemcpyDeviceToDevice, stream.get()),
            cudaSuccess);
  ASSERT_TRUE(stream.synchronise());
  expect_same(expected_[0], at(copied));
}

TEST_F(AsyncRuns, OnHostMemoryGiveTheSame) {
  const std::vector<float> from = input("a");
  std::vector<float> to(kSmallOutput, kNan);
  const Completion completion = run_async(host_input(from.data()), host_output(to.data())).value();
  ASSERT_TRUE(completion.wait());
  expect_same(expected_[0], to);
}

TEST_F(AsyncRuns, AllocateNothingAndWaitForNothing) {
  const float* const from = on_device(input("a"));
  float* const to = device_result();
  const TensorView in = device_input(from);
  const MutableTensorView out = device_output(to);
  const Stream stream = Stream::make().value();
  const fake::Live before = fake::live();
  const int waits = fake::calls_of("cudaStreamSynchronize") + fake::calls_of("cudaEventSynchronize");
  bool good = true;
  counting = true;
  for (int i = 0; i < 20; ++i) {
    const auto completion = session_->run_async({&in, 1}, {&out, 1}, {.stream = i % 2 == 0 ? nullptr : stream.get()});
    good = good && completion.has_value();
  }
  counting = false;
  EXPECT_TRUE(good);
  EXPECT_EQ(std::exchange(allocations, 0), 0);
  EXPECT_EQ(fake::live(), before);
  EXPECT_EQ(fake::calls_of("cudaStreamSynchronize") + fake::calls_of("cudaEventSynchronize"), waits);
  // The counter counts.
  counting = true;
  void* const volatile some = ::operator new(10);
  counting = false;
  ::operator delete(some);
  EXPECT_EQ(std::exchange(allocations, 0), 1);
  ASSERT_TRUE(session_->run({&in, 1}, {&out, 1}));
}

TEST_F(AsyncRuns, EndBeforeTheirSessionDoesAndCanStillBeAskedFor) {
  const float* const from = on_device(input("a"));
  float* const to = device_result();
  const Completion completion = run_async(device_input(from), device_output(to)).value();
  session_.reset();
  EXPECT_TRUE(completion.ready());
  ASSERT_TRUE(completion.wait());
  expect_same(expected_[0], at(to));
}

TEST_F(AsyncRuns, AreFinishedBeforeTheirWorkspaceGoes) {
  const float* const from = on_device(input("a"));
  float* const to = device_result();
  (void)run_async(device_input(from), device_output(to)).value();
  session_.reset();
  expect_same(expected_[0], at(to));
}

TEST_F(AsyncRuns, TellAFailureToWhoeverWaits) {
  const float* const from = on_device(input("a"));
  float* const to = device_result();
  const Completion completion = run_async(device_input(from), device_output(to)).value();
  fake::fail("kernel", cudaErrorIllegalAddress, 1);
  for (int i = 0; i < 2; ++i) {
    const Status outcome = completion.wait();
    ASSERT_FALSE(outcome);
    EXPECT_EQ(outcome.error().code, ErrorCode::device);
    EXPECT_NE(outcome.error().finding.message.find("an illegal memory access was encountered"), std::string::npos)
        << outcome.error().finding.message;
    EXPECT_EQ(outcome.error().finding.hint, "the GPU cannot be used again before the program is restarted");
    EXPECT_TRUE(completion.ready());
  }
  EXPECT_FALSE(run_async(device_input(from), device_output(to)));
}

TEST_F(AsyncRuns, ThatCannotBeginAreErrorsWithNothingUnderWayAndTheNextOneWorks) {
  const float* const from = on_device(input("a"));
  float* const to = device_result();
  const Stream stream = Stream::make().value();
  const int before = fake::calls();
  ASSERT_TRUE(run_async(device_input(from), device_output(to), stream.get()).value().wait());
  const int calls = fake::calls() - before;
  int errors = 0;
  for (int i = 0; i < calls; ++i) {
    fake::fail_any(cudaErrorInvalidValue, i);
    const auto outcome = run_async(device_input(from), device_output(to), stream.get());
    if (!outcome) {
      ++errors;
      EXPECT_NE(outcome.error().finding.message.find(fake::failed_call()), std::string::npos)
          << outcome.error().finding.message;
    }
    fake::fail_any(cudaSuccess, 0);  // where it has not come by then
    std::fill(to, to + kSmallOutput, kNan);
    ASSERT_TRUE(run_async(device_input(from), device_output(to), stream.get()).value().wait());
    expect_same(expected_[0], at(to));
    ASSERT_TRUE(stream.synchronise());
  }
  EXPECT_GE(errors, 8);
}

// Runs that go wrong by their inputs: one layer's kernel follows them into a table, and so does the host for another.
class AsyncRunsOfWords : public testing::Test {
 protected:
  static constexpr std::int64_t kWords = 3;
  static constexpr std::size_t kMostRuns = 300;
  static constexpr std::size_t kResultsAt = kMostRuns * kWords * sizeof(std::int64_t);
  static constexpr std::int64_t kGood = 5;
  static constexpr std::int64_t kBadOnTheHost = 12;
  static constexpr std::int64_t kBadOnTheGpu = 25;

  void SetUp() override {
    meet_the_gpu();
    model_.emplace(model_of_words());
    session_.emplace(model_->session(Device::cuda(0)).value());
    ASSERT_EQ(session_->host_layers().size(), 1U);
    block_ = DeviceBuffer::allocate(0, kResultsAt + 64, "a test").value();
  }
  void TearDown() override {
    session_.reset();
    model_.reset();
    block_ = DeviceBuffer();
    EXPECT_EQ(fake::live(), fake::Live{}) << "something was not given back";
  }

  static Model model_of_words() {
    GraphBuilder g;
    const Edge words = g.input("words", {-1, kWords}, DType::i64);
    g.output("vectors", g.apply("table", Embedding{.num_embeddings = 20, .embedding_dim = 2}, words));
    // Nine dimensions in an order of their own are more than the kernel walks.
    Shape table = {10};
    Shape order = {8, 7, 6, 5, 4, 3, 2, 1, 0};
    Shape outer;
    for (std::int64_t d = 0; d < 8; ++d) {
      table.push_back(2);
      outer.push_back(d);
    }
    Shape places(8, 1);
    places.push_back(kWords);
    Shape repeated(8, 2);
    repeated.push_back(kWords);
    const Edge rows = g.apply("rows", Parameter{.shape = table}, std::span<const Edge>());
    const Edge turned = g.apply("", Permute{.dims = order}, rows);
    const Edge everywhere = g.apply("", Expand{.size = repeated}, g.apply("", Reshape{.shape = places}, words));
    const Edge found = g.apply("far", Gather{.dim = 8}, turned, everywhere);
    g.output("means", g.apply("", Mean{.dim = outer}, found));
    return test::made_up_model(g.build().value());
  }

  // `word` is the last one. Each run has an input of its own.
  Result<Completion> begin(std::int64_t word) {
    auto* const words = reinterpret_cast<std::int64_t*>(block_.data()) + begun_++ * static_cast<std::size_t>(kWords);
    EXPECT_LE(begun_, kMostRuns);
    std::fill(words, words + kWords, kGood);
    words[kWords - 1] = word;
    auto* const results = reinterpret_cast<float*>(block_.data() + kResultsAt);
    const TensorView in{.data = words, .dtype = DType::i64, .shape = kInput, .device = Device::cuda(0)};
    const MutableTensorView out[] = {{.data = results, .shape = kVectors, .device = Device::cuda(0)},
                                     {.data = results + 8, .shape = kMeans, .device = Device::cuda(0)}};
    return session_->run_async({&in, 1}, out);
  }
  static std::string words_of(const Completion& completion) {
    const Status outcome = completion.wait();
    return outcome ? "" : outcome.error().finding.message;
  }
  static std::string expected_of(std::int64_t word) {
    if (word == kGood) return "";
    const bool on_the_host = word < kBadOnTheGpu;
    return std::string("layer ") + (on_the_host ? "'far'" : "'table'") + ": index " + std::to_string(word) +
           " lies outside, expected 0 to " + (on_the_host ? "9" : "19");
  }

  const Shape kInput = {1, kWords};
  const Shape kVectors = {1, kWords, 2};
  const Shape kMeans = {kWords};
  std::optional<Model> model_;
  std::optional<Session> session_;
  DeviceBuffer block_;
  std::size_t begun_ = 0;
};

// They reported what the last of them had done: all of them shared one note.
TEST_F(AsyncRunsOfWords, EachTellHowTheyWentThemselves) {
  const std::int64_t kinds[] = {kGood, kBadOnTheGpu, kBadOnTheHost, kBadOnTheGpu + 1};
  std::vector<std::int64_t> words;
  std::vector<Completion> completions;
  for (std::size_t i = 0; i < 40; ++i) {
    words.push_back(kinds[(i * i + i / 3) % 4]);
    completions.push_back(begin(words.back()).value());
  }
  for (const std::size_t first : {std::size_t{7}, std::size_t{30}, std::size_t{0}}) {
    for (std::size_t i = 0; i < 40; ++i) {
      const std::size_t run = (first + i * 11) % 40;
      EXPECT_EQ(words_of(completions[run]), expected_of(words[run])) << run;
    }
  }
  const Status outcome = completions[1].wait();
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, ErrorCode::invalid_argument);
  // After the session too.
  session_.reset();
  EXPECT_EQ(words_of(completions[2]), expected_of(words[2]));
  completions.clear();
}

TEST_F(AsyncRunsOfWords, AllocateNothingAndWaitForNothingThoughTheyGoWrong) {
  ASSERT_EQ(words_of(begin(kGood).value()), "");
  const int waits = fake::calls_of("cudaStreamSynchronize") + fake::calls_of("cudaEventSynchronize");
  bool good = true;
  counting = true;
  for (int i = 0; i < 20; ++i) good = good && begin(kBadOnTheGpu).has_value();
  counting = false;
  EXPECT_TRUE(good);
  EXPECT_EQ(std::exchange(allocations, 0), 0);
  EXPECT_EQ(fake::calls_of("cudaStreamSynchronize") + fake::calls_of("cudaEventSynchronize"), waits);
}

TEST_F(AsyncRunsOfWords, BesideOnesThatCannotBeginKeepTheirOwnOutcome) {
  ASSERT_EQ(words_of(begin(kGood).value()), "");
  const int before = fake::calls();
  ASSERT_EQ(words_of(begin(kGood).value()), "");
  const int calls = fake::calls() - before;
  int errors = 0;
  for (int i = 0; i < calls; ++i) {
    const Completion first = begin(kBadOnTheGpu).value();
    const Completion second = begin(kGood).value();
    fake::fail_any(cudaErrorInvalidValue, i);
    errors += begin(kBadOnTheHost).has_value() ? 0 : 1;
    fake::fail_any(cudaSuccess, 0);
    const Completion third = begin(kGood).value();
    const Completion fourth = begin(kBadOnTheHost).value();
    EXPECT_EQ(words_of(fourth), expected_of(kBadOnTheHost));
    EXPECT_EQ(words_of(third), "");
    EXPECT_EQ(words_of(second), "");
    EXPECT_EQ(words_of(first), expected_of(kBadOnTheGpu));
  }
  EXPECT_GE(errors, 5);
}

// Page-locked memory, functions of the host and notes too: what is made is given back, and a run that went wrong is no
// good one.
TEST_F(AsyncRunsOfWords, LeaveNothingBehindWhereverTheyFail) {
  session_.reset();
  model_.reset();
  const fake::Live before = fake::live();
  const auto use = [&]() -> Status {
    const Model model = model_of_words();
    RUSHLIGHT_TRY_ASSIGN(session_, model.session(Device::cuda(0)));
    Result<Completion> good = begin(kGood);
    Result<Completion> bad = begin(kBadOnTheHost);
    session_.reset();
    if (!good) return std::move(good).error();
    if (!bad) return std::move(bad).error();
    RUSHLIGHT_TRY(good->wait());
    EXPECT_FALSE(bad->wait());
    return {};
  };
  const int first = fake::calls();
  ASSERT_TRUE(use());
  const int calls = fake::calls() - first;
  int errors = 0;
  for (int i = 0; i < calls; ++i) {
    begun_ = 0;
    fake::fail_any(cudaErrorInvalidValue, i);
    errors += use() ? 0 : 1;
    session_.reset();
    EXPECT_EQ(fake::live(), before) << i << ": " << fake::failed_call();
    fake::fail_any(cudaSuccess, 0);
  }
  EXPECT_GT(errors, 20);
}

TEST_F(AsyncRunsOfWords, OfLongAgoAreNotCalledGoodWhenNobodyKnowsAnyMore) {
  const Completion good = begin(kGood).value();
  const Completion bad = begin(kBadOnTheGpu).value();
  std::vector<Completion> others;
  for (std::size_t i = 1; i < RunOutcomes::kMostFailures; ++i) others.push_back(begin(kBadOnTheGpu).value());
  EXPECT_EQ(words_of(others.back()), expected_of(kBadOnTheGpu));
  EXPECT_EQ(words_of(good), "");
  EXPECT_EQ(words_of(bad), expected_of(kBadOnTheGpu));
  const Completion last = begin(kBadOnTheHost).value();
  EXPECT_EQ(words_of(last), expected_of(kBadOnTheHost));
  for (const Completion* const forgotten : {&good, &bad}) {
    const Status outcome = forgotten->wait();
    ASSERT_FALSE(outcome);
    EXPECT_EQ(outcome.error().finding.message, "nobody knows any more how this run went: 256 later ones have failed");
    EXPECT_EQ(outcome.error().finding.hint, "wait for a run before so many others fail");
  }
  EXPECT_EQ(words_of(others.front()), expected_of(kBadOnTheGpu));
}

TEST_F(AsyncRuns, OnTheCpuAreOverAtOnce) {
  Session session = model_->session().value();
  const std::vector<float> from = input("a");
  std::vector<float> to(kSmallOutput, kNan);
  const TensorView in = host_input(from.data());
  const MutableTensorView out = host_output(to.data());
  const Completion completion = session.run_async({&in, 1}, {&out, 1}).value();
  EXPECT_EQ(to, expected_[0]);
  EXPECT_TRUE(completion.ready());
  EXPECT_EQ(completion.event(), nullptr);
  EXPECT_TRUE(completion.wait());

  int no_stream = 0;
  const auto refused = session.run_async({&in, 1}, {&out, 1}, {.stream = &no_stream});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(refused.error().finding.message, "a stream was given to a session on cpu, expected one on a GPU");
}

}  // namespace
}  // namespace rushlight::cuda
