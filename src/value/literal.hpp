// Python's notation of dict keys, for names: short, and only where it says everything.
#pragma once

#include <cstddef>
#include <string>

#include "value/node.hpp"

namespace rushlight {

// As Python's repr(): 0.5, 1e+16, nan.
[[nodiscard]] std::string python_float(double value);

// The key of the entry at `position`: "(1, 'a')", "True", "b'\x00'". Where there is no notation, it is long or nested
// deeply, or could be written twice in one dict (NaN): "<torch.Tensor #0>", the class and the position.
[[nodiscard]] std::string key_literal(const ValueGraph& graph, NodeId key, std::size_t position);

}  // namespace rushlight
