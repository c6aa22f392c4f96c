// The digests of a file that is no archive: of its stretches by the chunk, and of all of it, in one pass on all
// threads.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "checksum/chunks.hpp"
#include "rushlight/executor.hpp"
#include "rushlight/manifest.hpp"
#include "rushlight/result.hpp"
#include "rushlight/source.hpp"
#include "zip/archive.hpp"

namespace rushlight::open {

// What a file is cut into: its storages, those that overlap as one, and each stretch of 64 bytes or more that is left
// (format-spec/07, [C-171]).
[[nodiscard]] std::vector<zip::Extent> stretches_of(std::vector<zip::Extent> storages, std::uint64_t size_bytes);

struct FileDigests {
  std::vector<std::vector<checksum::ChunkDigest>> stretches;  // of each, its chunks
  Xxh3Bytes file_xxh3{};
  std::optional<Sha256Bytes> file_sha256{};
};

// `stretches` in file order and within the source. All go through the file side by side, so that each byte comes from
// the disk once. `progress` hears of "verify"; CANCELLED.
Result<FileDigests> digest_file(const Source& source, std::span<const zip::Extent> stretches,
                                checksum::ChunkHashes hashes, Executor* executor, Progress* progress);

// That of the whole file alone.
Result<Sha256Bytes> sha256_of_file(const Source& source, Progress* progress);

}  // namespace rushlight::open
