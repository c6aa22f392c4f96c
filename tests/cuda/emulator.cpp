#include "cuda/emulator.hpp"

#include <ucontext.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

// Sanitizers keep notes about stacks, and must be told when a fiber goes to another one.
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define RUSHLIGHT_FIBERS_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define RUSHLIGHT_FIBERS_TSAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define RUSHLIGHT_FIBERS_ASAN 1
#endif
#if defined(__SANITIZE_THREAD__)
#define RUSHLIGHT_FIBERS_TSAN 1
#endif
#if defined(RUSHLIGHT_FIBERS_ASAN)
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(RUSHLIGHT_FIBERS_TSAN)
#include <sanitizer/tsan_interface.h>
#endif

namespace rushlight::cuda::emulation {
namespace {

constexpr std::size_t kStackBytes = std::size_t{128} << 10;

// A context with what the sanitizers want to know of it.
struct Context {
  ucontext_t context{};
  const void* stack = nullptr;
  std::size_t stack_bytes = 0;
  void* asan_stack = nullptr;
  void* tsan_fiber = nullptr;
};

void arrived([[maybe_unused]] Context& here, [[maybe_unused]] Context* came_from) {
#if defined(RUSHLIGHT_FIBERS_ASAN)
  const void* stack = nullptr;
  std::size_t stack_bytes = 0;
  __sanitizer_finish_switch_fiber(here.asan_stack, &stack, &stack_bytes);
  if (came_from != nullptr && came_from->stack == nullptr) {
    came_from->stack = stack;
    came_from->stack_bytes = stack_bytes;
  }
#endif
}

// `leaves_for_good`: the stack left behind is not returned to.
void switch_context(Context& from, Context& to, [[maybe_unused]] bool leaves_for_good) {
#if defined(RUSHLIGHT_FIBERS_ASAN)
  __sanitizer_start_switch_fiber(leaves_for_good ? nullptr : &from.asan_stack, to.stack, to.stack_bytes);
#endif
#if defined(RUSHLIGHT_FIBERS_TSAN)
  __tsan_switch_to_fiber(to.tsan_fiber, 0);
#endif
  swapcontext(&from.context, &to.context);
  arrived(from, nullptr);
}

}  // namespace

class Fibers {
 public:
  explicit Fibers(Order order) : order_(order) {
#if defined(RUSHLIGHT_FIBERS_TSAN)
    scheduler_.tsan_fiber = __tsan_get_current_fiber();
#endif
  }
  ~Fibers() {
#if defined(RUSHLIGHT_FIBERS_TSAN)
    for (Fiber& fiber : fibers_) __tsan_destroy_fiber(fiber.context.tsan_fiber);
#endif
  }
  Fibers(const Fibers&) = delete;
  Fibers& operator=(const Fibers&) = delete;

  // Runs one block. False when threads wait for others that never come.
  bool run_block(std::int64_t index, std::int64_t count, int threads, const std::function<void(EmulatedBlock&)>& body) {
    body_ = &body;
    index_ = index;
    count_ = count;
    start(static_cast<std::size_t>(threads));
    while (true) {
      arrange();
      for (const std::size_t thread : turns_) {
        if (fibers_[thread].state != State::ready) continue;
        running_ = thread;
        switch_context(scheduler_, fibers_[thread].context, false);
      }
      if (all(0, threads_, State::done)) return true;
      if (!open_barriers()) return false;
    }
  }

  void wait_for_block() {
    wait(State::at_block_barrier);
  }

  float exchange(int thread, int mask, float value) {
    Fiber& own = fibers_[static_cast<std::size_t>(thread)];
    own.shared_value = value;
    wait(State::at_warp_barrier);
    const float other = fibers_[static_cast<std::size_t>(thread ^ mask)].shared_value;
    wait(State::at_warp_barrier);  // nobody writes the next value before all have read this one
    return other;
  }

 private:
  enum class State : std::uint8_t { ready, at_block_barrier, at_warp_barrier, done };
  struct Fiber {
    Context context;
    std::unique_ptr<std::byte[]> stack;
    State state = State::done;
    float shared_value = 0;
  };

  void start(std::size_t threads) {
    threads_ = threads;
    if (fibers_.size() < threads) fibers_.resize(threads);
    turns_.resize(threads);
    std::iota(turns_.begin(), turns_.end(), std::size_t{0});
    for (std::size_t i = 0; i < threads; ++i) {
      Fiber& fiber = fibers_[i];
      if (!fiber.stack) {
        fiber.stack.reset(new std::byte[kStackBytes]);
        fiber.context.stack = fiber.stack.get();
        fiber.context.stack_bytes = kStackBytes;
      }
#if defined(RUSHLIGHT_FIBERS_TSAN)
      // A new one each time: the calls that the last block never returned from go with the old one.
      if (fiber.context.tsan_fiber != nullptr) __tsan_destroy_fiber(fiber.context.tsan_fiber);
      fiber.context.tsan_fiber = __tsan_create_fiber(0);
#endif
      fiber.state = State::ready;
      fiber.context.asan_stack = nullptr;
      getcontext(&fiber.context.context);
      fiber.context.context.uc_stack.ss_sp = fiber.stack.get();
      fiber.context.context.uc_stack.ss_size = kStackBytes;
      fiber.context.context.uc_link = nullptr;
      // makecontext passes ints: a pointer goes as two halves.
      const auto self = reinterpret_cast<std::uintptr_t>(this);
      makecontext(&fiber.context.context, reinterpret_cast<void (*)()>(&Fibers::enter), 2,
                  static_cast<unsigned>(self >> 32), static_cast<unsigned>(self & 0xffffffffU));
    }
  }

  static void enter(unsigned high, unsigned low) {
    auto* const self = reinterpret_cast<Fibers*>((static_cast<std::uintptr_t>(high) << 32) | low);
    self->run_thread();
  }
  void run_thread() {
    const std::size_t thread = running_;
    arrived(fibers_[thread].context, &scheduler_);
    EmulatedBlock block(*this, index_, count_, static_cast<int>(thread));
    (*body_)(block);
    fibers_[thread].state = State::done;
    switch_context(fibers_[thread].context, scheduler_, true);
  }

  void wait(State state) {
    Fiber& fiber = fibers_[running_];
    fiber.state = state;
    switch_context(fiber.context, scheduler_, false);
  }

  void arrange() {
    if (order_ == Order::backward) std::sort(turns_.begin(), turns_.end(), std::greater<>());
    if (order_ == Order::shuffled) std::shuffle(turns_.begin(), turns_.end(), random_);
  }

  [[nodiscard]] bool all(std::size_t begin, std::size_t end, State state) const {
    return std::all_of(fibers_.begin() + static_cast<std::ptrdiff_t>(begin),
                       fibers_.begin() + static_cast<std::ptrdiff_t>(end),
                       [&](const Fiber& fiber) { return fiber.state == state; });
  }
  void make_ready(std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) fibers_[i].state = State::ready;
  }
  // Lets those go on who have all met. False when nobody can.
  bool open_barriers() {
    if (all(0, threads_, State::at_block_barrier)) {
      make_ready(0, threads_);
      return true;
    }
    bool opened = false;
    constexpr std::size_t kWarp = kWarpThreads;
    for (std::size_t warp = 0; warp + kWarp <= threads_; warp += kWarp) {
      if (!all(warp, warp + kWarp, State::at_warp_barrier)) continue;
      make_ready(warp, warp + kWarp);
      opened = true;
    }
    return opened;
  }

  const Order order_;
  std::mt19937 random_{20240607};
  Context scheduler_;
  std::vector<Fiber> fibers_;
  std::vector<std::size_t> turns_;
  std::size_t threads_ = 0;
  std::size_t running_ = 0;
  std::int64_t index_ = 0;
  std::int64_t count_ = 0;
  const std::function<void(EmulatedBlock&)>* body_ = nullptr;
};

void EmulatedBlock::sync() {
  fibers_.wait_for_block();
}

float EmulatedBlock::shuffle_xor(float value, int mask) {
  return fibers_.exchange(thread_, mask, value);
}

Emulator::Emulator(Order order) : fibers_(std::make_unique<Fibers>(order)) {}
Emulator::~Emulator() = default;

void Emulator::run_grid(Grid grid, const std::function<void()>& before_block,
                        const std::function<void(EmulatedBlock&)>& body) {
  if (grid.threads <= 0 || grid.threads > 1024 || grid.threads % kWarpThreads != 0 || grid.blocks < 0 ||
      grid.blocks > kMaxBlocks) {
    failure_ = "no GPU takes a grid of " + std::to_string(grid.blocks) + " blocks of " + std::to_string(grid.threads) +
               " threads";
    return;
  }
  misaligned_access_seen() = false;
  for (std::int64_t index = 0; index < grid.blocks && failure_.empty(); ++index) {
    before_block();
    if (!fibers_->run_block(index, grid.blocks, grid.threads, body)) {
      failure_ = "block " + std::to_string(index) + ": threads wait at a barrier that others never reach";
    } else if (misaligned_access_seen()) {
      failure_ = "block " + std::to_string(index) + ": four values were moved at an address not a multiple of 16";
    }
  }
}

}  // namespace rushlight::cuda::emulation
