// Which folder of a zip archive holds the checkpoint, and which other thing the archive is when there is none.
#pragma once

#include <string>
#include <string_view>

#include "rushlight/checkpoint.hpp"
#include "zip/archive.hpp"

namespace rushlight::checkpoint {

struct ZipRoot {
  std::string folder;                  // "base/", or "" where the records lie in no folder
  const zip::Entry* pickle = nullptr;  // its data.pkl
  bool other_case = false;             // found as DATA.PKL, which torch takes for the same
};

// Looks at names only. `kind` is set also when it fails: archives of another kind (TorchScript, .pt2, ...) are
// ErrorCode::unsupported, other zip files not_a_checkpoint, two candidates ambiguous.
Result<ZipRoot> locate_root(const zip::Archive& archive, FileKind& kind);

}  // namespace rushlight::checkpoint
