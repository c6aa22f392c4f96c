#include "cli/json_writer.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>

namespace rushlight::cli {
namespace {

constexpr std::int64_t kMaxExact = std::int64_t{1} << 53;
constexpr std::string_view kHex = "0123456789abcdef";

void append_unicode_escape(std::string& out, unsigned code) {
  out += "\\u";
  for (int shift = 12; shift >= 0; shift -= 4) out += kHex[(code >> shift) & 0xF];
}

// Length of the UTF-8 sequence at `text`, 0 when malformed; lone surrogates count as sequences of three.
std::size_t sequence_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned first = byte(0);
  const std::size_t length = first < 0x80                    ? 1
                             : first >= 0xC2 && first < 0xE0 ? 2
                             : first >= 0xE0 && first < 0xF0 ? 3
                             : first >= 0xF0 && first < 0xF5 ? 4
                                                             : 0;
  if (length == 0 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0u) != 0x80u) return 0;
  }
  if ((first == 0xE0 && byte(1) < 0xA0) || (first == 0xF0 && byte(1) < 0x90) || (first == 0xF4 && byte(1) > 0x8F)) {
    return 0;
  }
  return length;
}

}  // namespace

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const std::size_t length = sequence_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

void JsonWriter::separate() {
  if (after_key_) {
    after_key_ = false;
    return;
  }
  if (has_items_.empty()) return;
  if (has_items_.back()) text_ += ',';
  has_items_.back() = true;
}

JsonWriter& JsonWriter::begin_object() {
  separate();
  text_ += '{';
  has_items_.push_back(false);
  return *this;
}
JsonWriter& JsonWriter::end_object() {
  text_ += '}';
  has_items_.pop_back();
  return *this;
}
JsonWriter& JsonWriter::begin_array() {
  separate();
  text_ += '[';
  has_items_.push_back(false);
  return *this;
}
JsonWriter& JsonWriter::end_array() {
  text_ += ']';
  has_items_.pop_back();
  return *this;
}
JsonWriter& JsonWriter::key(std::string_view name) {
  string(name);
  text_ += ':';
  after_key_ = true;
  return *this;
}
JsonWriter& JsonWriter::raw(std::string_view json) {
  separate();
  text_ += json;
  return *this;
}
JsonWriter& JsonWriter::null() {
  return raw("null");
}
JsonWriter& JsonWriter::boolean(bool value) {
  return raw(value ? "true" : "false");
}

JsonWriter& JsonWriter::integer(std::int64_t value) {
  const std::string digits = std::to_string(value);
  return value > kMaxExact || value < -kMaxExact ? string(digits) : raw(digits);
}
JsonWriter& JsonWriter::natural(std::uint64_t value) {
  const std::string digits = std::to_string(value);
  return value > static_cast<std::uint64_t>(kMaxExact) ? string(digits) : raw(digits);
}
JsonWriter& JsonWriter::real(double value) {
  if (std::isnan(value)) return string("NaN");
  if (std::isinf(value)) return string(value > 0 ? "Infinity" : "-Infinity");
  // Readers take a number without a point for an integer, and integers have no negative zero.
  if (value == 0 && std::signbit(value)) return raw("-0.0");
  std::array<char, 32> buffer{};
  // With an exponent where the digits alone would be an integer beyond 64 bits: some readers refuse such.
  const bool large = std::abs(value) > static_cast<double>(kMaxExact);
  char* const limit = buffer.data() + buffer.size();
  const auto end = large ? std::to_chars(buffer.data(), limit, value, std::chars_format::scientific).ptr
                         : std::to_chars(buffer.data(), limit, value).ptr;
  return raw({buffer.data(), static_cast<std::size_t>(end - buffer.data())});
}

JsonWriter& JsonWriter::string(std::string_view text) {
  separate();
  text_ += '"';
  while (!text.empty()) {
    const std::size_t length = sequence_length(text);
    const auto first = static_cast<unsigned char>(text[0]);
    if (length == 0) {
      text_ += "\xEF\xBF\xBD";  // U+FFFD
      text.remove_prefix(1);
      continue;
    }
    if (length == 3 && first == 0xED && static_cast<unsigned char>(text[1]) >= 0xA0) {
      append_unicode_escape(text_, 0xD000u | ((static_cast<unsigned char>(text[1]) & 0x3Fu) << 6) |
                                       (static_cast<unsigned char>(text[2]) & 0x3Fu));
    } else if (first == '"' || first == '\\') {
      (text_ += '\\') += static_cast<char>(first);
    } else if (first < 0x20 || first == 0x7F) {
      append_unicode_escape(text_, first);
    } else {
      text_ += text.substr(0, length);
    }
    text.remove_prefix(length);
  }
  text_ += '"';
  return *this;
}

JsonWriter& JsonWriter::base64(std::span<const std::byte> bytes) {
  static constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    unsigned group = 0;
    for (std::size_t j = 0; j < 3; ++j) {
      group = (group << 8) | (i + j < bytes.size() ? std::to_integer<unsigned>(bytes[i + j]) : 0u);
    }
    for (std::size_t j = 0; j < 4; ++j) {
      out += i + j > bytes.size() ? '=' : kAlphabet[(group >> (18 - 6 * j)) & 0x3F];
    }
  }
  return string(out);
}

JsonWriter& JsonWriter::integers(std::span<const std::int64_t> values) {
  begin_array();
  for (const std::int64_t value : values) integer(value);
  return end_array();
}

}  // namespace rushlight::cli
