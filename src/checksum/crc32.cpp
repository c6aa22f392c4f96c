#include "checksum/crc32.hpp"

#include <algorithm>
#include <array>

#if defined(RUSHLIGHT_USE_ISAL)
#include <isa-l/crc.h>
#else
#include <libdeflate.h>
#endif

#include "checksum/crc32_algebra.hpp"

namespace rushlight::checksum {

std::uint32_t crc32(ByteSpan bytes, std::uint32_t crc) noexcept {
  // ISA-L and libdeflate both take an empty span as "give me the initial value" or hand back `crc`, depending on the
  // pointer; the answer here is always `crc`.
  if (bytes.empty()) return crc;
#if defined(RUSHLIGHT_USE_ISAL)
  return ::crc32_gzip_refl(crc, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
#else
  return ::libdeflate_crc32(crc, bytes.data(), bytes.size());
#endif
}

std::uint32_t crc32_parallel(ByteSpan bytes, Executor* executor) noexcept {
  constexpr std::size_t kPieceBytes = std::size_t{4} << 20;
  if (executor == nullptr || executor->concurrency() == 1 || bytes.size() <= kPieceBytes) return crc32(bytes);
  // As many pieces at a time as fit an array: nothing is allocated, whatever the size.
  std::array<std::uint32_t, 256> crcs;
  const std::uint32_t shift = power_of_x(8 * std::uint64_t{kPieceBytes});
  std::uint32_t crc = 0;
  while (bytes.size() >= kPieceBytes) {
    const std::size_t pieces = std::min(bytes.size() / kPieceBytes, crcs.size());
    executor->for_each_index(pieces,
                             [&](std::size_t i) { crcs[i] = crc32(bytes.subspan(i * kPieceBytes, kPieceBytes)); });
    for (std::size_t i = 0; i < pieces; ++i) crc = multiply(crc, shift) ^ crcs[i];
    bytes = bytes.subspan(pieces * kPieceBytes);
  }
  return crc32(bytes, crc);
}

std::uint32_t crc32_combine(std::uint32_t crc_a, std::uint32_t crc_b, std::uint64_t b_bytes) noexcept {
  // CRC(A ++ B) = CRC(A) * x^(8 |B|) + CRC(B): the inversions before and after cancel out. The exponent counts modulo
  // the order of x, which keeps 8 |B| from overflowing.
  return multiply(crc_a, power_of_x(b_bytes % kOrderOfX * 8)) ^ crc_b;
}

const char* crc32_implementation() noexcept {
#if defined(RUSHLIGHT_USE_ISAL)
  return "isa-l";
#else
  return "libdeflate";
#endif
}

}  // namespace rushlight::checksum
