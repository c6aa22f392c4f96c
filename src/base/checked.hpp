// Arithmetic that says when it does not fit, instead of wrapping.
#pragma once

#include <concepts>
#include <optional>

namespace rushlight {

template <std::integral T>
[[nodiscard]] constexpr std::optional<T> checked_add(T a, T b) noexcept {
  T sum{};
  if (__builtin_add_overflow(a, b, &sum)) return std::nullopt;
  return sum;
}

template <std::integral T>
[[nodiscard]] constexpr std::optional<T> checked_sub(T a, T b) noexcept {
  T difference{};
  if (__builtin_sub_overflow(a, b, &difference)) return std::nullopt;
  return difference;
}

template <std::integral T>
[[nodiscard]] constexpr std::optional<T> checked_mul(T a, T b) noexcept {
  T product{};
  if (__builtin_mul_overflow(a, b, &product)) return std::nullopt;
  return product;
}

// True when [offset, offset + size) lies within [0, total), without overflow.
template <std::unsigned_integral T>
[[nodiscard]] constexpr bool range_fits(T offset, T size, T total) noexcept {
  return offset <= total && size <= total - offset;
}

}  // namespace rushlight
