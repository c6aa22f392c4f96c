// The central directory, read whole and audited entry by entry (APPNOTE 4.3.12, 4.4, 4.5.3).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "rushlight/limits.hpp"
#include "rushlight/result.hpp"
#include "zip/archive.hpp"
#include "zip/end_records.hpp"
#include "zip/file_view.hpp"
#include "zip/names.hpp"
#include "zip/records.hpp"

namespace rushlight::zip {

// "lzma": the name of a compression method (APPNOTE 4.4.5), or "unknown".
std::string_view method_name(std::uint16_t method) noexcept;

class Directory {
 public:
  // Reads and audits the directory. `tail` is what was read of the file's end; `name_key` is for NameIndex.
  Status read(const FileView& view, const EndRecords& ends, const Limits& limits, std::uint64_t name_key,
              std::vector<Finding>& oddities);

  [[nodiscard]] std::span<const Entry> entries() const noexcept { return {entries_.get(), count_}; }
  // Entry numbers by rising header offset.
  [[nodiscard]] std::span<const std::uint32_t> by_offset() const noexcept { return {by_offset_.get(), count_}; }
  // Where a record must have ended: the next record's header, or the directory.
  [[nodiscard]] std::uint64_t boundary(std::size_t entry) const noexcept { return boundaries_[entry]; }
  // Where the first record begins, or the directory if there is none.
  [[nodiscard]] std::uint64_t first_record() const noexcept;
  [[nodiscard]] std::size_t find(std::string_view name) const { return names_.find(entries(), name); }
  // The central entry as it stands in the file.
  [[nodiscard]] CentralEntry stored(const Entry& entry) const noexcept;
  // The same with its name, extra fields and comment.
  [[nodiscard]] ByteSpan bytes_of(const Entry& entry) const noexcept;

 private:
  class Auditor;
  Status arrange(std::uint64_t directory_begin);

  std::uint64_t begin_ = 0;
  ByteSpan bytes_;
  Buffer storage_;  // of bytes_, where the file is not mapped
  std::unique_ptr<Entry[]> entries_;
  std::size_t count_ = 0;
  std::unique_ptr<std::uint32_t[]> by_offset_;
  std::unique_ptr<std::uint64_t[]> boundaries_;
  NameIndex names_;
};

}  // namespace rushlight::zip
