#include "runtime/reference/call.hpp"

#include <algorithm>

namespace rushlight::runtime::reference {

void* Scratch::take_bytes(std::size_t size) {
  constexpr std::size_t kLeastBlock = std::size_t{64} << 10;
  constexpr std::size_t kAlignment = alignof(std::max_align_t);
  size = (size + kAlignment - 1) / kAlignment * kAlignment;
  for (; block_ < blocks_.size(); ++block_, used_ = 0) {
    Block& block = blocks_[block_];
    if (block.size - used_ < size) continue;
    void* const piece = block.bytes.get() + used_;
    used_ += size;
    return piece;
  }
  const std::size_t block_size = std::max(size, kLeastBlock);
  blocks_.push_back({std::make_unique<std::byte[]>(block_size), block_size});
  used_ = size;
  return blocks_.back().bytes.get();
}

std::span<const float> Call::parameter(std::string_view name) const {
  for (const Parameter& each : parameters) {
    if (each.name != name) continue;
    // Model has made them float32 in C order, and read them.
    const auto values = each.tensor.values<float>();
    return values ? *values : std::span<const float>();
  }
  return {};
}

}  // namespace rushlight::runtime::reference
