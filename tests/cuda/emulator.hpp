// Emulator: runs the bodies of kernels on the host, a block thread by thread.
//
// Each thread of a block is a fiber that runs until it meets a barrier or a warp operation; the next one follows, in an
// order of the test's choice, and so do the blocks. A missing barrier thus shows: some order finds the shared memory
// unwritten, which starts as NaNs. A barrier that only some threads reach is reported and ends the grid. Everything
// runs on the calling thread, under whatever sanitizers the build has.
//
// Asynchronous copies arrive as late as they may, when their thread waits for them; until then NaNs lie where they go.
// So a missing wait shows, and so does a copy into memory that others still read.
//
// Bulk copies arrive as late as they may, too, when somebody waits at their barrier that expects just so many bytes.
// Waiting for bytes that never come, or for fewer than come, is a barrier that never opens, and is reported as such.
//
// Products of warpgroups read operands when they begin and add when their threads wait; until then NaNs lie in the
// sums, and operands that change are reported. So are weights that came by other ways than bulk copies, or that not all
// of its threads have waited for, a missing fence, and descriptors that lead anywhere but into the block's memory.
//
// A product of fragments is exact but for one rounding: the sum and its products are added in double, in the order of
// k, and the result is rounded to float. Tensor cores differ from that in the last bits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>

#include "cuda/kernels/execution.cuh"
#include "cuda/warpgroup_product.hpp"

namespace rushlight::cuda::emulation {

// In which order threads run between two barriers, and blocks one after the other. Shuffled, warpgroups do not keep
// step either: each waits at its products while others go on.
enum class Order : std::uint8_t { forward, backward, shuffled };

class Fibers;

// What one thread brings to a product of its warp's fragments: M x N products of 16 rows and 8 columns.
struct FragmentShare {
  Operand operand = Operand::bf16;
  int m = 0;
  int n = 0;
  float* sums = nullptr;             // [m][n][4]
  const std::uint32_t* a = nullptr;  // [m][4]
  const std::uint32_t* b = nullptr;  // [n][2]
};

// What a kernel body knows of the machine: see cuda/kernels/execution.cuh.
class EmulatedBlock {
 public:
  EmulatedBlock(Fibers& fibers, std::int64_t index, std::int64_t count, int thread) noexcept
      : fibers_(fibers), index_(index), count_(count), thread_(thread) {}
  [[nodiscard]] std::int64_t index() const noexcept { return index_; }
  [[nodiscard]] std::int64_t count() const noexcept { return count_; }
  [[nodiscard]] int thread() const noexcept { return thread_; }
  void sync();
  [[nodiscard]] bool any_of_block(bool value);
  [[nodiscard]] float shuffle_xor(float value, int mask);
  [[nodiscard]] double shuffle_xor(double value, int mask);
  void copy16_async(void* to, const void* from, bool exists) { copy_async(to, from, 16, exists); }
  void copy4_async(void* to, const void* from, bool exists) { copy_async(to, from, 4, exists); }
  void commit_copies();
  template <int Groups>
  void wait_copies() {
    wait_for_copies(Groups);
  }
  template <Operand kOperand, int M, int N>
  void multiply(float (&sums)[M][N][4], const std::uint32_t (&a)[M][4], const std::uint32_t (&b)[N][2]) {
    multiply_share({kOperand, M, N, &sums[0][0][0], &a[0][0], &b[0][0]});
  }
  template <int N>
  void make_barriers(std::uint64_t (&barriers)[N]) {
    for (std::uint64_t& barrier : barriers) make_barrier(&barrier);
  }
  void expect_bytes(std::uint64_t* barrier, int bytes);
  void copy_bulk(void* to, const void* from, int bytes, std::uint64_t* barrier);
  void wait_bytes(const std::uint64_t* barrier, std::uint32_t phase, Patience patience);
  [[nodiscard]] std::uint32_t shared_address(const void* pointer) const;
  void begin_multiply();
  template <Operand kOperand, int N>
  void multiply_async(float (&sums)[N][4], int first, const std::uint32_t (&a)[4], std::uint64_t weights) {
    multiply_by_warpgroup({kOperand, &sums[first][0], &a[0], weights});
  }
  void commit_multiply();
  template <int N>
  void finish_multiply(float (&)[N][4]) {
    finish_products();
  }
  [[nodiscard]] bool arrives_last(std::uint32_t* ticket);
  [[nodiscard]] static float load_written(const float* from) { return *from; }

 private:
  void copy_async(void* to, const void* from, std::size_t bytes, bool exists);
  void wait_for_copies(std::size_t groups);
  void make_barrier(std::uint64_t* barrier);
  void multiply_share(const FragmentShare& share);
  void multiply_by_warpgroup(const WarpgroupShare& share);
  void finish_products();

  Fibers& fibers_;
  std::int64_t index_;
  std::int64_t count_;
  int thread_;
};

class Emulator {
 public:
  explicit Emulator(Order order = Order::forward);
  ~Emulator();
  Emulator(const Emulator&) = delete;
  Emulator& operator=(const Emulator&) = delete;

  // body(block), for each thread of each block.
  template <class Body>
  void run(Grid grid, Body&& body) {
    run_grid(
        grid, {}, [] {}, [&](EmulatedBlock& block) { body(block); });
  }
  // body(block, shared): each block has a Shared of its own, full of NaNs at first.
  template <class Shared, class Body>
  void run_with_shared(Grid grid, Body&& body) {
    static_assert(std::is_trivially_copyable_v<Shared>);
    const auto shared = std::make_unique<Shared>();
    run_grid(
        grid, {reinterpret_cast<std::byte*>(shared.get()), sizeof(Shared)},
        [&] { std::memset(static_cast<void*>(shared.get()), 0xff, sizeof(Shared)); },
        [&](EmulatedBlock& block) { body(block, *shared); });
  }

  // Empty, or what no GPU would have survived.
  [[nodiscard]] const std::string& failure() const noexcept { return failure_; }

 private:
  void run_grid(Grid grid, const SharedWindow& shared, const std::function<void()>& before_block,
                const std::function<void(EmulatedBlock&)>& body);

  const Order order_;
  std::unique_ptr<Fibers> fibers_;
  std::string failure_;
};

}  // namespace rushlight::cuda::emulation
