// What a CompositeTensor points at.
#pragma once

#include <cstdint>
#include <vector>

#include "rushlight/composite_tensor.hpp"

namespace rushlight {

struct CompositeTensor::Impl {
  Layout layout = Layout::sparse_coo;
  DType dtype = DType::f32;
  Shape shape;
  std::int64_t dim = 0;
  std::int64_t nnz = 0;
  std::int64_t ragged_dim = 1;
  bool is_coalesced = false;
  TensorOptions options;
  std::vector<Component> components;
};

}  // namespace rushlight
