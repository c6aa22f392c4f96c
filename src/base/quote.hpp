// Texts from strangers, made fit for messages: the inner part of rushlight/text.hpp.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "rushlight/text.hpp"

namespace rushlight {

// Longer than any path the operating system takes: a path is never cut.
inline constexpr std::size_t kPathBytes = 4096;

// escaped() between single quotes.
std::string quoted(std::string_view text, std::size_t max_bytes = 200);
// Where <iomanip> is included, std::quoted would fit a std::string better than the above.
inline std::string quoted(const std::string& text, std::size_t max_bytes = 200) {
  return quoted(std::string_view(text), max_bytes);
}
inline std::string quoted(const char* text, std::size_t max_bytes = 200) {
  return quoted(std::string_view(text), max_bytes);
}

// True for well-formed UTF-8 (no surrogates, no overlong forms, at most U+10FFFF).
bool is_valid_utf8(std::string_view text) noexcept;
// The same, but lone surrogates (ED A0..BF xx) pass, as Python's "surrogatepass" lets them.
bool is_valid_utf8_surrogatepass(std::string_view text) noexcept;

}  // namespace rushlight
