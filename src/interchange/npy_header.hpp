// The header of a .npy file: a Python dict written as text. It is parsed for what it may be, never evaluated.
// Source: numpy/lib/_format_impl.py, "Format Version 1.0" to "3.0".
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "rushlight/dtype.hpp"
#include "rushlight/limits.hpp"
#include "rushlight/result.hpp"
#include "rushlight/tensor.hpp"

namespace rushlight::interchange {

inline constexpr std::string_view kNpyMagic = "\x93NUMPY";

struct NpyHeader {
  DType dtype = DType::f32;
  bool big_endian = false;
  bool fortran_order = false;
  Shape shape;
};

// `text` is what stands between the length field and the data; `offset` is where it begins in the file, for messages.
Result<NpyHeader> parse_npy_header(std::string_view text, std::uint64_t offset, const Limits& limits);

// Magic, version 1.0, length and dict, padded as numpy.save pads: the data begin at a multiple of 64.
// ErrorCode::unsupported for dtypes NumPy does not have.
Result<std::string> format_npy_header(DType dtype, std::span<const std::int64_t> shape, bool fortran_order = false);

}  // namespace rushlight::interchange
