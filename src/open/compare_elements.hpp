// How the elements of two tensors of one dtype differ, in numbers, piece by piece.
#pragma once

#include <cstdint>

#include "base/bytes.hpp"
#include "rushlight/dtype.hpp"

namespace rushlight::open {

struct Tolerance {
  double rtol = 0;
  double atol = 0;
};

// Of a run of elements. Runs are added up in the order of the elements, so that sums do not depend on threads.
struct ElementTally {
  std::int64_t elements = 0;
  std::int64_t different = 0;  // beyond the tolerance
  std::int64_t unequal = 0;    // other bits
  std::int64_t nan = 0;        // of the different ones
  double max_abs = -1;         // none yet
  std::int64_t max_abs_at = 0;
  double max_rel = 0;
  std::uint64_t max_ulp = 0;
  double sum_aa = 0;  // squares of a, of b, and of the difference; the product
  double sum_bb = 0;
  double sum_ab = 0;
  double sum_dd = 0;

  void append(const ElementTally& next) noexcept;
};

// Whether a dtype has numbers to measure: all but bits and values that share a byte.
[[nodiscard]] bool has_numbers(DType dtype) noexcept;
// Whether they are floats, or pairs of them.
[[nodiscard]] bool has_ulps(DType dtype) noexcept;

// `a` and `b` are as long, and whole elements.
[[nodiscard]] ElementTally compare_elements(DType dtype, ByteSpan a, ByteSpan b, const Tolerance& tolerance) noexcept;

}  // namespace rushlight::open
