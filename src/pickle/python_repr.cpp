#include "pickle/python_repr.hpp"

#include <algorithm>
#include <array>
#include <cstddef>

#include "base/hex_digits.hpp"
#include "pickle/literals.hpp"

namespace rushlight::pickle {
namespace {

void append_hex(std::string& out, std::uint32_t value, unsigned digits) {
  while (digits-- > 0) out += kHexDigits[value >> (4 * digits) & 15];
}

// Unicode categories Cc, Cf, Cs, Co, Zl, Zp and Zs but for the space; the noncharacters.
bool is_unprintable(std::uint32_t code_point) noexcept {
  struct Range {
    std::uint32_t first, last;
  };
  static constexpr std::array kRanges = {
      Range{0x0000, 0x001F},   Range{0x007F, 0x00A0},   Range{0x00AD, 0x00AD},    Range{0x0600, 0x0605},
      Range{0x061C, 0x061C},   Range{0x06DD, 0x06DD},   Range{0x070F, 0x070F},    Range{0x0890, 0x0891},
      Range{0x08E2, 0x08E2},   Range{0x1680, 0x1680},   Range{0x180E, 0x180E},    Range{0x2000, 0x200F},
      Range{0x2028, 0x202F},   Range{0x205F, 0x206F},   Range{0x3000, 0x3000},    Range{0xD800, 0xF8FF},
      Range{0xFDD0, 0xFDEF},   Range{0xFEFF, 0xFEFF},   Range{0xFFF0, 0xFFFB},    Range{0xFFFE, 0xFFFF},
      Range{0x110BD, 0x110BD}, Range{0x110CD, 0x110CD}, Range{0x13430, 0x1343F},  Range{0x1BCA0, 0x1BCA3},
      Range{0x1D173, 0x1D17A}, Range{0xE0000, 0xE00FF}, Range{0xF0000, 0x10FFFF},
  };
  return std::any_of(kRanges.begin(), kRanges.end(),
                     [&](const Range& range) { return code_point >= range.first && code_point <= range.last; });
}

struct Character {
  std::uint32_t code_point;
  std::size_t bytes;
  bool valid;
};

// One character of UTF-8, surrogates included; an ill-formed byte counts as itself.
Character next_character(std::string_view text) noexcept {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint32_t>(static_cast<unsigned char>(text[i])); };
  const std::uint32_t lead = byte(0);
  if (lead < 0x80) return {lead, 1, true};
  const std::size_t length = lead >= 0xF0 && lead <= 0xF4 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() < length) return {lead, 1, false};
  std::uint32_t code_point = lead & (0x7Fu >> length);
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return {lead, 1, false};
    code_point = code_point << 6 | (byte(i) & 0x3F);
  }
  static constexpr std::array<std::uint32_t, 5> kSmallest = {0, 0, 0x80, 0x800, 0x10000};
  if (code_point < kSmallest[length] || code_point > 0x10FFFF) return {lead, 1, false};
  return {code_point, length, true};
}

void append_character(std::string& out, std::uint32_t code_point, char quote, bool ascii_only) {
  if (code_point == '\n') {
    out += "\\n";
  } else if (code_point == '\r') {
    out += "\\r";
  } else if (code_point == '\t') {
    out += "\\t";
  } else if (code_point == '\\' || code_point == static_cast<std::uint32_t>(quote)) {
    out += '\\';
    out += static_cast<char>(code_point);
  } else if (ascii_only ? code_point < 0x20 || code_point >= 0x7F : is_unprintable(code_point)) {
    const bool is_short = code_point <= 0xFF;
    out += is_short ? "\\x" : code_point <= 0xFFFF ? "\\u" : "\\U";
    append_hex(out, code_point, is_short ? 2 : code_point <= 0xFFFF ? 4 : 8);
  } else {
    append_utf8(out, code_point);
  }
}

}  // namespace

void append_python_repr(std::string& out, std::string_view text, TextAs as) {
  const bool double_quotes = text.find('\'') != std::string_view::npos && text.find('"') == std::string_view::npos;
  const char quote = double_quotes ? '"' : '\'';
  if (as == TextAs::bytes) out += 'b';
  out += quote;
  while (!text.empty()) {
    const Character character =
        as == TextAs::utf8 ? next_character(text) : Character{static_cast<unsigned char>(text[0]), 1, true};
    append_character(out, character.code_point, quote, as == TextAs::bytes || !character.valid);
    text.remove_prefix(character.bytes);
  }
  out += quote;
}

std::string python_repr_byte(std::uint8_t byte) {
  std::string text;
  append_character(text, byte, '\'', true);
  return text;
}

}  // namespace rushlight::pickle
