// longjmp() goes to another stack here, which its checked form forbids.
#undef _FORTIFY_SOURCE

#include "cuda/emulator.hpp"

#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <deque>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <span>
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

// A context with what the sanitizers want to know of it. `context` is where it begins. From then on it is left and
// entered by way of `place`: swapcontext() asks the kernel for the signal mask, which was most of what tests took.
struct Context {
  ucontext_t context{};
  jmp_buf place{};
  bool has_begun = true;
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
  if (_setjmp(from.place) == 0) {
    if (to.has_begun) _longjmp(to.place, 1);
    to.has_begun = true;
    setcontext(&to.context);
  }
  arrived(from, nullptr);
}

// --- products of fragments, as operands.cuh says who holds what

using Shares = std::span<const FragmentShare* const, kWarpThreads>;

float low_half(Operand operand, std::uint32_t bits) {
  return operand == Operand::bf16 ? low_number<Operand::bf16>(bits) : low_number<Operand::fp16>(bits);
}

// One 16 x 8 product for all threads of a warp.
void multiply_fragment(Shares shares, int m, int n) {
  const Operand operand = shares[0]->operand;
  const int depth = operand == Operand::tf32 ? 8 : 16;
  std::array<std::array<double, 16>, 16> a{};
  std::array<std::array<double, 16>, 8> b{};
  // A register stands for one k, or for two neighbours.
  const auto spread = [&](std::uint32_t bits, auto& line, int register_k, int of_four) {
    if (operand == Operand::tf32) {
      // The multiplier does not look at the 13 bits below.
      line[static_cast<std::size_t>(of_four + register_k / 2)] = static_cast<double>(float_of(bits & 0xFFFFE000U));
      return;
    }
    const auto k = static_cast<std::size_t>(of_four * 2 + register_k);
    line[k] = static_cast<double>(low_half(operand, bits));
    line[k + 1] = static_cast<double>(low_half(operand, bits >> 16));
  };
  for (std::size_t lane = 0; lane < shares.size(); ++lane) {
    const std::size_t group = lane / 4;
    const int of_four = static_cast<int>(lane % 4);
    for (int r = 0; r < 4; ++r) {
      spread(shares[lane]->a[m * 4 + r], a[group + (r % 2 != 0 ? 8 : 0)], r / 2 * 8, of_four);
    }
    for (int r = 0; r < 2; ++r) spread(shares[lane]->b[n * 2 + r], b[group], r * 8, of_four);
  }
  for (std::size_t lane = 0; lane < shares.size(); ++lane) {
    float* const sums = shares[lane]->sums + (m * shares[lane]->n + n) * 4;
    for (std::size_t i = 0; i < 4; ++i) {
      const std::size_t row = lane / 4 + i / 2 * 8;
      const std::size_t column = lane % 4 * 2 + i % 2;
      auto sum = static_cast<double>(sums[i]);
      for (std::size_t k = 0; k < static_cast<std::size_t>(depth); ++k) sum += a[row][k] * b[column][k];
      sums[i] = static_cast<float>(sum);
    }
  }
}

// --- asynchronous copies

struct Copy {
  void* to = nullptr;
  const void* from = nullptr;  // null: zeros
  std::size_t bytes = 0;
};
using CopyGroup = std::vector<Copy>;

// One that bulk copies tell of their bytes. Who arrives there is one thread in each phase.
struct ByteBarrier {
  std::size_t opened = 0;  // how many times
  bool has_arrived = false;
  std::size_t expected = 0;
  std::size_t coming = 0;
  CopyGroup copies;

  [[nodiscard]] bool may_open() const { return has_arrived && coming == expected; }
  [[nodiscard]] bool is_open(std::uint32_t phase) const { return opened % 2 != phase; }
};
// Where a bulk copy went, and after which opening of its barrier it is there.
struct BulkPlace {
  std::size_t bytes = 0;
  const ByteBarrier* barrier = nullptr;
  std::size_t opening = 0;
};

// --- products of warpgroups

// One that a thread has begun.
struct RunningProduct {
  std::shared_ptr<const WarpgroupProduct> product;
  const std::uint32_t* a = nullptr;
  float* sums = nullptr;
  bool committed = false;
};
// What lies in a thread's sums once products end; NaNs are there until then.
struct HiddenSums {
  float* place = nullptr;
  WarpgroupProduct::Sums values{};
};
constexpr std::size_t kHiddenBytes = sizeof(WarpgroupProduct::Sums);

void arrive(const CopyGroup& group) {
  for (const Copy& copy : group) {
    if (copy.from == nullptr) {
      std::memset(copy.to, 0, copy.bytes);
    } else {
      std::memcpy(copy.to, copy.from, copy.bytes);
    }
  }
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
  bool run_block(std::int64_t index, std::int64_t count, int threads, const SharedWindow& shared,
                 const std::function<void(EmulatedBlock&)>& body) {
    body_ = &body;
    window_ = shared;
    complaint_.clear();
    barriers_.clear();
    bulk_places_.clear();
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
      if (all(0, threads_, State::done)) {
        if (std::any_of(barriers_.begin(), barriers_.end(), [](const auto& at) { return at.second.coming != 0; })) {
          complain("bulk copies that nobody waited for");
        }
        return true;
      }
      if (!open_barriers()) return false;
    }
  }

  // Empty, or what no tensor core would have done.
  [[nodiscard]] const std::string& complaint() const {
    return complaint_;
  }

  void wait_for_block() {
    wait(State::at_block_barrier);
  }

  bool any_of_block(int thread, bool value) {
    fibers_[static_cast<std::size_t>(thread)].shared_value = value ? 1 : 0;
    wait_for_block();
    const bool any = std::any_of(fibers_.begin(), fibers_.begin() + static_cast<std::ptrdiff_t>(threads_),
                                 [](const Fiber& fiber) { return fiber.shared_value != 0; });
    wait_for_block();  // as in exchange()
    return any;
  }

  // A float32 is the same float32 as a double.
  double exchange(int thread, int mask, double value) {
    Fiber& own = fibers_[static_cast<std::size_t>(thread)];
    own.shared_value = value;
    wait(State::at_warp_barrier);
    const double other = fibers_[static_cast<std::size_t>(thread ^ mask)].shared_value;
    wait(State::at_warp_barrier);  // nobody writes the next value before all have read this one
    return other;
  }

  // The scheduler multiplies when all of the warp have come.
  void multiply(int thread, const FragmentShare& share) {
    Fiber& own = fibers_[static_cast<std::size_t>(thread)];
    own.fragments = &share;
    wait(State::at_warp_barrier);
    own.fragments = nullptr;
  }

  void begin_copy(int thread, const Copy& copy) {
    // Bytes may arrive from now on: nobody may read what was there.
    std::memset(copy.to, 0xff, copy.bytes);
    fibers_[static_cast<std::size_t>(thread)].begun_copies.push_back(copy);
  }
  void commit_copies(int thread) {
    Fiber& own = fibers_[static_cast<std::size_t>(thread)];
    own.copy_groups.push_back(std::move(own.begun_copies));
    own.begun_copies.clear();
  }
  void wait_copies(int thread, std::size_t groups) {
    Fiber& own = fibers_[static_cast<std::size_t>(thread)];
    for (; own.copy_groups.size() > groups; own.copy_groups.pop_front()) arrive(own.copy_groups.front());
  }

  void make_barrier(const std::uint64_t* barrier) {
    barriers_[barrier] = {};
  }
  void expect_bytes(const std::uint64_t* at, std::size_t bytes) {
    ByteBarrier* const barrier = made_barrier(at);
    if (barrier == nullptr) return;
    if (barrier->has_arrived) complain("two arrivals at a barrier of one");
    barrier->has_arrived = true;
    barrier->expected = bytes;
  }
  void begin_bulk_copy(const Copy& copy, const std::uint64_t* at) {
    ByteBarrier* const barrier = made_barrier(at);
    if (barrier == nullptr) return;
    auto* const to = static_cast<std::byte*>(copy.to);
    if (to < window_.memory || to + copy.bytes > window_.memory + window_.bytes) {
      return complain("a bulk copy that leads out of the block's memory");
    }
    std::memset(copy.to, 0xff, copy.bytes);
    barrier->copies.push_back(copy);
    barrier->coming += copy.bytes;
    bulk_places_[to] = {copy.bytes, barrier, barrier->opened + 1};
  }
  void wait_bytes(int thread, const std::uint64_t* at, std::uint32_t phase) {
    const ByteBarrier* const barrier = made_barrier(at);
    if (barrier == nullptr) return;
    Fiber& own = fibers_[static_cast<std::size_t>(thread)];
    own.awaited = at;
    own.awaited_phase = phase;
    if (!opens(own)) wait(State::at_byte_barrier);
    own.openings_seen[barrier] = barrier->opened;
  }

  [[nodiscard]] std::uint32_t shared_address(const void* pointer) const {
    return window_.address(pointer);
  }
  void begin_multiply(int thread) {
    fibers_[static_cast<std::size_t>(thread)].is_fenced = true;
  }
  // The scheduler begins the product when all of the warpgroup have come.
  void multiply_by_warpgroup(int thread, const WarpgroupShare& share) {
    Fiber& own = fibers_[static_cast<std::size_t>(thread)];
    if (!own.is_fenced) complain("a product of a warpgroup without a fence before it");
    own.warpgroup_share = &share;
    wait(State::at_warpgroup_barrier);
    own.warpgroup_share = nullptr;
  }
  void commit_products(int thread) {
    Fiber& own = fibers_[static_cast<std::size_t>(thread)];
    for (RunningProduct& running : own.products) running.committed = true;
    own.is_fenced = false;
  }
  void finish_products(int thread) {
    // Others may be far ahead by the time that a warpgroup's products end.
    if (order_ == Order::shuffled) wait(State::at_end_of_products);
    Fiber& own = fibers_[static_cast<std::size_t>(thread)];
    const std::size_t of_warpgroup = static_cast<std::size_t>(thread) % kWarpgroupThreads;
    for (; !own.products.empty() && own.products.front().committed; own.products.pop_front()) {
      const RunningProduct& running = own.products.front();
      if (!running.product->operands_are_the_same(of_warpgroup, running.a)) {
        complain("operands of a product changed while it ran");
      }
      running.product->add_to(of_warpgroup, hidden_sums(own, running.sums).values);
    }
    // What is not committed is not waited for.
    std::erase_if(own.hidden, [&](const HiddenSums& hidden) {
      if (std::any_of(own.products.begin(), own.products.end(),
                      [&](const RunningProduct& running) { return running.sums == hidden.place; })) {
        return false;
      }
      const auto* const bytes = reinterpret_cast<const unsigned char*>(hidden.place);
      if (std::any_of(bytes, bytes + kHiddenBytes, [](unsigned char byte) { return byte != 0xff; })) {
        complain("sums were written while products were added to them");
      }
      std::memcpy(hidden.place, hidden.values.data(), kHiddenBytes);
      return true;
    });
  }

  // Whether this is the block of the last ticket: one of its threads asks, the others are told.
  bool take_ticket(int thread, std::uint32_t* ticket) {
    wait_for_block();
    if (thread == 0) {
      is_last_ = *ticket == static_cast<std::uint64_t>(count_) - 1;
      *ticket = is_last_ ? 0 : *ticket + 1;
    }
    wait_for_block();
    return is_last_;
  }

 private:
  enum class State : std::uint8_t {
    ready,
    at_block_barrier,
    at_warp_barrier,
    at_warpgroup_barrier,
    at_byte_barrier,
    at_end_of_products,
    done
  };
  struct Fiber {
    Context context;
    std::unique_ptr<std::byte[]> stack;
    State state = State::done;
    double shared_value = 0;
    const FragmentShare* fragments = nullptr;
    CopyGroup begun_copies;
    std::deque<CopyGroup> copy_groups;
    const std::uint64_t* awaited = nullptr;
    std::uint32_t awaited_phase = 0;
    std::map<const ByteBarrier*, std::size_t> openings_seen;
    const WarpgroupShare* warpgroup_share = nullptr;
    bool is_fenced = false;
    std::deque<RunningProduct> products;
    std::vector<HiddenSums> hidden;
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
      fiber.fragments = nullptr;
      fiber.begun_copies.clear();
      fiber.copy_groups.clear();
      fiber.openings_seen.clear();
      fiber.warpgroup_share = nullptr;
      fiber.is_fenced = false;
      fiber.products.clear();
      fiber.hidden.clear();
      fiber.context.asan_stack = nullptr;
      fiber.context.has_begun = false;
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
      if (!all(warp, warp + kWarp, State::at_warp_barrier) || !multiply_fragments(warp)) continue;
      make_ready(warp, warp + kWarp);
      opened = true;
    }
    opened = let_warpgroups_go_on() || opened;
    for (std::size_t i = 0; i < threads_; ++i) {
      if (fibers_[i].state != State::at_byte_barrier || !opens(fibers_[i])) continue;
      fibers_[i].state = State::ready;
      opened = true;
    }
    return opened;
  }

  // They keep step, but in shuffled order: then one of them goes on, until it waits again.
  bool let_warpgroups_go_on() {
    constexpr std::size_t kThreads = kWarpgroupThreads;
    std::vector<std::size_t> ready;
    for (std::size_t first = 0; first + kThreads <= threads_; first += kThreads) {
      if (all(first, first + kThreads, State::at_warpgroup_barrier) ||
          all(first, first + kThreads, State::at_end_of_products)) {
        ready.push_back(first);
      }
    }
    if (order_ == Order::shuffled && ready.size() > 1) ready = {ready[random_() % ready.size()]};
    for (const std::size_t first : ready) {
      if (fibers_[first].state == State::at_warpgroup_barrier) begin_product(first);
      make_ready(first, first + kThreads);
    }
    return !ready.empty();
  }

  ByteBarrier* made_barrier(const std::uint64_t* at) {
    const auto found = barriers_.find(at);
    if (found != barriers_.end()) return &found->second;
    complain("a barrier that nobody has made");
    return nullptr;
  }
  // Whether the barrier that this fiber waits for is open for it, now at the latest.
  bool opens(const Fiber& fiber) {
    ByteBarrier& barrier = barriers_.at(fiber.awaited);
    if (barrier.is_open(fiber.awaited_phase)) return true;
    if (!barrier.may_open()) return false;
    arrive(barrier.copies);
    const std::size_t opened = barrier.opened + 1;
    barrier = {};
    barrier.opened = opened;
    return true;
  }

  void complain(std::string what) {
    if (complaint_.empty()) complaint_ = std::move(what);
  }
  HiddenSums& hidden_sums(Fiber& fiber, float* place) {
    const auto found = std::find_if(fiber.hidden.begin(), fiber.hidden.end(),
                                    [&](const HiddenSums& hidden) { return hidden.place == place; });
    if (found != fiber.hidden.end()) return *found;
    HiddenSums hidden{.place = place};
    std::memcpy(hidden.values.data(), place, kHiddenBytes);
    std::memset(place, 0xff, kHiddenBytes);
    fiber.hidden.push_back(hidden);
    return fiber.hidden.back();
  }
  // True where all that the product reads came by bulk copies, for which all threads of the warpgroup have waited.
  [[nodiscard]] bool reads_what_came(const WarpgroupProduct& product, std::size_t first) const {
    std::map<const ByteBarrier*, std::size_t> seen_by_all;
    const auto openings_seen = [&](const ByteBarrier* barrier) {
      const auto [least, is_new] = seen_by_all.try_emplace(barrier, barrier->opened);
      for (std::size_t i = first; is_new && i < first + kWarpgroupThreads; ++i) {
        const auto seen = fibers_[i].openings_seen.find(barrier);
        least->second = std::min(least->second, seen == fibers_[i].openings_seen.end() ? 0 : seen->second);
      }
      return least->second;
    };
    const auto pieces = product.pieces();
    return std::all_of(pieces.begin(), pieces.end(), [&](const std::byte* piece) {
      auto place = bulk_places_.upper_bound(piece);
      if (place == bulk_places_.begin()) return false;
      --place;
      const auto& [bytes, barrier, opening] = place->second;
      return piece + 16 <= place->first + bytes && openings_seen(barrier) >= opening;
    });
  }
  void begin_product(std::size_t first) {
    std::array<const WarpgroupShare*, kWarpgroupThreads> shares{};
    for (std::size_t i = 0; i < shares.size(); ++i) shares[i] = fibers_[first + i].warpgroup_share;
    const auto product = std::make_shared<const WarpgroupProduct>(shares, window_);
    if (!product->complaint().empty()) return complain(product->complaint());
    if (!reads_what_came(*product, first)) complain("a product of weights that not all of its threads have waited for");
    for (std::size_t i = 0; i < shares.size(); ++i) {
      Fiber& fiber = fibers_[first + i];
      hidden_sums(fiber, shares[i]->sums);
      fiber.products.push_back({product, shares[i]->a, shares[i]->sums});
    }
  }

  // True where there is nothing to multiply; false when threads of one warp are at different operations.
  bool multiply_fragments(std::size_t warp) {
    std::array<const FragmentShare*, kWarpThreads> shares{};
    for (std::size_t lane = 0; lane < shares.size(); ++lane) shares[lane] = fibers_[warp + lane].fragments;
    const auto differs = [&](const FragmentShare* share) {
      return (share == nullptr) != (shares[0] == nullptr) ||
             (share != nullptr &&
              (share->operand != shares[0]->operand || share->m != shares[0]->m || share->n != shares[0]->n));
    };
    if (std::any_of(shares.begin(), shares.end(), differs)) return false;
    if (shares[0] == nullptr) return true;
    for (int m = 0; m < shares[0]->m; ++m) {
      for (int n = 0; n < shares[0]->n; ++n) multiply_fragment(shares, m, n);
    }
    return true;
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
  bool is_last_ = false;
  SharedWindow window_;
  std::map<const std::uint64_t*, ByteBarrier> barriers_;
  std::map<const std::byte*, BulkPlace> bulk_places_;
  std::string complaint_;
  const std::function<void(EmulatedBlock&)>* body_ = nullptr;
};

void EmulatedBlock::sync() {
  fibers_.wait_for_block();
}

float EmulatedBlock::shuffle_xor(float value, int mask) {
  return static_cast<float>(fibers_.exchange(thread_, mask, static_cast<double>(value)));
}
double EmulatedBlock::shuffle_xor(double value, int mask) {
  return fibers_.exchange(thread_, mask, value);
}

void EmulatedBlock::copy_async(void* to, const void* from, std::size_t bytes, bool exists) {
  const auto is_aligned = [&](const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer) % bytes == 0; };
  if (!is_aligned(to) || !is_aligned(from)) misaligned_access_seen() = true;
  fibers_.begin_copy(thread_, {to, exists ? from : nullptr, bytes});
}
void EmulatedBlock::commit_copies() {
  fibers_.commit_copies(thread_);
}
void EmulatedBlock::wait_for_copies(std::size_t groups) {
  fibers_.wait_copies(thread_, groups);
}
void EmulatedBlock::multiply_share(const FragmentShare& share) {
  fibers_.multiply(thread_, share);
}

bool EmulatedBlock::any_of_block(bool value) {
  return fibers_.any_of_block(thread_, value);
}
void EmulatedBlock::make_barrier(std::uint64_t* barrier) {
  fibers_.make_barrier(barrier);
}
void EmulatedBlock::expect_bytes(std::uint64_t* barrier, int bytes) {
  fibers_.expect_bytes(barrier, static_cast<std::size_t>(bytes));
}
void EmulatedBlock::copy_bulk(void* to, const void* from, int bytes, std::uint64_t* barrier) {
  if (!is_aligned16(to) || !is_aligned16(from) || bytes % 16 != 0) misaligned_access_seen() = true;
  fibers_.begin_bulk_copy({to, from, static_cast<std::size_t>(bytes)}, barrier);
}
void EmulatedBlock::wait_bytes(const std::uint64_t* barrier, std::uint32_t phase, Patience) {
  fibers_.wait_bytes(thread_, barrier, phase);
}
std::uint32_t EmulatedBlock::shared_address(const void* pointer) const {
  return fibers_.shared_address(pointer);
}
void EmulatedBlock::begin_multiply() {
  fibers_.begin_multiply(thread_);
}
void EmulatedBlock::multiply_by_warpgroup(const WarpgroupShare& share) {
  fibers_.multiply_by_warpgroup(thread_, share);
}
void EmulatedBlock::commit_multiply() {
  fibers_.commit_products(thread_);
}
void EmulatedBlock::finish_products() {
  fibers_.finish_products(thread_);
}

bool EmulatedBlock::arrives_last(std::uint32_t* ticket) {
  return fibers_.take_ticket(thread_, ticket);
}

Emulator::Emulator(Order order) : order_(order), fibers_(std::make_unique<Fibers>(order)) {}
Emulator::~Emulator() = default;

void Emulator::run_grid(Grid grid, const SharedWindow& shared, const std::function<void()>& before_block,
                        const std::function<void(EmulatedBlock&)>& body) {
  if (grid.threads <= 0 || grid.threads > 1024 || grid.threads % kWarpThreads != 0 || grid.blocks < 0 ||
      grid.blocks > kMaxBlocks) {
    failure_ = "no GPU takes a grid of " + std::to_string(grid.blocks) + " blocks of " + std::to_string(grid.threads) +
               " threads";
    return;
  }
  misaligned_access_seen() = false;
  std::vector<std::int64_t> blocks(static_cast<std::size_t>(grid.blocks));
  std::iota(blocks.begin(), blocks.end(), std::int64_t{0});
  if (order_ == Order::backward) std::reverse(blocks.begin(), blocks.end());
  if (order_ == Order::shuffled) std::shuffle(blocks.begin(), blocks.end(), std::mt19937(7));
  for (const std::int64_t index : blocks) {
    if (!failure_.empty()) return;
    before_block();
    const bool has_ended = fibers_->run_block(index, grid.blocks, grid.threads, shared, body);
    if (!fibers_->complaint().empty()) {
      failure_ = "block " + std::to_string(index) + ": " + fibers_->complaint();
    } else if (!has_ended) {
      failure_ = "block " + std::to_string(index) + ": threads wait at a barrier that others never reach";
    } else if (misaligned_access_seen()) {
      failure_ =
          "block " + std::to_string(index) + ": values were moved together at an address not a multiple of their size";
    }
  }
}

}  // namespace rushlight::cuda::emulation
