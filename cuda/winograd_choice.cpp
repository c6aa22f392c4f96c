#include "cuda/winograd_choice.hpp"

#include <algorithm>

#include "cuda/kernels/gemm.cuh"

namespace rushlight::cuda {
namespace {

using runtime::PlannedTensor;

constexpr double kProcessors = 132;
constexpr double kProductsPerCycle = 77 * kProcessors;
constexpr double kTensorProductsPerCycle = 170 * kProcessors;
constexpr double kBytesPerCycle = 24 * kProcessors;
constexpr double kStartCycles = 3400;
// As much as L2 keeps from one kernel to the next.
constexpr std::int64_t kScratchFloats = std::int64_t{8} << 20;

std::int64_t tiles_of_an_image(WinogradTile tile, const PlannedTensor& output) {
  return winograd_tiles(tile, output.h) * winograd_tiles(tile, output.w);
}

// Of one image: 2 * channels * positions for each of its tiles.
std::int64_t floats_of_an_image(WinogradTile tile, const PlannedTensor& input, const PlannedTensor& output) {
  return tiles_of_an_image(tile, output) * winograd_positions(tile) * (input.c + output.c);
}

// Products of `rows` rows as tiles compute them, their empty rows included.
double product_count(std::int64_t rows, std::int64_t columns, std::int64_t depth) {
  const std::int64_t whole = ceil_div<std::int64_t>(rows, Tile64x64::kRows) * Tile64x64::kRows;
  return static_cast<double>(whole) * static_cast<double>(columns) * static_cast<double>(depth);
}

double winograd_cycles(const WinogradChoice& choice, const PlannedTensor& input, const PlannedTensor& output) {
  const std::int64_t runs = ceil_div<std::int64_t>(input.n, choice.images_at_a_time);
  const std::int64_t tiles = tiles_of_an_image(choice.tile, output) * std::min(input.n, choice.images_at_a_time);
  const double products = winograd_positions(choice.tile) * product_count(tiles, output.c, input.c);
  // Written once and read once.
  const double bytes = 2.0 * sizeof(float) * static_cast<double>(winograd_floats(choice, input, output));
  return static_cast<double>(runs) * (products / kProductsPerCycle + bytes / kBytesPerCycle + 3 * kStartCycles);
}

}  // namespace

std::int64_t winograd_floats(const WinogradChoice& choice, const PlannedTensor& input,
                             const PlannedTensor& output) noexcept {
  return floats_of_an_image(choice.tile, input, output) * std::min(input.n, choice.images_at_a_time);
}

bool winograd_fits(const runtime::ConvStep& step) noexcept {
  return step.kernel == IntPair{3} && step.stride == IntPair{1} && step.dilation == IntPair{1} && step.groups == 1;
}

std::optional<WinogradChoice> choose_winograd(const runtime::ConvStep& step, const PlannedTensor& input,
                                              const PlannedTensor& output, Precision precision,
                                              bool floats_on_tensor_cores) noexcept {
  if (!winograd_fits(step) || (precision != Precision::strict && precision != Precision::fast)) return std::nullopt;
  std::optional<WinogradChoice> best;
  const double directly = product_count(output.rows(), output.c, 9 * input.c);
  double least = directly / (floats_on_tensor_cores ? kTensorProductsPerCycle : kProductsPerCycle) + kStartCycles;
  for (const WinogradTile tile : {WinogradTile::outputs2, WinogradTile::outputs4}) {
    if (tile == WinogradTile::outputs4 && precision != Precision::fast) continue;
    const std::int64_t floats = std::max<std::int64_t>(floats_of_an_image(tile, input, output), 1);
    const WinogradChoice choice{tile, std::clamp<std::int64_t>(kScratchFloats / floats, 1, input.n)};
    const double cycles = winograd_cycles(choice, input, output);
    if (cycles >= least) continue;
    least = cycles;
    best = choice;
  }
  return best;
}

}  // namespace rushlight::cuda
