#include "value/hash_index.hpp"

#include <xxhash.h>

#include <array>
#include <chrono>

namespace rushlight {

std::uint64_t random_seed() noexcept {
  // Where the stack lies and what time it is: enough that a file cannot know it. Nothing secret is protected.
  const int here = 0;
  const auto now = std::chrono::steady_clock::now().time_since_epoch().count();
  return hash_pair(static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(&here)), static_cast<std::uint64_t>(now),
                   0);
}

std::uint64_t hash_text(std::string_view text, std::uint64_t seed) noexcept {
  return XXH3_64bits_withSeed(text.data(), text.size(), seed);
}

std::uint64_t hash_pair(std::uint64_t a, std::uint64_t b, std::uint64_t seed) noexcept {
  const std::array<std::uint64_t, 2> both = {a, b};
  return XXH3_64bits_withSeed(both.data(), sizeof both, seed);
}

}  // namespace rushlight
