#include "checkpoint/record_memory.hpp"

#include <algorithm>
#include <cstring>
#include <span>
#include <utility>

#include "base/fail.hpp"
#include "base/quote.hpp"
#include "checkpoint/record_names.hpp"

namespace rushlight::checkpoint {
namespace {

// What Memory promises: enough for every element type and for vector loads of baseline x86-64 and AArch64.
constexpr std::uintptr_t kAlignment = 16;

bool is_aligned(const std::byte* data) noexcept {
  return reinterpret_cast<std::uintptr_t>(data) % kAlignment == 0;
}

}  // namespace

std::string_view RecordContext::interned(std::string_view location) {
  // A file names a handful of devices, one after the other.
  if (!locations.empty() && locations.front() == location) return locations.front();
  const auto known = std::find(locations.begin(), locations.end(), location);
  return known != locations.end() ? *known : locations.emplace_back(location);
}

std::string_view RecordContext::short_name(const zip::Entry& entry) const noexcept {
  // The root folder may be spelled in other upper and lower case (ZIP-NAME-CASE).
  const std::string_view folder = entry.name.substr(0, root.size());
  return folder == root || equal_ignoring_case(folder, root) ? entry.name.substr(root.size()) : entry.name;
}

Integrity RecordContext::audited_integrity(const zip::Entry& entry) const noexcept {
  return audited.empty() ? Integrity::not_checked
                         : audited[static_cast<std::size_t>(&entry - archive->entries().data())];
}

std::string RecordContext::printable_name(const zip::Entry& entry) const {
  return (within.empty() ? std::string() : escaped(within) + "/") + escaped(short_name(entry));
}

Error RecordContext::placed(Error error, const zip::Entry& entry) const {
  error.finding.record = printable_name(entry);
  if (in_memory) error.finding.offset.reset();
  return with_file(std::move(error), file);
}

std::optional<FilePlace> RecordMemory::place() const {
  if (context_->in_memory) return std::nullopt;
  const Result<zip::Extent> extent = context_->archive->data_extent(*entry_);
  if (!extent) return std::nullopt;
  return FilePlace{context_->file, extent->begin};
}

Result<ByteSpan> RecordMemory::bytes() {
  std::call_once(once_, [this] { loaded_ = std::make_unique<Loaded>(load()); });
  return loaded_->answer;
}

std::optional<Memory::Unchecked> RecordMemory::unchecked_bytes() {
  const bool to_be_checked = context_->checksums != Checksums::ignore && integrity() == Integrity::not_checked;
  // A stored 0 may mean that nothing was computed.
  if (!to_be_checked || entry_->method != zip::Method::stored || entry_->crc == 0) return std::nullopt;
  if (context_->archive->source()->mapping().empty()) return std::nullopt;
  const Result<zip::RecordBytes> record = context_->archive->read(*entry_, entry_->size_bytes);
  if (!record) return std::nullopt;  // bytes() says why
  return Unchecked{record->span(), entry_->crc};
}

RecordMemory::Loaded RecordMemory::load() {
  const auto failed = [this](Error error) {
    return Loaded{.answer = context_->placed(std::move(error), *entry_), .record = {}, .copied = nullptr};
  };
  Result<zip::RecordBytes> record = context_->archive->read(*entry_, entry_->size_bytes);
  if (!record) return failed(std::move(record).error());
  const ByteSpan decoded = record->span();
  if (context_->checksums != Checksums::ignore && integrity() == Integrity::not_checked) {
    const zip::CrcCheck check = zip::Archive::check_crc(*entry_, decoded, nullptr);
    switch (check.state) {
      case zip::CrcState::verified:
        integrity_.store(Integrity::verified, std::memory_order_release);
        break;
      case zip::CrcState::not_computed:
        integrity_.store(Integrity::not_computed, std::memory_order_release);
        break;
      case zip::CrcState::mismatch: {
        integrity_.store(Integrity::mismatch, std::memory_order_release);
        const Result<zip::Extent> extent = context_->archive->data_extent(*entry_);
        return failed(zip::crc_mismatch(check, extent ? std::optional(extent->begin) : std::nullopt));
      }
    }
  }
  if (decoded.empty() || is_aligned(decoded.data())) {
    return {.answer = decoded, .record = *std::move(record), .copied = nullptr};
  }
  // Foreign writers align nothing (hostile-inputs S10).
  Result<std::shared_ptr<Memory>> copy = make_host_memory(decoded.size());
  if (!copy) return failed(std::move(copy).error());
  const Result<std::span<std::byte>> target = (*copy)->mutable_bytes();
  if (!target) return failed(target.error());
  std::memcpy(target->data(), decoded.data(), decoded.size());
  return {.answer = ByteSpan(*target), .record = {}, .copied = *std::move(copy)};
}

}  // namespace rushlight::checkpoint
