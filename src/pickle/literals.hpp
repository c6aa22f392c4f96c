// The text forms of protocol 0: integers, floats and strings as Python's repr writes them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace rushlight::pickle {

// CPython's own bound on integers in text (sys.int_info.default_max_str_digits): turning decimal digits into binary
// takes quadratic time.
inline constexpr std::size_t kMaxDecimalDigits = 4300;

struct DecimalInteger {
  bool is_small = true;  // fits 64 bits
  std::int64_t value = 0;
  std::string twos_complement{};  // else: little-endian, as short as possible
};

// Decimal digits with an optional minus sign and no leading zeros: what repr writes. Python's int() takes more (spaces,
// underscores, 0x, a plus sign), and its own two unpicklers disagree about that. Needs text of at most
// kMaxDecimalDigits digits.
[[nodiscard]] std::optional<DecimalInteger> parse_decimal(std::string_view text);
// A memo index: an integer that is not negative and fits 63 bits. Text of any length.
[[nodiscard]] std::optional<std::uint64_t> parse_index(std::string_view text);
// Digits in parse_decimal's text, signs not counted.
[[nodiscard]] std::size_t count_digits(std::string_view text) noexcept;
// The other way round; `twos_complement` is little-endian and of at most kMaxDecimalDigits digits.
[[nodiscard]] std::string decimal_text(std::string_view twos_complement);
// How many of the bytes say something: the others repeat the sign.
[[nodiscard]] std::size_t significant_bytes(std::string_view twos_complement) noexcept;
// Sign-extends at most 8 bytes.
[[nodiscard]] std::int64_t small_integer(std::string_view twos_complement) noexcept;

[[nodiscard]] bool is_ascii(std::string_view text) noexcept;

// Python's float(): decimal text, inf, nan. Nothing for malformed text and for what is beyond the range of a double.
[[nodiscard]] std::optional<double> parse_float(std::string_view text) noexcept;
// As repr writes it: the shortest digits that read back as the same number.
[[nodiscard]] std::string float_text(double value);

// The text between the quotes of a STRING, with Python 2's escapes undone. Nothing for a bad \x and for a backslash at
// the end; unknown escapes stay as they are, as in CPython.
[[nodiscard]] std::optional<std::string> unescape_string(std::string_view text);
// raw-unicode-escape to UTF-8, surrogates passed through. Nothing for a bad \u or \U.
[[nodiscard]] std::optional<std::string> unescape_raw_unicode(std::string_view text);
// Appends a code point below 0x110000 as UTF-8, surrogates included.
void append_utf8(std::string& out, std::uint32_t code_point);

}  // namespace rushlight::pickle
