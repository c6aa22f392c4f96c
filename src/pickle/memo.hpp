// The memo: values that a stream stores under an index to push them again later.
//
// Writers count up from 0, so a dense array serves; the index itself comes from the stream and may be anything (an
// optimiser drops entries and keeps the numbers of the others). Indices beyond twice the number of entries live in a
// tree until the array has grown up to them: memory follows what was stored, never what was claimed (CVE-2018-20406).
#pragma once

#include <cstdint>
#include <map>

#include "pickle/buffer.hpp"

namespace rushlight::pickle {

class Memo {
 public:
  static constexpr std::uint32_t kNothing = 0xFFFFFFFFu;

  // Entries stored, each index counted once: the index MEMOIZE uses next.
  [[nodiscard]] std::uint64_t size() const noexcept { return count_; }

  // kNothing where nothing was stored.
  [[nodiscard]] std::uint32_t get(std::uint64_t index) const noexcept {
    if (index < dense_.size()) return dense_[static_cast<std::size_t>(index)];
    if (sparse_.empty()) return kNothing;
    const auto found = sparse_.find(index);
    return found == sparse_.end() ? kNothing : found->second;
  }

  // Stores or replaces; `value` is not kNothing. False when there is no memory.
  [[nodiscard]] bool put(std::uint64_t index, std::uint32_t value) {
    if (index < dense_.size()) {
      std::uint32_t& entry = dense_[static_cast<std::size_t>(index)];
      count_ += entry == kNothing ? 1 : 0;
      entry = value;
      return true;
    }
    if (index == dense_.size() && sparse_.empty()) {
      ++count_;
      return dense_.push(value);
    }
    return put_beyond(index, value);
  }

  // Forgets all entries but keeps the memory.
  void clear() noexcept {
    dense_.shrink_to(0);
    sparse_.clear();
    count_ = 0;
  }

 private:
  [[nodiscard]] bool put_beyond(std::uint64_t index, std::uint32_t value);

  Buffer<std::uint32_t> dense_;                    // indices below its size; holes are kNothing
  std::map<std::uint64_t, std::uint32_t> sparse_;  // all others
  std::uint64_t count_ = 0;
};

}  // namespace rushlight::pickle
