// Writing a file so that its name always holds the old bytes or all of the new ones (hostile-inputs 3).
#pragma once

#include <filesystem>
#include <span>

#include "base/bytes.hpp"
#include "rushlight/result.hpp"

namespace rushlight::io {

// Writes `pieces` one after the other to a new file beside `path`, syncs it, renames it over `path` and syncs the
// directory. On failure the old file is untouched and the temporary is gone.
//
// The one exception has the code IO-SYNC-FOLDER: the new file is in place and whole, but the system could not promise
// that its name survives a power cut.
//
// A symbolic link is followed: the file it points at is replaced, the link stays. The permissions of an existing file
// are kept; a new one gets 0666 less the umask. Other hard links to the old file keep the old bytes. Anything but a
// regular file is refused.
Status write_file_atomically(const std::filesystem::path& path, std::span<const ByteSpan> pieces);

}  // namespace rushlight::io
