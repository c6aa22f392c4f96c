#include "fuzz/packed_files.hpp"

#include <algorithm>
#include <cstdint>

namespace rushlight::test {

std::vector<PackedFile> unpack_files(ByteSpan input) {
  constexpr std::size_t kMostFiles = 64;
  ByteReader reader(input);
  const auto text = [&reader](std::uint64_t length) {
    return std::string(as_text(*reader.read_bytes(std::min<std::uint64_t>(length, reader.bytes_left()))));
  };
  std::vector<PackedFile> files;
  while (reader.bytes_left() > 0 && files.size() < kMostFiles) {
    std::string name = text(*reader.read<std::uint8_t>());
    files.emplace_back(std::move(name), text(reader.read<std::uint16_t>().value_or(0)));
  }
  return files;
}

std::string pack_files(const std::vector<PackedFile>& files) {
  std::string packed;
  for (const auto& [name, bytes] : files) {
    const std::size_t name_bytes = std::min<std::size_t>(name.size(), 0xFF);
    const std::size_t data_bytes = std::min<std::size_t>(bytes.size(), 0xFFFF);
    packed += static_cast<char>(name_bytes);
    packed.append(name, 0, name_bytes);
    packed += static_cast<char>(data_bytes & 0xFF);
    packed += static_cast<char>(data_bytes >> 8);
    packed.append(bytes, 0, data_bytes);
  }
  return packed;
}

}  // namespace rushlight::test
