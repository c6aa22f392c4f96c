// The files of a checkpoint that is a set of files: where they are looked for, and under which names.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string_view>

#include "rushlight/checkpoint.hpp"
#include "rushlight/result.hpp"
#include "rushlight/source.hpp"

namespace rushlight::open {

using OpenBeside = std::function<Result<std::shared_ptr<const Source>>(std::string_view name)>;

struct FileInFolder {
  std::shared_ptr<const Source> source;
  OpenBeside open_beside;  // files of the same folder
};

// A file, or the one checkpoint in a folder: its index, else its `.metadata`, else its one file with a checkpoint's
// name. FOLDER-CHOICE lists the candidates where there are several.
Result<FileInFolder> open_path(const std::filesystem::path& path, FileAccess access);

// SHARD-PATH: a set names files of its own folder. No folders, no "..", nothing absolute: whoever wrote the set must
// not choose what else of this machine is read. (Symbolic links in the folder are the user's own: caches of downloaded
// models are made of them.)
Status check_set_file(std::string_view name);

// The file of that name beside the set. SHARD-NO-FOLDER where nobody knows what lies beside it, SHARD-MISSING.
Result<std::shared_ptr<const Source>> open_set_file(const LoadOptions& options, std::string_view name);

// Of a file of a set: only what a file by itself can be.
LoadOptions options_for_part(const LoadOptions& options);

}  // namespace rushlight::open
