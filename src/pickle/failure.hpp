// How this layer words what it finds: "opcode 212 REDUCE: ..., expected A, found B", with the opcode's offset.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "pickle/argument.hpp"
#include "pickle/object.hpp"
#include "rushlight/error.hpp"

namespace rushlight::pickle {

// The opcode at fault; the first of a stream has number 1.
struct OpcodePlace {
  std::uint64_t number = 0;
  std::uint8_t byte = 0;
  std::uint64_t offset = 0;
};

Error failure(Category category, std::string_view code, const OpcodePlace& place, std::string_view what);
Error differs(Category category, std::string_view code, const OpcodePlace& place, std::string_view what,
              std::string expected, std::string found);
Error no_memory();

// The stream.
Error unknown_opcode(const OpcodePlace& place);
// `bytes_left` where the reader stands after the fault.
Error bad_argument(const OpcodePlace& place, ArgumentFault fault, const Argument& argument, std::size_t bytes_left);
Error no_stop(const OpcodePlace& place);
Error unknown_protocol(const OpcodePlace& place, std::uint64_t highest, std::uint64_t found);
Error unknown_extension(const OpcodePlace& place, std::uint64_t code);
Error outside_buffer(const OpcodePlace& place);
Error frame_crossed(const OpcodePlace& place, std::uint64_t end);
Error frame_inside_frame(const OpcodePlace& place, std::uint64_t end);
Error frame_too_long(const OpcodePlace& place, std::uint64_t bytes_left, std::uint64_t found);
Error frame_beyond_stop(const OpcodePlace& place, std::uint64_t position, std::uint64_t end);

// The stack and the memo.
Error too_few_values(const OpcodePlace& place, std::string_view where, std::size_t expected, std::size_t found);
Error no_mark(const OpcodePlace& place);
Error open_marks(const OpcodePlace& place, std::size_t count);
Error not_one_value(const OpcodePlace& place, std::size_t count);
Error key_without_value(const OpcodePlace& place, std::size_t count);
Error wrong_operand(const OpcodePlace& place, std::string_view what, std::string_view expected, ObjectKind found);
Error never_stored(const OpcodePlace& place, std::uint64_t index);
Error bad_memo_index(const OpcodePlace& place, std::string_view text);

// Texts and numbers.
Error not_encoded(const OpcodePlace& place, std::string_view what, std::string_view encoding);
Error not_an_integer(const OpcodePlace& place, std::string_view text);
Error not_a_float(const OpcodePlace& place, std::string_view text);
Error too_many_digits(const OpcodePlace& place, std::size_t found);
Error not_quoted(const OpcodePlace& place, std::string_view text);
Error bad_escape(const OpcodePlace& place, std::string_view text);
Error name_too_long(const OpcodePlace& place, std::uint64_t found);

// Budgets. `field` is the name in Limits; `noun` what is counted, when the number needs one.
Error beyond_limit(const OpcodePlace& place, std::string_view what, std::string_view field, std::uint64_t allowed,
                   std::uint64_t found, std::string_view noun = {});
// The pickle goes on behind limits.pickle_bytes.
Error pickle_too_long(const OpcodePlace& place, std::uint64_t allowed);

std::string count_text(std::uint64_t count, std::string_view noun);

}  // namespace rushlight::pickle
