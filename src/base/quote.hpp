// Texts from strangers, made fit for messages: the inner part of rushlight/text.hpp.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "rushlight/text.hpp"

namespace rushlight {

// escaped() between single quotes.
std::string quoted(std::string_view text, std::size_t max_bytes = 200);

// True for well-formed UTF-8 (no surrogates, no overlong forms, at most U+10FFFF).
bool is_valid_utf8(std::string_view text) noexcept;
// The same, but lone surrogates (ED A0..BF xx) pass, as Python's "surrogatepass" lets them.
bool is_valid_utf8_surrogatepass(std::string_view text) noexcept;

}  // namespace rushlight
