/// \file
/// scan(): which names do files ask for? An allow-list result: it says what was checked, never "safe".
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "rushlight/inspect.hpp"

namespace rushlight {

struct ScannedFile {
  std::string file{};
  FileKind kind = FileKind::unknown;
  bool ok = false;                   ///< readable, and no name beyond the allow-list
  std::vector<GlobalUse> globals{};  ///< in reading order
  std::vector<OpaqueEntry> opaque{};
  std::vector<Finding> findings{};  ///< unknown globals are errors here
};

struct ScanReport {
  bool ok = false;
  std::vector<ScannedFile> files{};  ///< sorted by path
};

/// Files, and folders searched recursively for .pt .pth .bin .ckpt .tar .pkl and `.metadata` (symlinks to
/// files are followed, those to folders are not). An index of shards or a `.metadata` stands for all files of its set.
/// A file that cannot be opened as a checkpoint is a result with its finding; an Error means that a path given here is
/// unreadable.
RUSHLIGHT_API Result<ScanReport> scan(const std::vector<std::filesystem::path>& paths, const LoadOptions& options = {});

}  // namespace rushlight
