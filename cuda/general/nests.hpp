// Nest: some dimensions of a step's operands, those that stay or those that a statistic is taken over.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "cuda/general/maker.hpp"

namespace rushlight::cuda {

class Nest {
 public:
  void push(std::int64_t size, std::vector<std::int64_t> strides) {
    shape_.push_back(size);
    strides_.push_back(std::move(strides));
  }

  // Whether neighbours along some dimension lie side by side in this operand.
  [[nodiscard]] bool is_adjacent(std::size_t operand) const {
    for (std::size_t d = 0; d < shape_.size(); ++d) {
      if (shape_[d] > 1 && strides_[d][operand] == 1) return true;
    }
    return false;
  }

  template <std::size_t kOperands>
  [[nodiscard]] std::optional<StridedShape<static_cast<int>(kOperands)>> walk(bool in_c_order) const {
    std::array<Strides, kOperands> operands;
    for (const std::vector<std::int64_t>& strides : strides_) {
      for (std::size_t i = 0; i < kOperands; ++i) operands[i].push_back(strides[i]);
    }
    return strided<kOperands>(shape_, operands, in_c_order);
  }

 private:
  Shape shape_;
  std::vector<std::vector<std::int64_t>> strides_;  // of each dimension in each operand
};

// Whether `dims`, of which none means all, has dimension d.
inline bool goes(const Shape& dims, std::size_t d, std::size_t rank) {
  return dims.empty() || std::any_of(dims.begin(), dims.end(), [&](std::int64_t dim) {
           return static_cast<std::size_t>(dim < 0 ? dim + static_cast<std::int64_t>(rank) : dim) == d;
         });
}

}  // namespace rushlight::cuda
