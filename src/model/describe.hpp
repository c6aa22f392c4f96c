// How shapes, windows and layers are spelled in messages.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "rushlight/graph.hpp"

namespace rushlight::model {

// "[1, 32, 28, 28]".
[[nodiscard]] std::string shape_text(std::span<const std::int64_t> shape);
// "3x5": height, then width.
[[nodiscard]] std::string pair_text(IntPair pair);
// "layer 'conv1'", or "layer (conv2d)" for one without a name.
[[nodiscard]] std::string layer_text(const Node& node);
// "1 name", "2 names".
[[nodiscard]] std::string count_text(std::size_t count, std::string_view singular);

}  // namespace rushlight::model
