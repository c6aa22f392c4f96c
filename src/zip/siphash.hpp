// SipHash-1-3 (Aumasson, Bernstein: "SipHash: a fast short-input PRF", 2012; one round a word, three at the end):
// without the key nobody can make names that collide.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/bytes.hpp"

namespace rushlight::zip {

[[nodiscard]] inline std::uint64_t siphash_1_3(ByteSpan bytes, std::uint64_t key0, std::uint64_t key1) noexcept {
  std::uint64_t v0 = key0 ^ 0x736F6D6570736575;  // "somepseudorandomlygeneratedbytes"
  std::uint64_t v1 = key1 ^ 0x646F72616E646F6D;
  std::uint64_t v2 = key0 ^ 0x6C7967656E657261;
  std::uint64_t v3 = key1 ^ 0x7465646279746573;
  const auto round = [&] {
    v0 += v1, v1 = std::rotl(v1, 13), v1 ^= v0, v0 = std::rotl(v0, 32);
    v2 += v3, v3 = std::rotl(v3, 16), v3 ^= v2;
    v0 += v3, v3 = std::rotl(v3, 21), v3 ^= v0;
    v2 += v1, v1 = std::rotl(v1, 17), v1 ^= v2, v2 = std::rotl(v2, 32);
  };
  const auto absorb = [&](std::uint64_t word) {
    v3 ^= word;
    round();
    v0 ^= word;
  };
  std::size_t i = 0;
  for (; i + 8 <= bytes.size(); i += 8) absorb(load_le<std::uint64_t>(bytes.data() + i));
  std::uint64_t last = std::uint64_t{bytes.size() & 0xFF} << 56;
  for (std::size_t shift = 0; i < bytes.size(); ++i, shift += 8)
    last |= std::to_integer<std::uint64_t>(bytes[i]) << shift;
  absorb(last);
  v2 ^= 0xFF;
  round(), round(), round();
  return v0 ^ v1 ^ v2 ^ v3;
}

}  // namespace rushlight::zip
