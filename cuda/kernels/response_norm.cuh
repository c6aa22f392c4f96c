// output[line][c] = input[line][c] divided by a power of the squares of the channels around it: LocalResponseNorm, and
// CrossMapLRN2d, whose sum runs along the channels and never drops the first.
//
// One thread makes one output; of a running sum the outputs of one line, a pixel's channels. Bytes moved: 4 * size in
// an output, nearly all of them from the cache, and 4 out. Accuracy: double, rounded once. Tests:
// GeneralIndices.PlacesAreThoseOfTheStrides, operator_emulation_test.cpp.
#pragma once

#include <cmath>
#include <cstdint>

#include "cuda/kernels/strided.cuh"

namespace rushlight::cuda {

struct ResponseNormArguments {
  bool runs = false;  // CrossMapLRN2d
  const float* input = nullptr;
  float* output = nullptr;
  std::int64_t size = 1;  // channels around
  double alpha = 0;
  double beta = 0;
  double k = 0;
  Divisor64 channels;
  std::int64_t input_channel = 0;  // distances of channels, in floats
  std::int64_t output_channel = 0;
  StridedShape<2> lines;  // input, output
};

RUSHLIGHT_HOST_DEVICE inline std::int64_t items_of(const ResponseNormArguments& a) {
  return a.runs ? a.lines.elements : a.lines.elements * a.channels.divisor();
}
RUSHLIGHT_HOST_DEVICE inline Grid grid_of(const ResponseNormArguments& a) {
  return grid_for_elements(items_of(a));
}

template <class Block>
RUSHLIGHT_KERNEL void response_norm_kernel(Block& block, const ResponseNormArguments& a) {
  const std::int64_t channels = a.channels.divisor();
  const auto size = static_cast<double>(a.size);
  for_each_element(block, items_of(a), [&](std::int64_t item) {
    const std::int64_t line = a.runs ? item : a.channels.quotient(item);
    const StridedPlaces<2> places = places_of(a.lines, line);
    const auto value = [&](std::int64_t c) { return static_cast<double>(a.input[places.at[0] + c * a.input_channel]); };
    const auto square = [&](std::int64_t c) { return value(c) * value(c); };
    const auto put = [&](std::int64_t c, double y) {
      a.output[places.at[1] + c * a.output_channel] = static_cast<float>(y);
    };
    if (!a.runs) {
      const std::int64_t c = a.channels.remainder(item, line);
      const std::int64_t first = c - a.size / 2;
      const std::int64_t last = c + (a.size - 1) / 2;
      double sum = 0;
      for (std::int64_t i = first < 0 ? 0 : first; i <= last && i < channels; ++i) sum += square(i);
      return put(c, value(c) / ::pow(a.k + a.alpha * sum / size, a.beta));
    }
    // It takes up a channel (size - 1) / 2 ahead and drops the one as far behind, one channel late: torch's
    // CrossMapLRN2d in nn/modules/_functions.py. What is not finite stays in it.
    const std::int64_t ahead = (a.size - 1) / 2;
    double sum = 0;
    for (std::int64_t c = 0; c < ahead && c < channels; ++c) sum += square(c);
    for (std::int64_t c = 0; c < channels; ++c) {
      if (c + ahead < channels) sum += square(c + ahead);
      if (c > ahead + 1) sum -= square(c - ahead - 1);
      put(c, value(c) * ::pow(a.k + a.alpha / size * sum, -a.beta));
    }
  });
}

}  // namespace rushlight::cuda
