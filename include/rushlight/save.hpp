/// \file
/// save(): files that torch.load reads, byte for byte as torch.save would have written them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "rushlight/checkpoint.hpp"
#include "rushlight/error.hpp"
#include "rushlight/executor.hpp"
#include "rushlight/export.hpp"
#include "rushlight/limits.hpp"
#include "rushlight/manifest.hpp"
#include "rushlight/result.hpp"
#include "rushlight/sink.hpp"
#include "rushlight/state_dict.hpp"
#include "rushlight/value.hpp"

namespace rushlight {

struct SaveOptions {
  /// What to write: FileKind::torch_zip, or ::torch_legacy as torch.save(_use_new_zipfile_serialization=False) does;
  /// ::unknown for that of `like`, or else a zip. Others are ErrorCode::invalid_argument.
  FileKind kind = FileKind::unknown;
  /// The file whose arrangement to keep: the root folder, the records and their order, alignment, checksums, pickle
  /// protocol. Its values are written again as they were spelt in it. Must outlive the call.
  const Checkpoint* like = nullptr;
  /// As of which release of torch to arrange a zip, "1.6" to the current one and beyond; empty: that of `like`, or the
  /// current one (2.15). From 1.13 on `weights_only` and the warnings go by the list of that release too.
  std::string torch{};
  /// Pickle protocol, 2 to 5; 0: that of `like`, or 2, which is the one torch.load(weights_only=True) reads.
  int protocol = 0;
  /// The folder in the archive; empty: as torch names it after the file, or that of `like`.
  std::string root{};
  /// Bytes, 1 to 65536: where the data of each record begin is a multiple of it; 0: that of `like`, or 64. torch since
  /// 2.7 writes other ones than 64.
  std::uint64_t storage_alignment = 0;
  /// Checksums in the archive; without them nobody notices damage.
  bool crc = true;
  /// Compressed storages: torch reads them, and cannot map them.
  bool deflate = false;
  /// A manifest in the archive, which verify() then checks every bit against; torch passes over it. Digests are
  /// computed while the bytes are written.
  ManifestLevel manifest = ManifestLevel::none;
  /// Refuse (ErrorCode::forbidden) what torch.load(weights_only=True) would refuse, instead of a warning for each: by
  /// the list of the release that `torch` names, which was smaller before 2.6 (format-spec/05, [C-125]), else of 2.15.
  bool weights_only = false;
  bool overwrite = true;  ///< false: an existing file is an error
  Limits limits{};
  Progress* progress = nullptr;  ///< phase "save", in bytes of storages
};

struct SaveReport {
  std::uint64_t size_bytes = 0;     ///< of the file
  std::vector<Finding> findings{};  ///< what torch.load(weights_only=True) does not read: warnings, one for each name
};

/// Writes beside the target first, syncs, then renames: whatever happens, the path holds the whole old file or the
/// whole new one. (A disk that says it has synced, and has not, may break that at a power cut; a manifest in the file
/// then tells a torn one from a whole one.) Storages are copied from where they lie, each once however many tensors
/// view it; a damaged one is ErrorCode::checksum_mismatch. The same input gives the same bytes on every machine.
///
/// ErrorCode::io; ::unsupported for what torch could not save either (two dtypes on one storage), or what nobody can
/// spell again (objects that no pickle made).
RUSHLIGHT_API Result<SaveReport> save(const Value& root, const std::filesystem::path& path,
                                      const SaveOptions& options = {});
/// An OrderedDict with its `_metadata`, as torch.save(model.state_dict()).
RUSHLIGHT_API Result<SaveReport> save(const StateDict& state, const std::filesystem::path& path,
                                      const SaveOptions& options = {});
/// The whole file again, `like` itself where the options name no other: of an untouched file of torch.save the same
/// bytes but for the serialization id. Files of other kinds become a zip.
RUSHLIGHT_API Result<SaveReport> save(const Checkpoint& checkpoint, const std::filesystem::path& path,
                                      const SaveOptions& options = {});

/// The same to any Sink; `name` takes the place of the file's name. A Sink is not asked for more after a failure.
RUSHLIGHT_API Result<SaveReport> save(const Value& root, Sink& sink, const SaveOptions& options = {});
RUSHLIGHT_API Result<SaveReport> save(const StateDict& state, Sink& sink, const SaveOptions& options = {});
RUSHLIGHT_API Result<SaveReport> save(const Checkpoint& checkpoint, Sink& sink, const SaveOptions& options = {});

/// What save() makes of a state dict: an OrderedDict of its tensors, with the attribute `_metadata`.
RUSHLIGHT_API Value to_value(const StateDict& state);

}  // namespace rushlight
