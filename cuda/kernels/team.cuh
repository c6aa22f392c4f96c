// A team: the threads that share an item, 1, a warp or a block of them. Each takes every kLanes-th element; what they
// found is joined in an order that depends on kLanes alone, and all of a team get the same bits.
//
// One thread where neighbouring items lie side by side, so that neighbouring threads read neighbouring elements; a warp
// where an item's elements do; a block where an item has thousands.
// Tests: GeneralTeams.EveryLaneHasWhatAllFound.
#pragma once

#include <cstdint>

#include "cuda/kernels/execution.cuh"
#include "cuda/kernels/strided.cuh"

namespace rushlight::cuda {

inline constexpr int kTeamThreads = 256;  // of a block: one team or several
inline constexpr int kTeamWarps = kTeamThreads / kWarpThreads;

struct TeamShared {
  double parts[kTeamWarps];
  double positions[kTeamWarps];
};

// How many threads an item of so many elements is worth. `neighbours`: its elements lie apart, those of the next item
// beside them; then one thread an item reads whole lines, if there are items enough to keep a GPU busy.
inline int lanes_for(std::int64_t items, std::int64_t elements, bool neighbours) noexcept {
  constexpr std::int64_t kManyItems = 16384;
  if (elements <= 4 || (neighbours && (items >= kManyItems || elements <= kWarpThreads))) return 1;
  return elements < 4096 ? kWarpThreads : kTeamThreads;
}

RUSHLIGHT_HOST_DEVICE inline Grid grid_for_teams(std::int64_t items, int lanes) {
  const std::int64_t wanted = ceil_div<std::int64_t>(items, kTeamThreads / lanes);
  return {wanted < kElementBlocks ? wanted : kElementBlocks, kTeamThreads};
}

// A number, and where it was found.
struct Found {
  double value = 0;
  double position = 0;  // below 2^53
};

template <int kLanes, class Block>
class Team {
 public:
  RUSHLIGHT_KERNEL Team(Block& block, TeamShared& shared) : block_(block), shared_(shared) {}

  [[nodiscard]] RUSHLIGHT_KERNEL int lane() const { return block_.thread() % kLanes; }
  // Calls f(item) for the items of this team.
  template <class F>
  RUSHLIGHT_KERNEL void for_each_item(std::int64_t items, F&& f) {
    constexpr int kTeams = kTeamThreads / kLanes;
    for (std::int64_t item = block_.index() * kTeams + block_.thread() / kLanes; item < items;
         item += block_.count() * kTeams) {
      f(item);
    }
  }

  // f(a, b) of all lanes, the lower lane's first; without kPositions those are 0. All of a team call it.
  template <bool kPositions, class F>
  RUSHLIGHT_KERNEL Found join(Found own, F&& f) {
    if constexpr (kLanes > 1) {
      for (int mask = 1; mask < kWarpThreads; mask *= 2) {
        Found other{block_.shuffle_xor(own.value, mask), 0};
        if constexpr (kPositions) other.position = block_.shuffle_xor(own.position, mask);
        own = (block_.thread() & mask) == 0 ? f(own, other) : f(other, own);
      }
    }
    if constexpr (kLanes == kTeamThreads) {
      const int warp = block_.thread() / kWarpThreads;
      block_.sync();  // nobody reads any more what the last join left
      if (block_.thread() % kWarpThreads == 0) {
        shared_.parts[warp] = own.value;
        shared_.positions[warp] = own.position;
      }
      block_.sync();
      own = {shared_.parts[0], shared_.positions[0]};
      for (int i = 1; i < kTeamWarps; ++i) own = f(own, Found{shared_.parts[i], shared_.positions[i]});
    }
    return own;
  }
  [[nodiscard]] RUSHLIGHT_KERNEL double sum(double own) {
    const auto add = [](const Found& a, const Found& b) { return Found{a.value + b.value, 0}; };
    return join<false>(Found{own, 0}, add).value;
  }
  // NaN wins.
  [[nodiscard]] RUSHLIGHT_KERNEL double largest(double own) {
    const auto larger = [](const Found& a, const Found& b) {
      return Found{a.value > b.value || a.value != a.value ? a.value : b.value, 0};
    };
    return join<false>(Found{own, 0}, larger).value;
  }

 private:
  Block& block_;
  TeamShared& shared_;
};

}  // namespace rushlight::cuda
