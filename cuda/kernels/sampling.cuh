// output[image][channel][place] = input[image][channel] at grid[image][place], between its elements: GridSample. And
// the grid of AffineGrid: grid[image][place][i] = theta[image][i] . (x, y, z, 1).
//
// One thread makes one output at a time; neighbours are neighbouring places, whose sources lie near each other. Bytes
// moved: 4 a coordinate and 4 a tap in, most of them from the cache, and 4 out. Accuracy: double, rounded once;
// float32 where it decides which place is nearest.
// Coordinates: ATen/native/GridSamplerUtils.h. What is no number lies outside, or at the border.
// Tests: GeneralIndices.CoordinatesOutsideAreReflectedOrClipped, operator_emulation_test.cpp.
#pragma once

#include <cmath>
#include <cstdint>

#include "cuda/kernels/strided.cuh"
#include "cuda/kernels/volume.cuh"

namespace rushlight::cuda {

enum class SampleRule : std::uint8_t { nearest, linear, cubic };
enum class SampleOutside : std::uint8_t { zeros, border, reflection };

RUSHLIGHT_HOST_DEVICE inline float whole_below(float x) {
  return ::floorf(x);
}
RUSHLIGHT_HOST_DEVICE inline double whole_below(double x) {
  return ::floor(x);
}
RUSHLIGHT_HOST_DEVICE inline float rest_of(float x, float divisor) {
  return ::fmodf(x, divisor);
}
RUSHLIGHT_HOST_DEVICE inline double rest_of(double x, double divisor) {
  return ::fmod(x, divisor);
}

// Where a coordinate from -1 to 1 lies among `size` places.
template <class Real>
RUSHLIGHT_HOST_DEVICE inline Real unnormalised(Real coordinate, std::int64_t size, bool align_corners) {
  const auto n = static_cast<Real>(size);
  if (align_corners) return (coordinate + 1) / 2 * (n - 1);
  return ((coordinate + 1) * n - 1) / 2;
}

// Mirrored at low / 2 and high / 2.
template <class Real>
RUSHLIGHT_HOST_DEVICE inline Real reflected(Real x, std::int64_t twice_low, std::int64_t twice_high) {
  if (twice_low == twice_high) return 0;
  const Real low = static_cast<Real>(twice_low) / 2;
  const Real span = static_cast<Real>(twice_high - twice_low) / 2;
  const Real distance = x < low ? low - x : x - low;
  const Real rest = rest_of(distance, span);
  return rest_of(whole_below(distance / span), Real(2)) == 0 ? rest + low : span - rest + low;
}

// NaN becomes the first place.
template <class Real>
RUSHLIGHT_HOST_DEVICE inline Real clipped(Real x, std::int64_t size) {
  const auto last = static_cast<Real>(size - 1);
  return x > 0 ? (x < last ? x : last) : Real(0);
}

template <class Real>
RUSHLIGHT_HOST_DEVICE inline Real place_inside(Real x, std::int64_t size, SampleOutside outside, bool align_corners) {
  if (outside == SampleOutside::zeros) return x;
  if (outside == SampleOutside::border) return clipped(x, size);
  return clipped(align_corners ? reflected(x, 0, 2 * (size - 1)) : reflected(x, -1, 2 * size - 1), size);
}

// The place, or -1 for what lies outside; also of numbers that no integer holds.
template <class Real>
RUSHLIGHT_HOST_DEVICE inline std::int64_t place_or_none(Real x, std::int64_t size) {
  return x >= 0 && x < static_cast<Real>(size) ? static_cast<std::int64_t>(x) : -1;
}

// The taps of one coordinate; places of -1 do not count.
RUSHLIGHT_HOST_DEVICE inline ResizeTaps sample_taps(SampleRule rule, SampleOutside outside, bool align_corners,
                                                    float coordinate, std::int64_t size) {
  ResizeTaps taps;
  if (rule == SampleRule::nearest) {
    const float x = place_inside(unnormalised(coordinate, size, align_corners), size, outside, align_corners);
    taps.count = 1;
    taps.places[0] = place_or_none(::rintf(x), size);  // half to even
    taps.weights[0] = 1;
    return taps;
  }
  double x = unnormalised(static_cast<double>(coordinate), size, align_corners);
  if (rule == SampleRule::linear) x = place_inside(x, size, outside, align_corners);
  const double low = ::floor(x);
  if (rule == SampleRule::linear) {
    taps.count = 2;
    for (int i = 0; i < 2; ++i) taps.places[i] = place_or_none(low + i, size);
    taps.weights[0] = low + 1 - x;
    taps.weights[1] = x - low;
    return taps;
  }
  taps.count = 4;  // each padded by itself, not the coordinate
  for (int i = 0; i < 4; ++i) {
    taps.places[i] = place_or_none(place_inside(low + (i - 1), size, outside, align_corners), size);
    taps.weights[i] = cubic_weight(::fabs(x - low - (i - 1)), kCubicOfResizing);
  }
  return taps;
}

// --- GridSample ---

struct GridSampleArguments {
  SampleRule rule = SampleRule::linear;
  SampleOutside outside = SampleOutside::zeros;
  bool align_corners = false;
  const float* input = nullptr;
  const float* grid = nullptr;
  float* output = nullptr;
  int spatial = 2;
  std::int64_t coordinate_stride = 0;     // of the grid; that of the width is the first
  std::int64_t sizes[kSpatialDims] = {};  // of the input: depth, height, width
  std::int64_t strides[kSpatialDims] = {};
  StridedShape<3> shape;  // output, input (without its spatial dimensions), grid
};

RUSHLIGHT_HOST_DEVICE inline Grid grid_of(const GridSampleArguments& a) {
  return grid_for_elements(a.shape.elements);
}

template <class Block>
RUSHLIGHT_KERNEL void grid_sample_kernel(Block& block, const GridSampleArguments& a) {
  for_each_element(block, a.shape.elements, [&](std::int64_t element) {
    const StridedPlaces<3> places = places_of(a.shape, element);
    ResizeTaps taps[kSpatialDims];
    for (int i = 0; i < kSpatialDims; ++i) {
      const int coordinate = kSpatialDims - 1 - i;
      if (coordinate >= a.spatial) {
        taps[i].count = 1;
        taps[i].weights[0] = 1;
        continue;
      }
      taps[i] = sample_taps(a.rule, a.outside, a.align_corners, a.grid[places.at[2] + coordinate * a.coordinate_stride],
                            a.sizes[i]);
    }
    double sum = 0;
    for (int i = 0; i < taps[0].count; ++i) {
      for (int k = 0; k < taps[1].count; ++k) {
        for (int m = 0; m < taps[2].count; ++m) {
          if (taps[0].places[i] < 0 || taps[1].places[k] < 0 || taps[2].places[m] < 0) continue;
          const std::int64_t from =
              taps[0].places[i] * a.strides[0] + taps[1].places[k] * a.strides[1] + taps[2].places[m] * a.strides[2];
          const double weight = taps[0].weights[i] * taps[1].weights[k] * taps[2].weights[m];
          sum += weight * static_cast<double>(a.input[places.at[1] + from]);
        }
      }
    }
    a.output[places.at[0]] = static_cast<float>(sum);
  });
}

// --- AffineGrid ---

struct AffineGridArguments {
  bool align_corners = false;
  const float* theta = nullptr;  // [image][spatial][spatial + 1]
  float* grid = nullptr;         // [image][depth][height][width][spatial]
  std::int64_t images = 0;
  Divisor64 spatial;
  Divisor64 sizes[kSpatialDims];  // of the output: depth, height, width
};

RUSHLIGHT_HOST_DEVICE inline std::int64_t elements_of(const AffineGridArguments& a) {
  std::int64_t elements = a.images * a.spatial.divisor();
  for (int i = 0; i < kSpatialDims; ++i) elements *= a.sizes[i].divisor();
  return elements;
}
RUSHLIGHT_HOST_DEVICE inline Grid grid_of(const AffineGridArguments& a) {
  return grid_for_elements(elements_of(a));
}

// The coordinate of a place; of a single one it is 0.
RUSHLIGHT_HOST_DEVICE inline double grid_coordinate(std::int64_t place, std::int64_t size, bool align_corners) {
  if (size <= 1) return 0;
  const auto n = static_cast<double>(size);
  const double from_corner = 2 * static_cast<double>(place) / (n - 1) - 1;
  return align_corners ? from_corner : from_corner * (n - 1) / n;
}

template <class Block>
RUSHLIGHT_KERNEL void affine_grid_kernel(Block& block, const AffineGridArguments& a) {
  for_each_element(block, elements_of(a), [&](std::int64_t element) {
    const std::int64_t spatial = a.spatial.divisor();
    std::int64_t point = a.spatial.quotient(element);
    const std::int64_t row = a.spatial.remainder(element, point);
    double base[kSpatialDims] = {};  // x, y, z
    for (int i = kSpatialDims - 1; i >= 0; --i) {
      const std::int64_t rest = a.sizes[i].quotient(point);
      base[kSpatialDims - 1 - i] =
          grid_coordinate(a.sizes[i].remainder(point, rest), a.sizes[i].divisor(), a.align_corners);
      point = rest;
    }
    const float* const theta = a.theta + (point * spatial + row) * (spatial + 1);
    double sum = 0;
    for (std::int64_t k = 0; k < spatial; ++k) sum += static_cast<double>(theta[k]) * base[k];
    a.grid[element] = static_cast<float>(sum + static_cast<double>(theta[spatial]));
  });
}

}  // namespace rushlight::cuda
