// Winograd's minimal filtering for 3x3 convolutions with stride 1: F(2x2) needs 2.25 and F(4x4) 4 times fewer products
// than the direct way, for sums before and after them and for weights that take 16 / 9 or 4 times the memory.
//
// F(2x2) is as exact as the direct way. F(4x4) costs about a decimal digit: Precision::strict does not use it. Both
// multiply floats, in Precision::bf16 too, where they stand against a direct way that is faster than usual.
#pragma once

#include <cstddef>
#include <memory>

#include "runtime/backend.hpp"
#include "runtime/cpu/conv_choice.hpp"
#include "runtime/cpu/kernels/kernels.hpp"
#include "runtime/cpu/op.hpp"
#include "runtime/cpu/packed_weights.hpp"
#include "runtime/plan.hpp"
#include "rushlight/result.hpp"

namespace rushlight::runtime::cpu {

// Output pixels along one side of a tile, and input pixels.
[[nodiscard]] constexpr std::size_t winograd_outputs(ConvAlgorithm algorithm) noexcept {
  return algorithm == ConvAlgorithm::winograd4 ? 4 : 2;
}
[[nodiscard]] constexpr std::size_t winograd_tile(ConvAlgorithm algorithm) noexcept {
  return winograd_outputs(algorithm) + 2;
}

// [panel][position][in][width] from the weights of 3x3 windows; G g G^T in double. `is_usual` becomes false where a
// weight is not finite or so large that products could overflow that the direct way would not form.
[[nodiscard]] Result<std::shared_ptr<PackedArray>> pack_winograd(const WeightSource& weight, std::size_t width,
                                                                 ConvAlgorithm algorithm, const Kernels& kernels);

// Null where the weights are not usual ones: then the direct way it is.
[[nodiscard]] MadeOp make_winograd_op(const ConvStep& step, ConvAlgorithm algorithm, const OpContext& context);

}  // namespace rushlight::runtime::cpu
