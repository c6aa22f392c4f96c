// Where the elements of several operands of one shape lie, whatever their strides: what the kernels of general
// operators walk over.
//
// Dimensions are outermost first in the order of the output's memory, and joined where all operands walk through them
// alike (strided() in cuda/general/maker.hpp), so that neighbouring threads write neighbouring elements.
// Tests: GeneralIndices.PlacesAreThoseOfTheStrides, GeneralIndices.DimensionsAreJoinedInTheOrderOfMemory.
#pragma once

#include <cstdint>

#include "cuda/kernels/divisor.cuh"
#include "cuda/kernels/execution.cuh"

namespace rushlight::cuda {

// After joining. Operands of more dimensions have no kernel.
inline constexpr int kStridedDims = 8;

template <int kOperands>
struct StridedPlaces {
  std::int64_t at[kOperands] = {};  // in elements
};

template <int kOperands>
struct StridedShape {
  std::int64_t elements = 1;
  std::int32_t dims = 0;
  Divisor64 sizes[kStridedDims];
  std::int64_t strides[kOperands][kStridedDims] = {};  // 0 where an operand repeats itself
};

template <int kOperands>
RUSHLIGHT_HOST_DEVICE inline StridedPlaces<kOperands> places_of(const StridedShape<kOperands>& shape,
                                                                std::int64_t element) {
  StridedPlaces<kOperands> places;
  for (int dim = shape.dims - 1; dim >= 0; --dim) {
    const std::int64_t rest = shape.sizes[dim].quotient(element);
    const std::int64_t place = shape.sizes[dim].remainder(element, rest);
    for (int i = 0; i < kOperands; ++i) places.at[i] += place * shape.strides[i][dim];
    element = rest;
  }
  return places;
}

// What an operand's bytes are.
enum class Element : std::uint8_t { float32, int64, int32, boolean };

// As a number; a bool is 0 or 1. Integers beyond 2^53 are rounded: only masks and indices are integers.
RUSHLIGHT_HOST_DEVICE inline double number_at(const void* data, Element element, std::int64_t place) {
  switch (element) {
    case Element::float32:
      return static_cast<double>(static_cast<const float*>(data)[place]);
    case Element::int64:
      return static_cast<double>(static_cast<const std::int64_t*>(data)[place]);
    case Element::int32:
      return static_cast<double>(static_cast<const std::int32_t*>(data)[place]);
    case Element::boolean:
      return static_cast<const std::uint8_t*>(data)[place] != 0 ? 1.0 : 0.0;
  }
  return 0.0;
}

}  // namespace rushlight::cuda
