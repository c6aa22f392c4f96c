#include "pickle/failure.hpp"

#include <algorithm>
#include <utility>

#include "base/fail.hpp"
#include "base/quote.hpp"
#include "pickle/globals.hpp"
#include "pickle/literals.hpp"
#include "pickle/opcodes.hpp"

namespace rushlight::pickle {
namespace {

Error limit_differs(const OpcodePlace& place, std::string_view what, std::string_view field, std::uint64_t allowed,
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

}  // namespace

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

Error no_memory() {
  return Error::of(
      ErrorCode::out_of_memory,
      {.category = Category::io, .code = "OUT-OF-MEMORY", .message = "no memory for the objects of a pickle"});
}

// --- the stream
// --------------------------------------------------------------------------------------------------------

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

Error no_stop(const OpcodePlace& place) {
  return Error::of({.category = Category::pkl,
                    .code = "PKL-TRUNCATED",
                    .message = "the pickle ends without STOP after " + count_text(place.number, "opcode"),
                    .record_offset = place.offset});
}

Error unknown_protocol(const OpcodePlace& place, std::uint64_t highest, std::uint64_t found) {
  return differs(Category::unsup, "PKL-PROTOCOL", place, "the pickle protocol is not known here",
                 "at most " + std::to_string(highest), std::to_string(found));
}

Error unknown_extension(const OpcodePlace& place, std::uint64_t code) {
  return failure(Category::unsup, "PKL-EXTENSION", place,
                 "extension code " + std::to_string(static_cast<std::int64_t>(code)) +
                     " has a meaning in the writer's process only");
}

Error outside_buffer(const OpcodePlace& place) {
  return failure(Category::unsup, "PKL-BUFFER", place, "the pickle keeps its data in buffers outside of it");
}

Error frame_crossed(const OpcodePlace& place, std::uint64_t end) {
  return failure(Category::pkl, "PKL-FRAME", place, "the opcode crosses the end of its frame at " + hex(end));
}

Error frame_inside_frame(const OpcodePlace& place, std::uint64_t end) {
  return failure(Category::pkl, "PKL-FRAME", place, "a frame begins inside another, which ends at " + hex(end));
}

Error frame_too_long(const OpcodePlace& place, std::uint64_t bytes_left, std::uint64_t found) {
  return differs(Category::pkl, "PKL-FRAME", place, "the frame is longer than the pickle",
                 "at most " + count_text(bytes_left, "byte"), std::to_string(found));
}

Error frame_beyond_stop(const OpcodePlace& place, std::uint64_t position, std::uint64_t end) {
  return differs(Category::pkl, "PKL-FRAME", place, "the frame reaches beyond the end of the pickle", hex(position),
                 hex(end));
}

// --- the stack and the memo
// --------------------------------------------------------------------------------------------

Error too_few_values(const OpcodePlace& place, std::string_view where, std::size_t expected, std::size_t found) {
  return differs(Category::pkl, "PKL-UNDERFLOW", place, "too few values " + std::string(where),
                 std::to_string(expected), std::to_string(found));
}

Error no_mark(const OpcodePlace& place) {
  return failure(Category::pkl, "PKL-MARK", place, "there is no mark on the stack");
}

Error open_marks(const OpcodePlace& place, std::size_t count) {
  return differs(Category::pkl, "PKL-STOP", place, "the pickle ends inside a mark", "no open mark",
                 std::to_string(count));
}

Error not_one_value(const OpcodePlace& place, std::size_t count) {
  return differs(Category::pkl, "PKL-STOP", place, "the pickle must leave one value on the stack", "1",
                 std::to_string(count));
}

Error key_without_value(const OpcodePlace& place, std::size_t count) {
  return differs(Category::pkl, "PKL-ODD", place, "a key has no value", "an even number of values",
                 std::to_string(count));
}

Error wrong_operand(const OpcodePlace& place, std::string_view what, std::string_view expected, ObjectKind found) {
  return differs(Category::type, "PKL-OPERAND", place, what, std::string(expected), std::string(to_string(found)));
}

Error never_stored(const OpcodePlace& place, std::uint64_t index) {
  return failure(Category::pkl, "PKL-MEMO-GET", place, "memo entry " + std::to_string(index) + " was never stored");
}

Error bad_memo_index(const OpcodePlace& place, std::string_view text) {
  const bool is_number = count_digits(text) > kMaxDecimalDigits || parse_decimal(text).has_value();
  if (!is_number) return not_an_integer(place, text);
  if (text.starts_with('-')) {
    return differs(Category::pkl, "PKL-INTEGER", place, "the memo index is negative", "at least 0", escaped(text));
  }
  return differs(Category::limit, "LIMIT-PICKLE-DIGITS", place, "the memo index is too large", "at most 63 bits",
                 count_text(text.size(), "digit"));
}

// --- texts and numbers
// -------------------------------------------------------------------------------------------------

Error not_encoded(const OpcodePlace& place, std::string_view what, std::string_view encoding) {
  return failure(Category::pkl, "PKL-TEXT", place, std::string(what) + " is not " + std::string(encoding));
}

Error not_an_integer(const OpcodePlace& place, std::string_view text) {
  return differs(Category::pkl, "PKL-INTEGER", place, "the text is not an integer",
                 "decimal digits without leading zeros", quoted(text));
}

Error not_a_float(const OpcodePlace& place, std::string_view text) {
  return differs(Category::pkl, "PKL-FLOAT", place, "the text is not a float", "decimal digits, inf or nan",
                 quoted(text));
}

Error too_many_digits(const OpcodePlace& place, std::size_t found) {
  return differs(Category::limit, "LIMIT-PICKLE-DIGITS", place, "the integer has too many decimal digits",
                 "at most " + std::to_string(kMaxDecimalDigits), std::to_string(found));
}

Error not_quoted(const OpcodePlace& place, std::string_view text) {
  return differs(Category::pkl, "PKL-STRING", place, "the string is not in quotes", "'...' or \"...\"", quoted(text));
}

Error bad_escape(const OpcodePlace& place, std::string_view text) {
  return failure(Category::pkl, "PKL-STRING", place, "the string has a bad escape: " + quoted(text));
}

Error name_too_long(const OpcodePlace& place, std::uint64_t found) {
  return differs(Category::limit, "LIMIT-PICKLE-NAME", place, "the name is too long",
                 "at most " + count_text(kMaxNameBytes, "byte"), std::to_string(found));
}

// --- budgets
// -----------------------------------------------------------------------------------------------------------

Error beyond_limit(const OpcodePlace& place, std::string_view what, std::string_view field, std::uint64_t allowed,
                   std::uint64_t found, std::string_view noun) {
  return limit_differs(place, what, field, allowed, noun.empty() ? std::to_string(found) : count_text(found, noun));
}

Error pickle_too_long(const OpcodePlace& place, std::uint64_t allowed) {
  return limit_differs(place, "the pickle is longer", "pickle_bytes", allowed, "more");
}

}  // namespace rushlight::pickle
