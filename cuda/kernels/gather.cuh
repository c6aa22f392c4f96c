// output[place] = table[place, indices[place]]: Embedding, IndexSelect, Gather; and the check of the indices before.
//
// One thread moves one element at a time, in the order of the output. Bytes moved: each output once in and once out,
// and the indices, most of them from the cache. Accuracy: exact. Indices come from outside. One warp looks for the
// first that points nowhere and writes it where the host reads it after the run (page-locked memory); the copy follows
// none that does. Tests: GeneralIndices.TheFirstIndexThatPointsNowhereIsNoted, operator_emulation_test.cpp.
#pragma once

#include <cstdint>

#include "cuda/kernels/move.cuh"
#include "cuda/kernels/strided.cuh"

namespace rushlight::cuda {

RUSHLIGHT_HOST_DEVICE inline std::int64_t index_at(const void* indices, Element element, std::int64_t place) {
  if (element == Element::int32) return static_cast<const std::int32_t*>(indices)[place];
  return static_cast<const std::int64_t*>(indices)[place];
}

// What a check found.
struct IndexNote {
  std::int64_t place = -1;  // of the first index that points nowhere; -1: there is none
  std::int64_t index = 0;
};

struct CheckIndicesArguments {
  const void* indices = nullptr;
  Element element = Element::int64;
  std::int64_t size = 0;  // of what they point into
  IndexNote* note = nullptr;
  StridedShape<1> places;  // in C order
};

RUSHLIGHT_HOST_DEVICE inline Grid grid_of(const CheckIndicesArguments&) {
  return {1, kWarpThreads};
}

template <class Block>
RUSHLIGHT_KERNEL void check_indices_kernel(Block& block, const CheckIndicesArguments& a) {
  // Counts are below 2^53.
  auto first = static_cast<double>(a.places.elements);
  for (std::int64_t i = block.thread(); i < a.places.elements; i += kWarpThreads) {
    const std::int64_t index = index_at(a.indices, a.element, places_of(a.places, i).at[0]);
    if (index >= 0 && index < a.size) continue;
    first = static_cast<double>(i);
    break;
  }
  for (int mask = 1; mask < kWarpThreads; mask *= 2) {
    const double other = block.shuffle_xor(first, mask);
    first = other < first ? other : first;
  }
  if (block.thread() != 0) return;
  const auto place = static_cast<std::int64_t>(first);
  const bool is_good = place == a.places.elements;
  a.note->place = is_good ? -1 : place;
  a.note->index = is_good ? 0 : index_at(a.indices, a.element, places_of(a.places, place).at[0]);
}

struct GatherArguments {
  const void* table = nullptr;
  const void* indices = nullptr;
  void* output = nullptr;
  Element element = Element::int64;  // of the indices
  int word_bytes = 4;
  std::int64_t size = 0;          // of the table along the dimension
  std::int64_t index_stride = 0;  // its stride there
  StridedShape<3> shape;          // output, table (0 along the dimension), indices
};

RUSHLIGHT_HOST_DEVICE inline Grid grid_of(const GatherArguments& a) {
  return grid_for_elements(a.shape.elements);
}

template <class Block>
RUSHLIGHT_KERNEL void gather_kernel(Block& block, const GatherArguments& a) {
  for_each_element(block, a.shape.elements, [&](std::int64_t element) {
    const StridedPlaces<3> places = places_of(a.shape, element);
    const std::int64_t index = index_at(a.indices, a.element, places.at[2]);
    if (index < 0 || index >= a.size) return;
    move_word(a.word_bytes, a.table, places.at[1] + index * a.index_stride, a.output, places.at[0]);
  });
}

}  // namespace rushlight::cuda
