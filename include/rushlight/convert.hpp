/// \file
/// convert(): a checkpoint in another format, or another form of the same (`rushlight convert`, `rushlight extract`).
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rushlight/checkpoint.hpp"
#include "rushlight/edit.hpp"
#include "rushlight/error.hpp"
#include "rushlight/executor.hpp"
#include "rushlight/export.hpp"
#include "rushlight/result.hpp"
#include "rushlight/save.hpp"

namespace rushlight {

/// The kind that a file's name asks for: .pt .pth .bin .ckpt .tar .pkl are torch-zip, .safetensors, .npz and .npy
/// themselves; nullopt for others.
RUSHLIGHT_API std::optional<FileKind> kind_of_name(const std::filesystem::path& path);

struct ConvertOptions {
  /// FileKind::torch_zip, ::torch_legacy, ::safetensors, ::npz or ::npy; ::unknown: what the name of the file asks for,
  /// where a name of torch's leaves a legacy stream one unless SaveOptions::torch says otherwise.
  FileKind kind = FileKind::unknown;
  /// What to write: the path of a value ("model_state_dict"), or names and globs of tensors; all when empty. A single
  /// path to what is no tensor is that value; tensors otherwise.
  std::vector<std::string> parts{};
  EditOptions edit{};       ///< before it is written
  SaveOptions save{};       ///< of the two torch formats
  bool compressed = false;  ///< npz; SaveOptions::deflate is for torch-zip
  /// Read the result back and compare it, tensor by tensor: ErrorCode::mismatch where it differs.
  bool verify = false;
  bool overwrite = true;
  Executor* executor = nullptr;
  Progress* progress = nullptr;
};

struct ConvertReport {
  FileKind kind = FileKind::unknown;
  std::uint64_t size_bytes = 0;
  std::int64_t tensors = 0;  ///< written
  EditReport edit{};         ///< its value is what was written
  /// Names of the tensors and values of the checkpoint that a format of tensors has no place for. Empty where parts
  /// were asked for.
  std::vector<std::string> left_behind{};
  bool verified = false;
  std::vector<Finding> findings{};
};

/// Formats of tensors get the state dict of the checkpoint (Checkpoint::state_dict()) under its own names, or the parts
/// asked for; the torch formats get everything. As save(): beside the target first, then renamed over it.
RUSHLIGHT_API Result<ConvertReport> convert(const Checkpoint& checkpoint, const std::filesystem::path& out,
                                            const ConvertOptions& options = {});

}  // namespace rushlight
