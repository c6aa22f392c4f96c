// Failures that every backend can have, worded once.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "rushlight/error.hpp"
#include "rushlight/limits.hpp"

namespace rushlight::runtime {

// What a caller asked for cannot be.
[[nodiscard]] Error wrong_argument(std::string code, std::string message, std::string hint = {});

// Progress said no.
[[nodiscard]] Error run_was_cancelled();

// `what` as in "no memory for 4096 bytes of packed weights".
[[nodiscard]] Error no_memory_for(std::uint64_t size_bytes, std::string_view what);

// An input that holds places has one that is none: torch's index error. `size`: of what it points into.
[[nodiscard]] Error index_outside(std::int64_t index, std::int64_t size);

// nullopt: more than 63 bits can count. `what`: plural, "activations" or what a layer needs beside them.
[[nodiscard]] Error arena_too_large(std::optional<std::uint64_t> needed_bytes, const Limits& limits,
                                    std::string_view what = "activations");

}  // namespace rushlight::runtime
