#include "runtime/cpu/speed.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <vector>

#include "base/processors.hpp"
#include "runtime/cpu/aligned_buffer.hpp"

namespace rushlight::runtime::cpu {
namespace {

using Clock = std::chrono::steady_clock;

// The best of several, since whatever else the machine does can only slow it down.
constexpr int kTries = 15;
constexpr int kReadTries = 5;  // which take longer
// A few milliseconds of one core: long against the waking of threads.
constexpr std::size_t kRounds = 1'000'000;
// Much more than the caches of one core, and as much as the weights of a large network.
constexpr std::size_t kReadBytes = std::size_t{256} << 20;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

template <class F>
void on_each(Executor* executor, std::size_t count, F&& f) {
  if (executor == nullptr) return f(0);
  executor->for_each_index(count, f);
}

// A cache line for each thread: what a kernel reads and writes.
struct alignas(kCacheLine) Numbers {
  float values[4] = {};
};

double measure_arithmetic(const Kernels& kernels, Executor* executor, std::vector<Numbers>& numbers) {
  double best = 0;
  for (int attempt = 0; attempt < kTries; ++attempt) {
    // x = x * 0.5 + 0.25 goes to 0.5: no overflow, no denormals.
    for (Numbers& each : numbers) each = {{0.125F, 0.5F, 0.25F, 0}};
    std::size_t operations = 0;
    const Clock::time_point begin = Clock::now();
    on_each(executor, numbers.size(), [&](std::size_t thread) {
      const std::size_t done = kernels.multiply_adds(kRounds, numbers[thread].values);
      if (thread == 0) operations = done;  // each does as much
    });
    best = std::max(best, static_cast<double>(operations * numbers.size()) / seconds_since(begin));
  }
  return best;
}

double measure_reading(const Kernels& kernels, Executor* executor, std::vector<Numbers>& numbers) {
  const AlignedBuffer buffer = AlignedBuffer::allocate(kReadBytes);
  if (buffer.data() == nullptr) return 0;
  std::memset(buffer.data(), 0x3C, kReadBytes);  // pages that nobody has written are all one page
  const std::size_t part = kReadBytes / sizeof(float) / numbers.size();
  double best = 0;
  for (int attempt = 0; attempt < kReadTries; ++attempt) {
    const Clock::time_point begin = Clock::now();
    on_each(executor, numbers.size(), [&](std::size_t thread) {
      numbers[thread].values[0] = kernels.sum(buffer.floats() + thread * part, part);
    });
    best = std::max(best, static_cast<double>(part * sizeof(float) * numbers.size()) / seconds_since(begin));
  }
  return best;
}

}  // namespace

DeviceSpeed measure_speed(const Kernels& kernels, Executor* executor) {
  // Threads beyond the processors wait for each other, and all of them would be timed.
  const unsigned threads = executor == nullptr ? 1 : std::min(executor->concurrency(), usable_processors());
  std::vector<Numbers> numbers(std::max(1U, threads));
  return {.operations_per_second = measure_arithmetic(kernels, executor, numbers),
          .bytes_per_second = measure_reading(kernels, executor, numbers)};
}

}  // namespace rushlight::runtime::cpu
