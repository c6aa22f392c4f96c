#include "pickle/memo.hpp"

#include <algorithm>

namespace rushlight::pickle {

bool Memo::put_beyond(std::uint64_t index, std::uint32_t value) {
  constexpr std::uint64_t kSlack = 1024;
  if (index >= 2 * count_ + kSlack) {
    count_ += sparse_.insert_or_assign(index, value).second ? 1 : 0;
    return true;
  }
  // The array grows past the index; what the tree holds in between moves over, each entry once in its life.
  const std::size_t first_new = dense_.size();
  if (!dense_.grow_by(static_cast<std::size_t>(index) + 1 - first_new)) return false;
  std::fill(dense_.data() + first_new, dense_.data() + dense_.size(), kNothing);
  while (!sparse_.empty() && sparse_.begin()->first < dense_.size()) {
    dense_[static_cast<std::size_t>(sparse_.begin()->first)] = sparse_.begin()->second;
    sparse_.erase(sparse_.begin());
  }
  std::uint32_t& entry = dense_[static_cast<std::size_t>(index)];
  count_ += entry == kNothing ? 1 : 0;
  entry = value;
  return true;
}

}  // namespace rushlight::pickle
