// EXIF with one tag in it: the orientation.
#pragma once

#include <cstdint>
#include <string>

namespace rushlight::test {

struct ExifForm {
  bool big_endian = false;
  std::uint16_t type = 3;  // 3: 16 bits, 4: 32 bits
  std::uint32_t count = 1;
};

inline std::string exif(unsigned orientation, const ExifForm& form = {}) {
  const auto number = [&](std::uint32_t value, int bytes) {
    std::string text;
    for (int i = 0; i < bytes; ++i) {
      text += static_cast<char>(value >> (8 * (form.big_endian ? bytes - 1 - i : i)) & 255);
    }
    return text;
  };
  const std::string value = form.type == 4 ? number(orientation, 4) : number(orientation, 2) + number(0, 2);
  return (form.big_endian ? "MM" : "II") + number(42, 2) + number(8, 4) + number(1, 2) + number(0x0112, 2) +
         number(form.type, 2) + number(form.count, 4) + value + number(0, 4);
}

}  // namespace rushlight::test
