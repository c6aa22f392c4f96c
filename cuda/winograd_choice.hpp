// Which convolutions go through Winograd's algorithm (kernels/winograd.cuh), and how many images at a time.
#pragma once

#include <cstdint>
#include <optional>

#include "cuda/kernels/winograd.cuh"
#include "runtime/plan.hpp"
#include "rushlight/precision.hpp"

namespace rushlight::cuda {

struct WinogradChoice {
  WinogradTile tile = WinogradTile::outputs2;
  std::int64_t images_at_a_time = 1;
};

// 3x3 windows of stride 1 that lie close together, one group.
[[nodiscard]] bool winograd_fits(const runtime::ConvStep& step) noexcept;

// Nothing where the direct way is faster, by an estimate in cycles of a GPU of 132 multiprocessors, whatever GPU it is:
// with Precision::strict and ::fast bits depend on the shape alone. A multiprocessor adds 77 products a cycle (three
// fifths of its 128 lanes), or 170 of the direct way where tensor cores multiply floats, as product_choice.hpp has it;
// 24 bytes go between it and L2, where what the kernels leave each other stays, and a start costs 3400. So wide layers
// of large pictures gain, without tensor cores from about 48 channels with F(2x2).
//
// F(4x4) is for Precision::fast; precisions that round operands for tensor cores multiply faster than they transform.
// None of this has been measured.
[[nodiscard]] std::optional<WinogradChoice> choose_winograd(const runtime::ConvStep& step,
                                                            const runtime::PlannedTensor& input,
                                                            const runtime::PlannedTensor& output, Precision precision,
                                                            bool floats_on_tensor_cores) noexcept;

// Of scratch: what transforms and products of so many images take.
[[nodiscard]] std::int64_t winograd_floats(const WinogradChoice& choice, const runtime::PlannedTensor& input,
                                           const runtime::PlannedTensor& output) noexcept;

// Tiles of one image along one axis.
[[nodiscard]] constexpr std::int64_t winograd_tiles(WinogradTile tile, std::int64_t outputs) noexcept {
  return ceil_div<std::int64_t>(outputs, winograd_outputs(tile));
}

}  // namespace rushlight::cuda
