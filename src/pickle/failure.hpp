// How this layer words what it finds: "opcode 212 REDUCE: ..., expected A, found B", with the opcode's offset.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "pickle/argument.hpp"
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
// A budget of Limits; `field` is its name there.
Error beyond_limit(const OpcodePlace& place, std::string_view what, std::string_view field, std::uint64_t allowed,
                   std::string found);

Error unknown_opcode(const OpcodePlace& place);
// `bytes_left` where the reader stands after the fault.
Error bad_argument(const OpcodePlace& place, ArgumentFault fault, const Argument& argument, std::size_t bytes_left);
Error no_memory();

std::string count_text(std::uint64_t count, std::string_view noun);

}  // namespace rushlight::pickle
