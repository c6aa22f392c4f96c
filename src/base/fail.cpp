#include "base/fail.hpp"

#include "base/hex_digits.hpp"
#include "base/quote.hpp"

namespace rushlight {

std::string hex(std::uint64_t value) {
  std::string digits;
  do {
    digits.insert(digits.begin(), kHexDigits[value & 15]);
    value >>= 4;
  } while (value != 0);
  return "0x" + digits;
}

std::string hex8(std::uint32_t value) {
  std::string digits(8, '0');
  for (std::size_t i = 8; i-- > 0; value >>= 4) digits[i] = kHexDigits[value & 15];
  return digits;
}

ErrorCode code_of(Category category) noexcept {
  switch (category) {
    case Category::kind:
      return ErrorCode::not_a_checkpoint;
    case Category::trunc:
      return ErrorCode::truncated;
    case Category::ambig:
      return ErrorCode::ambiguous;
    case Category::unsup:
      return ErrorCode::unsupported;
    case Category::limit:
      return ErrorCode::limit_exceeded;
    case Category::global:
      return ErrorCode::forbidden;
    case Category::zip:
    case Category::pkl:
    case Category::type:
    case Category::tensor:
    case Category::store:
      return ErrorCode::corrupt;
    case Category::crc:
    case Category::mani:
    case Category::sig:
      return ErrorCode::checksum_mismatch;
    case Category::changed:
    case Category::io:
      return ErrorCode::io;
    case Category::model:
      return ErrorCode::mismatch;
    case Category::device:
      return ErrorCode::device;
    case Category::argument:
      return ErrorCode::invalid_argument;
  }
  return ErrorCode::corrupt;
}

Error with_file(Error error, std::string_view file) {
  if (error.finding.file.empty()) error.finding.file = escaped(file, kPathBytes);
  return error;
}

Error with_record(Error error, std::string_view record) {
  if (!error.finding.record) error.finding.record = escaped(record);
  return error;
}

}  // namespace rushlight
