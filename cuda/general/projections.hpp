// Projections: products of rows with a weight of torch's Linear inside larger operators.
#pragma once

#include <cstdint>

#include "cuda/general/maker.hpp"

namespace rushlight::cuda {

// `first` + `offset`; null stays null, which it is while calls are only counted.
template <class T>
[[nodiscard]] T* behind(T* first, std::int64_t offset) {
  return first == nullptr ? nullptr : first + offset;
}

struct ItemRows {
  float* first = nullptr;
  std::int64_t row = 0;
  std::int64_t item = 0;
};

// to[item][row][o] = bias[o] + sum over i of from[item][row][i] * weights[o][i]; `bias` may be null. False where there
// are more tiles than a grid has blocks.
[[nodiscard]] bool add_projection(GeneralMaker& maker, std::int64_t items, std::int64_t rows, const ItemRows& from,
                                  std::int64_t in_features, const float* weights, const float* bias, const ItemRows& to,
                                  std::int64_t out_features);

// Adds a product whose sizes, strides and batches are there. False likewise.
[[nodiscard]] bool add_product(GeneralMaker& maker, BatchedProductArguments product);

}  // namespace rushlight::cuda
