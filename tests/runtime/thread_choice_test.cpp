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

// A caller that runs again and again.
class Caller {
 public:
  Caller(ThreadChoice& choice, std::uint64_t all, std::uint64_t alone, std::uint64_t pause = 0)
      : choice_(choice), all_(all), alone_(alone), pause_(pause) {}

  // The ways of so many runs: "a" on all threads, "1" on the caller's; "A" and "|" where they are timed.
  std::string ways(std::size_t runs) {
    std::string text;
    for (std::size_t i = 0; i < runs; ++i) {
      const bool takes_all = choice_.takes_all();
      text += takes_all ? (choice_.is_trying() ? 'A' : 'a') : (choice_.is_trying() ? '|' : '1');
      const std::uint64_t begin = now_ + pause_;
      now_ = begin + (takes_all ? all_ : alone_);
      choice_.note(begin, now_);
    }
    return text;
  }

  // To the end of a trial: how many runs of each row, such as "34 23 34".
  std::string rows() {
    std::string text;
    while (choice_.is_trying()) {
      const bool takes_all = choice_.takes_all();
      std::size_t runs = 0;
      for (; choice_.is_trying() && choice_.takes_all() == takes_all; ++runs) ways(1);
      text += (text.empty() ? "" : " ") + std::to_string(runs);
    }
    return text;
  }

  // How many runs follow each other in the way that won.
  std::size_t runs_to_next_trial() {
    std::size_t runs = 0;
    for (; !choice_.is_trying(); ++runs) ways(1);
    return runs;
  }

 private:
  ThreadChoice& choice_;
  std::uint64_t all_;
  std::uint64_t alone_;
  std::uint64_t pause_;
  std::uint64_t now_ = 1'000'000'000;
};

constexpr std::uint64_t kRow = ThreadChoice::kRowNanoseconds;

TEST(ThreadChoice, TriesBothWaysInTurnsAndTakesTheFaster) {
  ThreadChoice choice(true);
  EXPECT_EQ("AAA|||AAA|||AAA|||aaaa", Caller(choice, 600'000, 900'000, kRow).ways(22));
  ThreadChoice other(true);
  EXPECT_EQ("AAA|||AAA|||AAA|||1111", Caller(other, 900'000, 600'000, kRow).ways(22));
  ThreadChoice equal(true);
  EXPECT_EQ("AAA|||AAA|||AAA|||1111", Caller(equal, 600'000, 600'000, kRow).ways(22))
      << "the other cores are left to others";
}

TEST(ThreadChoice, RowsLastUntilThreadsHaveFoundTheirProcessors) {
  ThreadChoice choice(true);
  EXPECT_EQ("40 20 40 20 40 20", Caller(choice, kRow / 40, kRow / 20).rows());
  EXPECT_TRUE(choice.takes_all());
}

TEST(ThreadChoice, OnlyTheEndOfARowCounts) {
  ThreadChoice choice(true);
  std::uint64_t now = 0;
  std::uint64_t row_begin = 0;
  for (bool took_all = true; choice.is_trying();) {
    const bool takes_all = choice.takes_all();
    if (takes_all != took_all) row_begin = now;
    took_all = takes_all;
    // For half of each row two threads are in each other's way.
    const std::uint64_t begin = now;
    now += takes_all ? (now - row_begin < kRow / 2 ? 110'000 : 60'000) : 90'000;
    choice.note(begin, now);
  }
  EXPECT_TRUE(choice.takes_all());
}

TEST(ThreadChoice, AFewRunsThatWereHeldUpDecideNothing) {
  ThreadChoice choice(true);
  std::uint64_t now = 0;
  for (std::size_t i = 0; i < 2 * ThreadChoice::kTries; ++i) {
    const bool takes_all = choice.takes_all();
    const std::uint64_t begin = now + kRow;
    now = begin + (takes_all ? (i == 0 || i == 6 || i == 14 ? 900'000 : 60'000) : 90'000);
    choice.note(begin, now);
  }
  EXPECT_FALSE(choice.is_trying());
  EXPECT_TRUE(choice.takes_all());
}

TEST(ThreadChoice, TriesAgainSinceTheMachineChanges) {
  ThreadChoice choice(true);
  Caller(choice, 60'000, 90'000).rows();
  EXPECT_TRUE(choice.takes_all());
  constexpr std::size_t kTrialRuns = 3 * (34 + 23);
  Caller same(choice, 60'000, 90'000);
  for (const std::size_t pause : {4U, 8U, 16U, 32U, 64U, 64U}) {
    EXPECT_EQ(pause * kTrialRuns, same.runs_to_next_trial());
    EXPECT_EQ("34 23 34 23 34 23", same.rows());
  }
  same.runs_to_next_trial();
  Caller other(choice, 900'000, 800'000, kRow);
  EXPECT_EQ("3 3 3 3 3 3", other.rows());
  EXPECT_FALSE(choice.takes_all());
  EXPECT_EQ(4U * 18U, other.runs_to_next_trial());
}

TEST(ThreadChoice, LongRunsTryNothing) {
  ThreadChoice choice(true);
  EXPECT_EQ("AAAaaaa", Caller(choice, ThreadChoice::kLongRunNanoseconds, 1).ways(7));
  ThreadChoice first_is_long(true);
  Caller(first_is_long, ThreadChoice::kLongRunNanoseconds, 1).ways(1);
  EXPECT_EQ("AA|", Caller(first_is_long, 600'000, 1, kRow).ways(3)) << "weights had to come from memory";
}

TEST(ThreadChoice, NothingToChooseIsNotTimed) {
  ThreadChoice choice(false);
  EXPECT_EQ("aaaa", Caller(choice, 1, 1).ways(4));
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

// Jobs for several threads in each of the first runs.
std::vector<std::size_t> jobs_of(const Graph& graph, const Shape& shape) {
  const Model model = made_up_model(graph);
  CountingExecutor executor;
  Session session = model.session(Device::cpu(), {.executor = &executor}).value();
  EXPECT_TRUE(session.prepare(std::span(&shape, 1)));
  const Tensor x = made_up("x", shape);
  std::vector<std::size_t> jobs;
  for (std::size_t i = 0; i < ThreadChoice::kInARow; ++i) {
    executor.jobs = 0;
    EXPECT_TRUE(session.run(x));
    jobs.push_back(executor.jobs);
  }
  return jobs;
}

TEST(ThreadChoice, NetworksThatTakeAFewMicrosecondsStayOnTheCallersThread) {
  const std::vector<std::size_t> none(ThreadChoice::kInARow, 0);
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
