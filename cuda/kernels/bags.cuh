// output[bag][column] = sum, mean or maximum over the bag's members of table[indices[member]][column]: EmbeddingBag.
//
// One thread makes one column of one bag; neighbours are neighbouring columns, whose reads are whole lines of the
// table. Bytes moved: 4 for each member and column in, and the indices, most of them from the cache; 4 out an output.
// Accuracy: double in the order of the members, rounded once. Indices that point nowhere are not followed; checks
// before (gather.cuh) have noted them. Tests: GeneralIndices.BagsAreWhatTheirOffsetsSay, operator_emulation_test.cpp.
#pragma once

#include <cstdint>

#include "cuda/kernels/gather.cuh"

namespace rushlight::cuda {

enum class BagRule : std::uint8_t { sum, mean, largest };

struct BagArguments {
  BagRule rule = BagRule::sum;
  const float* table = nullptr;    // [row][column]
  const void* indices = nullptr;   // [member]
  const void* offsets = nullptr;   // [bag]: its first member; null: bags of `bag_size`
  const float* weights = nullptr;  // [member], or null
  float* output = nullptr;
  Element index_element = Element::int64;
  Element offset_element = Element::int64;
  std::int64_t rows = 0;
  std::int64_t padding = -1;  // this row does not count
  std::int64_t members = 0;   // of all bags
  std::int64_t bags = 0;
  std::int64_t bag_size = 0;
  std::int64_t offset_count = 0;  // behind the last one there are no more members
  Divisor64 columns;
};

RUSHLIGHT_HOST_DEVICE inline Grid grid_of(const BagArguments& a) {
  return grid_for_elements(a.bags * a.columns.divisor());
}

// The members of a bag, from `first` up to, not including, `last`: never outside.
struct BagMembers {
  std::int64_t first = 0;
  std::int64_t last = 0;
};
RUSHLIGHT_HOST_DEVICE inline BagMembers members_of(const BagArguments& a, std::int64_t bag) {
  if (a.offsets == nullptr) return {bag * a.bag_size, (bag + 1) * a.bag_size};
  const auto begin = [&](std::int64_t i) {
    if (i >= a.offset_count) return a.members;
    const std::int64_t offset = index_at(a.offsets, a.offset_element, i);
    return offset < 0 ? std::int64_t{0} : offset > a.members ? a.members : offset;
  };
  return {begin(bag), begin(bag + 1)};
}

template <class Block>
RUSHLIGHT_KERNEL void bag_kernel(Block& block, const BagArguments& a) {
  for_each_element(block, a.bags * a.columns.divisor(), [&](std::int64_t element) {
    const std::int64_t bag = a.columns.quotient(element);
    const std::int64_t column = a.columns.remainder(element, bag);
    const BagMembers members = members_of(a, bag);
    double all = 0;
    std::int64_t count = 0;
    for (std::int64_t i = members.first; i < members.last; ++i) {
      const std::int64_t row = index_at(a.indices, a.index_element, i);
      if (row < 0 || row >= a.rows || row == a.padding) continue;
      double value = static_cast<double>(load_constant(a.table + row * a.columns.divisor() + column));
      if (a.rule == BagRule::largest) {
        all = count == 0 || value > all || value != value ? value : all;
      } else {
        if (a.weights != nullptr) value *= static_cast<double>(a.weights[i]);
        all += value;
      }
      ++count;
    }
    if (a.rule == BagRule::mean && count > 0) all /= static_cast<double>(count);
    a.output[element] = static_cast<float>(all);
  });
}

}  // namespace rushlight::cuda
