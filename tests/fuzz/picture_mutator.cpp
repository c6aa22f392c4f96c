// Pictures: chunks of PNG files with right checksums, and segments of JPEG files with right lengths.
#include <algorithm>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.hpp"
#include "checksum/crc32.hpp"
#include "fuzz/mutators.hpp"

namespace rushlight::test {
namespace {

constexpr std::string_view kPng = "\x89PNG\r\n\x1A\n";

std::string big_endian(std::size_t value, int bytes) {
  std::string text;
  for (int i = bytes - 1; i >= 0; --i) text += static_cast<char>(value >> (8 * i) & 255);
  return text;
}
std::size_t number(std::string_view bytes) {
  std::size_t value = 0;
  for (const char c : bytes) value = value << 8 | static_cast<unsigned char>(c);
  return value;
}

// A chunk or a segment: what stands before its length, or is its name; its data; what follows unnamed.
struct Part {
  std::string name;
  std::string data;
  std::string rest;  // of JPEG: the coded picture
};

std::vector<Part> png_parts(std::string_view file) {
  std::vector<Part> parts;
  file.remove_prefix(kPng.size());
  while (file.size() >= 12) {
    const std::size_t size = std::min(number(file.substr(0, 4)), file.size() - 12);
    parts.push_back({std::string(file.substr(4, 4)), std::string(file.substr(8, size)), {}});
    file.remove_prefix(12 + size);
  }
  return parts;
}
std::string png_of(const std::vector<Part>& parts) {
  std::string file(kPng);
  for (const Part& part : parts) {
    const std::string content = part.name + part.data;
    file += big_endian(part.data.size(), 4) + content + big_endian(checksum::crc32(as_byte_span(content)), 4);
  }
  return file;
}

std::vector<Part> jpeg_parts(std::string_view file) {
  std::vector<Part> parts;
  file.remove_prefix(2);
  while (file.size() >= 4 && file[0] == '\xFF') {
    const std::size_t size = std::clamp<std::size_t>(number(file.substr(2, 2)), 2, file.size() - 2);
    Part part = {std::string(file.substr(0, 2)), std::string(file.substr(4, size - 2)), {}};
    file.remove_prefix(2 + size);
    std::size_t end = 0;
    while (part.name[1] == '\xDA' && end < file.size() &&
           (file[end] != '\xFF' || end + 1 == file.size() || file[end + 1] == '\0' || (file[end + 1] & 0xF8) == 0xD0)) {
      ++end;
    }
    part.rest = file.substr(0, end);
    file.remove_prefix(end);
    parts.push_back(std::move(part));
  }
  return parts;
}
std::string jpeg_of(const std::vector<Part>& parts) {
  std::string file = "\xFF\xD8";
  for (const Part& part : parts) file += part.name + big_endian(part.data.size() + 2, 2) + part.data + part.rest;
  return file + "\xFF\xD9";
}

void mutate_text(std::string& text, std::size_t room, PlainMutation mutate) {
  const std::size_t size = text.size();
  text.resize(size + std::max<std::size_t>(room, 1));
  text.resize(mutate(reinterpret_cast<std::uint8_t*>(text.data()), size, text.size()));
}

}  // namespace

std::size_t mutate_picture(std::uint8_t* data, std::size_t size, std::size_t max_size, unsigned seed,
                           PlainMutation mutate) {
  Dice dice(seed);
  const std::string_view file = as_text(std::as_bytes(std::span(data, size)));
  const bool is_png = file.starts_with(kPng);
  const bool is_jpeg = file.starts_with("\xFF\xD8\xFF");
  if ((!is_png && !is_jpeg) || dice.one_in(8)) return mutate(data, size, max_size);
  std::vector<Part> parts = is_png ? png_parts(file) : jpeg_parts(file);
  if (parts.empty()) return mutate(data, size, max_size);
  const std::size_t at = dice.below(parts.size());
  const std::size_t room = std::min<std::size_t>(max_size - std::min(size, max_size), 256);
  switch (dice.below(16)) {
    case 0:
      parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(at));
      break;
    case 1:
      parts.insert(parts.begin() + static_cast<std::ptrdiff_t>(at), Part(parts[dice.below(parts.size())]));
      break;
    case 2:
      std::swap(parts[at], parts[dice.below(parts.size())]);
      break;
    case 3:
      if (is_jpeg) parts[at].name[1] = static_cast<char>(0xC0 + dice.below(0x30));
      break;
    default:
      mutate_text(parts[at].rest.empty() || dice.one_in(3) ? parts[at].data : parts[at].rest, room, mutate);
  }
  const std::string mutant = is_png ? png_of(parts) : jpeg_of(parts);
  if (mutant.size() > max_size) return mutate(data, size, max_size);
  std::memcpy(data, mutant.data(), mutant.size());
  return mutant.size();
}

}  // namespace rushlight::test
