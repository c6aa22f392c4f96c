// All bytes of a small file.
#pragma once

#include <filesystem>
#include <memory>

#include "base/bytes.hpp"
#include "rushlight/source.hpp"

namespace rushlight::image {

struct FileBytes {
  std::shared_ptr<const Source> source;  // owns the bytes
  ByteSpan bytes;
};

// Files that are not regular are refused by name; so are empty ones.
[[nodiscard]] Result<FileBytes> map_file(const std::filesystem::path& path);
// Of a source that lies in memory.
[[nodiscard]] Result<FileBytes> bytes_of(std::shared_ptr<const Source> source);

// An error about the file's content: truncated, corrupt, unsupported, limit_exceeded or not_a_checkpoint (no picture).
[[nodiscard]] Error damaged(const FileBytes& file, ErrorCode error_code, std::string code, std::string message,
                            std::string hint = {});

}  // namespace rushlight::image
