// Names a stream mentions, each once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "pickle/machine.hpp"

namespace rushlight::pickle {

// Longer names of modules and classes are refused: no file has one, and each is compared and printed.
inline constexpr std::uint64_t kMaxNameBytes = 65'535;

struct Mention {
  std::string_view module;
  std::string_view name;
  std::uint64_t offset = 0;
};

// Collects the first mention of each name. Memory follows the number of distinct names, and time is n log n in the
// bytes of their texts, however often and by whatever opcode they are mentioned.
class DistinctGlobals {
 public:
  // In stream order. The texts must outlive take().
  void add(const Mention& mention) {
    mentions_.push_back(mention);
    if (mentions_.size() >= compact_at_) compact();
  }
  [[nodiscard]] std::vector<NamedGlobal> take();

 private:
  void compact();

  std::vector<Mention> mentions_;
  std::size_t compact_at_ = 4096;
};

}  // namespace rushlight::pickle
