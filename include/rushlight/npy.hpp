/// \file
/// NumPy's .npy files (format 1.0 to 3.0): how tensors come in and go out of scripts.
/// Source: numpy/lib/_format_impl.py, "Format Version 1.0".
#pragma once

#include <filesystem>
#include <memory>

#include "rushlight/executor.hpp"
#include "rushlight/limits.hpp"
#include "rushlight/source.hpp"
#include "rushlight/tensor.hpp"

namespace rushlight {

/// Reads one array; Fortran order becomes strides, big-endian elements are swapped. Object arrays are refused.
RUSHLIGHT_API Result<Tensor> read_npy(const std::filesystem::path& path, const Limits& limits = {});
RUSHLIGHT_API Result<Tensor> read_npy(std::shared_ptr<const Source> source, const Limits& limits = {});

/// Writes one array in C order, version 1.0, little-endian; beside the target first, then renamed over it. `progress`
/// is told of phase "write", in bytes; stopped, it leaves the target as it was.
RUSHLIGHT_API Status write_npy(const Tensor& tensor, const std::filesystem::path& path, Progress* progress = nullptr);

}  // namespace rushlight
