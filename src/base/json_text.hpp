// Texts in the JSON files that the library writes: manifests and calibrations.
#pragma once

#include <string>
#include <string_view>

#include "base/hex_digits.hpp"

namespace rushlight {

// In quotes, with the escapes that RFC 8259 demands and no others.
inline void append_json_text(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20) {
      out += "\\u00";
      out += kHexDigits[byte >> 4];
      out += kHexDigits[byte & 15];
    } else {
      out += c;
    }
  }
  out += '"';
}

}  // namespace rushlight
