// Which attributes an operator may have: what torch's constructors and kernels demand, before any shape is known.
#pragma once

#include <string>

#include "rushlight/graph.hpp"

namespace rushlight::model {

// Fills in what follows from other attributes: a pool's stride is its kernel_size where none is given.
void complete_attributes(Operator& op);

// Empty when the attributes make sense; otherwise what is wrong with the first that does not: "stride: expected at
// least 1, found 0". An attribute that is to be read off the weights may be missing.
[[nodiscard]] std::string attribute_problem(const Operator& op);

}  // namespace rushlight::model
