// Whether runs go to all threads or stay on the caller's.
#include "runtime/cpu/thread_choice.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "runtime/nets.hpp"
#include "runtime/networks.hpp"

namespace rushlight::test {
namespace {

using runtime::cpu::ThreadChoice;

// The ways of so many runs: "a" on all threads, "1" on the caller's; "A" and "|" where they are timed.
std::string ways(ThreadChoice& choice, std::size_t runs, std::uint64_t all, std::uint64_t alone) {
  std::string text;
  for (std::size_t i = 0; i < runs; ++i) {
    const bool takes_all = choice.takes_all();
    text += takes_all ? (choice.is_trying() ? 'A' : 'a') : (choice.is_trying() ? '|' : '1');
    choice.note(takes_all ? all : alone);
  }
  return text;
}

constexpr std::size_t kTrial = 2 * ThreadChoice::kTries;

TEST(ThreadChoice, TriesBothWaysInTurnsAndTakesTheFaster) {
  ThreadChoice choice(true);
  EXPECT_EQ("AAA|||AAA|||AAA|||aaaa", ways(choice, 22, 60'000, 90'000));
  ThreadChoice other(true);
  EXPECT_EQ("AAA|||AAA|||AAA|||1111", ways(other, 22, 90'000, 60'000));
  ThreadChoice equal(true);
  EXPECT_EQ("AAA|||AAA|||AAA|||1111", ways(equal, 22, 60'000, 60'000)) << "the other cores are left to others";
}

TEST(ThreadChoice, AFewRunsThatWereHeldUpDecideNothing) {
  ThreadChoice choice(true);
  for (std::size_t i = 0; i < kTrial; ++i) {
    const bool takes_all = choice.takes_all();
    choice.note(takes_all ? (i == 0 || i == 6 || i == 14 ? 900'000 : 60'000) : 90'000);
  }
  EXPECT_TRUE(choice.takes_all());
}

TEST(ThreadChoice, TriesAgainSinceTheMachineChanges) {
  ThreadChoice choice(true);
  ways(choice, kTrial, 60'000, 90'000);
  EXPECT_EQ(std::string(ThreadChoice::kRunsBetween, 'a'), ways(choice, ThreadChoice::kRunsBetween, 0, 0));
  EXPECT_EQ("AAA|||AAA|||AAA|||1", ways(choice, kTrial + 1, 90'000, 60'000));
}

TEST(ThreadChoice, LongRunsTryNothing) {
  ThreadChoice choice(true);
  EXPECT_EQ("AAAaaaa", ways(choice, 7, ThreadChoice::kLongRunNanoseconds, 1));
  ThreadChoice first_is_long(true);
  first_is_long.note(ThreadChoice::kLongRunNanoseconds);
  EXPECT_EQ("AA|", ways(first_is_long, 3, 60'000, 90'000)) << "weights had to come from memory";
}

TEST(ThreadChoice, NothingToChooseIsNotTimed) {
  ThreadChoice choice(false);
  EXPECT_EQ("aaaa", ways(choice, 4, 1, 1));
}

// Counts what it is asked to do.
class CountingExecutor final : public Executor {
 public:
  [[nodiscard]] unsigned concurrency() const noexcept override { return 2; }
  void run(std::size_t count, void (*task)(void*, std::size_t), void* context) noexcept override {
    for (std::size_t i = 0; i < count; ++i) task(context, i);
    if (count > 1) ++jobs;
  }
  std::size_t jobs = 0;
};

// Jobs for several threads in each of the first runs of a trial.
std::vector<std::size_t> jobs_of(const Graph& graph, const Shape& shape) {
  const Model model = made_up_model(graph);
  CountingExecutor executor;
  Session session = model.session(Device::cpu(), {.executor = &executor}).value();
  EXPECT_TRUE(session.prepare(std::span(&shape, 1)));
  const Tensor x = made_up("x", shape);
  std::vector<std::size_t> jobs;
  for (std::size_t i = 0; i < 2 * ThreadChoice::kInARow; ++i) {
    executor.jobs = 0;
    EXPECT_TRUE(session.run(x));
    jobs.push_back(executor.jobs);
  }
  return jobs;
}

TEST(ThreadChoice, NetworksThatTakeAFewMicrosecondsStayOnTheCallersThread) {
  const std::vector<std::size_t> none(2 * ThreadChoice::kInARow, 0);
  GraphBuilder g;
  g.output("y", g.apply("only", Linear{.in_features = 1, .out_features = 1}, g.input("x")));
  EXPECT_EQ(none, jobs_of(g.build().value(), {1, 1}));
  EXPECT_EQ(none, jobs_of(mlp_net(), {1, 784}));
}

TEST(ThreadChoice, OneFashionPictureIsCutForTwoThreads) {
  // The second convolution and the first Linear; with narrow vectors other steps may be cut too.
  EXPECT_LE(2U, jobs_of(fashion_net(), {1, 1, 28, 28}).front());
}

}  // namespace
}  // namespace rushlight::test
