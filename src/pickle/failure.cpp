#include "pickle/failure.hpp"

#include <algorithm>
#include <utility>

#include "base/fail.hpp"
#include "pickle/opcodes.hpp"

namespace rushlight::pickle {

std::string count_text(std::uint64_t count, std::string_view noun) {
  return std::to_string(count) + " " + std::string(noun) + (count == 1 ? "" : "s");
}

Error failure(Category category, std::string_view code, const OpcodePlace& place, std::string_view what) {
  std::string message = "opcode " + std::to_string(place.number);
  if (const OpcodeInfo* info = find_opcode(place.byte)) message += " " + std::string(info->name);
  return Error::of({.category = category,
                    .code = std::string(code),
                    .message = message + ": " + std::string(what),
                    .record_offset = place.offset});
}

Error differs(Category category, std::string_view code, const OpcodePlace& place, std::string_view what,
              std::string expected, std::string found) {
  Error error = failure(category, code, place, std::string(what) + ", expected " + expected + ", found " + found);
  error.finding.expected = std::move(expected);
  error.finding.found = std::move(found);
  return error;
}

Error beyond_limit(const OpcodePlace& place, std::string_view what, std::string_view field, std::uint64_t allowed,
                   std::string found) {
  std::string code = "LIMIT-" + std::string(field);
  std::transform(code.begin(), code.end(), code.begin(), [](char c) {
    return c == '_' ? '-' : c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  });
  Error error =
      differs(Category::limit, code, place, std::string(what) + " than limits." + std::string(field) + " allows",
              "at most " + std::to_string(allowed), std::move(found));
  error.finding.hint = "raise the limit if the file is yours";
  return error;
}

Error unknown_opcode(const OpcodePlace& place) {
  Error error = failure(Category::pkl, "PKL-OPCODE", place, "byte " + hex(place.byte) + " is not a pickle opcode");
  error.finding.found = hex(place.byte);
  return error;
}

Error bad_argument(const OpcodePlace& place, ArgumentFault fault, const Argument& argument, std::size_t bytes_left) {
  switch (fault) {
    case ArgumentFault::none:
    case ArgumentFault::too_short:
      break;
    case ArgumentFault::no_newline:
      return differs(Category::pkl, "PKL-NEWLINE", place, "the text has no end", "a newline",
                     count_text(bytes_left, "byte") + " without one");
    case ArgumentFault::negative_length:
      return differs(Category::pkl, "PKL-LENGTH", place, "the length is negative", "at least 0",
                     std::to_string(static_cast<std::int64_t>(argument.number)));
  }
  return differs(Category::pkl, "PKL-TRUNCATED", place, "the pickle ends inside the argument",
                 count_text(argument.number, "byte"), std::to_string(bytes_left));
}

Error no_memory() {
  return Error::of(
      ErrorCode::out_of_memory,
      {.category = Category::io, .code = "OUT-OF-MEMORY", .message = "no memory for the objects of a pickle"});
}

}  // namespace rushlight::pickle
