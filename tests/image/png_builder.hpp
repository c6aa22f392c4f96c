// PNG files for tests: chunks as they are told, data stored without compression.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.hpp"
#include "checksum/crc32.hpp"

namespace rushlight::test {

inline std::string big_endian(std::uint32_t value) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(value >> shift);
  return bytes;
}

inline std::string png_chunk(std::string_view type, std::string_view data) {
  const std::string content = std::string(type) + std::string(data);
  return big_endian(static_cast<std::uint32_t>(data.size())) + content +
         big_endian(checksum::crc32(as_byte_span(content)));
}

inline constexpr std::string_view kPngSignature = "\x89PNG\r\n\x1A\n";

inline std::string png_header(std::uint32_t width, std::uint32_t height, char depth, char colour, char interlace = 0) {
  return png_chunk("IHDR", big_endian(width) + big_endian(height) + std::string{depth, colour, 0, 0, interlace});
}

// A zlib stream of one stored block; at most 65,535 bytes.
inline std::string stored_zlib(std::string_view data) {
  const auto size = static_cast<unsigned>(data.size());
  std::uint32_t low = 1;
  std::uint32_t high = 0;
  for (const char c : data) {
    low = (low + static_cast<unsigned char>(c)) % 65521;
    high = (high + low) % 65521;
  }
  std::string stream = "\x78\x01\x01";
  for (const unsigned number : {size, ~size}) {
    stream += static_cast<char>(number & 255);
    stream += static_cast<char>(number >> 8 & 255);
  }
  return stream + std::string(data) + big_endian(high << 16 | low);
}

// `rows`: each with its filter byte. `before` and `after` are chunks around the data.
inline std::string png(const std::string& header, std::string_view rows, std::string_view before = {},
                       std::string_view after = {}) {
  return std::string(kPngSignature) + header + std::string(before) + png_chunk("IDAT", stored_zlib(rows)) +
         std::string(after) + png_chunk("IEND", "");
}

}  // namespace rushlight::test
