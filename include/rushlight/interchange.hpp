/// \file
/// Writing tensors for other programs: safetensors and NumPy's .npz (format-spec/09). Checkpoint::open() reads both.
///
/// Either format holds names and tensors and nothing else: tensors that share a storage are each written out, and what
/// is no tensor stays behind. Tensors are read as they are written, a piece at a time; one that cannot be read, or that
/// the format has no dtype for, is the Error, with its name.
///
/// The functions that take a path write beside the target first and rename over it: on failure the old file is
/// untouched. What went to a Sink before a failure is the caller's to throw away.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "rushlight/executor.hpp"
#include "rushlight/result.hpp"
#include "rushlight/sink.hpp"
#include "rushlight/state_dict.hpp"

namespace rushlight {

struct SafetensorsOptions {
  /// `__metadata__`, in this order; no such key when there are none.
  std::vector<std::pair<std::string, std::string>> metadata{};
  Progress* progress = nullptr;  ///< in bytes of tensors
};

/// The bytes are those of the `safetensors` package for the same tensors and at most one entry of metadata, whose order
/// the package leaves to chance. ErrorCode::unsupported: complex128, complex32, quantised tensors, bits; names that are
/// no UTF-8; the name `__metadata__`.
RUSHLIGHT_API Status write_safetensors(const StateDict& tensors, Sink& sink, const SafetensorsOptions& options = {});
RUSHLIGHT_API Status write_safetensors(const StateDict& tensors, const std::filesystem::path& path,
                                       const SafetensorsOptions& options = {});

}  // namespace rushlight
