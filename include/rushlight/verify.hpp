/// \file
/// verify(): is every byte of a file what its writer wrote? A damaged file is an answer, not an Error.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rushlight/checkpoint.hpp"
#include "rushlight/manifest.hpp"

namespace rushlight {

struct VerifyOptions {
  bool strict = false;  ///< warnings count as errors
  /// Records without a checksum (stored 0, computed is not 0) count as errors.
  bool require_crc = false;
  /// A manifest beside the file (write_manifest_sidecar()), of any kind of file; null: that in the archive, where there
  /// is one.
  std::shared_ptr<const Source> manifest{};
  bool require_manifest = false;  ///< a file without one is an error
  /// PEM, SubjectPublicKeyInfo. With a key, only a file whose signature fits is ok: unsigned, signed with another key,
  /// a signature that could not be checked, are all errors.
  std::string public_key_pem{};
  /// A signature beside the file (sign_detached()); null: that in the archive.
  std::shared_ptr<const Source> signature{};
  Limits limits{};
  FileAccess access = FileAccess::mapped;  ///< for verify(path)
  /// As LoadOptions::open_beside: all files of a set are verified.
  std::function<Result<std::shared_ptr<const Source>>(std::string_view name)> open_beside{};
  Executor* executor = nullptr;
  Progress* progress = nullptr;
};

enum class TensorState : std::uint8_t {
  intact,      ///< its bytes carry a checksum that fits
  damaged,     ///< they do not
  unverified,  ///< no checksum exists
};
RUSHLIGHT_API std::string_view to_string(TensorState state) noexcept;

/// One record of the archive; of another file with a manifest beside it, one stretch of the file: "@0x1f8".
struct RecordReport {
  std::string name{};                  ///< without the root folder; of a set "FILE:NAME"
  std::uint64_t offset = 0;            ///< of the data, in the file
  std::uint64_t size_bytes = 0;        ///< decoded
  std::uint64_t compressed_bytes = 0;  ///< as stored
  bool deflated = false;
  Integrity crc = Integrity::not_checked;
  /// Against the manifest: not_computed without one, not_checked where there is one that says nothing about this record
  /// (its own among them) or that cannot be believed.
  Integrity xxh3 = Integrity::not_computed;
  Integrity sha256 = Integrity::not_computed;
  std::uint32_t stored_crc = 0;
  std::uint32_t computed_crc = 0;
};

/// Where a single flipped bit must be, deduced from the difference of the two CRCs. It is exact when the damage is one
/// bit; other damage gives no location, or (with probability record bits / 2^32) a wrong one.
struct FlippedBit {
  std::uint64_t offset = 0;         ///< of the byte, in the file
  std::uint64_t record_offset = 0;  ///< of the byte, in the record
  unsigned bit = 0;                 ///< 0 is the least significant
  std::uint8_t found = 0;
  std::uint8_t expected = 0;
};

struct TensorVerdict {
  std::string name{};
  TensorState state = TensorState::unverified;
  /// For a located flip inside this tensor: the C-order index of the element.
  std::optional<std::int64_t> element{};
};

/// A manifest that was found, or a signature.
struct ManifestVerdict {
  Integrity state = Integrity::not_checked;  ///< verified, mismatch, or not_checked
  bool is_sidecar = false;
  ManifestLevel level = ManifestLevel::none;  ///< none: it could not be read
  std::uint64_t records = 0;
  std::uint64_t tensors = 0;
  std::string self_digest{};  ///< XXH3-128, hexadecimal
  /// Of the whole file; not_computed where the manifest has none.
  Integrity file_xxh3 = Integrity::not_computed;
  Integrity file_sha256 = Integrity::not_computed;
};
struct SignatureVerdict {
  Integrity state = Integrity::not_checked;  ///< not_checked without a key
  bool is_sidecar = false;
  std::string key{};  ///< that it names, or that was given: the first 8 bytes of its SHA-256
};

struct VerifyReport {
  std::string file{};
  FormatInfo format{};
  bool ok = false;                    ///< no error findings
  bool structure_ok = false;          ///< the container explains every byte of itself
  std::uint64_t explained_bytes = 0;  ///< of format.size_bytes
  std::uint64_t checked_bytes = 0;    ///< record bytes whose CRC was computed, or their digests where there is none
  std::vector<RecordReport> records{};
  std::vector<TensorVerdict> tensors{};
  std::optional<ManifestVerdict> manifest{};
  std::optional<SignatureVerdict> signature{};
  std::vector<Finding> findings{};  ///< all of them, in file order
  std::vector<FlippedBit> flips{};  ///< located, in file order
};

/// Audits the container whole and computes every CRC, on all threads of the executor. An Error means that it could not
/// look (not found, not readable, cancelled).
RUSHLIGHT_API Result<VerifyReport> verify(const std::filesystem::path& path, const VerifyOptions& options = {});
RUSHLIGHT_API Result<VerifyReport> verify(std::shared_ptr<const Source> source, const VerifyOptions& options = {});

}  // namespace rushlight
