// HashIndex: finds things that lie in a vector elsewhere, by hash. It keeps positions and 32 bits of each hash, never
// the things. Keys come from strangers, so hashes are seeded: nobody can choose keys that all fall together.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace rushlight {

// Different in every process and for every call; results never depend on it.
[[nodiscard]] std::uint64_t random_seed() noexcept;
[[nodiscard]] std::uint64_t hash_text(std::string_view text, std::uint64_t seed) noexcept;
// A pair of numbers, well mixed.
[[nodiscard]] std::uint64_t hash_pair(std::uint64_t a, std::uint64_t b, std::uint64_t seed) noexcept;

// Below this many things, looking at all of them is as quick and needs no memory.
inline constexpr std::size_t kLinearSearch = 8;

class HashIndex {
 public:
  // The position for which is_it(position) holds, among those with this hash.
  template <class IsIt>
  [[nodiscard]] std::optional<std::uint32_t> find(std::uint64_t hash, IsIt&& is_it) const {
    if (slots_.empty()) return std::nullopt;
    const std::uint32_t tag = tag_of(hash);
    for (std::size_t i = tag & mask(); slots_[i].position_plus_1 != 0; i = (i + 1) & mask()) {
      if (slots_[i].tag == tag && is_it(slots_[i].position_plus_1 - 1)) return slots_[i].position_plus_1 - 1;
    }
    return std::nullopt;
  }

  // A thing that is not there yet.
  void insert(std::uint64_t hash, std::uint32_t position) {
    if (2 * (count_ + 1) > slots_.size()) grow(count_ + 1);
    place({tag_of(hash), position + 1});
    ++count_;
  }

  // Room for so many without growing.
  void reserve(std::size_t count) {
    if (2 * count > slots_.size()) grow(count);
  }

 private:
  struct Slot {
    std::uint32_t tag = 0;
    std::uint32_t position_plus_1 = 0;  // 0: free
  };

  static std::uint32_t tag_of(std::uint64_t hash) noexcept { return static_cast<std::uint32_t>(hash >> 32); }
  [[nodiscard]] std::size_t mask() const noexcept { return slots_.size() - 1; }

  void place(Slot slot) {
    std::size_t i = slot.tag & mask();
    while (slots_[i].position_plus_1 != 0) i = (i + 1) & mask();
    slots_[i] = slot;
  }

  // At most half full after `count` insertions.
  void grow(std::size_t count) {
    std::size_t size = 16;
    while (size < 2 * count) size *= 2;
    std::vector<Slot> old(size);
    old.swap(slots_);
    for (const Slot& slot : old) {
      if (slot.position_plus_1 != 0) place(slot);
    }
  }

  std::vector<Slot> slots_;  // a power of two of them
  std::size_t count_ = 0;
};

}  // namespace rushlight
