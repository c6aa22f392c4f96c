// Writing the end of an archive with its manifest: what is digested, and in which order it can be known.
//
// Everything up to the manifest is digested while it is written. What comes after it is small: it is made in memory
// first, with zeros where the self-digest and the CRCs of manifest and signature stand; then the digest is known, and
// with it the signature and the CRCs.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.hpp"
#include "checkpoint/manifest_text.hpp"
#include "checksum/chunks.hpp"
#include "checksum/ed25519.hpp"
#include "rushlight/manifest.hpp"
#include "rushlight/result.hpp"
#include "rushlight/sink.hpp"
#include "zip/archive.hpp"
#include "zip/writer.hpp"

namespace rushlight::checkpoint {

// "data/0" of "base/data/0"; "/other" of a record outside the root.
[[nodiscard]] std::string manifest_record_name(std::string_view full_name, std::string_view root);

[[nodiscard]] inline checksum::ChunkHashes hashes_of(ManifestLevel level) noexcept {
  return {.xxh3 = level != ManifestLevel::none, .sha256 = level == ManifestLevel::sha256};
}

// What comes behind a manifest where there is a choice: the version and the serialization id.
[[nodiscard]] bool is_tail_record(std::string_view short_name) noexcept;

// The digests of a record from those of its chunks.
Status set_digests(ManifestRecord& record, std::span<const checksum::ChunkDigest> chunks, bool sha256);

// The two digests of everything outside record data.
class StructureHash {
 public:
  static Result<StructureHash> create(bool sha256);

  void update(ByteSpan bytes);
  // Into the manifest.
  Status finish(Manifest& manifest) &&;

 private:
  StructureHash() = default;

  checksum::Xxh3Stream xxh3_;
  std::optional<checksum::Sha256> sha256_;
};

// Bytes that are digested as if they were others: "0" in place of the self-digest, zeros in place of the CRCs.
struct Blank {
  std::uint64_t offset = 0;
  std::uint64_t size_bytes = 0;
  std::byte as{0};
};
// The fields of the manifest's self-digests, when its text begins at `offset`.
void add_self_blanks(bool sha256, std::uint64_t offset, std::vector<Blank>& blanks);

// Digests a part of a file, but for the ranges `data`, which come in file order. `base` is the offset of bytes[0].
void update_outside(StructureHash& hash, ByteSpan bytes, std::uint64_t base, std::span<const zip::Extent> data,
                    std::span<const Blank> blanks);
// The same of a Source, read piece by piece.
Status update_outside(StructureHash& hash, const Source& source, std::uint64_t begin, std::uint64_t end,
                      std::span<const zip::Extent> data, std::span<const Blank> blanks);

// A record that comes behind the manifest.
struct TailRecord {
  std::string name;  // in full
  std::vector<std::byte> stored;
  std::uint64_t size_bytes = 0;
  zip::Method method = zip::Method::stored;
  std::uint32_t crc = 0;  // of the decoded bytes; used where they are deflated
};

// Between a zip::Writer, which observes through it, and the sink of the file.
class SealingSink final : public Sink, public zip::WriteObserver {
 public:
  static Result<SealingSink> create(Sink& out, ManifestLevel level);

  Status write(std::span<const std::byte> bytes) override;
  void on_structure(ByteSpan bytes) override;
  void on_content(ByteSpan bytes) override;

  // Adds what was just written to the manifest.
  Status note(const zip::WrittenRecord& written, std::string_view full_name);
  // A part of the file that somebody else wrote to the sink.
  [[nodiscard]] StructureHash& structure() noexcept { return structure_; }
  [[nodiscard]] Manifest& manifest() noexcept { return manifest_; }

  // Writes the manifest, a signature where there is a key, the tail, the directory and the end records. The manifest
  // has its root, alignment, tensors, and the records before it.
  Status seal(zip::Writer& writer, std::span<const TailRecord> tail, bool crc, const checksum::Ed25519PrivateKey* key);

 private:
  SealingSink(Sink& out, ManifestLevel level, StructureHash structure);

  // Lists the tail, and says where all of it will lie.
  Result<zip::ArchivePlan> plan(const zip::Writer& writer, std::span<const TailRecord> tail, bool crc, bool is_signed);
  Status write_tail(zip::Writer& writer, std::span<const TailRecord> tail, bool is_signed);
  void put_crc(const zip::RecordPlace& place, std::string_view full_name, ByteSpan content);
  [[nodiscard]] std::size_t directory_position(std::string_view full_name) const;

  Sink* out_;
  ManifestLevel level_;
  checksum::ChunkStream chunks_;
  StructureHash structure_;
  Manifest manifest_;
  bool is_tail_ = false;
  std::uint64_t tail_begin_ = 0;
  std::uint64_t directory_begin_ = 0;
  std::vector<std::byte> tail_;
};

}  // namespace rushlight::checkpoint
