// Which way a convolution is computed: directly, or by Winograd's F(2x2), F(2x4) or F(4x4).
//
// Without a Tuning by a rule of counts alone. Results differ in the last bits from way to way, and must not from run to
// run: so no clock has a say in the rule, nor anything that two machines could differ in whose instruction set and
// width of arithmetic units are the same. Who wants to know better measures once and keeps what came of it (tuner.hpp).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string_view>

#include "base/cpu_features.hpp"
#include "runtime/plan.hpp"
#include "rushlight/precision.hpp"

namespace rushlight::runtime::cpu {

struct OpContext;

enum class ConvAlgorithm : std::uint8_t {
  direct,
  winograd2,
  winograd2x4,
  winograd4,
  winograd2_strided,
  winograd4_strided
};

// Of the other precisions what is computed in floats is computed strictly.
[[nodiscard]] constexpr bool takes_fast_ways(Precision precision) noexcept {
  return precision == Precision::fast || precision == Precision::bf16;
}

// Those that a layer can be computed in, with this precision: `direct` first, then those of its errors, then others.
[[nodiscard]] std::span<const ConvAlgorithm> conv_algorithms(const ConvStep& step, const PlannedTensor& input,
                                                             const PlannedTensor& output, Precision precision) noexcept;

// What bytes from memory cost, by the width of a core's arithmetic units, since what comes from memory in a cycle
// differs less.
struct MemoryCost {
  // Operations on floats, two for a multiply-add, in the time in which a byte comes.
  double operations_per_byte = 0;
  // The part of the shorter time, of products or of bytes, that passes beside the other.
  double hidden = 0;
};
[[nodiscard]] MemoryCost memory_cost(Isa isa, const CpuFeatures& features) noexcept;

// What should be fastest of these, by counts of operations and bytes. `direct_speed`: products that the direct way
// forms in the time of one of floats (NarrowProducts).
[[nodiscard]] ConvAlgorithm choose_conv_algorithm(const ConvStep& step, const PlannedTensor& input,
                                                  const PlannedTensor& output, Precision precision,
                                                  const MemoryCost& memory, double direct_speed = 1) noexcept;
// The same, for a layer of the context's plan.
[[nodiscard]] ConvAlgorithm usual_conv_algorithm(const ConvStep& step, const OpContext& context) noexcept;

// "direct", "winograd2", "winograd2x4", "winograd4", "winograd2s2", "winograd4s2": as a Tuning has it.
[[nodiscard]] std::string_view word_of(ConvAlgorithm algorithm) noexcept;
[[nodiscard]] std::optional<ConvAlgorithm> parse_conv_algorithm(std::string_view word) noexcept;

// For each convolution of a plan, by its output, what a Tuning says. The others go by the rule.
using ConvChoices = std::map<TensorId, ConvAlgorithm>;

// As it is computed: by the session's options, its Tuning, the rule.
[[nodiscard]] ConvAlgorithm choose_conv_algorithm(const ConvStep& step, const OpContext& context) noexcept;

}  // namespace rushlight::runtime::cpu
