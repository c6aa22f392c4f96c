// Elements that only change their places, output[place] = input[other place]: copies from one order to another, choices
// between two tensors, padding, rolling. Elements are words of 1, 4 or 8 bytes and mean nothing here.
//
// One thread moves one element at a time, in the order of the output: writes are whole lines, reads are as the strides
// have it. Bytes moved: each element once in and once out. Accuracy: exact.
// Tests: GeneralIndices.PlacesBeyondTheEdgeAreThoseOfTorch, operator_emulation_test.cpp.
#pragma once

#include <cstdint>

#include "cuda/kernels/strided.cuh"

namespace rushlight::cuda {

template <class Word>
RUSHLIGHT_HOST_DEVICE inline void move_word(const void* from, std::int64_t source, void* to, std::int64_t target) {
  static_cast<Word*>(to)[target] = static_cast<const Word*>(from)[source];
}
RUSHLIGHT_HOST_DEVICE inline void move_word(int word_bytes, const void* from, std::int64_t source, void* to,
                                            std::int64_t target) {
  if (word_bytes == 4) {
    move_word<std::uint32_t>(from, source, to, target);
  } else if (word_bytes == 8) {
    move_word<std::uint64_t>(from, source, to, target);
  } else {
    move_word<std::uint8_t>(from, source, to, target);
  }
}

// The low bytes of `word`.
RUSHLIGHT_HOST_DEVICE inline void store_word(int word_bytes, std::uint64_t word, void* to, std::int64_t target) {
  if (word_bytes == 4) {
    static_cast<std::uint32_t*>(to)[target] = static_cast<std::uint32_t>(word);
  } else if (word_bytes == 8) {
    static_cast<std::uint64_t*>(to)[target] = word;
  } else {
    static_cast<std::uint8_t*>(to)[target] = static_cast<std::uint8_t>(word);
  }
}

// output = mask ? yes : no; without a mask it is `yes`.
struct MoveArguments {
  const void* yes = nullptr;
  const void* no = nullptr;
  const std::uint8_t* mask = nullptr;
  void* output = nullptr;
  int word_bytes = 4;
  StridedShape<4> shape;  // output, yes, no, mask
};

RUSHLIGHT_HOST_DEVICE inline Grid grid_of(const MoveArguments& a) {
  return grid_for_elements(a.shape.elements);
}

template <class Block>
RUSHLIGHT_KERNEL void move_kernel(Block& block, const MoveArguments& a) {
  for_each_element(block, a.shape.elements, [&](std::int64_t element) {
    const StridedPlaces<4> places = places_of(a.shape, element);
    const bool is_yes = a.mask == nullptr || a.mask[places.at[3]] != 0;
    move_word(a.word_bytes, is_yes ? a.yes : a.no, places.at[is_yes ? 1 : 2], a.output, places.at[0]);
  });
}

// What stands for places outside the input.
enum class Beyond : std::uint8_t { fill, replicate, reflect, circular };

// Output place i along a dimension shows place i - before of the input's part [first, first + size). A negative
// `before` crops.
struct PadArguments {
  const void* input = nullptr;
  void* output = nullptr;
  int word_bytes = 4;
  Beyond beyond = Beyond::fill;
  std::uint64_t fill = 0;  // the word
  std::int64_t elements = 0;
  std::int32_t dims = 0;
  Divisor64 sizes[kStridedDims];  // of the output, outermost in its memory first
  std::int64_t output_strides[kStridedDims] = {};
  std::int64_t input_strides[kStridedDims] = {};
  std::int64_t before[kStridedDims] = {};
  std::int64_t first[kStridedDims] = {};
  std::int64_t size[kStridedDims] = {};
};

RUSHLIGHT_HOST_DEVICE inline Grid grid_of(const PadArguments& a) {
  return grid_for_elements(a.elements);
}

// The place in [0, size) that place i shows, or -1 for the filling. Padding is at most size, as torch wants it, and for
// `reflect` below it.
RUSHLIGHT_HOST_DEVICE inline std::int64_t place_beyond(Beyond beyond, std::int64_t i, std::int64_t size) {
  if (i >= 0 && i < size) return i;
  switch (beyond) {
    case Beyond::fill:
      return -1;
    case Beyond::replicate:
      return i < 0 ? 0 : size - 1;
    case Beyond::reflect:
      return i < 0 ? -i : 2 * (size - 1) - i;
    case Beyond::circular:
      return i < 0 ? i + size : i - size;
  }
  return -1;
}

template <class Block>
RUSHLIGHT_KERNEL void pad_kernel(Block& block, const PadArguments& a) {
  for_each_element(block, a.elements, [&](std::int64_t element) {
    std::int64_t source = 0;
    std::int64_t target = 0;
    bool is_inside = true;
    for (int dim = a.dims - 1; dim >= 0; --dim) {
      const std::int64_t rest = a.sizes[dim].quotient(element);
      const std::int64_t place = a.sizes[dim].remainder(element, rest);
      const std::int64_t shown = place_beyond(a.beyond, place - a.before[dim], a.size[dim]);
      is_inside = is_inside && shown >= 0;
      source += (a.first[dim] + shown) * a.input_strides[dim];
      target += place * a.output_strides[dim];
      element = rest;
    }
    if (is_inside) {
      move_word(a.word_bytes, a.input, source, a.output, target);
    } else {
      store_word(a.word_bytes, a.fill, a.output, target);
    }
  });
}

}  // namespace rushlight::cuda
