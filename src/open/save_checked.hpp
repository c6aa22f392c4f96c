// save() to a path, with a look at the new file before it takes the old one's place.
#pragma once

#include <filesystem>

#include "io/atomic_file.hpp"
#include "rushlight/save.hpp"

namespace rushlight::open {

Result<SaveReport> save_checked(const Value& root, const std::filesystem::path& path, const SaveOptions& options,
                                const io::AtomicFile::Check& check);

}  // namespace rushlight::open
