// output[place] = f(x[place], y[place], z[place]) under torch's broadcasting: activations, arithmetic, comparisons,
// masks. map_functions.def has the functions.
//
// One thread makes one output at a time; operands of any strides. Bytes moved: those of the elements, each once where
// operands lie as the output does.
// Accuracy: computed in double and rounded once, as on the CPU; transcendental functions differ from the host's in the
// last places of a double, and so hardly ever in a float32.
// The output may be on an operand's memory where both lie alike: an element is read and then written by one thread.
// Two instances: functions that call nothing keep their registers few.
// Tests: GeneralIndices.PlacesAreThoseOfTheStrides, operator_emulation_test.cpp.
#pragma once

#include <cmath>
#include <cstdint>

#include "cuda/kernels/strided.cuh"

namespace rushlight::cuda {

enum class MapFunction : std::uint8_t {
#define RUSHLIGHT_MAP(cost, name, expression) name,
#include "cuda/kernels/map_functions.def"
};

enum class MapCost : std::uint8_t { cheap, dear };

inline constexpr MapCost kMapCosts[] = {
#define RUSHLIGHT_MAP(cost, name, expression) MapCost::cost,
#include "cuda/kernels/map_functions.def"
};

inline constexpr int kMapInputs = 3;
struct MapArguments {
  MapFunction function = MapFunction::relu;
  // What operands that are no tensors are (inputs[i] null): a number, an attribute. numbers[3] is r.
  double numbers[kMapInputs + 1] = {};
  const void* inputs[kMapInputs] = {};
  Element elements[kMapInputs] = {};
  void* output = nullptr;
  bool makes_mask = false;             // bool instead of float32
  StridedShape<kMapInputs + 1> shape;  // the output first
};

inline MapCost cost_of(const MapArguments& a) {
  return kMapCosts[static_cast<int>(a.function)];
}
RUSHLIGHT_HOST_DEVICE inline Grid grid_of(const MapArguments& a) {
  return grid_for_elements(a.shape.elements);
}

namespace map_functions {

RUSHLIGHT_HOST_DEVICE inline bool is_nan(double x) {
  return x != x;
}
RUSHLIGHT_HOST_DEVICE inline float single(double x) {
  return static_cast<float>(x);
}
RUSHLIGHT_HOST_DEVICE inline double larger(double a, double b) {
  return a > b || is_nan(a) ? a : b;
}
RUSHLIGHT_HOST_DEVICE inline double smaller(double a, double b) {
  return a < b || is_nan(a) ? a : b;
}
RUSHLIGHT_HOST_DEVICE inline double six(double x) {
  return x < 0 ? 0.0 : (x > 6 ? 6.0 : x);
}
RUSHLIGHT_HOST_DEVICE inline double logistic(double x) {
  return 1 / (1 + ::exp(-x));
}
// torch.div's floor: of the exact quotient, not of the rounded one (c10/util/generic_math.h).
RUSHLIGHT_HOST_DEVICE inline double floor_quotient(float a, float b) {
  if (b == 0) return static_cast<double>(a / b);
  const float rest = ::fmodf(a, b);
  float quotient = (a - rest) / b;
  if (rest != 0 && (b < 0) != (rest < 0)) quotient -= 1;
  if (quotient == 0) return static_cast<double>(::copysignf(0.0F, a / b));
  const float whole = ::floorf(quotient);
  return static_cast<double>(quotient - whole > 0.5F ? whole + 1 : whole);
}
// With the sign of the divisor, as Python's %.
RUSHLIGHT_HOST_DEVICE inline double python_remainder(float a, float b) {
  const float rest = ::fmodf(a, b);
  return static_cast<double>(rest != 0 && (b < 0) != (rest < 0) ? rest + b : rest);
}

template <MapCost kCost>
RUSHLIGHT_HOST_DEVICE inline double value(MapFunction function, double x, [[maybe_unused]] double y,
                                          [[maybe_unused]] double z, [[maybe_unused]] double r) {
  switch (function) {
#define RUSHLIGHT_MAP(cost, name, expression)                                     \
  case MapFunction::name:                                                         \
    if constexpr (kCost == MapCost::cost) return static_cast<double>(expression); \
    break;
#include "cuda/kernels/map_functions.def"
  }
  return x;
}

}  // namespace map_functions

template <MapCost kCost, class Block>
RUSHLIGHT_KERNEL void map_kernel(Block& block, const MapArguments& a) {
  for_each_element(block, a.shape.elements, [&](std::int64_t element) {
    const StridedPlaces<kMapInputs + 1> places = places_of(a.shape, element);
    double operands[kMapInputs];
    for (int i = 0; i < kMapInputs; ++i) {
      operands[i] = a.inputs[i] == nullptr ? a.numbers[i] : number_at(a.inputs[i], a.elements[i], places.at[i + 1]);
    }
    const double value =
        map_functions::value<kCost>(a.function, operands[0], operands[1], operands[2], a.numbers[kMapInputs]);
    if (a.makes_mask) {
      static_cast<std::uint8_t*>(a.output)[places.at[0]] = value != 0 ? 1 : 0;
    } else {
      static_cast<float*>(a.output)[places.at[0]] = static_cast<float>(value);
    }
  });
}

}  // namespace rushlight::cuda
