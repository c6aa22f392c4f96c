// A file against its manifest, and a manifest against its signature: the part of verify() that knows them.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checksum/chunks.hpp"
#include "checksum/ed25519.hpp"
#include "rushlight/manifest.hpp"
#include "rushlight/verify.hpp"
#include "zip/archive.hpp"

namespace rushlight::open {

class ManifestCheck {
 public:
  ManifestCheck(const Source& source, const VerifyOptions& options) : source_(source), options_(options) {}

  // A public key that is none is the Error. The manifest and the signature, read: what is wrong with them is remembered
  // as a finding. `archive` is null for files that are none, and for sets of files.
  Status find(const zip::Archive* archive, bool is_set = false);
  // What the audit has to compute.
  [[nodiscard]] checksum::ChunkHashes hashes() const noexcept;

  // Compares all of it. `root` with its slash; the records of the report are those of the audit, in its order.
  Status compare(const zip::Audit& audit, std::string_view root, VerifyReport& report);
  // True where the manifest is one of a file that is no archive: compare_file() and not compare().
  [[nodiscard]] bool is_of_file() const noexcept {
    return manifest_ && manifest_->container == ManifestContainer::file;
  }
  // Compares all bytes of such a file, whether they could be read as one or not.
  Status compare_file(VerifyReport& report);
  // Of a tensor as the file has it, after compare_file().
  [[nodiscard]] TensorState state_in_file(const ManifestTensor& tensor) const;
  // What says which tensors there are is damaged, in such a file.
  [[nodiscard]] bool is_index_damaged() const noexcept { return index_damaged_; }
  // What the file says of its tensors against what the manifest says.
  void compare_tensors(std::span<const ManifestTensor> found);
  // Once everything is compared: the verdicts, and what was demanded and is not there.
  Status conclude(VerifyReport& report);

  // The bytes of a stored record that are not those that were written; none where nothing was compared.
  [[nodiscard]] std::span<const zip::Extent> damage(std::size_t record) const noexcept;
  // True where the digests of the record's bytes were compared: damage() is all there is.
  [[nodiscard]] bool is_compared(std::size_t record) const noexcept;

 private:
  struct Found {
    const zip::Entry* entry = nullptr;
    std::size_t others = 0;  // of the same name in other places, or in another case
  };
  static Found find_record(const zip::Archive& archive, std::string_view name);
  Result<std::string> read_text(const zip::Archive* archive, const zip::Entry* entry, const Source* sidecar,
                                std::string_view what) const;
  Status read_signature(const zip::Archive* archive);
  Status check_signature(VerifyReport& report);
  void compare_records(const zip::Audit& audit, std::string_view root, VerifyReport& report);
  void compare_record(const ManifestRecord& listed, const zip::RecordAudit& audit, std::size_t number,
                      RecordReport& report);
  void compare_chunks(const ManifestRecord& listed, const zip::RecordAudit& audit, std::size_t number,
                      RecordReport& report);
  Status compare_structure(const zip::Audit& audit);
  // Where the manifest has a SHA-256 and it can be computed, the report gets its state.
  bool sha256_differs(const ManifestRecord& listed, std::span<const checksum::ChunkDigest> chunks,
                      RecordReport& report) const;
  // Of record `number`, as its chunks are; the report gets its states.
  void compare_stretch(std::size_t number, std::span<const checksum::ChunkDigest> chunks, RecordReport& report);
  Status compare_self_of_file(std::span<const zip::Extent> stretches);
  void compare_digest_of_file(Integrity& state, bool fits, std::string_view code, std::string_view algorithm);
  // With the SHA-256 of the manifest and without OpenSSL.
  void report_unchecked_sha256();
  [[nodiscard]] std::size_t record_at(std::uint64_t offset) const;
  [[nodiscard]] zip::Extent reach_in_file(const ManifestTensor& tensor) const;
  [[nodiscard]] std::vector<std::string> tensors_in_file(std::size_t record, const zip::Extent& damage);
  [[nodiscard]] std::vector<std::string> all_tensors() const;
  [[nodiscard]] std::vector<std::string> tensors_in(std::string_view record, const zip::Extent& damage);
  Finding& add(Category category, std::string_view code, std::string message);
  Finding& add_difference(std::string_view code, std::string what, std::string expected, std::string found);

  const Source& source_;
  const VerifyOptions& options_;
  std::optional<checksum::Ed25519PublicKey> key_;

  std::string text_;
  std::optional<Manifest> manifest_;
  const zip::Entry* entry_ = nullptr;  // of the manifest, in the archive
  const zip::Entry* signature_entry_ = nullptr;
  std::string signature_text_;
  bool has_manifest_ = false;
  bool has_signature_ = false;
  bool signature_is_sidecar_ = false;
  bool self_checked_ = false;
  bool self_fits_ = false;
  bool file_compared_ = false;
  bool index_damaged_ = false;
  Integrity file_xxh3_ = Integrity::not_computed;
  Integrity file_sha256_ = Integrity::not_computed;
  std::vector<std::vector<zip::Extent>> damage_;  // by record
  std::vector<bool> compared_;
  std::map<std::string_view, std::vector<std::size_t>> tensors_of_;  // by record, once somebody asks
  std::vector<std::vector<std::size_t>> tensors_in_;                 // the same of a file, by the record's number
  std::vector<Finding> findings_;
  Finding spare_;
  std::size_t left_out_ = 0;  // of findings_
};

}  // namespace rushlight::open
