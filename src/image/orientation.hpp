// How a picture is to be turned: EXIF's Orientation (JEITA CP-3451, 4.6.4 A), which XMP may state as well.
#pragma once

#include <optional>
#include <string_view>

#include "base/bytes.hpp"
#include "rushlight/tensor.hpp"

namespace rushlight::image {

// Upright.
inline constexpr int kUpright = 1;

// Metadata of a picture, as found; parts may be empty. The first that states an orientation decides, EXIF before XMP.
struct Metadata {
  ByteSpan exif;  // from the TIFF header on, or from "Exif\0\0" before it
  std::string_view xmp;
};

// 1 to 8, or another number that says nothing. What cannot be read says nothing either: metadata is no part of the
// picture.
[[nodiscard]] int orientation_of(const Metadata& metadata) noexcept;

// uint8 [C, H, W], turned so that it is upright. Numbers beyond 2 to 8 leave it as it is.
[[nodiscard]] Result<Tensor> upright(Tensor pixels, int orientation);

}  // namespace rushlight::image
