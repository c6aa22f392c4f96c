// Memory for floats and scratch, aligned to a cache line. Says no instead of throwing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>

namespace rushlight::runtime::cpu {

inline constexpr std::size_t kCacheLine = 64;

// Bytes of no particular value.
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  // Empty when there is no memory, or no bytes were asked for.
  static AlignedBuffer allocate(std::uint64_t size_bytes) {
    AlignedBuffer buffer;
    if (size_bytes == 0) return buffer;
    void* memory = ::operator new (static_cast<std::size_t>(size_bytes), std::align_val_t{kCacheLine}, std::nothrow);
    buffer.bytes_.reset(static_cast<std::byte*>(memory));
    return buffer;
  }
  [[nodiscard]] std::byte* data() const noexcept { return bytes_.get(); }
  [[nodiscard]] float* floats() const noexcept { return reinterpret_cast<float*>(bytes_.get()); }

 private:
  struct Free {
    void operator()(std::byte* bytes) const noexcept { ::operator delete (bytes, std::align_val_t{kCacheLine}); }
  };
  std::unique_ptr<std::byte, Free> bytes_;
};

}  // namespace rushlight::runtime::cpu
