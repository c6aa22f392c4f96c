/// \file
/// Texts from strangers, made fit for terminals and messages.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rushlight/export.hpp"

namespace rushlight {

/// Escapes control characters, invalid UTF-8, lone surrogates, bidirectional overrides, quotes and backslashes; cuts
/// after `max_bytes` bytes of input with "...". Printable UTF-8 stays as it is. The result is valid UTF-8.
RUSHLIGHT_API std::string escaped(std::string_view text, std::size_t max_bytes = 200);

/// Up to `count` candidates that a person who typed `wanted` may have meant, best first.
RUSHLIGHT_API std::vector<std::string> nearest(std::string_view wanted, std::span<const std::string> candidates,
                                               std::size_t count = 3);

}  // namespace rushlight
