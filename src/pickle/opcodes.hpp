// The table of opcodes (opcodes.def) as data.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace rushlight::pickle {

enum class Opcode : std::uint8_t {
#define RUSHLIGHT_OPCODE(name, byte, protocol, argument, mark, operands, results, torch, doc) name = (byte),
#include "pickle/opcodes.def"
};

// What follows an opcode's byte. Numbers are little-endian; counted kinds have their length first.
enum class ArgumentKind : std::uint8_t {
  none,
  u1,
  u2,
  u4,
  u8,
  i4,
  f8_be,         // the one big-endian field of the format
  line,          // text up to a newline
  two_lines,     // module and name
  integer_line,  // decimal text; for INT also 00 and 01
  long_line,     // decimal text, perhaps with an L
  float_line,    // decimal text, inf, nan
  quoted_line,   // 'text' or "text" with Python's escapes
  unicode_line,  // raw-unicode-escape
  string1,
  string4,  // signed length
  bytes1,
  bytes4,
  bytes8,
  bytearray8,
  unicode1,
  unicode4,
  unicode8,
  long1,
  long4,  // signed length
};
[[nodiscard]] std::string_view to_string(ArgumentKind kind) noexcept;

enum class Mark : std::uint8_t { no, sets, takes };
enum class Torch : std::uint8_t { no, yes };

struct OpcodeInfo {
  std::string_view name;
  Opcode opcode;
  std::uint8_t protocol;
  ArgumentKind argument;
  Mark mark;
  std::uint8_t operands;  // below the mark, where it takes one
  std::uint8_t results;
  Torch torch;
  std::string_view doc;
};

// All 68, in the order of opcodes.def.
[[nodiscard]] std::span<const OpcodeInfo> opcodes() noexcept;

namespace detail {

inline constexpr OpcodeInfo kOpcodes[] = {
#define RUSHLIGHT_OPCODE(name, byte, protocol, argument, mark, operands, results, torch, doc) \
  {#name, Opcode::name, protocol, ArgumentKind::argument, Mark::mark, operands, results, Torch::torch, doc},
#include "pickle/opcodes.def"
};
inline constexpr std::uint8_t kNoOpcode = 0xFF;

consteval std::array<std::uint8_t, 256> rows_by_byte() {
  std::array<std::uint8_t, 256> rows{};
  rows.fill(kNoOpcode);
  for (std::size_t row = 0; row < std::size(kOpcodes); ++row) {
    rows[static_cast<std::size_t>(kOpcodes[row].opcode)] = static_cast<std::uint8_t>(row);
  }
  return rows;
}
inline constexpr std::array<std::uint8_t, 256> kRowOfByte = rows_by_byte();

}  // namespace detail

// Null for the 188 bytes that are no opcode.
[[nodiscard]] constexpr const OpcodeInfo* find_opcode(std::uint8_t byte) noexcept {
  const std::uint8_t row = detail::kRowOfByte[byte];
  return row == detail::kNoOpcode ? nullptr : &detail::kOpcodes[row];
}
[[nodiscard]] constexpr const OpcodeInfo& info_of(Opcode opcode) noexcept {
  return detail::kOpcodes[detail::kRowOfByte[static_cast<std::uint8_t>(opcode)]];
}

}  // namespace rushlight::pickle
