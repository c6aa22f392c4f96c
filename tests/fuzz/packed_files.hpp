// Several small files as one input. Each is [length of the name, u8][name][length of the data, u16,
// little-endian][data]; lengths that are too large end with the input, so that any bytes are some files.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/bytes.hpp"

namespace rushlight::test {

using PackedFile = std::pair<std::string, std::string>;  // name, bytes

// At most 64; the rest is left out.
[[nodiscard]] std::vector<PackedFile> unpack_files(ByteSpan input);
// Names of at most 255 bytes, data of at most 65535: what is longer is cut.
[[nodiscard]] std::string pack_files(const std::vector<PackedFile>& files);

}  // namespace rushlight::test
