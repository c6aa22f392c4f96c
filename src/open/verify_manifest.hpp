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
  // as a finding. `archive` is null for files that are none.
  Status find(const zip::Archive* archive);
  // What the audit has to compute.
  [[nodiscard]] checksum::ChunkHashes hashes() const noexcept;

  // Compares all of it. `root` with its slash; the records of the report are those of the audit, in its order.
  Status compare(const zip::Audit& audit, std::string_view root, VerifyReport& report);
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
  std::vector<std::vector<zip::Extent>> damage_;  // by record
  std::vector<bool> compared_;
  std::map<std::string_view, std::vector<std::size_t>> tensors_of_;  // by record, once somebody asks
  std::vector<Finding> findings_;
  Finding spare_;
  std::size_t left_out_ = 0;  // of findings_
};

}  // namespace rushlight::open
