#include "pickle/literals.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>
#include <system_error>
#include <vector>

namespace rushlight::pickle {
namespace {

bool is_digit(char c) noexcept {
  return c >= '0' && c <= '9';
}

std::optional<std::uint32_t> hex_value(char c) noexcept {
  if (is_digit(c)) return static_cast<std::uint32_t>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<std::uint32_t>(c - 'a' + 10);
  if (c >= 'A' && c <= 'F') return static_cast<std::uint32_t>(c - 'A' + 10);
  return std::nullopt;
}

// Exactly `count` hexadecimal digits.
std::optional<std::uint32_t> parse_hex(std::string_view text, std::size_t count) noexcept {
  if (text.size() < count) return std::nullopt;
  std::uint32_t value = 0;
  for (const char c : text.substr(0, count)) {
    const auto digit = hex_value(c);
    if (!digit) return std::nullopt;
    value = value << 4 | *digit;
  }
  return value;
}

// Schoolbook base conversion, 9 digits at a time; little-endian limbs.
std::vector<std::uint32_t> limbs_of(std::string_view digits) {
  std::vector<std::uint32_t> limbs;
  limbs.reserve(digits.size() / 9 + 1);
  while (!digits.empty()) {
    const std::size_t count = (digits.size() - 1) % 9 + 1;
    std::uint64_t carry = 0;
    std::uint64_t scale = 1;
    for (const char c : digits.substr(0, count)) {
      carry = carry * 10 + static_cast<std::uint64_t>(c - '0');
      scale *= 10;
    }
    digits.remove_prefix(count);
    for (std::uint32_t& limb : limbs) {
      carry += limb * scale;
      limb = static_cast<std::uint32_t>(carry);
      carry >>= 32;
    }
    if (carry != 0) limbs.push_back(static_cast<std::uint32_t>(carry));
  }
  return limbs;
}

// Negates in two's complement, in place.
void negate(std::vector<std::uint32_t>& limbs) noexcept {
  std::uint64_t carry = 1;
  for (std::uint32_t& limb : limbs) {
    carry += static_cast<std::uint32_t>(~limb);
    limb = static_cast<std::uint32_t>(carry);
    carry >>= 32;
  }
}

unsigned char byte_at(std::string_view bytes, std::size_t index) noexcept {
  return static_cast<unsigned char>(bytes[index]);
}

}  // namespace

std::size_t count_digits(std::string_view text) noexcept {
  return text.size() - (text.starts_with('-') ? 1 : 0);
}

std::optional<DecimalInteger> parse_decimal(std::string_view text) {
  const bool negative = text.starts_with('-');
  const std::string_view digits = text.substr(negative ? 1 : 0);
  if (digits.empty() || (digits.size() > 1 && digits[0] == '0')) return std::nullopt;
  if (!std::all_of(digits.begin(), digits.end(), is_digit)) return std::nullopt;

  DecimalInteger integer;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), integer.value);
  if (fault == std::errc()) return integer;

  std::vector<std::uint32_t> limbs = limbs_of(digits);
  limbs.push_back(0);  // room for the sign
  if (negative) negate(limbs);
  for (const std::uint32_t limb : limbs) {
    for (unsigned shift = 0; shift < 32; shift += 8) {
      integer.twos_complement += static_cast<char>(static_cast<unsigned char>(limb >> shift));
    }
  }
  integer.twos_complement.resize(significant_bytes(integer.twos_complement));
  integer.is_small = false;
  return integer;
}

std::optional<std::uint64_t> parse_index(std::string_view text) {
  if (count_digits(text) > kMaxDecimalDigits) return std::nullopt;
  const auto integer = parse_decimal(text);
  if (!integer || !integer->is_small || text.starts_with('-')) return std::nullopt;
  return static_cast<std::uint64_t>(integer->value);
}

bool is_ascii(std::string_view text) noexcept {
  std::size_t i = 0;
  std::uint64_t seen = 0;
  for (; i + 8 <= text.size(); i += 8) {
    std::uint64_t word;
    std::memcpy(&word, text.data() + i, sizeof word);
    seen |= word;
  }
  for (; i < text.size(); ++i) seen |= static_cast<unsigned char>(text[i]);
  return (seen & 0x8080808080808080u) == 0;
}

std::string decimal_text(std::string_view twos_complement) {
  std::vector<std::uint32_t> limbs((twos_complement.size() + 3) / 4);
  const bool negative = !twos_complement.empty() && (byte_at(twos_complement, twos_complement.size() - 1) & 0x80) != 0;
  for (std::size_t i = 0; i < limbs.size() * 4; ++i) {
    const std::uint32_t byte = i < twos_complement.size() ? byte_at(twos_complement, i) : negative ? 0xFF : 0;
    limbs[i / 4] |= byte << (i % 4 * 8);
  }
  if (negative) negate(limbs);

  std::string digits;  // from the last to the first
  while (!limbs.empty()) {
    std::uint64_t rest = 0;
    for (std::size_t i = limbs.size(); i-- > 0;) {
      const std::uint64_t dividend = rest << 32 | limbs[i];
      limbs[i] = static_cast<std::uint32_t>(dividend / 1'000'000'000);
      rest = dividend % 1'000'000'000;
    }
    while (!limbs.empty() && limbs.back() == 0) limbs.pop_back();
    for (int i = 0; i < 9; ++i, rest /= 10) digits += static_cast<char>('0' + rest % 10);
  }
  while (!digits.empty() && digits.back() == '0') digits.pop_back();
  if (digits.empty()) return "0";
  if (negative) digits += '-';
  std::reverse(digits.begin(), digits.end());
  return digits;
}

std::size_t significant_bytes(std::string_view twos_complement) noexcept {
  std::size_t size = twos_complement.size();
  if (size == 0) return 0;
  const unsigned char sign = (byte_at(twos_complement, size - 1) & 0x80) != 0 ? 0xFF : 0x00;
  while (size > 1 && byte_at(twos_complement, size - 1) == sign &&
         (byte_at(twos_complement, size - 2) & 0x80) == (sign & 0x80)) {
    --size;
  }
  return size;
}

std::int64_t small_integer(std::string_view twos_complement) noexcept {
  if (twos_complement.empty()) return 0;
  const bool negative = (byte_at(twos_complement, twos_complement.size() - 1) & 0x80) != 0;
  std::uint64_t bits = negative ? ~std::uint64_t{0} : 0;
  for (std::size_t i = twos_complement.size(); i-- > 0;) bits = bits << 8 | byte_at(twos_complement, i);
  return static_cast<std::int64_t>(bits);
}

std::optional<double> parse_float(std::string_view text) noexcept {
  // from_chars also takes nan(...), which Python does not.
  if (text.find('(') != std::string_view::npos) return std::nullopt;
  double value = 0;
  const char* const last = text.data() + text.size();
  const auto [end, fault] = std::from_chars(text.data(), last, value);
  if (fault != std::errc() || end != last) return std::nullopt;
  return value;
}

std::string float_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  std::array<char, 32> buffer;
  const auto [end, fault] =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, std::chars_format::scientific);
  const std::string_view shortest(buffer.data(), static_cast<std::size_t>(end - buffer.data()));
  const std::size_t exponent_at = shortest.find('e');
  int exponent = 0;
  const std::size_t sign_length = shortest[exponent_at + 1] == '+' ? 2 : 1;
  std::from_chars(shortest.data() + exponent_at + sign_length, end, exponent);

  std::string digits;
  for (const char c : shortest.substr(0, exponent_at)) {
    if (is_digit(c)) digits += c;
  }
  std::string text = std::signbit(value) ? "-" : "";
  // Python's rule: a decimal point within 16 digits and down to four zeros behind it, else an exponent of two digits.
  if (exponent < -4 || exponent >= 16) {
    text += digits[0];
    if (digits.size() > 1) text += "." + digits.substr(1);
    const std::string magnitude = std::to_string(exponent < 0 ? -exponent : exponent);
    return text + (exponent < 0 ? "e-" : "e+") + (magnitude.size() < 2 ? "0" : "") + magnitude;
  }
  if (exponent < 0) return text + "0." + std::string(static_cast<std::size_t>(-exponent - 1), '0') + digits;
  const auto whole = static_cast<std::size_t>(exponent) + 1;
  if (digits.size() <= whole) return text + digits + std::string(whole - digits.size(), '0') + ".0";
  return text + digits.substr(0, whole) + "." + digits.substr(whole);
}

std::optional<std::string> unescape_string(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    if (text[i] != '\\') {
      out += text[i++];
      continue;
    }
    if (++i == text.size()) return std::nullopt;
    const char c = text[i++];
    static constexpr std::string_view kEscapes = "abfnrtv\\'\"";
    static constexpr std::string_view kMeanings = "\a\b\f\n\r\t\v\\'\"";
    if (const std::size_t found = kEscapes.find(c); found != std::string_view::npos) {
      out += kMeanings[found];
    } else if (c >= '0' && c <= '7') {
      std::uint32_t value = static_cast<std::uint32_t>(c - '0');
      for (int digits = 1; digits < 3 && i < text.size() && text[i] >= '0' && text[i] <= '7'; ++digits) {
        value = value << 3 | static_cast<std::uint32_t>(text[i++] - '0');
      }
      out += static_cast<char>(static_cast<unsigned char>(value));
    } else if (c == 'x') {
      const auto value = parse_hex(text.substr(i), 2);
      if (!value) return std::nullopt;
      out += static_cast<char>(static_cast<unsigned char>(*value));
      i += 2;
    } else {
      out += '\\';
      out += c;
    }
  }
  return out;
}

std::optional<std::string> unescape_raw_unicode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    const char c = text[i++];
    if (c != '\\' || i == text.size()) {
      append_utf8(out, static_cast<unsigned char>(c));
      continue;
    }
    const char escape = text[i++];
    if (escape != 'u' && escape != 'U') {  // a backslash, and whatever follows, stand for themselves
      out += '\\';
      append_utf8(out, static_cast<unsigned char>(escape));
      continue;
    }
    const std::size_t digits = escape == 'u' ? 4 : 8;
    const auto code_point = parse_hex(text.substr(i), digits);
    if (!code_point || *code_point > 0x10FFFF) return std::nullopt;
    append_utf8(out, *code_point);
    i += digits;
  }
  return out;
}

void append_utf8(std::string& out, std::uint32_t code_point) {
  const auto add = [&out](std::uint32_t byte) { out += static_cast<char>(static_cast<unsigned char>(byte)); };
  if (code_point < 0x80) {
    add(code_point);
  } else if (code_point < 0x800) {
    add(0xC0 | code_point >> 6);
    add(0x80 | (code_point & 0x3F));
  } else if (code_point < 0x10000) {
    add(0xE0 | code_point >> 12);
    add(0x80 | (code_point >> 6 & 0x3F));
    add(0x80 | (code_point & 0x3F));
  } else {
    add(0xF0 | code_point >> 18);
    add(0x80 | (code_point >> 12 & 0x3F));
    add(0x80 | (code_point >> 6 & 0x3F));
    add(0x80 | (code_point & 0x3F));
  }
}

}  // namespace rushlight::pickle
