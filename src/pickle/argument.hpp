// What follows an opcode's byte, cut out of the stream and not yet understood.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/bytes.hpp"
#include "pickle/opcodes.hpp"

namespace rushlight::pickle {

struct Argument {
  std::uint64_t number =
      0;  // fixed-size kinds: the value, i4 sign-extended, f8_be as its bits; counted kinds: the length
  std::string_view text = {};  // lines without their newline, counted bytes
  std::string_view name = {};  // two_lines: the second
};

enum class ArgumentFault : std::uint8_t {
  none,
  too_short,        // Argument::number says how many bytes were needed where the reader stands
  no_newline,       // no newline up to the end
  negative_length,  // Argument::number is the length, sign-extended
};

namespace detail {

template <std::integral T>
[[nodiscard, gnu::always_inline]] inline ArgumentFault read_number(ByteReader& reader, Argument& argument) noexcept {
  const auto value = reader.read<T>();
  if (!value) {
    argument.number = sizeof(T);
    return ArgumentFault::too_short;
  }
  argument.number = static_cast<std::uint64_t>(static_cast<std::int64_t>(*value));
  return ArgumentFault::none;
}

[[nodiscard]] inline ArgumentFault read_text_line(ByteReader& reader, std::string_view& line) noexcept {
  const auto found = reader.read_line();
  if (!found) return ArgumentFault::no_newline;
  line = *found;
  return ArgumentFault::none;
}

// A length of type T, then that many bytes. The length is compared with what is left before anything else happens.
template <std::integral T>
[[nodiscard]] inline ArgumentFault read_counted(ByteReader& reader, Argument& argument) noexcept {
  const ArgumentFault fault = read_number<T>(reader, argument);
  if (fault != ArgumentFault::none) return fault;
  if constexpr (std::is_signed_v<T>) {
    if (static_cast<std::int64_t>(argument.number) < 0) return ArgumentFault::negative_length;
  }
  const auto bytes = reader.read_bytes(argument.number);
  if (!bytes) return ArgumentFault::too_short;
  argument.text = as_text(*bytes);
  return ArgumentFault::none;
}

}  // namespace detail

// Reads the argument of `kind` behind the opcode's byte; where `kind` is a constant, one case remains. After a fault
// the reader stands before the field that was bad.
[[nodiscard, gnu::always_inline]] inline ArgumentFault read_argument(ArgumentKind kind, ByteReader& reader,
                                                                     Argument& argument) noexcept {
  switch (kind) {
    case ArgumentKind::none:
      return ArgumentFault::none;
    case ArgumentKind::u1:
      return detail::read_number<std::uint8_t>(reader, argument);
    case ArgumentKind::u2:
      return detail::read_number<std::uint16_t>(reader, argument);
    case ArgumentKind::u4:
      return detail::read_number<std::uint32_t>(reader, argument);
    case ArgumentKind::u8:
      return detail::read_number<std::uint64_t>(reader, argument);
    case ArgumentKind::i4:
      return detail::read_number<std::int32_t>(reader, argument);
    case ArgumentKind::f8_be: {
      const ArgumentFault fault = detail::read_number<std::uint64_t>(reader, argument);
      if (fault == ArgumentFault::none) argument.number = byte_swapped(argument.number);
      return fault;
    }
    case ArgumentKind::line:
    case ArgumentKind::integer_line:
    case ArgumentKind::long_line:
    case ArgumentKind::float_line:
    case ArgumentKind::quoted_line:
    case ArgumentKind::unicode_line:
      return detail::read_text_line(reader, argument.text);
    case ArgumentKind::two_lines: {
      const ArgumentFault fault = detail::read_text_line(reader, argument.text);
      return fault == ArgumentFault::none ? detail::read_text_line(reader, argument.name) : fault;
    }
    case ArgumentKind::string1:
    case ArgumentKind::bytes1:
    case ArgumentKind::unicode1:
    case ArgumentKind::long1:
      return detail::read_counted<std::uint8_t>(reader, argument);
    case ArgumentKind::bytes4:
    case ArgumentKind::unicode4:
      return detail::read_counted<std::uint32_t>(reader, argument);
    case ArgumentKind::string4:
    case ArgumentKind::long4:
      return detail::read_counted<std::int32_t>(reader, argument);
    case ArgumentKind::bytes8:
    case ArgumentKind::bytearray8:
    case ArgumentKind::unicode8:
      return detail::read_counted<std::uint64_t>(reader, argument);
  }
  return ArgumentFault::none;
}

}  // namespace rushlight::pickle
