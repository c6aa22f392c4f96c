// The digits of hexadecimal texts.
#pragma once

#include <string_view>

namespace rushlight {

inline constexpr std::string_view kHexDigits = "0123456789abcdef";

}  // namespace rushlight
