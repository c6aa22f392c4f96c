// Memory for floats and scratch, aligned to a cache line. Says no instead of throwing.
#pragma once

#include <sys/mman.h>

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
    const auto size = static_cast<std::size_t>(size_bytes);
    const bool is_large = size_bytes >= kLargeBytes;
    const std::align_val_t alignment{is_large ? kHugePage : kCacheLine};
    buffer.size_bytes_ = size;
    buffer.bytes_ = {static_cast<std::byte*>(::operator new(size, alignment, std::nothrow)), Free{alignment}};
#if defined(MADV_HUGEPAGE)
    // Weights are read once from end to end: with small pages the walks through page tables cost a tenth of the time.
    // Advice alone: what the system makes of it changes nothing but speed.
    if (is_large && buffer.data() != nullptr) {
      static_cast<void>(madvise(buffer.data(), size / kHugePage * kHugePage, MADV_HUGEPAGE));
    }
#endif
    return buffer;
  }
  [[nodiscard]] std::byte* data() const noexcept {
    return bytes_.get();
  }
  // As asked for, where there is memory.
  [[nodiscard]] std::size_t size_bytes() const noexcept {
    return bytes_ == nullptr ? 0 : size_bytes_;
  }
  [[nodiscard]] float* floats() const noexcept {
    return reinterpret_cast<float*>(bytes_.get());
  }

 private:
  static constexpr std::size_t kHugePage = std::size_t{2} << 20;
  static constexpr std::uint64_t kLargeBytes = 2 * kHugePage;

  struct Free {
    std::align_val_t alignment;
    void operator()(std::byte* bytes) const noexcept { ::operator delete(bytes, alignment); }
  };
  std::unique_ptr<std::byte, Free> bytes_;
  std::size_t size_bytes_ = 0;
};

}  // namespace rushlight::runtime::cpu
