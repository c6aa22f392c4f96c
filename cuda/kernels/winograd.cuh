// Winograd's algorithm for 3x3 convolutions of stride 1 (Lavin and Gray, "Fast Algorithms for Convolutional Neural
// Networks", 2015): F(2x2) multiplies 2.25 times less often than the direct way and F(4x4) 4 times, for transforms
// before and after the products. Three kernels over scratch memory, of which the middle one is gemm.cuh with the
// positions as its groups:
//
//   transformed[tile][position][c] = (B^T d B)[position],  d: the T x T inputs under a tile
//   products[tile][position][n]    = sum over c of transformed[tile][position][c] * weights[position][n][c]
//   output[pixel of tile][n]       = activation((A^T m A)[pixel] + bias[n] + residual[pixel][n]),  m: its products
//
// T is 4 and 6. One thread transforms a tile for one channel; neighbouring threads take neighbouring channels, so that
// every load and store of a warp is a whole line.
//
// What is infinite or NaN, and sums that overflow, spread over a tile; they reach every output that does not come out
// as it should, as an infinity or NaN. So a thread that sees an output that is not finite computes it once more, from
// the input and the plain weights.
//
// Bytes moved, for a tile and channel: 4 T^2 in, from the caches where tiles overlap, and 4 T^2 out to scratch; the
// same back, and 16 or 64 out; cuda/winograd_choice.cpp weighs them. Accuracy: F(2x2) adds four values before and after
// each product, exact to a rounding each; F(4x4) costs about a digit. Tests: CudaWinograd.*, winograd_test.cpp
#pragma once

#include <cstdint>

#include "cuda/kernels/activation.cuh"
#include "cuda/kernels/execution.cuh"
#include "cuda/kernels/window.cuh"

namespace rushlight::cuda {

namespace winograd {

using Vec = float;
RUSHLIGHT_KERNEL constexpr Vec broadcast(float x) {
  return x;
}
RUSHLIGHT_KERNEL inline Vec multiply_add(Vec a, Vec b, Vec sum) {
  return fused(a, b, sum);
}
#define RUSHLIGHT_INLINE RUSHLIGHT_KERNEL inline
#include "runtime/winograd_sums.inc"
#undef RUSHLIGHT_INLINE

}  // namespace winograd

enum class WinogradTile : std::uint8_t { outputs2, outputs4 };

// Input pixels along a side of a tile, and output pixels.
RUSHLIGHT_HOST_DEVICE constexpr int winograd_side(WinogradTile tile) {
  return tile == WinogradTile::outputs4 ? 6 : 4;
}
RUSHLIGHT_HOST_DEVICE constexpr int winograd_outputs(WinogradTile tile) {
  return winograd_side(tile) - 2;
}
RUSHLIGHT_HOST_DEVICE constexpr int winograd_positions(WinogradTile tile) {
  return winograd_side(tile) * winograd_side(tile);
}

// Of a layer's images, or of as many of them as are computed together.
struct WinogradTiles {
  Window window;  // 3x3, stride and dilation 1
  std::int64_t images = 0;
  Divisor64 rows;  // of tiles, in an image
  Divisor64 columns;
};
RUSHLIGHT_HOST_DEVICE inline std::int64_t tiles_of(const WinogradTiles& tiles) {
  return tiles.images * tiles.rows.divisor() * tiles.columns.divisor();
}

struct WinogradInputArguments {
  WinogradTiles tiles;
  const float* input = nullptr;
  float* transformed = nullptr;   // [tile][position][channel]
  std::int64_t input_stride = 0;  // floats from pixel to pixel
  Divisor64 channels;
  WinogradTile tile = WinogradTile::outputs2;
};

struct WinogradOutputArguments {
  WinogradTiles tiles;
  const float* products = nullptr;  // [tile][position][column]
  const float* bias = nullptr;      // [column], or null
  const float* residual = nullptr;  // or null; may be the output's memory
  float* output = nullptr;
  std::int64_t residual_stride = 0;
  std::int64_t output_stride = 0;
  Divisor64 columns;
  Activation activation;
  WinogradTile tile = WinogradTile::outputs2;
  // For outputs that are computed once more.
  const float* input = nullptr;
  const float* weights = nullptr;  // [column][3][3][channel]
  std::int64_t input_stride = 0;
  std::int32_t channels = 0;
};

RUSHLIGHT_HOST_DEVICE inline std::int64_t elements_of(const WinogradInputArguments& a) {
  return tiles_of(a.tiles) * a.channels.divisor();
}
RUSHLIGHT_HOST_DEVICE inline std::int64_t elements_of(const WinogradOutputArguments& a) {
  return tiles_of(a.tiles) * a.columns.divisor();
}
RUSHLIGHT_HOST_DEVICE inline Grid grid_of(const WinogradInputArguments& a) {
  return grid_for_elements(elements_of(a));
}
RUSHLIGHT_HOST_DEVICE inline Grid grid_of(const WinogradOutputArguments& a) {
  return grid_for_elements(elements_of(a));
}

// Where a tile's first output lies.
struct WinogradPlace {
  std::int64_t image = 0;
  std::int32_t h = 0;
  std::int32_t w = 0;
};
RUSHLIGHT_HOST_DEVICE inline WinogradPlace winograd_place(const WinogradTiles& tiles, int outputs, std::int64_t tile) {
  const std::int64_t line = tiles.columns.quotient(tile);
  const std::int64_t image = tiles.rows.quotient(line);
  return {image, static_cast<std::int32_t>(tiles.rows.remainder(line, image)) * outputs,
          static_cast<std::int32_t>(tiles.columns.remainder(tile, line)) * outputs};
}

template <class F, class Block>
RUSHLIGHT_KERNEL void winograd_input_kernel(Block& block, const WinogradInputArguments& a) {
  constexpr int T = F::kTile;
  const Window& window = a.tiles.window;
  for_each_element(block, elements_of(a), [&](std::int64_t element) {
    const std::int64_t tile = a.channels.quotient(element);
    const std::int64_t channel = a.channels.remainder(element, tile);
    const WinogradPlace place = winograd_place(a.tiles, F::kOutputs, tile);
    const WindowOrigin origin{place.image * window.input.h * window.input.w, place.h - window.padding.h,
                              place.w - window.padding.w};
    float columns[T][T];  // [w][h]
    RUSHLIGHT_UNROLL
    for (int w = 0; w < T; ++w) {
      float d[T];
      RUSHLIGHT_UNROLL
      for (int h = 0; h < T; ++h) {
        const std::int32_t y = origin.h + h;
        const std::int32_t x = origin.w + w;
        d[h] = is_inside(window, y, x)
                   ? load_constant(a.input + pixel_number(window, origin, y, x) * a.input_stride + channel)
                   : 0.0F;
      }
      F::input(d, columns[w]);
    }
    float* const to = a.transformed + tile * (T * T) * a.channels.divisor() + channel;
    RUSHLIGHT_UNROLL
    for (int h = 0; h < T; ++h) {
      float d[T];
      float v[T];
      RUSHLIGHT_UNROLL
      for (int w = 0; w < T; ++w) d[w] = columns[w][h];
      F::input(d, v);
      RUSHLIGHT_UNROLL
      for (int w = 0; w < T; ++w) to[(h * T + w) * a.channels.divisor()] = v[w];
    }
  });
}

// One output by its definition, without bias.
RUSHLIGHT_KERNEL inline float convolve_directly(const WinogradOutputArguments& a, std::int64_t image, std::int32_t h,
                                                std::int32_t w, std::int64_t column) {
  const Window& window = a.tiles.window;
  const WindowOrigin origin{image * window.input.h * window.input.w, h - window.padding.h, w - window.padding.w};
  const float* weight = a.weights + column * 9 * a.channels;
  float sum = 0.0F;
  for (int tap = 0; tap < 9; ++tap, weight += a.channels) {
    const std::int32_t y = origin.h + tap / 3;
    const std::int32_t x = origin.w + tap % 3;
    if (!is_inside(window, y, x)) continue;
    const float* const pixel = a.input + pixel_number(window, origin, y, x) * a.input_stride;
    for (std::int32_t c = 0; c < a.channels; ++c) {
      sum = fused(load_constant(pixel + c), load_constant(weight + c), sum);
    }
  }
  return sum;
}

template <class F, class Block>
RUSHLIGHT_KERNEL void winograd_output_kernel(Block& block, const WinogradOutputArguments& a) {
  constexpr int T = F::kTile;
  constexpr int Y = F::kOutputs;
  const Window& window = a.tiles.window;
  for_each_element(block, elements_of(a), [&](std::int64_t element) {
    const std::int64_t tile = a.columns.quotient(element);
    const std::int64_t column = a.columns.remainder(element, tile);
    const WinogradPlace place = winograd_place(a.tiles, Y, tile);
    const float* const from = a.products + tile * (T * T) * a.columns.divisor() + column;
    float rows[Y][T];
    RUSHLIGHT_UNROLL
    for (int w = 0; w < T; ++w) {
      float m[T];
      float y[Y];
      RUSHLIGHT_UNROLL
      for (int h = 0; h < T; ++h) m[h] = load_constant(from + (h * T + w) * a.columns.divisor());
      F::output(m, y);
      RUSHLIGHT_UNROLL
      for (int h = 0; h < Y; ++h) rows[h][w] = y[h];
    }
    const float bias = a.bias == nullptr ? 0.0F : load_constant(a.bias + column);
    RUSHLIGHT_UNROLL
    for (int h = 0; h < Y; ++h) {
      float y[Y];
      F::output(rows[h], y);
      RUSHLIGHT_UNROLL
      for (int w = 0; w < Y; ++w) {
        if (place.h + h >= window.output.h || place.w + w >= window.output.w) continue;
        const std::int64_t line = place.image * window.output.h + place.h + h;
        const std::int64_t pixel = line * window.output.w + place.w + w;
        const float sum = is_finite(y[w]) ? y[w] : convolve_directly(a, place.image, place.h + h, place.w + w, column);
        const float added = a.residual == nullptr ? 0.0F : a.residual[pixel * a.residual_stride + column];
        a.output[pixel * a.output_stride + column] = activate(a.activation, sum + bias + added);
      }
    }
  });
}

}  // namespace rushlight::cuda
