// The bytes of a part of one record of a zip archive, read and checked when they are first asked for.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "rushlight/checkpoint.hpp"
#include "rushlight/result.hpp"
#include "tensor/memory.hpp"
#include "zip/archive.hpp"

namespace rushlight::interchange {

// What all records of one file share.
struct RecordFile {
  std::shared_ptr<const zip::Archive> archive;
  std::string name;  // of the file, for messages
  Checksums checksums = Checksums::on_first_read;

  // Fills in the file and the record.
  [[nodiscard]] Error placed(Error error, const zip::Entry& entry) const;
};

// Compares the record's CRC-32 with the one that is stored. CRC-MISMATCH, not placed.
Result<Integrity> check_record(const RecordFile& file, const zip::Entry& entry, ByteSpan decoded);

// The CRC-32 covers the whole record, so all of it is read, whichever part is asked for.
class RecordPart final : public Memory {
 public:
  // [offset, offset + size_bytes) must lie within the decoded record. `swap_unit`: see tensor/byte_order.hpp.
  RecordPart(std::shared_ptr<const RecordFile> file, const zip::Entry& entry, std::uint64_t offset,
             std::uint64_t size_bytes, std::uint32_t swap_unit) noexcept
      : file_(std::move(file)), entry_(&entry), offset_(offset), size_bytes_(size_bytes), swap_unit_(swap_unit) {}

  [[nodiscard]] std::uint64_t size_bytes() const noexcept override { return size_bytes_; }
  [[nodiscard]] std::string_view record() const noexcept override { return entry_->name; }
  [[nodiscard]] std::optional<FilePlace> place() const override;
  [[nodiscard]] Integrity integrity() const noexcept override { return integrity_.load(std::memory_order_acquire); }
  [[nodiscard]] Result<ByteSpan> bytes() override;

 private:
  // The outcome of the first read: what bytes() answers from then on.
  struct Loaded {
    Result<ByteSpan> answer;
    zip::RecordBytes record;         // keeps the bytes alive, unless they were copied
    std::shared_ptr<Memory> copied;  // where they were not aligned, or had to be swapped
  };
  [[nodiscard]] Loaded load();

  std::shared_ptr<const RecordFile> file_;
  const zip::Entry* entry_;
  std::uint64_t offset_;
  std::uint64_t size_bytes_;
  std::uint32_t swap_unit_;
  std::unique_ptr<Loaded> loaded_;  // written once, under once_
  std::once_flag once_;
  std::atomic<Integrity> integrity_{Integrity::not_checked};
};

}  // namespace rushlight::interchange
