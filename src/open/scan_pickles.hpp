// Which names the pickles of a file mention that is not read as a checkpoint: legacy files, bare pickles, archives of
// other kinds, and pickles that lie beside the one that is read.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "rushlight/checkpoint.hpp"
#include "zip/archive.hpp"

namespace rushlight::open {

// The pickles at the beginning of a file, one behind the other: the five of the legacy format, or bare ones. Offsets
// are those in the file.
Result<std::vector<GlobalUse>> scan_stream(const Source& source, const LoadOptions& options);

// The records of an archive that are pickles by their names, but for those that are `known`, by their names below the
// root.
std::vector<GlobalUse> scan_records(const zip::Archive& archive, std::string_view root,
                                    const std::vector<std::string>& known, const LoadOptions& options);

}  // namespace rushlight::open
