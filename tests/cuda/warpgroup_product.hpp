// One wgmma.mma_async of 64 columns in the emulation: what its warpgroup gave it, and what comes of it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "cuda/kernels/execution.cuh"
#include "cuda/matrix_descriptor.hpp"

namespace rushlight::cuda::emulation {

// The shared memory of a block, as descriptors see it: a window in which something else lies before it.
struct SharedWindow {
  static constexpr std::uint32_t kBegin = 1024;
  std::byte* memory = nullptr;
  std::size_t bytes = 0;

  [[nodiscard]] std::uint32_t address(const void* pointer) const noexcept {
    return kBegin + static_cast<std::uint32_t>(static_cast<const std::byte*>(pointer) - memory);
  }
};

// What one thread brings.
struct WarpgroupShare {
  Operand operand = Operand::bf16;
  float* sums = nullptr;             // [8][4]
  const std::uint32_t* a = nullptr;  // [4]
  std::uint64_t weights = 0;         // the descriptor
};

class WarpgroupProduct {
 public:
  static constexpr std::size_t kSums = kWarpgroupColumns / 8 * 4;  // of a thread
  using Sums = std::array<float, kSums>;

  // Reads all operands. `complaint` is not empty where the instruction could not have run.
  WarpgroupProduct(std::span<const WarpgroupShare* const> shares, const SharedWindow& window);
  [[nodiscard]] const std::string& complaint() const noexcept { return complaint_; }

  // The pieces of 16 bytes that B consists of.
  [[nodiscard]] std::span<const std::byte* const> pieces() const noexcept { return pieces_; }
  // True while registers and shared memory still hold what they held in the beginning.
  [[nodiscard]] bool operands_are_the_same(std::size_t thread, const std::uint32_t* a) const;
  // Adds a thread's products to its sums: exact but for one rounding.
  void add_to(std::size_t thread, Sums& sums) const;

 private:
  void read_a();
  void read_b();

  Operand operand_;
  std::size_t depth_;
  std::vector<std::array<std::uint32_t, 4>> words_;  // by thread
  std::vector<const std::byte*> pieces_;
  std::vector<std::byte> bytes_;  // of the pieces
  std::array<std::array<double, 16>, kWarpgroupRows> a_{};
  std::array<std::array<double, 16>, kWarpgroupColumns> b_{};
  std::string complaint_;
};

}  // namespace rushlight::cuda::emulation
