// Which kind of archive a zip file is, and which of its folders holds it; or which other thing it is.
#pragma once

#include <string>
#include <string_view>

#include "rushlight/checkpoint.hpp"
#include "zip/archive.hpp"

namespace rushlight::checkpoint {

struct ZipRoot {
  std::string folder;                  // "base/", or "" where the records lie in no folder
  const zip::Entry* pickle = nullptr;  // its data.pkl; archives of torch.export, torch.package and TorchScript before
                                       // 1.3 have none
  bool other_case = false;             // found as DATA.PKL, which torch takes for the same
};

// Looks at names only. `kind` is set also when it fails: NumPy archives are ErrorCode::unsupported, other zip files
// not_a_checkpoint, two candidates ambiguous.
Result<ZipRoot> locate_root(const zip::Archive& archive, FileKind& kind);

}  // namespace rushlight::checkpoint
