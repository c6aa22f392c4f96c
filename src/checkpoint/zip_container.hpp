// The zip container of torch.save: which folder is the root, what the small records say, which record is which storage.
// Sources: torch/serialization.py (_save, _load), caffe2/serialize/inline_container.cc, format-spec/05-checkpoint.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

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

  // data.pkl, checked.
  [[nodiscard]] Result<zip::RecordBytes> read_pickle();
  // Where data.pkl begins in the file; nullopt when it is deflated.
  [[nodiscard]] std::optional<std::uint64_t> pickle_offset() const;
  [[nodiscard]] std::string_view pickle_name() const noexcept { return context_->short_name(*pickle_); }

  Result<std::shared_ptr<Memory>> memory(const StorageRequest& request, std::uint64_t size_bytes) override;
  [[nodiscard]] bool is_big_endian() const noexcept override { return is_big_endian_; }

  // That a storage was found under a name in another case: known only once all have been asked for.
  void report_case(std::vector<Finding>& findings);
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

  // A record below the root, by its exact name or else by one that differs in case only; nullptr when absent.
  const zip::Entry* find(std::string_view name);
  struct SmallText {
    std::string text;
    std::optional<std::uint64_t> offset;  // of its first byte in the file
  };
  // The text of a small record; nullopt when there is none.
  Result<std::optional<SmallText>> read_text(std::string_view name);
  Result<zip::RecordBytes> read_checked(const zip::Entry& entry, std::uint64_t max_bytes) const;
  const zip::Entry* find_storage(std::string_view key);
  void mark_used(const zip::Entry& entry);
  void warn_about_case(const zip::Entry& entry);
  [[nodiscard]] std::vector<std::string> nearest_keys(std::string_view key) const;

  std::shared_ptr<RecordContext> context_;
  std::vector<Finding>* findings_ = nullptr;  // of the call in progress
  std::uint64_t pickle_limit_ = 0;
  const zip::Entry* pickle_ = nullptr;
  std::string scratch_;     // a full name under construction
  std::vector<bool> used_;  // by position in the directory
  bool case_reported_ = false;
  bool is_big_endian_ = false;
  std::optional<Finding> late_case_warning_;  // after open()
};

// Adds the file to what the zip layer found, and takes the root folder off the record's name.
void place(Finding& finding, const RecordContext& context);
[[nodiscard]] Integrity integrity_of(const zip::RecordAudit& record) noexcept;

}  // namespace rushlight::checkpoint
