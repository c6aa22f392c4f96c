// columns[image][channel][tap][window] = picture[image][channel][h][w] at the window's tap, and back, what falls on one
// place added: Unfold and Fold. And pictures[plane][indices[plane][i]] = values[plane][i]: MaxUnpool.
//
// One thread makes one output at a time; of an unpooled plane one block makes all. Bytes moved: 4 in and 4 out an
// output; of Fold 4 in for each tap that falls on it; of an unpooled plane 12 in for each value and 4 out. Accuracy:
// exact; sums of Fold in double, rounded once. Of two values with one index the last stays, as on the CPU. Tests:
// GeneralIndices.TapsMeetTheirSources, GeneralIndices.ColumnsOfAPictureAreThoseOfTheDefinition,
// GeneralIndices.OfTwoValuesWithOneIndexTheLastStays, operator_emulation_test.cpp.
#pragma once

#include <cstdint>

#include "cuda/kernels/gather.cuh"
#include "cuda/kernels/volume.cuh"

namespace rushlight::cuda {

struct FoldArguments {
  bool is_fold = false;  // else unfold
  const float* input = nullptr;
  float* output = nullptr;
  std::int64_t planes = 0;   // images and channels of the picture
  Divisor64 sizes[2];        // of the picture: height, width
  Divisor64 windows[2];      // down and across
  Divisor64 kernel_columns;  // taps are [kernel rows][kernel columns]
  Divisor64 taps_of_window;
  VolumeTaps taps[2];
};

RUSHLIGHT_HOST_DEVICE inline std::int64_t elements_of(const FoldArguments& a) {
  if (a.is_fold) return a.planes * a.sizes[0].divisor() * a.sizes[1].divisor();
  return a.planes * a.taps_of_window.divisor() * a.windows[0].divisor() * a.windows[1].divisor();
}
RUSHLIGHT_HOST_DEVICE inline Grid grid_of(const FoldArguments& a) {
  return grid_for_elements(elements_of(a));
}

// The place in the picture that element `element` of the columns shows; -1 in the padding.
RUSHLIGHT_HOST_DEVICE inline std::int64_t place_of_column(const FoldArguments& a, std::int64_t element) {
  const std::int64_t line = a.windows[1].quotient(element);
  const std::int64_t across = a.windows[1].remainder(element, line);
  const std::int64_t row = a.windows[0].quotient(line);
  const std::int64_t down = a.windows[0].remainder(line, row);
  const std::int64_t plane = a.taps_of_window.quotient(row);
  const std::int64_t tap = a.taps_of_window.remainder(row, plane);
  const std::int64_t tap_row = a.kernel_columns.quotient(tap);
  const std::int64_t height = a.sizes[0].divisor();
  const std::int64_t width = a.sizes[1].divisor();
  const std::int64_t h = source_of(false, a.taps[0], down, tap_row, height);
  const std::int64_t w = source_of(false, a.taps[1], across, a.kernel_columns.remainder(tap, tap_row), width);
  return h < 0 || w < 0 ? -1 : (plane * height + h) * width + w;
}

template <class Block>
RUSHLIGHT_KERNEL void fold_kernel(Block& block, const FoldArguments& a) {
  for_each_element(block, elements_of(a), [&](std::int64_t element) {
    if (!a.is_fold) {
      const std::int64_t place = place_of_column(a, element);
      a.output[element] = place < 0 ? 0.0F : a.input[place];
      return;
    }
    const std::int64_t line = a.sizes[1].quotient(element);
    const std::int64_t w = a.sizes[1].remainder(element, line);
    const std::int64_t plane = a.sizes[0].quotient(line);
    const std::int64_t h = a.sizes[0].remainder(line, plane);
    double sum = 0;
    for (std::int64_t i = 0; i < a.taps[0].kernel; ++i) {
      const std::int64_t down = source_of(true, a.taps[0], h, i, a.windows[0].divisor());
      if (down < 0) continue;
      for (std::int64_t k = 0; k < a.taps[1].kernel; ++k) {
        const std::int64_t across = source_of(true, a.taps[1], w, k, a.windows[1].divisor());
        if (across < 0) continue;
        const std::int64_t row = plane * a.taps_of_window.divisor() + i * a.taps[1].kernel + k;
        sum += static_cast<double>(a.input[(row * a.windows[0].divisor() + down) * a.windows[1].divisor() + across]);
      }
    }
    a.output[element] = static_cast<float>(sum);
  });
}

// --- MaxUnpool ---

struct UnpoolArguments {
  const float* values = nullptr;  // [plane][value]
  const void* indices = nullptr;  // likewise
  float* output = nullptr;        // [plane][place]
  Element element = Element::int64;
  std::int64_t planes = 0;
  std::int64_t count = 0;  // values of a plane
  std::int64_t size = 0;   // places of a plane
};

struct UnpoolShared {
  std::int64_t indices[kElementThreads];
};

RUSHLIGHT_HOST_DEVICE inline Grid grid_of(const UnpoolArguments& a) {
  return {a.planes < kElementBlocks ? a.planes : kElementBlocks, kElementThreads};
}

template <class Block>
RUSHLIGHT_KERNEL void unpool_kernel(Block& block, UnpoolShared& shared, const UnpoolArguments& a) {
  for (std::int64_t plane = block.index(); plane < a.planes; plane += block.count()) {
    float* const to = a.output + plane * a.size;
    for (std::int64_t i = block.thread(); i < a.size; i += kElementThreads) to[i] = 0.0F;
    for (std::int64_t first = 0; first < a.count; first += kElementThreads) {
      const std::int64_t own = first + block.thread();
      std::int64_t index = -1;
      if (own < a.count) index = index_at(a.indices, a.element, plane * a.count + own);
      block.sync();  // what was written before, and nobody reads the last indices any more
      shared.indices[block.thread()] = index;
      block.sync();
      bool is_last = index >= 0 && index < a.size;
      for (int i = block.thread() + 1; is_last && i < kElementThreads; ++i) is_last = shared.indices[i] != index;
      if (is_last) to[index] = a.values[plane * a.count + own];
    }
    block.sync();
  }
}

}  // namespace rushlight::cuda
