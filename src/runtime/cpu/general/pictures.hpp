// Operands in channels-last order as rows of channels: [N, C, ...] and, without a batch, [C, ...].
#pragma once

#include <cstddef>
#include <cstdint>

#include "runtime/cpu/general/builder.hpp"
#include "runtime/cpu/general/lines.hpp"
#include "runtime/general.hpp"

namespace rushlight::runtime::cpu {

// Any number of spatial dimensions.
struct PictureRows {
  std::size_t images = 1;
  std::size_t channels = 1;
  std::ptrdiff_t image_stride = 0;
  Nest pixels;

  PictureRows(const Operand& operand, std::size_t spatial) {
    const std::size_t c = operand.shape.size() - spatial - 1;
    channels = size_of(operand.shape[c]);
    if (c > 0) {
      images = size_of(operand.shape[0]);
      image_stride = static_cast<std::ptrdiff_t>(operand.strides[0]);
    }
    for (std::size_t d = c + 1; d < operand.shape.size(); ++d) pixels.push(operand.shape[d], operand.strides[d]);
  }
  [[nodiscard]] std::ptrdiff_t at(std::size_t image, std::size_t pixel) const noexcept {
    return static_cast<std::ptrdiff_t>(image) * image_stride + pixels.at(pixel);
  }
};

// Up to three of them; those that are not there have size 1.
struct Picture {
  std::ptrdiff_t images = 1;
  std::ptrdiff_t channels = 1;
  std::ptrdiff_t image_stride = 0;
  std::ptrdiff_t sizes[3] = {1, 1, 1};  // depth, height, width
  std::ptrdiff_t strides[3] = {0, 0, 0};

  Picture(const Operand& operand, std::size_t spatial) {
    const std::size_t c = operand.shape.size() - spatial - 1;
    channels = operand.shape[c];
    if (c > 0) {
      images = operand.shape[0];
      image_stride = operand.strides[0];
    }
    for (std::size_t i = 0; i < spatial; ++i) {
      sizes[3 - spatial + i] = operand.shape[c + 1 + i];
      strides[3 - spatial + i] = operand.strides[c + 1 + i];
    }
  }
  [[nodiscard]] std::ptrdiff_t pixels() const noexcept { return sizes[0] * sizes[1] * sizes[2]; }
  [[nodiscard]] std::ptrdiff_t at(std::ptrdiff_t image, std::ptrdiff_t d, std::ptrdiff_t h,
                                  std::ptrdiff_t w) const noexcept {
    return image * image_stride + d * strides[0] + h * strides[1] + w * strides[2];
  }
};

// An attribute of one, two or three numbers as three; `missing` stands for the others.
struct Triple {
  std::ptrdiff_t values[3];
  Triple(std::int64_t w, std::ptrdiff_t missing) : values{missing, missing, w} {}
  Triple(IntPair pair, std::ptrdiff_t missing) : values{missing, pair.h, pair.w} {}
  Triple(IntTriple triple, std::ptrdiff_t) : values{triple.d, triple.h, triple.w} {}
  std::ptrdiff_t operator[](std::size_t i) const noexcept { return values[i]; }
};

}  // namespace rushlight::runtime::cpu
