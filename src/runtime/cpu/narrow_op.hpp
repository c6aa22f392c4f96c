// Convolutions and Linear by products of narrow numbers (narrow_choice.hpp).
#pragma once

#include <memory>

#include "runtime/cpu/adjacent_rows.hpp"
#include "runtime/cpu/op.hpp"
#include "runtime/cpu/window_rows.hpp"
#include "runtime/plan.hpp"
#include "rushlight/result.hpp"

namespace rushlight::runtime::cpu {

// As of floats; context.narrow says how to multiply.
[[nodiscard]] Result<std::unique_ptr<RowsOp>> make_narrow_op(AdjacentRows rows, const ConvStep& step,
                                                             const OpContext& context);
[[nodiscard]] Result<std::unique_ptr<RowsOp>> make_narrow_op(WindowRows rows, const ConvStep& step,
                                                             const OpContext& context);
[[nodiscard]] Result<std::unique_ptr<RowsOp>> make_narrow_op(AdjacentRows rows, const LinearStep& step,
                                                             const OpContext& context);
// Whether such a convolution rounds its operands: where there is too little to multiply, weights are widened instead.
// Of tensors that are bfloat16 already it always does.
[[nodiscard]] bool multiplies_staged(const ConvStep& step, const PlannedTensor& input, const PlannedTensor& output,
                                     const NarrowProducts& products) noexcept;
// Windows read where they lie (narrow_window_op.cpp). Null where it would not pay, or the instructions cannot.
[[nodiscard]] Result<std::unique_ptr<RowsOp>> make_narrow_window_op(const ConvStep& step, const OpContext& context);

}  // namespace rushlight::runtime::cpu
