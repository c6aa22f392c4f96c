// Tensors for the tests of writers: byte i of the elements is i % 251, of booleans i % 2, as in make_safetensors.py.
#pragma once

#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "rushlight/tensor.hpp"
#include "tensor/layout.hpp"

namespace rushlight::test {

inline Tensor counted_tensor(DType dtype, Shape shape) {
  const auto numel = static_cast<std::size_t>(checked_numel(shape).value());
  const std::size_t in_unit = values_per_unit(dtype);
  std::vector<std::byte> bytes((numel + in_unit - 1) / in_unit * size_bytes(dtype));
  const std::size_t width = dtype == DType::boolean ? 2 : 251;
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i % width);
  return Tensor::from_bytes(bytes, dtype, std::move(shape)).value();
}

inline Tensor view_of(const Tensor& tensor, Shape shape, Strides strides, std::int64_t offset = 0,
                      TensorOptions options = {}) {
  return Tensor::view(tensor.storage(), tensor.dtype(), std::move(shape), std::move(strides), offset,
                      std::move(options))
      .value();
}

}  // namespace rushlight::test
