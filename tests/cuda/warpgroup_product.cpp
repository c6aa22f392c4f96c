#include "cuda/warpgroup_product.hpp"

#include <algorithm>
#include <cstring>

namespace rushlight::cuda::emulation {
namespace {

constexpr std::size_t kPieceBytes = 16;
constexpr std::size_t kPiecesOfAColumn = kWarpgroupStepBytes / kPieceBytes;

double half_of(Operand operand, std::uint32_t bits) {
  return static_cast<double>(operand == Operand::bf16 ? low_number<Operand::bf16>(bits)
                                                      : low_number<Operand::fp16>(bits));
}
double tf32_of(std::uint32_t bits) {
  return static_cast<double>(float_of(bits & 0xFFFFE000U));  // the multiplier does not look at the 13 bits below
}

}  // namespace

WarpgroupProduct::WarpgroupProduct(std::span<const WarpgroupShare* const> shares, const SharedWindow& window)
    : operand_(shares[0]->operand), depth_(operand_ == Operand::tf32 ? 8 : 16) {
  const auto differs = [&](const WarpgroupShare* share) {
    return share->operand != operand_ || share->weights != shares[0]->weights;
  };
  if (std::any_of(shares.begin(), shares.end(), differs)) {
    complaint_ = "threads of a warpgroup multiply different things";
    return;
  }
  const MatrixDescriptor matrix = decode(shares[0]->weights);
  complaint_ = matrix.complaint;
  if (!complaint_.empty()) return;
  for (const WarpgroupShare* share : shares) {
    words_.emplace_back();
    std::copy_n(share->a, 4, words_.back().begin());
  }
  for (std::uint32_t column = 0; column < kWarpgroupColumns; ++column) {
    for (std::uint32_t piece = 0; piece < kPiecesOfAColumn; ++piece) {
      const std::uint32_t at = byte_of(matrix, column, piece * kPieceBytes);
      if (at < SharedWindow::kBegin || at + kPieceBytes > SharedWindow::kBegin + window.bytes) {
        complaint_ = "a descriptor that leads out of the block's memory";
        return;
      }
      pieces_.push_back(window.memory + (at - SharedWindow::kBegin));
      bytes_.insert(bytes_.end(), pieces_.back(), pieces_.back() + kPieceBytes);
    }
  }
  read_a();
  read_b();
}

// PTX ISA, "register fragments for wgmma.mma_async.m64nNk16" and ".m64nNk8": warp w has rows 16 w on, of which group
// lane / 4 has one and the one eight below.
void WarpgroupProduct::read_a() {
  for (std::size_t thread = 0; thread < words_.size(); ++thread) {
    const std::size_t row = thread / kWarpThreads * 16 + thread % kWarpThreads / 4;
    const std::size_t of_four = thread % 4;
    for (std::size_t r = 0; r < 4; ++r) {
      auto& line = a_[row + r % 2 * 8];
      const std::uint32_t word = words_[thread][r];
      if (operand_ == Operand::tf32) {
        line[of_four + r / 2 * 4] = tf32_of(word);
      } else {
        line[of_four * 2 + r / 2 * 8] = half_of(operand_, word);
        line[of_four * 2 + r / 2 * 8 + 1] = half_of(operand_, word >> 16);
      }
    }
  }
}
void WarpgroupProduct::read_b() {
  for (std::size_t column = 0; column < kWarpgroupColumns; ++column) {
    const std::byte* const from = bytes_.data() + column * kWarpgroupStepBytes;
    for (std::size_t k = 0; k < depth_; ++k) {
      if (operand_ == Operand::tf32) {
        std::uint32_t bits = 0;
        std::memcpy(&bits, from + k * sizeof(bits), sizeof(bits));
        b_[column][k] = tf32_of(bits);
      } else {
        std::uint16_t bits = 0;
        std::memcpy(&bits, from + k * sizeof(bits), sizeof(bits));
        b_[column][k] = half_of(operand_, bits);
      }
    }
  }
}

bool WarpgroupProduct::operands_are_the_same(std::size_t thread, const std::uint32_t* a) const {
  if (!std::equal(words_[thread].begin(), words_[thread].end(), a)) return false;
  for (std::size_t i = 0; i < pieces_.size(); ++i) {
    if (std::memcmp(pieces_[i], bytes_.data() + i * kPieceBytes, kPieceBytes) != 0) return false;
  }
  return true;
}

void WarpgroupProduct::add_to(std::size_t thread, Sums& sums) const {
  const std::size_t row = thread / kWarpThreads * 16 + thread % kWarpThreads / 4;
  for (std::size_t i = 0; i < kSums; ++i) {
    const auto& a = a_[row + i % 4 / 2 * 8];
    const auto& b = b_[i / 4 * 8 + thread % 4 * 2 + i % 2];
    auto sum = static_cast<double>(sums[i]);
    for (std::size_t k = 0; k < depth_; ++k) sum += a[k] * b[k];
    sums[i] = static_cast<float>(sum);
  }
}

}  // namespace rushlight::cuda::emulation
