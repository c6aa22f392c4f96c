// Numbers and shapes for people.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "rushlight/checkpoint.hpp"

namespace rushlight::cli {

std::string format_bytes(std::uint64_t bytes);                  // "1.62 MiB", "8 B"
std::string format_count(std::int64_t count);                   // "422,028"
std::string format_shape(std::span<const std::int64_t> shape);  // "[32, 1, 3, 3]"
std::string plural(std::int64_t count, std::string_view noun);  // "1 tensor", "18 tensors"
std::string format_kind(const FormatInfo& format);              // "PyTorch zip (torch.save)"
std::string format_number(double value);                        // six significant digits

// The name of a file for people: what a terminal would obey is escaped, quotes and backslashes are not.
std::string format_file(std::string_view file);
// The same as Finding::file has it: all escaped, none cut.
std::string escaped_file(std::string_view file);
// From there: what format_file() gives.
std::string file_of_finding(std::string_view escaped_name);

}  // namespace rushlight::cli
