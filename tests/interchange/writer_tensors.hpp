// Tensors for the tests of writers, and what writers make of them: byte i of the elements is i % 251, of booleans i %
// 2, as in make_safetensors.py.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "rushlight/tensor.hpp"
#include "support/test_sink.hpp"
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

// What `write`, a Status(Sink&), writes.
template <class Write>
std::string written_by(const Write& write) {
  TestSink sink;
  const Status status = write(sink);
  EXPECT_TRUE(status) << to_string(status.error());
  return sink.text();
}
// Its refusal, before which nothing may be written: "CODE: message".
template <class Write>
std::string refusal_of(const Write& write) {
  TestSink sink;
  const Status status = write(sink);
  if (status) return "accepted";
  EXPECT_EQ(sink.text(), "") << "something was written before the refusal";
  return status.error().finding.code + ": " + to_string(status.error());
}

}  // namespace rushlight::test
