#include "runtime/arena.hpp"

#include <algorithm>
#include <iterator>
#include <limits>
#include <map>
#include <numeric>
#include <set>
#include <utility>

#include "base/checked.hpp"

namespace rushlight::runtime {
namespace {

// The largest first, each at the lowest offset where nothing that lives at the same time is in the way. Close to
// optimal for networks (Pisarchyk and Lee, "Efficient memory management for deep neural net inference", 2020), but
// quadratic.
ArenaLayout by_size(std::span<const Lifetime> lifetimes) {
  ArenaLayout layout;
  layout.offsets_bytes.resize(lifetimes.size());
  std::vector<std::size_t> order(lifetimes.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return lifetimes[a].size_bytes > lifetimes[b].size_bytes; });
  std::vector<std::size_t> placed;  // by offset
  for (const std::size_t next : order) {
    const Lifetime& lifetime = lifetimes[next];
    std::uint64_t offset = 0;
    for (const std::size_t other : placed) {
      const Lifetime& there = lifetimes[other];
      if (there.last_step < lifetime.first_step || lifetime.last_step < there.first_step) continue;
      if (offset + lifetime.size_bytes <= layout.offsets_bytes[other]) break;
      offset = std::max(offset, layout.offsets_bytes[other] + there.size_bytes);
    }
    layout.offsets_bytes[next] = offset;
    layout.size_bytes = std::max(layout.size_bytes, offset + lifetime.size_bytes);
    const auto place =
        std::upper_bound(placed.begin(), placed.end(), offset,
                         [&](std::uint64_t value, std::size_t other) { return value < layout.offsets_bytes[other]; });
    placed.insert(place, next);
  }
  return layout;
}

// Free ranges below the end of the arena. No two touch.
class Holes {
 public:
  void add(std::uint64_t offset, std::uint64_t size) {
    if (size == 0) return;
    auto after = by_offset_.lower_bound(offset);
    if (after != by_offset_.begin()) {
      const auto before = std::prev(after);
      if (before->first + before->second == offset) {
        offset = before->first;
        size += before->second;
        erase(before);
      }
    }
    if (after != by_offset_.end() && offset + size == after->first) {
      size += after->second;
      erase(after);
    }
    by_offset_.emplace(offset, size);
    by_size_.emplace(size, offset);
  }

  // The narrowest one that is wide enough; what is left of it stays.
  std::optional<std::uint64_t> take(std::uint64_t size) {
    const auto found = by_size_.lower_bound({size, 0});
    if (found == by_size_.end()) return std::nullopt;
    const auto [hole, offset] = *found;
    erase(by_offset_.find(offset));
    if (hole > size) {
      by_offset_.emplace(offset + size, hole - size);
      by_size_.emplace(hole - size, offset + size);
    }
    return offset;
  }

  // Moves `end` down over a hole that reaches up to it.
  std::uint64_t trim(std::uint64_t end) {
    if (by_offset_.empty()) return end;
    const auto last = std::prev(by_offset_.end());
    if (last->first + last->second != end) return end;
    end = last->first;
    erase(last);
    return end;
  }

 private:
  void erase(std::map<std::uint64_t, std::uint64_t>::iterator hole) {
    by_size_.erase({hole->second, hole->first});
    by_offset_.erase(hole);
  }

  std::map<std::uint64_t, std::uint64_t> by_offset_;           // offset, size
  std::set<std::pair<std::uint64_t, std::uint64_t>> by_size_;  // size, offset
};

// In order of time, each in the hole that fits best: for graphs of very many nodes, where the best packing is not worth
// its time.
ArenaLayout by_time(std::span<const Lifetime> lifetimes) {
  ArenaLayout layout;
  layout.offsets_bytes.resize(lifetimes.size());
  std::vector<std::size_t> starts(lifetimes.size());
  std::iota(starts.begin(), starts.end(), std::size_t{0});
  std::vector<std::size_t> ends = starts;
  std::stable_sort(starts.begin(), starts.end(),
                   [&](std::size_t a, std::size_t b) { return lifetimes[a].first_step < lifetimes[b].first_step; });
  std::stable_sort(ends.begin(), ends.end(),
                   [&](std::size_t a, std::size_t b) { return lifetimes[a].last_step < lifetimes[b].last_step; });
  Holes holes;
  std::uint64_t end = 0;  // nothing lives at or beyond it
  std::size_t ended = 0;
  for (const std::size_t next : starts) {
    const Lifetime& lifetime = lifetimes[next];
    if (lifetime.size_bytes == 0) continue;  // at offset 0, like any other place
    for (; ended < ends.size() && lifetimes[ends[ended]].last_step < lifetime.first_step; ++ended) {
      holes.add(layout.offsets_bytes[ends[ended]], lifetimes[ends[ended]].size_bytes);
    }
    end = holes.trim(end);
    if (const std::optional<std::uint64_t> offset = holes.take(lifetime.size_bytes)) {
      layout.offsets_bytes[next] = *offset;
      continue;
    }
    layout.offsets_bytes[next] = end;
    end += lifetime.size_bytes;
    layout.size_bytes = std::max(layout.size_bytes, end);
  }
  return layout;
}

// Beyond this by_size() would take seconds.
constexpr std::size_t kQuadraticLimit = 8192;

}  // namespace

std::optional<ArenaLayout> plan_arena(std::span<const Lifetime> lifetimes, std::uint64_t alignment_bytes) {
  std::vector<Lifetime> rounded(lifetimes.begin(), lifetimes.end());
  std::uint64_t total = 0;
  for (Lifetime& lifetime : rounded) {
    const auto padded = checked_add(lifetime.size_bytes, alignment_bytes - 1);
    if (!padded) return std::nullopt;
    lifetime.size_bytes = *padded / alignment_bytes * alignment_bytes;
    const auto sum = checked_add(total, lifetime.size_bytes);
    if (!sum || *sum > std::uint64_t{std::numeric_limits<std::int64_t>::max()}) return std::nullopt;
    total = *sum;
  }
  return rounded.size() <= kQuadraticLimit ? by_size(rounded) : by_time(rounded);
}

}  // namespace rushlight::runtime
