// What containers of tensors hold: names, each once, and tensors.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "rushlight/tensor.hpp"
#include "value/arena.hpp"
#include "value/hash_index.hpp"

namespace rushlight::interchange {

struct NamedTensor {
  std::string name;
  Tensor tensor;
};

// Names met so far. Strangers choose them, so the hashes are seeded.
class NameSet {
 public:
  // False when it is there already.
  bool insert(std::string_view name) {
    const std::uint64_t hash = hash_text(name, seed_);
    if (index_.find(hash, [&](std::uint32_t position) { return names_[position] == name; })) return false;
    index_.insert(hash, static_cast<std::uint32_t>(names_.size()));
    names_.push_back(texts_.copy(name));
    return true;
  }

 private:
  std::uint64_t seed_ = random_seed();
  Arena texts_;
  std::vector<std::string_view> names_;
  HashIndex index_;
};

}  // namespace rushlight::interchange
