// Memory for tests: it says how often it was asked for its bytes.
#pragma once

#include <atomic>
#include <cstddef>
#include <vector>

#include "tensor/memory.hpp"

namespace rushlight::test {

// Bytes 0, 1, 2 ..., and how often they were asked for; or an error.
class CountingMemory final : public Memory {
 public:
  explicit CountingMemory(std::size_t size_bytes, bool fails = false) : bytes_(size_bytes), fails_(fails) {
    for (std::size_t i = 0; i < size_bytes; ++i) bytes_[i] = static_cast<std::byte>(i);
  }
  [[nodiscard]] std::uint64_t size_bytes() const noexcept override { return bytes_.size(); }
  [[nodiscard]] Device device() const noexcept override { return Device::cpu(); }
  [[nodiscard]] std::string_view recorded_device() const noexcept override { return "cuda:3"; }
  [[nodiscard]] std::string_view record() const noexcept override { return "data/7"; }
  [[nodiscard]] Integrity integrity() const noexcept override { return Integrity::verified; }
  [[nodiscard]] Result<ByteSpan> bytes() override {
    ++asked;
    if (fails_) return Error::of({.category = Category::crc, .code = "CRC-MISMATCH", .message = "damaged"});
    return ByteSpan(bytes_);
  }
  std::atomic<int> asked{0};

 private:
  std::vector<std::byte> bytes_;
  bool fails_;
};

inline std::vector<int> numbers(ByteSpan bytes) {
  std::vector<int> out;
  for (const std::byte b : bytes) out.push_back(std::to_integer<int>(b));
  return out;
}

}  // namespace rushlight::test
