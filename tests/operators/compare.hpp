// When a result is right: the rules of operators/README.md in the test data.
#pragma once

#include <cstdint>
#include <string>

#include "operators/operator_case.hpp"

namespace rushlight::test {

enum class Rule : std::uint8_t {
  exact,       // moves values, or picks, compares or rounds them
  pointwise,   // one element at a time: magnitudes mix, each is judged by itself
  cancelling,  // likewise, of an operator that cancels: GELU, Tanhshrink
  largest,     // sums: judged by the largest value
};

struct Verdict {
  std::string problem;     // empty: it is right
  double largest = 0;      // of the finite values, in double
  double error = 0;        // the worst of what was computed
  double torch_error = 0;  // PyTorch's own
};

[[nodiscard]] Verdict compare(Rule rule, const Expected& expected, const Tensor& found);

}  // namespace rushlight::test
