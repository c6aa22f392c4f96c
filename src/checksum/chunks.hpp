// Digests of 4 MiB chunks, and of a record from those of its chunks: what a manifest holds (format-spec/07, section 2).
// Chunks are independent of each other, so all threads work on one record, and damage is found to the chunk.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/bytes.hpp"
#include "checksum/sha256.hpp"
#include "checksum/xxh3.hpp"
#include "rushlight/result.hpp"

namespace rushlight::checksum {

inline constexpr std::uint64_t kChunkBytes = std::uint64_t{4} << 20;

// How many chunks a record of that size has: none when it is empty.
[[nodiscard]] constexpr std::uint64_t chunk_count(std::uint64_t size_bytes) noexcept {
  return size_bytes / kChunkBytes + (size_bytes % kChunkBytes != 0 ? 1 : 0);
}

struct ChunkHashes {
  bool xxh3 = false;
  bool sha256 = false;

  [[nodiscard]] bool any() const noexcept { return xxh3 || sha256; }
};

struct ChunkDigest {
  Xxh3Digest xxh3{};
  Sha256Digest sha256{};  // of a zero byte and the chunk: a leaf, which no record digest can be
};

// Of one chunk; and its CRC-32, where `crc` is given, while the bytes are in the cache.
[[nodiscard]] Result<ChunkDigest> hash_chunk(ByteSpan chunk, ChunkHashes hashes, std::uint32_t* crc);

// Of the bytes, for a record of one chunk or none; else of the digests of its chunks, one after the other.
[[nodiscard]] Xxh3Digest record_xxh3(std::span<const ChunkDigest> chunks);
// Of the byte 1, the size as a u64, and the digests of all chunks.
[[nodiscard]] Result<Sha256Digest> record_sha256(std::uint64_t size_bytes, std::span<const ChunkDigest> chunks);

// The chunks of a record that comes piece by piece.
class ChunkStream {
 public:
  explicit ChunkStream(ChunkHashes hashes) : hashes_(hashes) {}

  void update(ByteSpan bytes);
  // The chunks so far; the next record may begin.
  [[nodiscard]] Result<std::vector<ChunkDigest>> finish();

 private:
  void begin_chunk();
  void end_chunk();

  ChunkHashes hashes_;
  std::optional<Xxh3Stream> xxh3_;
  std::optional<Sha256> sha256_;
  std::uint64_t chunk_bytes_ = 0;
  std::vector<ChunkDigest> chunks_;
  std::optional<Error> failure_;
};

}  // namespace rushlight::checksum
