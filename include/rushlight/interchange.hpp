/// \file
/// Writing tensors for other programs: safetensors and NumPy's .npz (format-spec/09). Checkpoint::open() reads both.
///
/// Either format holds names and tensors and nothing else: tensors that share a storage are each written out, and what
/// is no tensor stays behind. Tensors are read as they are written, a piece at a time; one that cannot be read, or that
/// the format has no dtype for, is the Error, with its name.
///
/// The functions that take a path write beside the target first, sync, and rename over it: on failure the old file is
/// untouched, and a stopped Progress is one. Room for the whole file is reserved first where its size is known, so that
/// a full disk is found before the work. What went to a Sink before a failure is the caller's to throw away.
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
  /// Of a path; false: an existing file is ErrorCode::io, one that comes into being meanwhile too.
  bool overwrite = true;
  Progress* progress = nullptr;  ///< in bytes of tensors
};

/// The bytes are those of the `safetensors` package for the same tensors and at most one entry of metadata, whose order
/// the package leaves to chance. ErrorCode::unsupported: complex128, complex32, quantised tensors, bits; names that are
/// no UTF-8; the name `__metadata__`.
RUSHLIGHT_API Status write_safetensors(const StateDict& tensors, Sink& sink, const SafetensorsOptions& options = {});
RUSHLIGHT_API Status write_safetensors(const StateDict& tensors, const std::filesystem::path& path,
                                       const SafetensorsOptions& options = {});

struct NpzOptions {
  bool compressed = false;       ///< as numpy.savez_compressed
  bool overwrite = true;         ///< as SafetensorsOptions::overwrite
  Executor* executor = nullptr;  ///< null: the calling thread only
  Progress* progress = nullptr;  ///< in bytes of tensors, counted twice where they are read twice
};

/// Arrays stored as they are have the bytes that numpy.savez writes for them, NumPy's and Python's versions permitting;
/// every one is read twice, for its CRC-32 and to be written. Compressed ones have bytes of their own, which NumPy
/// reads, and are held in memory one round at a time: 64 MiB, or one array. ErrorCode::unsupported: dtypes that NumPy
/// does not have, as write_npy(); names that no archive should have, or that some reader takes for each other.
RUSHLIGHT_API Status write_npz(const StateDict& tensors, Sink& sink, const NpzOptions& options = {});
RUSHLIGHT_API Status write_npz(const StateDict& tensors, const std::filesystem::path& path,
                               const NpzOptions& options = {});

}  // namespace rushlight
