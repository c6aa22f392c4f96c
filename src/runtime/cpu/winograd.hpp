// Winograd's minimal filtering for 3x3 convolutions. With stride 1: F(2x2) needs 2.25, F(2x4) 3 and F(4x4) 4 times
// fewer products than the direct way, for sums before and after them and for weights that take 16 / 9, 24 / 9 or 4
// times the memory. With stride 2 (kernels/winograd.inc) F(2x2) needs 1.44 and F(4x4) 1.78 times fewer, for weights
// that take 16 / 9 or 4 times the memory.
//
// Their errors: what a sum of products rounds is carried through the sums behind it, which F(4) along a line makes
// about twice what F(2) makes it. F(2x4) adds its products up in chains of a quarter of F(2x2)'s, and is then as exact;
// with few channels there is little to be gained that way. F(4x4) costs about a decimal digit: Precision::strict does
// not use it. With stride 2 it costs less, and in strict it adds up as F(2x4) does. All multiply floats, in
// Precision::bf16 too, where they stand against a direct way that is faster than usual.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string_view>

#include "runtime/backend.hpp"
#include "runtime/cpu/conv_choice.hpp"
#include "runtime/cpu/kernels/kernels.hpp"
#include "runtime/cpu/op.hpp"
#include "runtime/cpu/packed_weights.hpp"
#include "runtime/plan.hpp"
#include "rushlight/result.hpp"

namespace rushlight::runtime::cpu {

// Of a tile: output pixels down and across, and input pixels likewise.
struct WinogradTiling {
  std::size_t outputs_down;
  std::size_t outputs_across;
  std::size_t stride = 1;

  [[nodiscard]] constexpr std::size_t rows() const noexcept { return (outputs_down - 1) * stride + 3; }
  [[nodiscard]] constexpr std::size_t columns() const noexcept { return (outputs_across - 1) * stride + 3; }
  [[nodiscard]] constexpr std::size_t positions() const noexcept { return rows() * columns(); }
  [[nodiscard]] constexpr std::size_t outputs() const noexcept { return outputs_down * outputs_across; }
  // Of each output: with stride 2 the last positions of a line or column have the same, as many as outputs.
  [[nodiscard]] constexpr std::size_t filters() const noexcept {
    return stride == 1 ? positions() : (outputs_down + 2) * (outputs_across + 2);
  }
  [[nodiscard]] constexpr std::size_t filter_of(std::size_t position) const noexcept {
    if (stride == 1) return position;
    const std::size_t row = std::min(position / columns(), outputs_down + 1);
    const std::size_t column = std::min(position % columns(), outputs_across + 1);
    return row * (outputs_across + 2) + column;
  }
};

// The tiles of a picture's outputs. The last of a line or column may have fewer outputs than the others: 14 outputs are
// 4 + 4 + 4 + 2. It then has less to multiply, by the same weights.
struct WinogradGrid {
  // By which of a tile's sides are cut off. Tiles that need a position are of groups in a row.
  enum Group : std::size_t { corner, bottom, inner, right, kGroups };

  WinogradTiling tiling;
  std::size_t height;  // outputs
  std::size_t width;

  [[nodiscard]] constexpr std::size_t down() const noexcept { return tiles_of(height, tiling.outputs_down); }
  [[nodiscard]] constexpr std::size_t across() const noexcept { return tiles_of(width, tiling.outputs_across); }
  [[nodiscard]] constexpr std::size_t rows_left() const noexcept { return height % tiling.outputs_down; }
  [[nodiscard]] constexpr std::size_t columns_left() const noexcept { return width % tiling.outputs_across; }

  [[nodiscard]] constexpr Group group_of(std::size_t tile_down, std::size_t tile_across) const noexcept {
    const bool is_low = (tile_down + 1) * tiling.outputs_down > height;
    const bool is_narrow = (tile_across + 1) * tiling.outputs_across > width;
    if (is_low) return is_narrow ? corner : bottom;
    return is_narrow ? right : inner;
  }
  // Tiles of a picture.
  [[nodiscard]] constexpr std::size_t tiles_in(Group group) const noexcept {
    const bool is_low = group == corner || group == bottom;
    const bool is_narrow = group == corner || group == right;
    const std::size_t rows = is_low ? rows_left() != 0 : height / tiling.outputs_down;
    const std::size_t columns = is_narrow ? columns_left() != 0 : width / tiling.outputs_across;
    return rows * columns;
  }
  struct Groups {
    std::size_t first;
    std::size_t last;  // the one behind the last
  };
  [[nodiscard]] constexpr Groups groups_for(std::size_t position) const noexcept {
    const bool low = needs(tiling.outputs_down, rows_left(), position / tiling.columns());
    const bool narrow = needs(tiling.outputs_across, columns_left(), position % tiling.columns());
    if (low) return narrow ? Groups{corner, kGroups} : Groups{bottom, right};
    return narrow ? Groups{inner, kGroups} : Groups{inner, right};
  }
  // Whether its tiles go through the transforms of F(2) along a line or column of F(4)'s (WinogradKernels).
  [[nodiscard]] constexpr bool is_short_down(Group group) const noexcept {
    return (group == corner || group == bottom) && rows_left() * 2 <= tiling.outputs_down;
  }
  [[nodiscard]] constexpr bool is_short_across(Group group) const noexcept {
    return (group == corner || group == right) && columns_left() * 2 <= tiling.outputs_across;
  }

 private:
  static constexpr std::size_t tiles_of(std::size_t outputs, std::size_t each) noexcept {
    return (outputs + each - 1) / each;
  }
  // Whether the first `left` outputs of `whole` need this position of a line (kernels/winograd.inc); none are left
  // where there are whole tiles alone.
  [[nodiscard]] constexpr bool needs(std::size_t whole, std::size_t left, std::size_t position) const noexcept {
    if (left == 0) return true;
    // Of the middle tap's products each output has its own.
    const std::size_t points = tiling.stride == 2 ? whole + 1 : whole + 2;
    if (position >= points) return position - points < left;
    // With half the outputs or fewer two points of F(4) are left out.
    if (whole == 4 && left <= 2 && (position == points - 3 || position == points - 2)) return false;
    const bool is_infinity = position == points - 1;
    return !is_infinity || (whole == 4 && left == 2);
  }
};

// The ways there are, each with what belongs to it.
struct WinogradForm {
  ConvAlgorithm algorithm;
  Packing packing;
  WinogradTiling tiling;
  WinogradKernels Kernels::*kernels;
  std::string_view text;  // for people
};
inline constexpr WinogradForm kWinogradForms[] = {
    {ConvAlgorithm::winograd2, Packing::winograd2, {2, 2}, &Kernels::winograd2, "winograd 2x2"},
    {ConvAlgorithm::winograd2x4, Packing::winograd2x4, {2, 4}, &Kernels::winograd2x4, "winograd 2x4"},
    {ConvAlgorithm::winograd4, Packing::winograd4, {4, 4}, &Kernels::winograd4, "winograd 4x4"},
    {ConvAlgorithm::winograd2_strided,
     Packing::winograd2_strided,
     {2, 2, 2},
     &Kernels::winograd2_strided,
     "winograd 2x2, stride 2"},
    {ConvAlgorithm::winograd4_strided,
     Packing::winograd4_strided,
     {4, 4, 2},
     &Kernels::winograd4_strided,
     "winograd 4x4, stride 2"},
};
// Null for `direct`, and for packings that are not of these.
[[nodiscard]] constexpr const WinogradForm* winograd_form(ConvAlgorithm algorithm) noexcept {
  for (const WinogradForm& form : kWinogradForms) {
    if (form.algorithm == algorithm) return &form;
  }
  return nullptr;
}
[[nodiscard]] constexpr const WinogradForm* winograd_form(Packing packing) noexcept {
  for (const WinogradForm& form : kWinogradForms) {
    if (form.packing == packing) return &form;
  }
  return nullptr;
}
// Products in a chain of each position's sums.
[[nodiscard]] constexpr std::size_t winograd_chain(ConvAlgorithm algorithm, std::size_t channels,
                                                   Precision precision) noexcept {
  const bool is_short = algorithm == ConvAlgorithm::winograd2x4 ||
                        (algorithm == ConvAlgorithm::winograd4_strided && !takes_fast_ways(precision));
  if (!is_short) return kGemmChain;
  return channels < kGemmChain ? kGemmChain / 8 : kGemmChain / 4;
}

// Values that pass WinogradInputCall's test are below 2^64, their transforms below 2^69: sums of 2^16 products with
// weights that are smaller than this stay finite.
inline constexpr float kMostWinogradWeight = 1099511627776.0F;  // 2^40

// [panel][filter][in][width] from the weights of 3x3 windows; G g G'^T in double. `is_usual` becomes false where a
// weight is not finite or so large that products could overflow that the direct way would not form.
[[nodiscard]] Result<std::shared_ptr<PackedArray>> pack_winograd(const WeightSource& weight, std::size_t width,
                                                                 const WinogradForm& form, const Kernels& kernels);

// Null where the weights are not usual ones: then the direct way it is. With a pooling of quads tiles are pooled as
// they are made, and the convolution's own output has no memory.
[[nodiscard]] MadeOp make_winograd_op(const ConvStep& step, ConvAlgorithm algorithm, const OpContext& context,
                                      const MaxPoolStep* pool = nullptr);
// The same for a stripe: rows are whole lines of the convolution's output that begin with a line of tiles and end with
// one or with the picture; run_rows() takes the pooling's output where there is one. Of a cache so much is for it.
[[nodiscard]] Result<std::unique_ptr<RowsOp>> make_winograd_rows_op(const ConvStep& step, ConvAlgorithm algorithm,
                                                                    const OpContext& context, const MaxPoolStep* pool,
                                                                    std::size_t cache_bytes);

}  // namespace rushlight::runtime::cpu
