// Minimal filtering along the lines of planes, for the first convolution of a network: 7 taps with stride 2, or 3 taps,
// for two or four outputs at a time (line_form.hpp). Along both axes the sums behind the products would be most of the
// work, since there are few channels.
//
// Of two outputs: 9 products instead of 14, or 4 instead of 6, with errors like those of the direct way. Of four: 13
// instead of 28, or 6 instead of 12, for errors of 2.5 times the size: Precision::strict does not use it.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

#include "runtime/constant.hpp"
#include "runtime/cpu/kernels/kernels.hpp"
#include "runtime/cpu/line_form.hpp"
#include "runtime/cpu/op.hpp"
#include "runtime/cpu/packed_weights.hpp"
#include "runtime/plan.hpp"
#include "rushlight/result.hpp"

namespace rushlight::runtime::cpu {

struct LineForm {
  Packing packing;
  std::size_t taps;
  std::size_t stride;
  std::size_t outputs;    // of a group
  std::size_t positions;  // products of a line's group, for each channel and output
  LineKernels LineFilters::*kernels;
  std::string_view text;  // for people
};
inline constexpr LineForm kLineForms[] = {
    {Packing::line7_by2_of2, 7, 2, 2, LineFormOf<7, 2, 2>::kPositions, &LineFilters::taps7_by2_of2, "winograd 1x2"},
    {Packing::line7_by2_of4, 7, 2, 4, LineFormOf<7, 2, 4>::kPositions, &LineFilters::taps7_by2_of4, "winograd 1x4"},
    {Packing::line3_of2, 3, 1, 2, LineFormOf<3, 1, 2>::kPositions, &LineFilters::taps3_of2, "winograd 1x2"},
    {Packing::line3_of4, 3, 1, 4, LineFormOf<3, 1, 4>::kPositions, &LineFilters::taps3_of4, "winograd 1x4"},
};
[[nodiscard]] const LineForm* line_form(Packing packing) noexcept;

// [vector of outputs][line][channel][position][width]. `is_usual` as pack_winograd() has it.
[[nodiscard]] Result<std::shared_ptr<PackedArray>> pack_line_filter(const WeightSource& weight, std::size_t width,
                                                                    const LineForm& form);

// A convolution on a planar input, or of one channel, in whole lines; null for others, where no form suits it, or where
// weights are unusual.
[[nodiscard]] Result<std::unique_ptr<RowsOp>> make_line_filter_op(const ConvStep& step, const OpContext& context);

}  // namespace rushlight::runtime::cpu
