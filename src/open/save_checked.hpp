// save() to a path, with a look at the new file before it takes the old one's place.
#pragma once

#include <filesystem>
#include <functional>

#include "rushlight/save.hpp"

namespace rushlight::open {

// Nothing that can fail comes after it but the renaming itself.
using SaveCheck = std::function<Status(const std::filesystem::path& temporary, const SaveReport& report)>;
Result<SaveReport> save_checked(const Value& root, const std::filesystem::path& path, const SaveOptions& options,
                                const SaveCheck& check);

}  // namespace rushlight::open
