// What the operating system said, as an Error.
#pragma once

#include <string>
#include <string_view>

#include "rushlight/error.hpp"

namespace rushlight::io {

// "no such file or directory": the C library's words in the C locale, so that messages are the same everywhere.
std::string errno_text(int error_number);

// "WHAT: no such file or directory", with the class that fits: a missing file is not_found, ENOMEM out_of_memory, all
// else io.
Error system_error(std::string_view code, std::string_view what, int error_number, std::string_view path);

}  // namespace rushlight::io
