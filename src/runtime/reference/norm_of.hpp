// torch.linalg.vector_norm, fed element by element.
#pragma once

#include <cmath>

namespace rushlight::runtime::reference {

class VectorNormOf {
 public:
  VectorNormOf() noexcept = default;
  explicit VectorNormOf(double ord) noexcept : ord_(ord), sum_(ord == -HUGE_VAL ? HUGE_VAL : 0.0) {}

  void add(double x) noexcept {
    const double size = std::fabs(x);
    if (std::isinf(ord_)) {
      const bool replaces = ord_ > 0 ? size > sum_ : size < sum_;
      if (replaces || std::isnan(x)) sum_ = std::isnan(sum_) ? sum_ : size;
    } else if (ord_ == 0) {
      sum_ += x != 0 ? 1 : 0;
    } else if (ord_ == 1) {
      sum_ += size;
    } else if (ord_ == 2) {
      sum_ += x * x;
    } else {
      sum_ += std::pow(size, ord_);
    }
  }
  [[nodiscard]] double value() const noexcept {
    if (std::isinf(ord_) || ord_ == 0 || ord_ == 1) return sum_;
    return ord_ == 2 ? std::sqrt(sum_) : std::pow(sum_, 1 / ord_);
  }

 private:
  double ord_ = 2;
  double sum_ = 0;
};

}  // namespace rushlight::runtime::reference
