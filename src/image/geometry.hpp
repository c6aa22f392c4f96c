// What the dimensions of pixels mean, and the sizes pictures may have.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "image/file_bytes.hpp"
#include "rushlight/limits.hpp"
#include "rushlight/tensor.hpp"

namespace rushlight::image {

struct Geometry {
  std::int64_t items;
  std::int64_t channels;
  std::int64_t height;
  std::int64_t width;
  [[nodiscard]] std::size_t plane() const noexcept { return static_cast<std::size_t>(height * width); }
};

// [N, C, H, W], or with dimensions left out as to_input() has it.
[[nodiscard]] std::optional<Geometry> geometry(std::span<const std::int64_t> shape) noexcept;

// "[1, 3, 224, 224]".
[[nodiscard]] std::string shape_text(std::span<const std::int64_t> shape);

// ErrorCode::invalid_argument.
[[nodiscard]] Error bad_argument(std::string message);

// Whether a picture may be this large, asked before memory is taken for it. `offset`: where its size stands.
[[nodiscard]] Status check_size(const FileBytes& file, std::uint64_t width, std::uint64_t height, std::uint64_t offset,
                                const Limits& limits);

// The grey of PIL's convert("L") (ITU-R 601-2) in its fixed point.
[[nodiscard]] constexpr std::uint8_t luma(std::uint32_t red, std::uint32_t green, std::uint32_t blue) noexcept {
  return static_cast<std::uint8_t>((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16);
}

// uint8 [C, H, W] with 1 or 3 channels to `channels` of them; 0 leaves it.
[[nodiscard]] Result<Tensor> with_channels(Tensor pixels, std::int64_t channels);

// uint8 as of geometry() to [N, 1, H, W] where it has three channels; others stay as they are.
[[nodiscard]] Result<Tensor> grey_pixels(const Tensor& pixels);

}  // namespace rushlight::image
