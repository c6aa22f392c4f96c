// Python's basic slicing, as a view.
#pragma once

#include <string_view>

#include "rushlight/tensor.hpp"

namespace rushlight::cli {

// "0, :8, ::2": indices drop their dimension, ranges keep it; negative numbers count from the end, steps are >= 1.
Result<Tensor> sliced(const Tensor& tensor, std::string_view slice);

}  // namespace rushlight::cli
