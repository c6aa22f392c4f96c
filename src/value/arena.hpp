// Arena: memory for what lives exactly as long as a graph. Chunks double up to 1 MiB; nothing is given back before the
// end, and nothing is ever destroyed one by one.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

namespace rushlight {

class Arena {
 public:
  // `bytes` of uninitialised memory, aligned for pointers.
  [[nodiscard]] void* allocate(std::size_t bytes) {
    const std::size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
    if (rounded > left_) grow(rounded);
    std::byte* const taken = next_;
    next_ += rounded;
    left_ -= rounded;
    return taken;
  }

  [[nodiscard]] std::string_view copy(std::string_view text) {
    if (text.empty()) return {};
    char* const data = static_cast<char*>(allocate(text.size()));
    std::memcpy(data, text.data(), text.size());
    return {data, text.size()};
  }

 private:
  static constexpr std::size_t kAlignment = alignof(std::uint64_t);
  static constexpr std::size_t kFirstChunk = 256;
  static constexpr std::size_t kLargestChunk = std::size_t{1} << 20;

  void grow(std::size_t bytes) {
    const std::size_t size = std::max(bytes, chunk_);
    chunks_.push_back(std::unique_ptr<std::byte[]>(new std::byte[size]));
    next_ = chunks_.back().get();
    left_ = size;
    chunk_ = std::min(2 * chunk_, kLargestChunk);
  }

  std::vector<std::unique_ptr<std::byte[]>> chunks_;
  std::byte* next_ = nullptr;
  std::size_t left_ = 0;
  std::size_t chunk_ = kFirstChunk;
};

}  // namespace rushlight
