// The elements of a strided view in C order, piece by piece, with conj and neg resolved: behind every copy.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "rushlight/dtype.hpp"
#include "rushlight/result.hpp"
#include "tensor/layout.hpp"

namespace rushlight {

// Whether a bit in TensorOptions has a meaning for this dtype; TENSOR-CONJ, TENSOR-NEG.
Status check_bits(DType dtype, bool conj, bool neg);

class StridedReader {
 public:
  // `first` is the first element; the geometry was checked, and has at least one element. conj and neg were checked by
  // check_bits().
  StridedReader(const std::byte* first, DType dtype, std::span<const std::int64_t> shape,
                std::span<const std::int64_t> strides, bool conj, bool neg) noexcept;

  // The next `count` elements; so many must be left.
  void read(std::byte* out, std::size_t count) noexcept;

 private:
  struct Dim {
    std::int64_t size;
    std::int64_t stride_bytes;
  };

  void advance() noexcept;

  const std::byte* first_;
  std::int64_t row_ = 0;  // bytes from there to the innermost dimension's first element, at the index of the others
  DType dtype_;
  bool conj_;
  bool neg_;
  std::size_t element_bytes_;
  Dim inner_{1, 0};
  std::int64_t inner_index_ = 0;
  std::size_t outer_count_ = 0;
  std::array<Dim, kMaxDims> outer_;  // innermost of them first
  std::array<std::int64_t, kMaxDims> index_;
};

}  // namespace rushlight
