// The CPU backend: our own kernels over NHWC, compiled for several instruction sets and chosen once.
#pragma once

#include <memory>
#include <optional>

#include "base/cpu_features.hpp"
#include "runtime/backend.hpp"
#include "runtime/cpu/narrow_choice.hpp"
#include "rushlight/result.hpp"

namespace rushlight::runtime::cpu {

// With the best instruction set this processor has.
[[nodiscard]] Result<std::shared_ptr<const Backend>> make_backend();
// With a certain one, and a certain way to multiply narrow numbers. ErrorCode::device when the processor lacks it.
[[nodiscard]] Result<std::shared_ptr<const Backend>> make_backend(Isa isa, std::optional<NarrowWay> way = std::nullopt);

}  // namespace rushlight::runtime::cpu
