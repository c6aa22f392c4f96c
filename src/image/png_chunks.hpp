// The frame of a PNG file: its chunks, checked before anything is decoded.
#pragma once

#include <cstdint>

#include "image/file_bytes.hpp"
#include "image/orientation.hpp"
#include "rushlight/limits.hpp"

namespace rushlight::image {

enum class PngColour : std::uint8_t { grey = 0, rgb = 2, palette = 3, grey_alpha = 4, rgb_alpha = 6 };

struct PngFrame {
  std::uint32_t width = 0;
  std::uint32_t height = 0;
  std::uint8_t depth = 0;  // bits of a sample
  PngColour colour = PngColour::grey;
  bool interlaced = false;
  ByteSpan palette;   // red, green, blue
  Metadata metadata;  // of eXIf and iTXt
  std::uint64_t end = 0;
};

[[nodiscard]] constexpr unsigned samples_of(PngColour colour) noexcept {
  switch (colour) {
    case PngColour::rgb:
      return 3;
    case PngColour::grey_alpha:
      return 2;
    case PngColour::rgb_alpha:
      return 4;
    default:
      return 1;
  }
}

// Walks all chunks up to IEND: their lengths lie in the file, their CRCs are right, the header is one that exists, the
// size is allowed, and the compressed bytes can hold so many pixels.
[[nodiscard]] Result<PngFrame> read_png_frame(const FileBytes& file, const Limits& limits);

}  // namespace rushlight::image
