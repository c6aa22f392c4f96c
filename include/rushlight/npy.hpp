/// \file
/// NumPy's .npy files (format 1.0 to 3.0): how tensors come in and go out of scripts.
/// Source: numpy/lib/_format_impl.py, "Format Version 1.0".
#pragma once

#include <filesystem>
#include <memory>

#include "rushlight/executor.hpp"
#include "rushlight/limits.hpp"
#include "rushlight/sink.hpp"
#include "rushlight/source.hpp"
#include "rushlight/tensor.hpp"

namespace rushlight {

/// Reads one array; Fortran order becomes strides, big-endian elements are swapped. Object arrays are refused.
RUSHLIGHT_API Result<Tensor> read_npy(const std::filesystem::path& path, const Limits& limits = {});
RUSHLIGHT_API Result<Tensor> read_npy(std::shared_ptr<const Source> source, const Limits& limits = {});

struct NpyOptions {
  bool overwrite = true;         ///< of a path; false: an existing file is ErrorCode::io
  Progress* progress = nullptr;  ///< in bytes of elements; stopped, it leaves the target as it was
};

/// Writes one array as numpy.save does: version 1.0, little-endian, in C order, or in Fortran order where the elements
/// lie in memory so. To a path: room for all of it is reserved beside the target, which is put in its place when it is
/// whole. ErrorCode::unsupported for dtypes that NumPy does not have: bfloat16, float8, float4, complex32, quantised
/// ones, bits.
RUSHLIGHT_API Status write_npy(const Tensor& tensor, const std::filesystem::path& path, const NpyOptions& options = {});
RUSHLIGHT_API Status write_npy(const Tensor& tensor, Sink& sink, const NpyOptions& options = {});

}  // namespace rushlight
