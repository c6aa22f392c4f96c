// How this layer words what it finds.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "base/fail.hpp"
#include "base/quote.hpp"
#include "rushlight/error.hpp"

namespace rushlight::zip {

// Where something was found: an offset in the file and, inside a record, the record's name as stored.
struct Place {
  std::uint64_t offset = 0;
  std::string_view record = {};
};

inline Finding finding(Severity severity, Category category, std::string_view code, std::string message, Place place) {
  Finding made{.severity = severity,
               .category = category,
               .code = std::string(code),
               .message = std::move(message),
               .offset = place.offset};
  if (!place.record.empty()) made.record = escaped(place.record);
  return made;
}

inline Error failure(Category category, std::string_view code, std::string message, Place place) {
  return Error::of(finding(Severity::error, category, code, std::move(message), place));
}

// "WHAT, expected EXPECTED, found FOUND", with both values in fields of their own too.
inline Error differs(Category category, std::string_view code, std::string_view what, std::string expected,
                     std::string found, Place place) {
  Error error = failure(category, code, std::string(what) + ", expected " + expected + ", found " + found, place);
  error.finding.expected = std::move(expected);
  error.finding.found = std::move(found);
  return error;
}

// "[0x40, 0x60)": ranges in messages are half open, as in the code.
inline std::string range_text(std::uint64_t begin, std::uint64_t end) {
  return "[" + hex(begin) + ", " + hex(end) + ")";
}

inline std::string count_text(std::uint64_t count, std::string_view noun) {
  return std::to_string(count) + " " + std::string(noun) + (count == 1 ? "" : "s");
}

inline constexpr std::string_view kCutShortHint = "the download, copy or save was cut short: fetch the file again";

inline Error no_memory_for(std::uint64_t size_bytes, std::string_view what) {
  return Error::of(ErrorCode::out_of_memory,
                   {.category = Category::io,
                    .code = "OUT-OF-MEMORY",
                    .message = "no memory for " + std::to_string(size_bytes) + " bytes of " + std::string(what)});
}

// An error that says nothing about the file.
inline bool could_not_look(const Error& error) noexcept {
  return error.code == ErrorCode::io || error.code == ErrorCode::out_of_memory ||
         error.code == ErrorCode::invalid_argument || error.code == ErrorCode::cancelled;
}

}  // namespace rushlight::zip
