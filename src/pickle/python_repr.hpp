// Texts as Python's repr shows them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace rushlight::pickle {

enum class TextAs : std::uint8_t {
  utf8,    // str; bytes that are no UTF-8 are shown as \xNN
  latin1,  // str, each byte one character
  bytes,   // b'...'
};

// With quotes. Characters that Python's tables call unprintable are escaped (controls, formats, separators, surrogates,
// private use); unassigned code points, which depend on Python's version, are shown as they are.
void append_python_repr(std::string& out, std::string_view text, TextAs as);
// One byte without quotes, as in repr(bytes): "c" or "\x80".
[[nodiscard]] std::string python_repr_byte(std::uint8_t byte);

}  // namespace rushlight::pickle
