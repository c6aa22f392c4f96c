#include "rushlight/executor.hpp"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <memory>
#include <numeric>
#include <set>
#include <thread>
#include <vector>

namespace rushlight {
namespace {

std::size_t threads_of_this_process() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& task : std::filesystem::directory_iterator("/proc/self/task")) ++count;
  return count;
}

TEST(ThreadPool, RunsEachIndexExactlyOnce) {
  for (const unsigned threads : {1U, 2U, 3U, 8U}) {
    const std::unique_ptr<Executor> pool = make_thread_pool(threads);
    EXPECT_EQ(pool->concurrency(), threads);
    for (const std::size_t count : {0U, 1U, 2U, 3U, 7U, 64U, 1000U}) {
      std::vector<std::atomic<int>> seen(count);
      pool->for_each_index(count, [&](std::size_t i) { ++seen[i]; });
      for (std::size_t i = 0; i < count; ++i) ASSERT_EQ(seen[i].load(), 1) << threads << " threads, index " << i;
    }
  }
}

TEST(ThreadPool, OneThreadCreatesNone) {
  const std::size_t before = threads_of_this_process();
  const std::unique_ptr<Executor> pool = make_thread_pool(1);
  EXPECT_EQ(threads_of_this_process(), before);
  const std::thread::id self = std::this_thread::get_id();
  std::size_t calls = 0;
  pool->for_each_index(10, [&](std::size_t i) {
    EXPECT_EQ(i, calls++);
    EXPECT_EQ(std::this_thread::get_id(), self);
  });
  EXPECT_EQ(calls, 10U);
}

TEST(ThreadPool, CreatesOneThreadFewerThanItRunsTasks) {
  const std::size_t before = threads_of_this_process();
  {
    const std::unique_ptr<Executor> pool = make_thread_pool(4);
    EXPECT_EQ(threads_of_this_process(), before + 3);
  }
  // A joined thread's entry may outlive the join for a moment.
  for (int i = 0; i < 1000 && threads_of_this_process() != before; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_EQ(threads_of_this_process(), before);
}

TEST(ThreadPool, ZeroMeansTheProcessorsThisProcessMayUse) {
  const long online = sysconf(_SC_NPROCESSORS_ONLN);
  const unsigned concurrency = make_thread_pool(0)->concurrency();
  EXPECT_GE(concurrency, 1U);
  EXPECT_LE(concurrency, static_cast<unsigned>(online));
}

TEST(ThreadPool, HasAllItsTasksInFlightAtOnceTheCallersIncluded) {
  // Four tasks that wait for each other end only if three workers and the caller are inside at the same time.
  constexpr unsigned kThreads = 4;
  const std::unique_ptr<Executor> pool = make_thread_pool(kThreads);
  for (int repeat = 0; repeat < 20; ++repeat) {
    std::atomic<unsigned> arrived{0};
    std::vector<std::thread::id> ids(kThreads);
    pool->for_each_index(kThreads, [&](std::size_t i) {
      ids[i] = std::this_thread::get_id();
      ++arrived;
      while (arrived.load() < kThreads) std::this_thread::yield();
    });
    const std::set<std::thread::id> distinct(ids.begin(), ids.end());
    EXPECT_EQ(distinct.size(), kThreads);
    EXPECT_EQ(distinct.count(std::this_thread::get_id()), 1U);
  }
}

TEST(ThreadPool, MakesTheTasksWritesVisibleToTheCaller) {
  const std::unique_ptr<Executor> pool = make_thread_pool(4);
  std::vector<std::uint64_t> squares(257);  // plain memory: only run() orders these writes and reads
  for (std::uint64_t round = 0; round < 2000; ++round) {
    pool->for_each_index(squares.size(), [&](std::size_t i) { squares[i] = i * round; });
    const std::uint64_t sum = std::accumulate(squares.begin(), squares.end(), std::uint64_t{0});
    ASSERT_EQ(sum, round * (256 * 257 / 2));
  }
}

TEST(ThreadPool, ATaskMayRunTasks) {
  const std::unique_ptr<Executor> pool = make_thread_pool(4);
  std::atomic<int> leaves{0};
  pool->for_each_index(8, [&](std::size_t) {
    pool->for_each_index(8, [&](std::size_t) { pool->for_each_index(4, [&](std::size_t) { ++leaves; }); });
  });
  EXPECT_EQ(leaves.load(), 8 * 8 * 4);
}

TEST(ThreadPool, ATaskMayRunTasksOnAnotherPool) {
  const std::unique_ptr<Executor> outer = make_thread_pool(3);
  const std::unique_ptr<Executor> inner = make_thread_pool(3);
  std::atomic<int> leaves{0};
  outer->for_each_index(8, [&](std::size_t) { inner->for_each_index(8, [&](std::size_t) { ++leaves; }); });
  EXPECT_EQ(leaves.load(), 64);
}

TEST(ThreadPool, ServesCallersOnSeveralThreads) {
  const std::unique_ptr<Executor> pool = make_thread_pool(3);
  std::vector<std::thread> callers;
  std::vector<std::uint64_t> totals(4);
  for (std::size_t caller = 0; caller < totals.size(); ++caller) {
    callers.emplace_back([&, caller] {
      for (int round = 0; round < 300; ++round) {
        std::vector<std::uint64_t> parts(17);
        pool->for_each_index(parts.size(), [&](std::size_t i) { parts[i] = i + caller; });
        totals[caller] += std::accumulate(parts.begin(), parts.end(), std::uint64_t{0});
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  for (std::size_t caller = 0; caller < totals.size(); ++caller) EXPECT_EQ(totals[caller], 300 * (136 + 17 * caller));
}

TEST(ThreadPool, CallsAreServedOneAfterTheOther) {
  const std::unique_ptr<Executor> pool = make_thread_pool(2);
  std::atomic<int> jobs_inside{0};
  std::atomic<bool> overlapped{false};
  const auto call_often = [&] {
    for (int round = 0; round < 200; ++round) {
      // The first task of a job enters, the last one leaves.
      std::atomic<int> tasks{0};
      pool->for_each_index(4, [&](std::size_t) {
        if (tasks.fetch_add(1) == 0 && jobs_inside.fetch_add(1) != 0) overlapped = true;
        if (tasks.fetch_add(16) >> 4 == 3) --jobs_inside;
      });
    }
  };
  std::thread other(call_often);
  call_often();
  other.join();
  EXPECT_FALSE(overlapped.load());
  EXPECT_EQ(jobs_inside.load(), 0);
}

TEST(ThreadPool, SleepsWhenThereIsNothingToDo) {
  const std::unique_ptr<Executor> pool = make_thread_pool(4);
  pool->for_each_index(64, [](std::size_t) {});
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  const auto cpu_microseconds = [] {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1'000'000 + usage.ru_utime.tv_usec +
           usage.ru_stime.tv_usec;
  };
  const auto before = cpu_microseconds();
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  // Three spinning workers would burn up to 600,000.
  EXPECT_LT(cpu_microseconds() - before, 20'000);
  // And wakes up again.
  std::atomic<int> done{0};
  pool->for_each_index(64, [&](std::size_t) { ++done; });
  EXPECT_EQ(done.load(), 64);
}

#if defined(__linux__)
// What a thread may use, by the kernel's number of it.
cpu_set_t processors_of(pid_t thread) {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  EXPECT_EQ(0, sched_getaffinity(thread, sizeof mask, &mask));
  return mask;
}

TEST(ThreadPool, AWorkerLeavesTheCallersProcessor) {
  const cpu_set_t all = processors_of(0);
  if (CPU_COUNT(&all) < 2) GTEST_SKIP() << "this process may use one processor";
  const auto processor = static_cast<unsigned>(sched_getcpu());
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(processor, &one);
  std::atomic<pid_t> worker{0};
  std::atomic<int> workers_processor{-1};
  const std::unique_ptr<Executor> pool = make_thread_pool(2);
  const std::thread::id self = std::this_thread::get_id();
  const auto run = [&] {
    workers_processor = -1;
    pool->for_each_index(2, [&](std::size_t) {
      if (std::this_thread::get_id() == self) {
        while (workers_processor.load() < 0) std::this_thread::yield();
      } else {
        worker = gettid();
        workers_processor = sched_getcpu();
      }
    });
  };
  ASSERT_EQ(0, sched_setaffinity(0, sizeof one, &one));
  run();
  // Where it has no other it stays.
  ASSERT_EQ(0, sched_setaffinity(worker, sizeof one, &one));
  run();
  EXPECT_EQ(processor, static_cast<unsigned>(workers_processor.load()));
  const cpu_set_t kept = processors_of(worker);
  EXPECT_TRUE(CPU_EQUAL(&one, &kept));
  // The kernel leaves it there for a while, too, when it may use others again.
  ASSERT_EQ(0, sched_setaffinity(worker, sizeof all, &all));
  for (int i = 0; i < 3 && workers_processor.load() == static_cast<int>(processor); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(6));
    run();
  }
  EXPECT_NE(processor, static_cast<unsigned>(workers_processor.load()));
  const cpu_set_t after = processors_of(worker);
  EXPECT_TRUE(CPU_EQUAL(&all, &after)) << "it may use what it could use before";
  ASSERT_EQ(0, sched_setaffinity(0, sizeof all, &all));
}
#endif

TEST(ThreadPool, IsMadeAndDestroyedInQuickSuccession) {
  for (int round = 0; round < 200; ++round) {
    const std::unique_ptr<Executor> pool = make_thread_pool(3);
    if (round % 2 == 0) continue;  // destroyed before its workers got anywhere
    std::atomic<int> done{0};
    pool->for_each_index(5, [&](std::size_t) { ++done; });
    ASSERT_EQ(done.load(), 5);
  }
}

TEST(ThreadPool, LeavesSignalsToTheProgramsOwnThreads) {
  const std::unique_ptr<Executor> pool = make_thread_pool(2);
  std::atomic<int> arrived{0};
  std::atomic<int> blocked{0};
  const std::thread::id self = std::this_thread::get_id();
  pool->for_each_index(2, [&](std::size_t) {
    ++arrived;
    while (arrived.load() < 2) std::this_thread::yield();
    if (std::this_thread::get_id() == self) return;
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, nullptr, &mask);
    blocked = sigismember(&mask, SIGINT);
  });
  EXPECT_EQ(blocked.load(), 1);
  sigset_t mask;
  pthread_sigmask(SIG_SETMASK, nullptr, &mask);
  EXPECT_EQ(sigismember(&mask, SIGINT), 0);  // the caller's own mask is as it was
}

// An executor of the caller's own: backwards, on one thread.
class Backwards final : public Executor {
 public:
  [[nodiscard]] unsigned concurrency() const noexcept override { return 1; }
  void run(std::size_t count, void (*task)(void*, std::size_t), void* context) noexcept override {
    while (count-- > 0) task(context, count);
  }
};

TEST(Executor, MayBeTheCallersOwn) {
  Backwards executor;
  std::vector<std::size_t> order;
  executor.for_each_index(3, [&](std::size_t i) { order.push_back(i); });
  EXPECT_EQ(order, (std::vector<std::size_t>{2, 1, 0}));
}

}  // namespace
}  // namespace rushlight
