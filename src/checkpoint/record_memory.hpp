// The bytes of one record of a zip archive, read and checked when they are first asked for.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rushlight/checkpoint.hpp"
#include "tensor/memory.hpp"
#include "zip/archive.hpp"

namespace rushlight::checkpoint {

// What all records of one file share. Grows while the file is opened, by one thread; constant afterwards.
struct RecordContext {
  std::shared_ptr<const zip::Archive> archive;
  std::string file;  // for messages
  std::string root;  // "base/", or "" where there is no root folder
  Checksums checksums = Checksums::on_first_read;
  // Of an archive that is a record of another one: that record, and whether it was inflated, so that no offset in it is
  // one in the file.
  std::string within;
  bool in_memory = false;
  std::vector<Integrity> audited;     // by position in the directory, where all was checked at once; else empty
  std::deque<std::string> locations;  // recorded devices, each once; a deque never moves them

  std::string_view interned(std::string_view location);
  // A record's name for people: without the root folder.
  [[nodiscard]] std::string_view short_name(const zip::Entry& entry) const noexcept;
  // The same as text, with the record around the archive: "weights.pt/data/0".
  [[nodiscard]] std::string printable_name(const zip::Entry& entry) const;
  [[nodiscard]] Integrity audited_integrity(const zip::Entry& entry) const noexcept;
  // Fills in the file and the record, named without the root folder.
  [[nodiscard]] Error placed(Error error, const zip::Entry& entry) const;
};

class RecordMemory final : public Memory {
 public:
  RecordMemory(std::shared_ptr<const RecordContext> context, const zip::Entry& entry,
               std::string_view recorded_device) noexcept
      : context_(std::move(context)),
        entry_(&entry),
        recorded_device_(recorded_device),
        integrity_(context_->audited_integrity(entry)) {}

  [[nodiscard]] std::uint64_t size_bytes() const noexcept override { return entry_->size_bytes; }
  [[nodiscard]] std::string_view recorded_device() const noexcept override { return recorded_device_; }
  [[nodiscard]] std::string_view record() const noexcept override {
    return context_->within.empty() ? context_->short_name(*entry_) : std::string_view(context_->within);
  }
  [[nodiscard]] std::optional<FilePlace> place() const override;
  [[nodiscard]] Integrity integrity() const noexcept override { return integrity_.load(std::memory_order_acquire); }
  [[nodiscard]] Result<ByteSpan> bytes() override;
  [[nodiscard]] std::optional<Unchecked> unchecked_bytes() override;

 private:
  // The outcome of the first read: what bytes() answers from then on.
  struct Loaded {
    Result<ByteSpan> answer;
    zip::RecordBytes record;         // keeps the bytes alive, unless they were copied
    std::shared_ptr<Memory> copied;  // where the mapping was not aligned
  };
  [[nodiscard]] Loaded load();

  std::shared_ptr<const RecordContext> context_;
  const zip::Entry* entry_;
  std::string_view recorded_device_;  // lives in the context
  std::unique_ptr<Loaded> loaded_;    // written once, under once_
  std::once_flag once_;
  std::atomic<Integrity> integrity_;
};

}  // namespace rushlight::checkpoint
