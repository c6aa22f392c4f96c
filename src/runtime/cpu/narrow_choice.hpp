// Products of numbers narrower than float (Precision::bf16): which instructions form them.
//
// A kind of narrow numbers is a NarrowProducts: how its weights are packed (packed_weights.hpp), how many operands a
// word has, and the kernels that multiply (kernels.hpp); narrow_op.cpp does the rest for all of them. To add one: its
// packing in strips, its kernels (a stage that converts rows, a run for each way; one object an instruction set, named
// in CMakeLists.txt, isa_symbols.cmake and the spills test), and a function beside bf16_products().
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string_view>

#include "base/cpu_features.hpp"
#include "runtime/cpu/kernels/kernels.hpp"
#include "runtime/cpu/packed_weights.hpp"

namespace rushlight::runtime::cpu {

enum class NarrowWay : std::uint8_t {
  widen,  // no instructions of their own: weights are widened to float, rows stay float
  dot,    // several products added to each sum of a vector: AVX512_BF16
  amx,    // tiles
};
// "widen", "dot", "amx".
[[nodiscard]] std::string_view to_string(NarrowWay way) noexcept;
[[nodiscard]] std::optional<NarrowWay> parse_narrow_way(std::string_view name) noexcept;

struct NarrowProducts {
  NarrowWay way = NarrowWay::widen;
  const NarrowKernels* kernels = nullptr;  // null: the way is to widen
  WidenKernel widen = nullptr;             // also taken where there is too little to do for the others
  Packing packing = Packing::bf16_strips;
  std::size_t word_operands = 2;
  // Products in the time of one of floats, as the instructions' widths have it: what choices between algorithms go by,
  // so that they do not change with a clock's mood.
  double speed = 1;
};

// What a step takes, counted in products of floats, padding included. Which way a step goes is a matter of its shapes
// alone, so that all its outputs are summed up alike.
[[nodiscard]] constexpr double cost_of_products(std::size_t rows, std::size_t depth, std::size_t outputs) noexcept {
  return static_cast<double>(rows) * static_cast<double>(depth) * static_cast<double>(outputs);
}
inline constexpr double kConversionCost = 4;  // of an operand
inline constexpr double kRunCost = 128;       // of beginning a run of operands that are neighbours
struct NarrowShape {
  std::size_t rows = 0;
  std::size_t runs = 1;   // of a row's operands
  std::size_t depth = 0;  // products an output
  std::size_t groups = 1;
  std::size_t outputs = 0;  // of one group
};
// Rows staged as operands one after the other, or infinite where weights are widened always.
[[nodiscard]] double cost_of_staged(const NarrowProducts& products, const NarrowShape& shape) noexcept;
[[nodiscard]] double cost_of_widened(const NarrowShape& shape) noexcept;

// Whether processor and system have it.
[[nodiscard]] bool has_bf16_way(Isa isa, NarrowWay way) noexcept;

// The fastest of the ways that are there, in the order of NarrowWay; `widen` is always. `seconds_of` runs one once. The
// least of several rounds counts, since whatever else the machine does can only slow a way down; and where the last one
// that is there, which should be the fastest, is not, it gets more rounds: results differ from way to way, so that a
// process must not take another one for a neighbour's sake.
[[nodiscard]] NarrowWay steady_fastest_way(std::span<const bool, 3> is_there,
                                           const std::function<double(NarrowWay)>& seconds_of);

// The way that `wanted` names, where it is there. Otherwise, and without one, the fastest: measured at the first call,
// in a millisecond or a few, and then the same for the life of the process. Tiles are asked of the system here
// (ask_for_amx()), so not before somebody wants such products.
[[nodiscard]] NarrowProducts bf16_products(const Kernels& kernels, Isa isa, std::optional<NarrowWay> wanted) noexcept;

// The environment variable RUSHLIGHT_NARROW may name a way, for tests and comparisons; unknown names say nothing.
[[nodiscard]] std::optional<NarrowWay> wanted_narrow_way() noexcept;

}  // namespace rushlight::runtime::cpu
