// The zip container of torch.save, torch.jit, torch.export and torch.package: which folder is the root, what the small
// records say, which record is which storage.
// Sources: torch/serialization.py (_save, _load), caffe2/serialize/inline_container.cc, format-spec/05-checkpoint.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/build_value.hpp"
#include "checkpoint/record_memory.hpp"
#include "checkpoint/storage_provider.hpp"
#include "rushlight/checkpoint.hpp"
#include "zip/archive.hpp"

namespace rushlight::checkpoint {

class ZipContainer final : public StorageProvider {
 public:
  // Finds the root and reads version, byteorder and the like: a few small records, no storage. `format` and `findings`
  // are filled as far as it gets, also when it fails. Of the options, limits and checksums are used.
  static Result<std::unique_ptr<ZipContainer>> open(std::shared_ptr<const zip::Archive> archive,
                                                    const LoadOptions& options, FormatInfo& format,
                                                    std::vector<Finding>& findings);
  // Of an archive that is the record `within` of another one, which was inflated where no offset in it is one in the
  // file.
  static Result<std::unique_ptr<ZipContainer>> open_within(std::string within, bool inflated,
                                                           std::shared_ptr<const zip::Archive> archive,
                                                           const LoadOptions& options, FormatInfo& format,
                                                           std::vector<Finding>& findings);

  // data.pkl; nullptr in archives that have none (zip_root.hpp).
  [[nodiscard]] const zip::Entry* pickle() const noexcept { return pickle_; }
  // A record below the root, by its exact name or else by one that differs in case only; nullptr when absent.
  [[nodiscard]] const zip::Entry* find(std::string_view name);
  // The bytes of a record, checked. It counts as used.
  [[nodiscard]] Result<zip::RecordBytes> read(const zip::Entry& entry, std::uint64_t max_bytes);
  // The same of a pickle, within Limits::pickle_bytes, with its place.
  [[nodiscard]] Result<PickleBytes> read_pickle(const zip::Entry& entry);
  // Where a record's bytes begin in the file; nullopt when it is deflated.
  [[nodiscard]] std::optional<std::uint64_t> data_offset(const zip::Entry& entry) const;
  [[nodiscard]] std::string_view short_name(const zip::Entry& entry) const noexcept {
    return context_->short_name(entry);
  }

  // The storage `folder` + request.key. The first folder that has it counts.
  Result<std::shared_ptr<Memory>> memory_in(std::span<const std::string_view> folders, const StorageRequest& request,
                                            std::uint64_t size_bytes);

  Result<std::shared_ptr<Memory>> memory(const StorageRequest& request, std::uint64_t size_bytes) override;
  [[nodiscard]] bool is_big_endian() const noexcept override { return is_big_endian_; }

  // That a storage was found under a name in another case: known only once all have been asked for.
  void report_case(std::vector<Finding>& findings);
  void mark_used(const zip::Entry& entry);
  // The small records that say how the others are to be read, as they are named below the root.
  [[nodiscard]] const std::vector<std::string>& text_records() const noexcept { return text_records_; }
  // Of all records whose names begin so: known, if not read.
  void mark_used_below(std::string_view prefix);
  // Records that nothing has asked for: a note, since they may hide what a reader does not see (hostile-inputs S07).
  void report_unused(std::vector<Finding>& findings) const;
  [[nodiscard]] const RecordContext& context() const noexcept { return *context_; }

 private:
  ZipContainer(std::shared_ptr<RecordContext> context, const LoadOptions& options);

  Status find_root(FormatInfo& format);
  Status audit(Executor* executor, Progress* progress);
  Status read_version(FormatInfo& format);
  Status read_byteorder(FormatInfo& format);
  Status read_alignment(FormatInfo& format);
  void report_foreign_folders();
  void guess_torch(FormatInfo& format) const;

  struct SmallText {
    std::string text;
    std::optional<std::uint64_t> offset;  // of its first byte in the file
  };
  // The text of a small record; nullopt when there is none.
  Result<std::optional<SmallText>> read_text(std::string_view name);
  // `integrity`, where it is asked for, becomes what is known of the bytes then.
  Result<zip::RecordBytes> read_checked(const zip::Entry& entry, std::uint64_t max_bytes,
                                        Integrity* integrity = nullptr) const;
  const zip::Entry* find_storage(std::span<const std::string_view> folders, std::string_view key);
  void warn_about_case(const zip::Entry& entry);
  [[nodiscard]] std::vector<std::string> nearest_keys(std::string_view folder, std::string_view key) const;
  [[nodiscard]] bool has(std::string_view name) const;

  std::shared_ptr<RecordContext> context_;
  std::vector<Finding>* findings_ = nullptr;  // of the call in progress
  std::uint64_t pickle_limit_ = 0;
  const zip::Entry* pickle_ = nullptr;
  std::string scratch_;           // a full name under construction
  std::size_t next_storage_ = 0;  // the number of the entry behind the last storage found
  std::vector<bool> used_;        // by position in the directory
  std::vector<std::string> text_records_;
  bool case_reported_ = false;
  bool is_big_endian_ = false;
  bool is_plain_export_ = false;  // torch.export up to 2.7: a plain zip file, whose `version` is the program's
  std::optional<Finding> late_case_warning_;  // after open()
};

// The storages that a pickle names, as the records of one folder.
class FolderStorages final : public StorageProvider {
 public:
  FolderStorages(ZipContainer& container, std::string_view folder, PersistentIds ids = PersistentIds::zip) noexcept
      : container_(container), folder_(folder), ids_(ids) {}

  [[nodiscard]] PersistentIds persistent_ids() const noexcept override { return ids_; }
  Result<std::shared_ptr<Memory>> memory(const StorageRequest& request, std::uint64_t size_bytes) override {
    return container_.memory_in({&folder_, 1}, request, size_bytes);
  }
  [[nodiscard]] bool is_big_endian() const noexcept override { return container_.is_big_endian(); }

 private:
  ZipContainer& container_;
  std::string_view folder_;  // "constants/"
  PersistentIds ids_;
};

// Adds the file to what the zip layer found, and takes the root folder off the record's name.
void place(Finding& finding, const RecordContext& context);
[[nodiscard]] Integrity integrity_of(const zip::RecordAudit& record) noexcept;

}  // namespace rushlight::checkpoint
