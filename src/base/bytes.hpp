// ByteReader: bounds-checked, little-endian reading. The one place that turns file bytes into integers.
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>

namespace rushlight {

using ByteSpan = std::span<const std::byte>;

template <std::integral T>
[[nodiscard]] constexpr T byte_swapped(T value) noexcept {
  static_assert(sizeof(T) == 1 || sizeof(T) == 2 || sizeof(T) == 4 || sizeof(T) == 8);
  if constexpr (sizeof(T) == 2) return static_cast<T>(__builtin_bswap16(static_cast<std::uint16_t>(value)));
  if constexpr (sizeof(T) == 4) return static_cast<T>(__builtin_bswap32(static_cast<std::uint32_t>(value)));
  if constexpr (sizeof(T) == 8) return static_cast<T>(__builtin_bswap64(static_cast<std::uint64_t>(value)));
  return value;
}

// Unaligned little-endian load and store; `data` must hold sizeof(T) bytes.
template <std::integral T>
[[nodiscard]] inline T load_le(const std::byte* data) noexcept {
  T value;
  std::memcpy(&value, data, sizeof value);
  if constexpr (std::endian::native == std::endian::big) value = byte_swapped(value);
  return value;
}
template <std::integral T>
inline void store_le(std::byte* data, T value) noexcept {
  if constexpr (std::endian::native == std::endian::big) value = byte_swapped(value);
  std::memcpy(data, &value, sizeof value);
}

[[nodiscard]] inline std::string_view as_text(ByteSpan bytes) noexcept {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
[[nodiscard]] inline ByteSpan as_byte_span(std::string_view text) noexcept {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

// A cursor over bytes. Reads that do not fit return nullopt and leave the position where it was.
class ByteReader {
 public:
  explicit ByteReader(ByteSpan bytes) noexcept : bytes_(bytes) {}

  [[nodiscard]] std::size_t position() const noexcept { return position_; }
  [[nodiscard]] std::size_t bytes_left() const noexcept { return bytes_.size() - position_; }
  [[nodiscard]] bool at_end() const noexcept { return position_ == bytes_.size(); }
  // Not at_end().
  [[nodiscard]] std::uint8_t take_byte() noexcept { return std::to_integer<std::uint8_t>(bytes_[position_++]); }

  template <std::integral T>
  [[nodiscard]] std::optional<T> read() noexcept {
    if (bytes_left() < sizeof(T)) return std::nullopt;
    const T value = load_le<T>(bytes_.data() + position_);
    position_ += sizeof(T);
    return value;
  }
  [[nodiscard]] std::optional<ByteSpan> read_bytes(std::uint64_t count) noexcept {
    if (count > bytes_left()) return std::nullopt;
    const ByteSpan taken = bytes_.subspan(position_, static_cast<std::size_t>(count));
    position_ += static_cast<std::size_t>(count);
    return taken;
  }
  // Up to and without the next '\n', which is consumed.
  [[nodiscard]] std::optional<std::string_view> read_line() noexcept {
    if (at_end()) return std::nullopt;
    const void* end = std::memchr(bytes_.data() + position_, '\n', bytes_left());
    if (end == nullptr) return std::nullopt;
    const auto length = static_cast<std::size_t>(static_cast<const std::byte*>(end) - (bytes_.data() + position_));
    const std::string_view line = as_text(bytes_.subspan(position_, length));
    position_ += length + 1;
    return line;
  }

 private:
  ByteSpan bytes_;
  std::size_t position_ = 0;
};

}  // namespace rushlight
