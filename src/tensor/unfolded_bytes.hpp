// How many bytes tensors are when every one is written out: a small file can hold a million views of a few bytes that
// repeat them for terabytes.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "rushlight/result.hpp"
#include "rushlight/tensor.hpp"

namespace rushlight {

// The sum of their logical sizes, meta tensors left out. An error of the category limit where it is out of proportion
// to what is stored: more than 16 times that and 64 GiB beyond. `what` ends the message: "to be hashed".
Result<std::uint64_t> unfolded_bytes(std::span<const Tensor* const> tensors, std::string_view code,
                                     std::string_view what);

}  // namespace rushlight
