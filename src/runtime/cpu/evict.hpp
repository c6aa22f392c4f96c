// Memory that no cache has: what a measurement finds must be what a run finds.
#pragma once

#include <cstddef>

#include "runtime/cpu/aligned_buffer.hpp"

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

namespace rushlight::runtime::cpu {

#if defined(__x86_64__) || defined(__aarch64__)
inline constexpr bool kCanEvict = true;
#else
inline constexpr bool kCanEvict = false;
#endif

// Writes back what these bytes hold and takes them out of the caches of all cores. Where the processor lets no program
// do that (kCanEvict) nothing happens.
inline void evict(const AlignedBuffer& buffer) noexcept {
  [[maybe_unused]] const std::byte* const first = buffer.data();
  [[maybe_unused]] const std::byte* const last = first + buffer.size_bytes();
#if defined(__x86_64__)
  for (const std::byte* line = first; line < last; line += kCacheLine) _mm_clflush(line);
  _mm_mfence();
#elif defined(__aarch64__)
  for (const std::byte* line = first; line < last; line += kCacheLine)
    asm volatile("dc civac, %0" : : "r"(line) : "memory");
  asm volatile("dsb sy" : : : "memory");
#endif
}

}  // namespace rushlight::runtime::cpu
