// A central directory made anew for an archive that lost it, from local headers that state sizes and checksums: as zip
// tools write them that can go back in the file, NumPy's among them. torch's headers do not (record_walk.hpp).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "rushlight/limits.hpp"
#include "rushlight/result.hpp"
#include "rushlight/source.hpp"

namespace rushlight::zip {

struct RebuiltArchive {
  std::shared_ptr<const Source> source;  // the whole records as they lie in the file, and a directory of them
  std::vector<std::string> names;        // of those, in full, in file order
  std::optional<std::string> cut_name;   // of the next one: the file ends in it, or it does not state its size
  bool at_directory = false;             // the last of them was the last in the archive
};

// Records count from the first byte of the file, each where the one before it ended. Whether their bytes are those that
// were written is for the reader of `source` to check; `without` names those that it refused. nullopt where none is
// whole. Errors are those of the source, and limits.
Result<std::optional<RebuiltArchive>> rebuild_directory(std::shared_ptr<const Source> source, const Limits& limits,
                                                        const std::set<std::string, std::less<>>& without = {});

}  // namespace rushlight::zip
