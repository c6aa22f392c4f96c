// Short spellings for making errors where bad input is found.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "rushlight/error.hpp"

namespace rushlight {

// "0x1f3": offsets in messages are hexadecimal.
std::string hex(std::uint64_t value);
// "b337254f": fixed width, for checksums.
std::string hex8(std::uint32_t value);

// The class of failure a category stands for.
ErrorCode code_of(Category category) noexcept;

// Fills in what the layer above knows, if the layer below did not.
Error with_file(Error error, std::string_view file);
Error with_record(Error error, std::string_view record);

}  // namespace rushlight

// Returns the error of a Result or Status expression from the enclosing function.
#define RUSHLIGHT_CONCAT_(a, b) a##b
#define RUSHLIGHT_CONCAT(a, b) RUSHLIGHT_CONCAT_(a, b)
#define RUSHLIGHT_TRY(expression)                                        \
  do {                                                                   \
    if (auto rushlight_try_status = (expression); !rushlight_try_status) \
      return std::move(rushlight_try_status).error();                    \
  } while (false)
// Declares `declaration` with the value of a Result expression, or returns its error.
#define RUSHLIGHT_TRY_ASSIGN(declaration, expression)                        \
  auto RUSHLIGHT_CONCAT(rushlight_result_, __LINE__) = (expression);         \
  if (!RUSHLIGHT_CONCAT(rushlight_result_, __LINE__))                        \
    return std::move(RUSHLIGHT_CONCAT(rushlight_result_, __LINE__)).error(); \
  declaration = *std::move(RUSHLIGHT_CONCAT(rushlight_result_, __LINE__))
