#include "checksum/chunks.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "base/fail.hpp"
#include "checksum/crc32.hpp"

namespace rushlight::checksum {
namespace {

// Both checksums of so many bytes at a time: the second finds them in the cache.
constexpr std::size_t kFusedBytes = std::size_t{256} << 10;
constexpr std::array<std::byte, 1> kLeaf{std::byte{0}};
constexpr std::array<std::byte, 1> kRecord{std::byte{1}};

}  // namespace

Result<ChunkDigest> hash_chunk(ByteSpan chunk, ChunkHashes hashes, std::uint32_t* crc) {
  ChunkDigest digest;
  std::optional<Sha256> sha256;
  if (hashes.sha256) {
    RUSHLIGHT_TRY_ASSIGN(sha256, Sha256::create());
    sha256->update(kLeaf);
  }
  std::optional<Xxh3Stream> xxh3;
  const bool at_once = chunk.size() <= kFusedBytes;
  if (hashes.xxh3 && !at_once) xxh3.emplace();
  std::uint32_t sum = 0;
  for (std::size_t done = 0; done < chunk.size(); done += kFusedBytes) {
    const ByteSpan piece = chunk.subspan(done, std::min(kFusedBytes, chunk.size() - done));
    if (crc != nullptr) sum = crc32(piece, sum);
    if (xxh3) xxh3->update(piece);
    if (sha256) sha256->update(piece);
  }
  if (crc != nullptr) *crc = sum;
  if (hashes.xxh3) digest.xxh3 = xxh3 ? xxh3->digest() : xxh3_128(chunk);
  if (sha256) {
    RUSHLIGHT_TRY_ASSIGN(digest.sha256, std::move(*sha256).finish());
  }
  return digest;
}

Xxh3Digest record_xxh3(std::span<const ChunkDigest> chunks) {
  if (chunks.size() == 1) return chunks[0].xxh3;
  Xxh3Stream stream;
  for (const ChunkDigest& chunk : chunks) stream.update(chunk.xxh3);
  return stream.digest();
}

Result<Sha256Digest> record_sha256(std::uint64_t size_bytes, std::span<const ChunkDigest> chunks) {
  RUSHLIGHT_TRY_ASSIGN(Sha256 hash, Sha256::create());
  std::array<std::byte, 8> size{};
  store_le(size.data(), size_bytes);
  hash.update(kRecord);
  hash.update(size);
  for (const ChunkDigest& chunk : chunks) hash.update(chunk.sha256);
  return std::move(hash).finish();
}

void ChunkStream::begin_chunk() {
  if (hashes_.xxh3) xxh3_.emplace();
  if (!hashes_.sha256) return;
  Result<Sha256> hash = Sha256::create();
  if (!hash) {
    failure_ = std::move(hash).error();
    return;
  }
  sha256_ = *std::move(hash);
  sha256_->update(kLeaf);
}

void ChunkStream::end_chunk() {
  ChunkDigest digest;
  if (xxh3_) digest.xxh3 = xxh3_->digest();
  if (sha256_) {
    Result<Sha256Digest> sha256 = std::move(*sha256_).finish();
    if (sha256) {
      digest.sha256 = *sha256;
    } else {
      failure_ = std::move(sha256).error();
    }
    sha256_.reset();
  }
  chunks_.push_back(digest);
  chunk_bytes_ = 0;
}

void ChunkStream::update(ByteSpan bytes) {
  while (!bytes.empty()) {
    if (chunk_bytes_ == 0) begin_chunk();
    const ByteSpan piece =
        bytes.first(static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), kChunkBytes - chunk_bytes_)));
    if (xxh3_) xxh3_->update(piece);
    if (sha256_) sha256_->update(piece);
    chunk_bytes_ += piece.size();
    if (chunk_bytes_ == kChunkBytes) end_chunk();
    bytes = bytes.subspan(piece.size());
  }
}

Result<std::vector<ChunkDigest>> ChunkStream::finish() {
  if (chunk_bytes_ != 0) end_chunk();
  if (failure_) return *failure_;
  return std::exchange(chunks_, {});
}

}  // namespace rushlight::checksum
