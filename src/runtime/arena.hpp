// One block of memory for everything that lives between steps: who gets which offset.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace rushlight::runtime {

// Something that needs memory from the beginning of one step to the end of another, both included.
struct Lifetime {
  std::uint64_t size_bytes = 0;
  std::size_t first_step = 0;
  std::size_t last_step = 0;
};

struct ArenaLayout {
  std::vector<std::uint64_t> offsets_bytes;  // one a lifetime
  std::uint64_t size_bytes = 0;
};

// Offsets are multiples of `alignment_bytes`; lifetimes that share a step share no byte. Deterministic.
// nullopt when the sizes add up to more than 63 bits can count.
[[nodiscard]] std::optional<ArenaLayout> plan_arena(std::span<const Lifetime> lifetimes, std::uint64_t alignment_bytes);

}  // namespace rushlight::runtime
