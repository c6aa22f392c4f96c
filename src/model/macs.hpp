// How much arithmetic a node is: what `summary` prints and `bench` divides by.
#pragma once

#include <cstdint>
#include <span>

#include "rushlight/operators.hpp"

namespace rushlight::model {

// Places of a window of this size.
[[nodiscard]] constexpr std::int64_t taps(std::int64_t kernel) noexcept {
  return kernel;
}
[[nodiscard]] constexpr std::int64_t taps(IntPair kernel) noexcept {
  return kernel.h * kernel.w;
}
[[nodiscard]] constexpr std::int64_t taps(IntTriple kernel) noexcept {
  return kernel.d * kernel.h * kernel.w;
}

// Multiply-adds of convolutions, transposed convolutions, Linear, Bilinear and matrix products, with shapes as
// inference gives them: those of the first input and the first output. 0 for everything else, and where a size is not
// known; the largest number where there are more. Products with padding count, as elsewhere.
[[nodiscard]] std::int64_t macs_of(const Operator& op, std::span<const std::int64_t> input,
                                   std::span<const std::int64_t> output) noexcept;

}  // namespace rushlight::model
