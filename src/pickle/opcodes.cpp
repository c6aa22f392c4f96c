#include "pickle/opcodes.hpp"

namespace rushlight::pickle {

std::span<const OpcodeInfo> opcodes() noexcept {
  return detail::kOpcodes;
}

std::string_view to_string(ArgumentKind kind) noexcept {
  switch (kind) {
    case ArgumentKind::none:
      return "none";
    case ArgumentKind::u1:
      return "u1";
    case ArgumentKind::u2:
      return "u2";
    case ArgumentKind::u4:
      return "u4";
    case ArgumentKind::u8:
      return "u8";
    case ArgumentKind::i4:
      return "i4";
    case ArgumentKind::f8_be:
      return "f8_be";
    case ArgumentKind::line:
      return "line";
    case ArgumentKind::two_lines:
      return "two_lines";
    case ArgumentKind::integer_line:
      return "integer_line";
    case ArgumentKind::long_line:
      return "long_line";
    case ArgumentKind::float_line:
      return "float_line";
    case ArgumentKind::quoted_line:
      return "quoted_line";
    case ArgumentKind::unicode_line:
      return "unicode_line";
    case ArgumentKind::string1:
      return "string1";
    case ArgumentKind::string4:
      return "string4";
    case ArgumentKind::bytes1:
      return "bytes1";
    case ArgumentKind::bytes4:
      return "bytes4";
    case ArgumentKind::bytes8:
      return "bytes8";
    case ArgumentKind::bytearray8:
      return "bytearray8";
    case ArgumentKind::unicode1:
      return "unicode1";
    case ArgumentKind::unicode4:
      return "unicode4";
    case ArgumentKind::unicode8:
      return "unicode8";
    case ArgumentKind::long1:
      return "long1";
    case ArgumentKind::long4:
      return "long4";
  }
  return "?";
}

}  // namespace rushlight::pickle
