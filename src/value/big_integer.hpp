// Python's integers beyond 64 bits: two's complement, little-endian, of any length, as pickles have them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace rushlight {

// Without the bytes at the top that only repeat the sign; empty for 0. A view into `bytes`.
[[nodiscard]] std::string_view shortest_twos_complement(std::string_view bytes) noexcept;
[[nodiscard]] std::optional<std::int64_t> to_int64(std::string_view twos_complement) noexcept;
// Decimal digits, with '-' where negative. Takes time quadratic in the length (64 KiB: a fifth of a second).
[[nodiscard]] std::string to_decimal(std::string_view twos_complement);
// The nearest double, ties to even; nullopt beyond the largest.
[[nodiscard]] std::optional<double> to_double(std::string_view twos_complement) noexcept;

}  // namespace rushlight
