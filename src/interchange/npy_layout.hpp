// What a .npy file says about its elements: checked against the bytes that are there, and made for a tensor.
#pragma once

#include <cstdint>
#include <string>

#include "rushlight/dtype.hpp"
#include "rushlight/limits.hpp"
#include "rushlight/result.hpp"
#include "rushlight/source.hpp"
#include "rushlight/tensor.hpp"

namespace rushlight::interchange {

struct NpyLayout {
  DType dtype = DType::f32;
  bool big_endian = false;
  Shape shape;
  Strides strides;  // of Fortran or C order
  std::uint64_t data_offset = 0;
  std::uint64_t data_bytes = 0;  // exactly to the end of the source
};

// Reads the header and no element. Offsets in errors count from the start of `source`; its name is not filled in.
Result<NpyLayout> read_npy_layout(const Source& source, const Limits& limits);

// A tensor as numpy.save lays it out.
struct NpyArray {
  std::string header;
  Tensor elements;  // in C order they are what follows the header
};
// Fortran order where the elements lie in memory so, C order otherwise. NPY-DTYPE; TENSOR-META.
Result<NpyArray> lay_out_npy(const Tensor& tensor);

}  // namespace rushlight::interchange
