/// \file
/// Manifests: what a file was when it was written, down to every bit; and signatures on them (format-spec/07).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rushlight/checkpoint.hpp"
#include "rushlight/error.hpp"
#include "rushlight/executor.hpp"
#include "rushlight/export.hpp"
#include "rushlight/limits.hpp"
#include "rushlight/result.hpp"
#include "rushlight/source.hpp"
#include "rushlight/tensor.hpp"

namespace rushlight {

/// What a manifest holds. XXH3-128 finds accidents; only SHA-256 holds against somebody who chooses the bytes, and so
/// only that can be signed. SHA-256 needs OpenSSL in the build.
enum class ManifestLevel : std::uint8_t { none, xxh3, sha256 };
/// "none", "xxh3", "sha256".
RUSHLIGHT_API std::string_view to_string(ManifestLevel level) noexcept;

using Xxh3Bytes = std::array<std::byte, 16>;
using Sha256Bytes = std::array<std::byte, 32>;

/// What a manifest is of: an archive, or any other file, which is cut into stretches.
enum class ManifestContainer : std::uint8_t { zip, file };

/// A record of an archive; of another file a stretch of its bytes, without what only archives have.
struct ManifestRecord {
  /// Below the root folder; with a slash before it where it lies outside. Of a stretch "@" and its offset: "@0x1f8".
  std::string name{};
  std::uint64_t header_offset = 0;  ///< of the local header, from the start of the file
  std::uint64_t data_offset = 0;    ///< of the stored bytes
  std::uint64_t size_bytes = 0;     ///< decoded
  std::uint64_t stored_bytes = 0;   ///< as they lie in the file, which is what all digests are of
  std::uint16_t method = 0;         ///< 0 stored, 8 deflated
  std::uint16_t flags = 0;          ///< of the central entry
  std::uint32_t crc = 0;            ///< likewise; 0 where the writer computed none
  Xxh3Bytes xxh3{};                 ///< of the record
  std::vector<Xxh3Bytes> chunks{};  ///< of each 4 MiB, where there is more than one chunk
  std::optional<Sha256Bytes> sha256{};

  friend bool operator==(const ManifestRecord&, const ManifestRecord&) = default;
};

struct ManifestTensor {
  std::string name{};  ///< as listings have it; escaped where it is no UTF-8
  std::string dtype{};
  Shape shape{};
  Strides strides{};
  std::string record{};             ///< that holds its storage, "data/0"; empty where it has no bytes of its own
  std::int64_t storage_offset = 0;  ///< elements
  /// Of a file that is no archive: where the element at index 0 lies, in bytes; nullopt where none lies in the file as
  /// it is. `record` and `storage_offset` say nothing then.
  std::optional<std::uint64_t> data_offset{};

  friend bool operator==(const ManifestTensor&, const ManifestTensor&) = default;
};

struct Manifest {
  ManifestContainer container = ManifestContainer::zip;
  std::uint64_t size_bytes = 0;           ///< of the file
  std::string root{};                     ///< the folder in the archive, "" when there is none
  std::uint64_t alignment = 64;           ///< of records
  std::vector<ManifestRecord> records{};  ///< in file order, without the manifest itself and its signature
  std::vector<ManifestTensor> tensors{};  ///< in the order of listings
  /// Of the whole file, as `xxhsum -H2` and `sha256sum` print them; only beside it (format-spec/07, [C-173]).
  std::optional<Xxh3Bytes> file_xxh3{};
  std::optional<Sha256Bytes> file_sha256{};
  /// Of everything outside the data of these records, the manifest included.
  Xxh3Bytes self_xxh3{};
  std::optional<Sha256Bytes> self_sha256{};

  [[nodiscard]] ManifestLevel level() const noexcept {
    return self_sha256 ? ManifestLevel::sha256 : ManifestLevel::xxh3;
  }
  friend bool operator==(const Manifest&, const Manifest&) = default;
};

struct ManifestOptions {
  ManifestLevel level = ManifestLevel::xxh3;
  Limits limits{};
  FileAccess access = FileAccess::mapped;
  bool overwrite = true;  ///< false: an existing file is an error
  Executor* executor = nullptr;
  Progress* progress = nullptr;
};

/// The bytes of a manifest, strictly: whatever is not as a writer spells it is Category::mani.
RUSHLIGHT_API Result<Manifest> parse_manifest(std::string_view text, const Limits& limits = {});
/// That of an archive; ErrorCode::not_found when it has none. Says nothing about the file: verify() does.
RUSHLIGHT_API Result<Manifest> read_manifest(const std::filesystem::path& path, const Limits& limits = {});

/// Looks at the whole file first: of a damaged one there is no manifest, but the error that verify() names first.
///
/// `to` becomes the archive with its manifest: no record before the last few small ones moves, and no byte of data
/// changes. `from` and `to` may be one file. A manifest and a signature that are there already give way.
RUSHLIGHT_API Result<Manifest> add_manifest(const std::filesystem::path& from, const std::filesystem::path& to,
                                            const ManifestOptions& options = {});
/// The same beside the file, which is left alone. Of any kind of file that a Checkpoint can be opened from, but sets of
/// files: each of their files is one of its own.
RUSHLIGHT_API Result<Manifest> write_manifest_sidecar(const std::filesystem::path& file,
                                                      const std::filesystem::path& sidecar,
                                                      const ManifestOptions& options = {});

struct SignOptions {
  /// The private key: PKCS#8 PEM, as `openssl genpkey -algorithm ed25519` writes it, without a pass phrase.
  std::string private_key_pem{};
  Limits limits{};
  FileAccess access = FileAccess::mapped;
  bool overwrite = true;
  /// For sign_detached(): the sidecar manifest to sign; empty: that in the archive. Where neither is there, a sidecar
  /// manifest with SHA-256 is written first: to this path, or to that of sidecar_manifest_path().
  std::filesystem::path manifest{};
  Executor* executor = nullptr;
  Progress* progress = nullptr;
};

struct SignReport {
  std::string key{};  ///< of the public key: the first 8 bytes of its SHA-256, in hexadecimal
  /// The sidecar manifest that is signed; empty: that in the archive.
  std::filesystem::path manifest{};
  bool manifest_written = false;  ///< it was not there before
};

/// The sidecar manifest of a file where nobody names another: "model.pt.manifest.json" of "model.pt".
RUSHLIGHT_API std::filesystem::path sidecar_manifest_path(const std::filesystem::path& file);

/// Signs the manifest of a file, which must be there, hold, and have SHA-256. `to` becomes the archive with the
/// signature beside its manifest; a signature that is there gives way.
RUSHLIGHT_API Result<SignReport> sign(const std::filesystem::path& from, const std::filesystem::path& to,
                                      const SignOptions& options);
/// The same as a file of 64 bytes, which stock tools check too (format-spec/07, section 5), of any kind of file. One
/// that has no manifest yet gets a sidecar manifest in the same step. A manifest that is there is never written again:
/// what does not hold, or has no SHA-256, is the error, and nothing is written.
RUSHLIGHT_API Result<SignReport> sign_detached(const std::filesystem::path& file, const std::filesystem::path& sidecar,
                                               const SignOptions& options);

/// A key file: PEM text. A warning where others than its owner may read a private one.
struct KeyFile {
  std::string pem{};
  std::vector<Finding> findings{};
};
RUSHLIGHT_API Result<KeyFile> read_key_file(const std::filesystem::path& path, bool is_private);

}  // namespace rushlight
