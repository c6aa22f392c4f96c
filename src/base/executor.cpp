#include "rushlight/executor.hpp"

#include <pthread.h>
#include <sched.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/processors.hpp"

namespace rushlight {

Executor::~Executor() = default;
Progress::~Progress() = default;

namespace {

// A job follows the last one within microseconds while a network runs, and sleeping and waking costs about 5 us each,
// on virtual machines several times that: with 20 us in all, networks of small steps lost a tenth on two threads
// (MobileNetV2, EfficientNet-B0, SqueezeNet); 250 us gained nothing over 100.
constexpr std::chrono::microseconds kSpin{100};
// From here on whoever else wants the core may have it: the thread that is waited for may be the one that waits for it.
constexpr std::chrono::microseconds kSpinAlone{10};
// Who gives way and comes back later than this shares its core with a program that wants all of it and keeps it for
// milliseconds each time, even one that is nice. Who sleeps instead has the core back when it is woken
// (bench/THREADS.md has both kinds of programs). Other numbers than these two were not tried.
constexpr std::chrono::microseconds kTaken{200};
constexpr unsigned kSleeps = 1000;
constexpr unsigned kMostThreads = 1024;
// Between two moves of one worker: where the machine is full the scheduler may bring it back each time.
constexpr std::chrono::milliseconds kBetweenMoves{5};

inline void pause_core() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// How one thread waits.
class Patience {
 public:
  // False when it is time to sleep.
  template <class Condition>
  bool spin_until(const Condition& condition) noexcept {
    const auto begin = Clock::now();
    while (true) {
      for (int i = 0; i < 32; ++i) {
        if (condition()) return true;
        pause_core();
      }
      const auto now = Clock::now();
      if (now - begin >= kSpin) return condition();
      if (now - begin < kSpinAlone) continue;
      if (sleeps_ > 0) {
        --sleeps_;
        return condition();
      }
      sched_yield();
      if (Clock::now() - now >= kTaken) sleeps_ = kSleeps;
    }
  }

 private:
  using Clock = std::chrono::steady_clock;

  unsigned sleeps_ = 0;  // waits to come in which nobody is given way
};

// The processor that this thread is on, or -1 where nobody says.
inline int this_processor() noexcept {
#if defined(__linux__)
  return sched_getcpu();
#else
  return -1;
#endif
}

// Sends this thread to another of the processors it may use, if there is one.
void leave_processor([[maybe_unused]] int processor) noexcept {
#if defined(__linux__)
  cpu_set_t allowed;
  if (processor < 0 || processor >= CPU_SETSIZE || sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
  cpu_set_t others = allowed;
  CPU_CLR(static_cast<unsigned>(processor), &others);
  if (CPU_COUNT(&others) == 0 || sched_setaffinity(0, sizeof others, &others) != 0) return;
  sched_setaffinity(0, sizeof allowed, &allowed);
#endif
}

}  // namespace

unsigned usable_processors() noexcept {
#if defined(__linux__)
  // The affinity mask says what this process may use; the number of processors says what the machine has.
  cpu_set_t mask;
  CPU_ZERO(&mask);
  if (sched_getaffinity(0, sizeof mask, &mask) == 0) {
    const int count = CPU_COUNT(&mask);
    if (count > 0) return static_cast<unsigned>(count);
  }
#endif
  return std::max(1U, std::thread::hardware_concurrency());
}

namespace {

// One job at a time. The fields of a job are written while no worker is inside it:
//   run():   writes the job; open_ = true; wakes workers; takes indices itself; open_ = false; waits for inside_ == 0
//   worker:  ++inside_; takes indices if open_; --inside_
// All accesses to open_ and inside_ are sequentially consistent, so that either run() sees the worker inside and waits
// for it, or the worker sees that the job is closed and touches nothing of it.
class ThreadPool final : public Executor {
 public:
  explicit ThreadPool(unsigned threads) {
    // Signals stay with the program's own threads: the workers inherit a full mask.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    const bool masked = threads > 1 && pthread_sigmask(SIG_SETMASK, &all, &before) == 0;
    workers_.reserve(threads - 1);
    while (workers_.size() + 1 < threads) {
      pthread_t worker;
      // A system that has no thread left for us gives a smaller pool, which computes the same.
      if (pthread_create(&worker, nullptr, &ThreadPool::enter_worker, this) != 0) break;
      workers_.push_back(worker);
    }
    if (masked) pthread_sigmask(SIG_SETMASK, &before, nullptr);
    concurrency_ = static_cast<unsigned>(workers_.size()) + 1;
  }

  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  ~ThreadPool() override {
    {
      const std::lock_guard lock(park_mutex_);
      stopping_ = true;
      generation_.fetch_add(1);
    }
    work_arrived_.notify_all();
    for (const pthread_t worker : workers_) pthread_join(worker, nullptr);
  }

  [[nodiscard]] unsigned concurrency() const noexcept override { return concurrency_; }

  void run(std::size_t count, void (*task)(void* context, std::size_t index), void* context) noexcept override {
    if (count <= 1 || workers_.empty() || is_inside_a_task()) {
      for (std::size_t i = 0; i < count; ++i) task(context, i);
      return;
    }
    const std::lock_guard one_job_at_a_time(run_mutex_);
    runner_.store(std::this_thread::get_id(), std::memory_order_relaxed);
    runner_processor_.store(this_processor(), std::memory_order_relaxed);
    const std::uint64_t arrivals_before = arrivals_.load(std::memory_order_relaxed);
    task_ = task;
    context_ = context;
    count_ = count;
    // The caller does index 0 itself: who cuts work into contiguous parts finds its own part's data in this core's
    // cache.
    next_.store(1, std::memory_order_relaxed);
    open_.store(true);
    {
      const std::lock_guard lock(park_mutex_);
      generation_.fetch_add(1);
    }
    if (count > workers_.size()) {
      work_arrived_.notify_all();
    } else {
      for (std::size_t i = 1; i < count; ++i) work_arrived_.notify_one();
    }
    task_(context_, 0);
    take_indices();
    open_.store(false);
    wait_until_no_worker_is_inside();
    note_job_alone(arrivals_.load(std::memory_order_relaxed) == arrivals_before);
    runner_.store(std::thread::id(), std::memory_order_relaxed);
  }

 private:
  static void* enter_worker(void* pool) {
#if defined(__linux__)
    pthread_setname_np(pthread_self(), "rushlight");
#endif
    static_cast<ThreadPool*>(pool)->work();
    return nullptr;
  }

  void work() noexcept {
    std::uint64_t seen = 0;
    Patience patience;
    std::chrono::steady_clock::time_point last_move;
    while (true) {
      const auto has_news = [&] { return generation_.load() != seen; };
      if (!patience.spin_until(has_news)) {
        std::unique_lock lock(park_mutex_);
        work_arrived_.wait(lock, has_news);
      }
      seen = generation_.load();
      if (stopping_.load()) return;
      leave_runners_processor(last_move);
      inside_.fetch_add(1);
      arrivals_.fetch_add(1, std::memory_order_relaxed);
      if (open_.load()) take_indices();
      if (inside_.fetch_sub(1) == 1 && runner_sleeps_.load()) {
        // Taking the mutex orders this wake-up after the runner's test of its condition.
        { const std::lock_guard lock(park_mutex_); }
        job_left_.notify_one();
      }
    }
  }

  // A worker whose own processor is busy just when it is woken (with the client that sent the request, say) is put on
  // the processor of the thread that wakes it, and then both stay there: on two processors for 90 ms, with each run as
  // long as on one thread or longer. To sleep does not help: it was woken there again.
  void leave_runners_processor(std::chrono::steady_clock::time_point& last_move) const noexcept {
    const int runner = runner_processor_.load(std::memory_order_relaxed);
    if (runner < 0 || runner != this_processor()) return;
    const auto now = std::chrono::steady_clock::now();
    if (now - last_move < kBetweenMoves) return;
    last_move = now;
    leave_processor(runner);
  }

  // A worker that was still waiting for work when its caller came to its processor cannot leave it while the caller
  // computes. So who is alone gives way: after two jobs, four, eight, since others may want the processor, too.
  void note_job_alone(bool is_alone) noexcept {
    jobs_alone_ = is_alone ? jobs_alone_ + 1 : 0;
    if (jobs_alone_ >= 2 && std::has_single_bit(jobs_alone_)) sched_yield();
  }

  void take_indices() noexcept {
    for (std::size_t i = next_.fetch_add(1); i < count_; i = next_.fetch_add(1)) task_(context_, i);
  }

  void wait_until_no_worker_is_inside() noexcept {
    const auto all_left = [&] { return inside_.load() == 0; };
    if (patience_.spin_until(all_left)) return;
    std::unique_lock lock(park_mutex_);
    runner_sleeps_.store(true);
    job_left_.wait(lock, all_left);
    runner_sleeps_.store(false);
  }

  // A task that calls run() again does the inner work itself: the threads are all busy with the outer job, and waiting
  // for it would wait for ourselves.
  bool is_inside_a_task() const noexcept {
    if (runner_.load(std::memory_order_relaxed) == std::this_thread::get_id()) return true;
    const pthread_t self = pthread_self();
    return std::any_of(workers_.begin(), workers_.end(),
                       [&](pthread_t worker) { return pthread_equal(worker, self) != 0; });
  }

  std::vector<pthread_t> workers_;
  unsigned concurrency_ = 1;

  std::mutex run_mutex_;
  Patience patience_;                      // of whoever is inside run()
  std::atomic<std::thread::id> runner_{};  // the thread inside run(), while there is one
  std::atomic<int> runner_processor_{-1};  // where it began its job

  void (*task_)(void*, std::size_t) = nullptr;
  void* context_ = nullptr;
  std::size_t count_ = 0;
  std::size_t jobs_alone_ = 0;  // in a row that no worker came to

  // Each on a line of its own: workers hammer one while they poll another.
  alignas(64) std::atomic<std::size_t> next_{0};
  alignas(64) std::atomic<std::uint64_t> generation_{0};
  std::atomic<bool> stopping_{false};
  alignas(64) std::atomic<bool> open_{false};
  std::atomic<unsigned> inside_{0};
  std::atomic<std::uint64_t> arrivals_{0};  // of workers, at all jobs
  std::atomic<bool> runner_sleeps_{false};

  std::mutex park_mutex_;
  std::condition_variable work_arrived_;
  std::condition_variable job_left_;
};

}  // namespace

std::unique_ptr<Executor> make_thread_pool(unsigned threads) {
  if (threads == 0) threads = usable_processors();
  return std::make_unique<ThreadPool>(std::min(threads, kMostThreads));
}

}  // namespace rushlight
