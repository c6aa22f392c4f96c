// CRC-32 as zip uses it (polynomial 0xEDB88320, reflected; APPNOTE 4.4.7), its algebra, and where a flipped bit lies.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/bytes.hpp"
#include "rushlight/executor.hpp"

namespace rushlight::checksum {

// The CRC of `bytes` appended to data whose CRC is `crc` (0 for none). ISA-L where built in, else libdeflate.
[[nodiscard]] std::uint32_t crc32(ByteSpan bytes, std::uint32_t crc = 0) noexcept;

// As above, in 4 MiB pieces on all threads of `executor` (null: this thread), combined.
[[nodiscard]] std::uint32_t crc32_parallel(ByteSpan bytes, Executor* executor) noexcept;

// The CRC of A ++ B from those of A and B and the length of B.
[[nodiscard]] std::uint32_t crc32_combine(std::uint32_t crc_a, std::uint32_t crc_b, std::uint64_t b_bytes) noexcept;

struct BitPosition {
  std::uint64_t byte = 0;
  unsigned bit = 0;  // 0 is the least significant
};

// If two messages of `size_bytes` bytes differ in one bit, their CRCs differ by x^k mod P for a k that tells which one.
// Solves for k exactly: x generates the whole group (P is primitive), whose order 2^32 - 1 = 3 * 5 * 17 * 257 * 65537
// is so smooth that the discrete logarithm falls apart into five small ones (Pohlig and Hellman). Takes some 100 us and
// no memory. nullopt when no bit position explains the difference, or when size_bytes >= 2^29 and positions are no
// longer unique. Other damage is taken for a flipped bit with probability size_bytes / 2^29.
[[nodiscard]] std::optional<BitPosition> locate_flipped_bit(std::uint32_t crc_difference,
                                                            std::uint64_t size_bytes) noexcept;

// "libdeflate", "isa-l": for --version and bench.
[[nodiscard]] const char* crc32_implementation() noexcept;

}  // namespace rushlight::checksum
