/// \file
/// How exactly a Session computes. Always a choice of the caller, never of the machine.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string_view>

namespace rushlight {

/// Results are float32 in all of them, the same for any number of threads and any place in a batch, and the same from
/// run to run on one machine; `strict` and `fast` also on all processors with the same instruction set and units of the
/// same width. A backend that has no faster way computes strictly in all but `int8`, which it refuses.
enum class Precision : std::uint8_t {
  strict,  ///< errors at or below PyTorch's own
  fast,    ///< algorithms that cost about one decimal digit are allowed: Winograd's F(4x4, 3x3)
  /// Convolutions and Linear multiply bfloat16 and sum in float32; all else is float32, and so is what layers hand on.
  /// Weights are rounded (to nearest, ties to even) and take half of the memory. Where the processor multiplies
  /// bfloat16 faster than floats, inputs of these layers are rounded too, and denormals count as 0; elsewhere they stay
  /// as they are, and 3x3 windows may go through Winograd's algorithm in float32: whichever is faster. So machines of
  /// different kinds agree to 2 or 3 decimal digits. Numbers beyond 3.39e38 become infinite.
  bf16,
  /// Convolutions and Linear layers multiply 8-bit integers, of ranges that a Calibration gives; their sums are exact,
  /// so that machines of different kinds agree but for what activations beyond ReLU differ. All else is float32, and so
  /// is what layers hand on. Depthwise convolutions stay float32. On the CPU alone.
  int8,
  /// On GPUs convolutions and Linear round their operands to TF32 (10 bits of mantissa) and sum in float32. Elsewhere
  /// as `strict`.
  tf32,
  /// On GPUs convolutions and Linear round their operands to half precision and sum in float32: what is beyond 65504
  /// becomes infinite. Elsewhere as `strict`.
  fp16,
};

/// "strict", "fast", "bf16", "int8", "tf32", "fp16".
[[nodiscard]] constexpr std::string_view to_string(Precision precision) noexcept {
  switch (precision) {
    case Precision::strict:
      return "strict";
    case Precision::fast:
      return "fast";
    case Precision::bf16:
      return "bf16";
    case Precision::int8:
      return "int8";
    case Precision::tf32:
      return "tf32";
    case Precision::fp16:
      return "fp16";
  }
  return "?";
}

[[nodiscard]] constexpr std::optional<Precision> parse_precision(std::string_view name) noexcept {
  for (const Precision precision :
       {Precision::strict, Precision::fast, Precision::bf16, Precision::int8, Precision::tf32, Precision::fp16}) {
    if (name == to_string(precision)) return precision;
  }
  return std::nullopt;
}

}  // namespace rushlight
