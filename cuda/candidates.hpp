// The ways of a kernel among which a measurement may choose.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cuda/calls.hpp"

namespace rushlight::cuda {

struct Candidate {
  std::string_view word;  // in tables of measurements: "64x32"
  Work work;
};

// Calls with the same outcome, bit for bit, the given one first; empty where there is nothing to choose. What would
// change bits (another order of a sum: split products, other precisions) is no candidate, so that results follow
// from the model, the input and the precision, whatever a clock said.
[[nodiscard]] std::vector<Candidate> candidates(const Work& work);

// What decides how long each candidate takes, for a table of measurements: the kernel and the sizes, not the addresses.
[[nodiscard]] std::string sizes_text(const Work& work);

}  // namespace rushlight::cuda
